/* store.h - the contract between deciding and storing: what is asked of buckets, and what comes
 * back.  Plain data: lua/take.lua's contract in C. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_CHARGES_MAX   64                             /* in one ask */
#define STORE_KEY_SIZE      256                            /* bytes of a Redis key, NUL included */
#define STORE_WINDOW_US_MAX (3650LL * 24 * 3600 * 1000000) /* ten years from empty to full */

/* What a client gets if the store does not decide. */
enum when_down { WHEN_DOWN_ALLOW, WHEN_DOWN_DENY, WHEN_DOWN_LOCAL };

/* A bucket after the decision. */
struct balance {
    bool allowed;      /* this bucket had room for the cost */
    int64_t remaining; /* whole tokens left: RateLimit's r */
    int64_t wait_us;   /* until the same cost fits again: Retry-After; -1: it never does */
    int64_t full_us;   /* until the bucket is full again: the body's reset; in debt over a window */
};

/* What one limit asks of one bucket. */
struct charge {
    char key[STORE_KEY_SIZE];
    size_t key_len;
    int64_t interval_us; /* >= 1 */
    int64_t capacity;    /* >= 1; times INTERVAL_US: at most STORE_WINDOW_US_MAX */
    int64_t cost;        /* >= 0; 0 only looks at the bucket */
    bool enforced;       /* false: a shadow, which never refuses */
    enum when_down when_down;
    struct balance balance; /* written by the store, if it decides */
};

enum settled_by { UNSETTLED, SETTLED_BY_REDIS, SETTLED_BY_LOCAL };

/* All charges of one request.  The enforced ones come first: they are charged together, or none of
 * them is.  A shadow is charged if they are and it has room; it changes nothing for them.  The keys
 * differ. */
struct ask {
    struct charge *charges;
    size_t charge_count; /* 1 .. STORE_CHARGES_MAX */
    bool force;          /* take the charges whatever the buckets have; they can be in debt then */
    /* Called exactly once, inside of the store's ask or later.  From then on ASK is the caller's
     * again. */
    void (*done)(struct ask *ask);
    enum settled_by settled_by; /* written by the store: who decided, UNSETTLED for no decision */
    const char *why;            /* if UNSETTLED: why, for people; a static string */
    bool may_be_charged;        /* if UNSETTLED: whether the store may have taken the charges */
    void (*next_done)(struct ask *ask); /* for a store that asks another one: DONE of its caller, */
    struct store *asker;                /* and itself */
};

/* Where the buckets are.  ASK and its charges are borrowed until it is done. */
struct store {
    void (*ask)(struct store *store, struct ask *ask);
};

#endif
