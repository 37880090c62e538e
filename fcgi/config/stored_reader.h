/* stored_reader.h - from the overrides that are stored in Redis to those of the limits. */
#ifndef STORED_READER_H
#define STORED_READER_H

#include <stdbool.h>

#include "config/findings.h"
#include "limits/limits.h"
#include "store/stored_override.h"

#define STORED_PROBLEM_SIZE 512

/* The times in the value of a stored override, in microseconds on Redis's clock. */
struct stored_times {
    int64_t set_us;   /* when it was set; 0: unknown */
    int64_t until_us; /* when its time is over; 0: never */
};

/* Read VALUE, the settings and times of an override of LIMIT, into *OUT, whose line and until_s
 * become 0, and *TIMES; or report every mistake to FINDINGS. */
void stored_reader_value(const char *value, const struct limit *limit, struct override *out,
                         struct stored_times *times, struct findings *findings);

/* Read the times in VALUE alone into *OUT; those that are wrong become 0. */
void stored_reader_times(const char *value, struct stored_times *out);

/* What became of one stored override. */
enum stored_state {
    STORED_IN_FORCE,
    STORED_OVER,    /* its time is over */
    STORED_FOREIGN, /* the file has no such limit, or the limit does not count by its sources */
    STORED_BROKEN,  /* it has a mistake */
};

/* What was made of the stored overrides. */
struct stored_sets {
    struct overrides **of;    /* for each limit its own, owned, or NULL: for limits_set_stored */
    enum stored_state *state; /* for each stored override, owned */
    size_t count;             /* overrides in force */
    size_t foreign_count, broken_count;
    char problem
        [STORED_PROBLEM_SIZE]; /* what is wrong with the first broken one; without a secret */
};

/* Make of STORED what is in force for LIMITS, into *OUT; overrides that are over or have a mistake
 * are left out.  Of several for the same client, the one that was set last is used.  LIMITS are
 * only read, and not their stored overrides.  The caller frees OUT with stored_reader_free; or
 * passes the sets on, and frees the two arrays. */
void stored_reader_read(const struct stored_overrides *stored, const struct limits *limits,
                        struct stored_sets *out);

/* Free the sets of OUT, which are for COUNT limits. */
void stored_reader_free(struct stored_sets *sets, size_t count);

#endif
