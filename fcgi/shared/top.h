/* top.h - which clients are refused most: a space-saving sketch (Metwally, Agrawal, El Abbadi:
 * Efficient Computation of Frequent and Top-k Elements in Data Streams, 2005) in shared memory.
 *
 * A sketch has TOP_ROWS rows, each for one bucket.  As long as fewer buckets refuse than there are
 * rows, counts are exact.  Otherwise a new bucket takes the row with the lowest count and continues
 * that count, which is then the row's error bound: the true count is between COUNT - ERROR and
 * COUNT.  A bucket that has not refused for TOP_FORGET_US gives its row away first, so that the
 * rows are about what happens now. */
#ifndef TOP_H
#define TOP_H

#include <stddef.h>
#include <stdint.h>

#define TOP_ROWS       256
#define TOP_KEY_SIZE   256                    /* a Redis key, NUL included: STORE_KEY_SIZE */
#define TOP_LIMIT_SIZE 72                     /* a limit's name, NUL included */
#define TOP_FORGET_US  (3600LL * 1000 * 1000) /* an hour */

/* A bucket that has refused. */
struct top_row {
    char key[TOP_KEY_SIZE];     /* its Redis key */
    char limit[TOP_LIMIT_SIZE]; /* whose bucket it is */
    uint64_t count, error;      /* refusals; the true number is COUNT - ERROR .. COUNT */
    int64_t first_us, last_us;  /* of the refusals that are counted; microseconds since 1970 */
};

/* The sketch of one process, in shared memory; all bytes 0 is an empty one. */
struct top {
    uint64_t hash[TOP_ROWS]; /* of each row's key; 0: the row is free */
    uint64_t sequence[TOP_ROWS];
    struct top_row row[TOP_ROWS];
    uint64_t floor;   /* a key without a row has at most so many refusals */
    int64_t floor_us; /* when a count was given up last */
};

/* Count a refusal of the bucket of LIMIT at KEY (KEY_LEN < TOP_KEY_SIZE bytes) at NOW_US
 * (microseconds since 1970). */
void top_add(struct top *top, const char *limit, const char *key, size_t key_len, int64_t now_us);

/* Repair TOP after its last writer, which may have died while it wrote. */
void top_repair(struct top *top);

/* Rows of several sketches; {0} is an empty list. */
struct top_list {
    struct top_row *row; /* COUNT of them, owned */
    size_t count, room;
    uint64_t floor; /* the sum of those of the sketches */
};

/* Add the rows of TOP, which its owner may be changing, to LIST, except those that have not refused
 * since SINCE_US.  They are incomplete until top_list_merge. */
void top_list_add(struct top_list *list, const struct top *top, int64_t since_us);

/* Add up the rows of the same key, and sort by count, the highest first.  No more can be added to
 * LIST after that. */
void top_list_merge(struct top_list *list);

/* Sort LIST, which is merged, by key instead, for top_list_find. */
void top_list_sort_by_key(struct top_list *list);

/* The row of KEY in LIST, which is sorted by key; NULL: there is none. */
const struct top_row *top_list_find(const struct top_list *list, const char *key);

/* Free the rows of LIST. */
void top_list_free(struct top_list *list);

#endif
