/* redis_reply.c - replies of Redis without allocations, and bounded whatever the peer sends. */
/* SPDX-License-Identifier: MIT */
#include "store/redis_reply.h"

#include <hiredis/hiredis.h>
#include <string.h>

/* For hiredis, NULL from one of these functions is a failure: it stops to read. */
#define REFUSED NULL

/* Begin a reply of KIND.  Inside an array only integers are expected. */
static struct redis_reply *begin(const redisReadTask *task, enum redis_reply_kind kind)
{
    struct redis_reply *reply = task->privdata;

    if (task->parent)
        return REFUSED;
    reply->kind = kind;
    reply->text[0] = '\0';
    reply->len = reply->count = 0;
    return reply;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    enum redis_reply_kind kind = REDIS_SAYS_BULK;
    size_t kept = len < REDIS_REPLY_TEXT_SIZE ? len : REDIS_REPLY_TEXT_SIZE - 1;

    if (task->type == REDIS_REPLY_STATUS)
        kind = REDIS_SAYS_STATUS;
    else if (task->type == REDIS_REPLY_ERROR)
        kind = REDIS_SAYS_ERROR;
    else if (task->type != REDIS_REPLY_STRING)
        return REFUSED; /* RESP3, which we never ask for */
    struct redis_reply *reply = begin(task, kind);
    if (reply) {
        memcpy(reply->text, text, kept);
        reply->text[kept] = '\0';
        reply->len = len;
    }
    return reply;
}

/* hiredis 1.0 changed the type of the length. */
#if HIREDIS_MAJOR >= 1
static void *create_array(const redisReadTask *task, size_t elements)
#else
static void *create_array(const redisReadTask *task, int elements)
#endif
{
    if (task->type != REDIS_REPLY_ARRAY || (size_t)elements > REDIS_REPLY_NUMBERS_COUNT)
        return REFUSED;
    return begin(task, REDIS_SAYS_NUMBERS);
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = task->privdata;

    if (!task->parent)
        return begin(task, REDIS_SAYS_OTHER);
    reply->number[reply->count++] = value; /* within the bound that create_array has checked */
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return begin(task, REDIS_SAYS_OTHER);
}

#if HIREDIS_MAJOR >= 1
static void *create_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)task, (void)value, (void)text, (void)len;
    return REFUSED;
}

static void *create_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return REFUSED;
}
#endif

static void free_object(void *object)
{
    (void)object;
}

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
    .freeObject = free_object,
};

void redis_reply_store(redisReader *reader, struct redis_reply *reply)
{
    reader->fn = &functions;
    reader->privdata = reply;
}

enum redis_reply_state redis_reply_next(redisReader *reader)
{
    void *object = NULL;

    if (redisReaderGetReply(reader, &object) != REDIS_OK)
        return REDIS_REPLY_UNFIT;
    if (object)
        return REDIS_REPLY_COMPLETE;
    return reader->len - reader->pos > REDIS_REPLY_UNREAD_MAX ? REDIS_REPLY_UNFIT
                                                              : REDIS_REPLY_PARTIAL;
}
