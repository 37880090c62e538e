/* redis_reply.h - a reply of Redis, read by hiredis' parser into a struct of fixed size. */
#ifndef REDIS_REPLY_H
#define REDIS_REPLY_H

#include <hiredis/read.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define REDIS_REPLY_TEXT_SIZE     256 /* a longer text is cut to this, NUL included */
#define REDIS_REPLY_NUMBERS_COUNT (4 * STORE_CHARGES_MAX) /* most that take.lua returns */
#define REDIS_REPLY_UNREAD_MAX    16384 /* bytes of one reply that is not complete */

enum redis_reply_kind {
    REDIS_SAYS_STATUS,  /* "+OK": TEXT */
    REDIS_SAYS_ERROR,   /* "-ERR ...": TEXT */
    REDIS_SAYS_BULK,    /* "$40 ...": TEXT */
    REDIS_SAYS_NUMBERS, /* an array of integers: NUMBER, COUNT of them */
    REDIS_SAYS_OTHER,   /* nil; or an integer, which no command of ours is answered with */
};

/* TEXT is NUL-terminated; LEN is the length that Redis sent, which may be more than TEXT holds. */
struct redis_reply {
    enum redis_reply_kind kind;
    char text[REDIS_REPLY_TEXT_SIZE];
    size_t len;
    int64_t number[REDIS_REPLY_NUMBERS_COUNT];
    size_t count;
};

enum redis_reply_state {
    REDIS_REPLY_COMPLETE,
    REDIS_REPLY_PARTIAL, /* more bytes are needed */
    REDIS_REPLY_UNFIT,   /* these bytes are no reply to any command of ours */
};

/* Make READER store what it reads in *REPLY, which must outlive it.  Nothing is allocated for a
 * reply. */
void redis_reply_store(redisReader *reader, struct redis_reply *reply);

/* Read the next reply that READER was fed.  UNFIT: a protocol error, an array of anything but
 * integers, one of more than REDIS_REPLY_NUMBERS_COUNT, a nested one, a push, or over
 * REDIS_REPLY_UNREAD_MAX bytes that complete no reply.  READER is then of no more use. */
enum redis_reply_state redis_reply_next(redisReader *reader);

#endif
