/* history.h - what one client was answered, and whether a token bucket may answer so.
 * An admission happens at some moment between the sending of its request and the receipt of its
 * answer.  Every check uses the end of that time which excuses the program, so that no check fails
 * without a fault.  Times are microseconds of the monotonic clock. */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define HISTORY_KEPT        512
#define HISTORY_BUCKETS_MAX 3

enum outcome { ADMITTED, REFUSED, UNDECIDED, LOST };

/* The numbers of a limit. */
struct rate {
    double capacity, interval_us;
};

/* The bound of one bucket: a client is admitted at most MOST + EXTRA, and one MOST.capacity
 * more for each loss of Redis's data; a client that was admitted less than LEAST is not refused.
 * MOST and LEAST differ if the limits change. */
struct bound {
    struct rate most, least;
    double extra;
};

/* A bucket.  The sums are explained in history.c. */
struct bucket {
    const char *limit; /* its name, borrowed */
    struct bound bound;
    double window_start, window_plain, window_least;
    double over;  /* the largest excess over MOST alone, in tokens */
    double under; /* the most tokens that a refused request left unused beside its cost */
};

/* A request: what is known when it is sent. */
struct sent {
    struct sent *older, *newer; /* of the same client, in flight */
    int64_t at_us;
    double cost, maybe_charged; /* the client's sum at that time */
    uint64_t losses;            /* of Redis's data that had ended at that time */
};

struct event {
    int64_t sent_us, oldest_us, answered_us;
    double cost;
    enum outcome outcome;
    uint64_t losses_ended, losses_begun;
    uint64_t others; /* answers that were no admissions, since the last admission */
};

struct history {
    struct bucket buckets[HISTORY_BUCKETS_MAX];
    int bucket_count;
    double admitted, maybe_charged, in_flight;
    /* Requests without a decision, which Redis may still execute: the least maybe_charged of them,
     * or INFINITY, and when the last was answered. */
    double unsettled;
    int64_t unsettled_us;
    struct sent *oldest, *newest;
    /* The last admissions, and after them the newest event if that is none. */
    struct event kept[HISTORY_KEPT];
    uint64_t count;
};

/* When an answer arrived.  Undecided requests that were answered before SETTLED_US have been
 * executed or lost.  LOSSES_BEGUN counts the losses of Redis's data so far. */
struct moment {
    int64_t now_us, settled_us;
    uint64_t losses_begun;
};

/* Begin HISTORY, zeroed, whose buckets have their limits and bounds. */
void history_begin(struct history *history);

/* Note that HISTORY's client sends a request of COST.  SENT is kept until history_answered. */
void history_sent(struct history *history, struct sent *sent, int64_t now_us, double cost,
                  uint64_t losses_ended);

/* Note the answer to SENT.  REFUSED_BY has a bit for each bucket that the refusal names.
 * Returns the bucket whose bound is broken, or NULL. */
const struct bucket *history_answered(struct history *history, struct sent *sent,
                                      const struct moment *moment, enum outcome outcome,
                                      unsigned refused_by);

/* Write the admissions that break BUCKET's bound: the shortest run of them, which ends with the
 * newest event; before a refusal, the last 40. */
void history_print(const struct history *history, const struct bucket *bucket, FILE *out);

#endif
