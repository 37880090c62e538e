/* memo.h - what is made of a value once per request, however many limits count by it: its lower
 * case and its digest.  Pure. */
#ifndef MEMO_H
#define MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scratch.h"
#include "base/span.h"

#define MEMO_MAX         256 /* values that are remembered; others are made anew */
#define MEMO_SLOTS       256
#define MEMO_DIGEST_SIZE 64 /* a SHA-256 in hexadecimal, without a NUL */

/* A value and what was made of it. */
struct memo_entry {
    struct span value, lower; /* lower.text NULL: not made yet */
    bool digested;
    char digest[MEMO_DIGEST_SIZE];
    uint16_t next; /* index + 1 of the next one in the same slot; 0: none */
};

/* The values of one request.  The fields are this file's own. */
struct memo {
    size_t count;
    uint16_t slot[MEMO_SLOTS]; /* index + 1 */
    struct memo_entry entry[MEMO_MAX];
};

/* Make MEMO empty. */
void memo_begin(struct memo *memo);

/* VALUE with A to Z as a to z, in SCRATCH.  A value is known by where it is, so its bytes must not
 * change until the next memo_begin.  Returns text NULL where SCRATCH is full. */
struct span memo_lower(struct memo *memo, struct span value, struct scratch *scratch);

/* Write the SHA-256 (FIPS 180-4) of VALUE in hexadecimal into OUT.  MEMO may be NULL: nothing is
 * remembered. */
void memo_digest(struct memo *memo, struct span value, char out[MEMO_DIGEST_SIZE]);

#endif
