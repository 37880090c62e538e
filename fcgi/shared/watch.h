/* watch.h - decisions as they happen: a watcher says in the head of the region which ones it wants,
 * and each process keeps a sample of them in a ring of its slot.  Without a watcher, a decision
 * costs one comparison. */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "shared/top.h"

#define WATCH_ROWS      256
#define WATCH_PER_S_MAX 100 /* decisions that a process samples in a second */

enum watch_decision {
    WATCH_ALLOWED,
    WATCH_REFUSED,
    WATCH_BLOCKED,
    WATCH_SHADOW_REFUSED,
    WATCH_UNDECIDED_ALLOWED,
    WATCH_UNDECIDED_DENIED,
};

/* What a watcher wants, in the head of the region.  Only the watcher writes it. */
struct watch_wish {
    uint64_t sequence; /* of what follows: record.h */
    struct watch_filter {
        int64_t until_ms;           /* on clock_s, in milliseconds; 0: nothing is wanted */
        char limit[TOP_LIMIT_SIZE]; /* "": every limit */
        char key[TOP_KEY_SIZE];     /* how the Redis key begins; "": in any way */
    } filter;
};

/* One decision of one limit. */
struct watch_row {
    int64_t at_us; /* microseconds since 1970 */
    uint64_t decision;
    int64_t remaining; /* tokens; -1: not known */
    char limit[TOP_LIMIT_SIZE];
    char key[TOP_KEY_SIZE];
};

/* The sample of one process, in its slot; all bytes 0 is an empty one. */
struct watch_ring {
    uint64_t count; /* decisions that were written so far; the next goes to COUNT % WATCH_ROWS */
    uint64_t sequence[WATCH_ROWS];
    struct watch_row row[WATCH_ROWS];
};

/* What the owner of a ring keeps for itself; {0} at first. */
struct watch_rate {
    int64_t second; /* on clock_s */
    unsigned count; /* of samples in it */
};

/* Whether anything may be wanted; then ask watch_add. */
static inline bool watch_is_on(const struct watch_wish *wish)
{
    int64_t until_ms = __atomic_load_n(&wish->filter.until_ms, __ATOMIC_RELAXED);

    return until_ms != 0 && (double)until_ms > clock_recent_s() * 1e3;
}

/* Add ROW to RING, if WISH wants it and the sample of this second is not full. */
void watch_add(struct watch_ring *ring, const struct watch_wish *wish, struct watch_rate *rate,
               const struct watch_row *row);

/* Say in WISH what is wanted from now on. */
void watch_want(struct watch_wish *wish, const struct watch_filter *filter);

/* Read the row after *SEEN, a number of rows (the count of RING to begin with), into *OUT.  Returns
 * whether there is one.  *SEEN grows by one, and by more if rows were overwritten. */
bool watch_next(const struct watch_ring *ring, uint64_t *seen, struct watch_row *out);

#endif
