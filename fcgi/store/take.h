/* take.h - what is asked of a bucket, and what it answers.  Plain data: lua/take.lua's contract in
 * C. */
#ifndef TAKE_H
#define TAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAKES_MAX          64                             /* buckets that one request takes from */
#define TAKE_KEY_SIZE      256                            /* bytes of a Redis key, NUL included */
#define TAKE_WINDOW_US_MAX (3650LL * 24 * 3600 * 1000000) /* ten years from empty to full */

/* COST tokens from the bucket at KEY. */
struct take {
    char key[TAKE_KEY_SIZE];
    size_t key_len;
    int64_t interval_us; /* >= 1 */
    int64_t capacity;    /* >= 1; times INTERVAL_US: at most TAKE_WINDOW_US_MAX */
    int64_t cost;        /* >= 0 */
};

/* A bucket after the decision. */
struct bucket {
    bool allowed;      /* this bucket had room for the cost */
    int64_t remaining; /* whole tokens left: RateLimit's r */
    int64_t wait_us;   /* until the same cost fits again: Retry-After; -1: it never does */
    int64_t full_us;   /* until the bucket is full again: the body's reset */
};

/* How a take ends: BUCKETS, one for each take in their order, borrowed for the call; or NULL where
 * Redis did not decide.  CONTEXT is what was given with the take. */
typedef void take_done(void *context, const struct bucket *buckets);

/* A store of buckets.  Of the COUNT (>= 1) TAKES the first ENFORCED are taken together, or none of
 * them; each of the others, a shadow, is taken if they are and it has room, and changes nothing for
 * them.  DONE is called exactly once, now or later.  TAKES is borrowed until then; their keys
 * differ. */
typedef void take_tokens(void *store, const struct take *takes, size_t count, size_t enforced,
                         take_done *done, void *context);

#endif
