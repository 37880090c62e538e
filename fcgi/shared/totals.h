/* totals.h - the numbers of a whole host: sums over the slots of a region. */
#ifndef TOTALS_H
#define TOTALS_H

#include "shared/region.h"

/* One process that runs. */
struct live_process {
    struct process process;
    struct process_gauges gauges;
    struct process_counters counters;
};

/* Sums over all slots, those of processes that have ended included; gauges and PROCESS are those of
 * the processes that run. */
struct totals {
    int64_t now_us; /* when this was read; microseconds since 1970 */
    struct process_counters counters;
    struct process_gauges gauges;
    size_t limit_count;
    struct limit_row *limit; /* LIMIT_COUNT of them, owned, in the order of their first slot */
    size_t process_count;
    struct live_process process[REGION_SLOTS];
};

/* Read REGION.  Returns the totals, the caller's to free with totals_free; never NULL. */
struct totals *totals_read(const struct region *region);

/* The row of the limit NAME; NULL: there is none. */
const struct limit_row *totals_limit(const struct totals *totals, const char *name);

/* Whether two processes that run decide by different limits. */
bool totals_has_drift(const struct totals *totals);

/* Requests that Redis did not decide. */
uint64_t totals_undecided(const struct process_counters *counters);

/* The number of durations in HISTOGRAM. */
uint64_t histogram_count(const struct histogram *histogram);

/* The upper bound, in seconds, of the fraction Q (0 .. 1) of the durations in HISTOGRAM, from
 * linear interpolation in its bucket, as Prometheus's histogram_quantile; 0 if it is empty. */
double histogram_quantile(const struct histogram *histogram, double q);

/* Free TOTALS.  NULL is fine. */
void totals_free(struct totals *totals);

/* The clients of REGION that are refused most, merged, without those that have not been refused
 * since SINCE_US; of shadow limits if SHADOW.  The caller frees it with top_list_free. */
struct top_list totals_top(const struct region *region, bool shadow, int64_t since_us);

#endif
