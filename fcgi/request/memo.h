/* memo.h - compute the lower case and the digest of each value once per request, however many
 * limits use it.  Pure. */
#ifndef MEMO_H
#define MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scratch.h"
#include "base/span.h"

#define MEMO_MAX         256 /* values that are remembered; those beyond are computed each time */
#define MEMO_SLOTS       256
#define MEMO_DIGEST_SIZE 64 /* a SHA-256 in hexadecimal, without a NUL */

/* A value, and what was computed from it. */
struct memo_entry {
    struct span value, lower; /* lower.text is NULL until it is computed */
    bool digested;
    char digest[MEMO_DIGEST_SIZE];
    uint16_t next; /* the next entry in the same slot, as index + 1; 0 if there is none */
};

/* The values of one request.  Private to memo.c. */
struct memo {
    size_t count;
    uint16_t slot[MEMO_SLOTS]; /* index + 1 of the newest entry; 0 if empty */
    struct memo_entry entry[MEMO_MAX];
};

/* Make MEMO empty. */
void memo_begin(struct memo *memo);

/* VALUE with A to Z as a to z, in SCRATCH.  Values are recognised by their address and length, so
 * their bytes must not change until the next memo_begin.  Returns text NULL if SCRATCH is full. */
struct span memo_lower(struct memo *memo, struct span value, struct scratch *scratch);

/* Write the SHA-256 (FIPS 180-4) of VALUE in hexadecimal into OUT.  If MEMO is NULL, nothing is
 * remembered. */
void memo_digest(struct memo *memo, struct span value, char out[MEMO_DIGEST_SIZE]);

#endif
