/* recent.h - the last five minutes of a host: a sample of its totals every five seconds. */
#ifndef RECENT_H
#define RECENT_H

#include "shared/region.h"

#define RECENT_STEP_S  5
#define RECENT_SAMPLES 61 /* five minutes, and the one that they begin with */
#define RECENT_LIMITS  32 /* limits of a sample; the rest are left out */

/* The counters at one moment. */
struct recent_limit {
    char name[TOP_LIMIT_SIZE];
    struct limit_counters counters;
};

struct recent_sample {
    int64_t at_us; /* microseconds since 1970 */
    struct process_counters counters;
    size_t limit_count;
    struct recent_limit limit[RECENT_LIMITS];
};

struct recent;

/* Samples of REGION (borrowed).  The first is taken now.  Returns it, the caller's to free with
 * recent_free; never NULL. */
struct recent *recent_new(const struct region *region);

/* Take a sample.  Call this every RECENT_STEP_S. */
void recent_step(struct recent *recent);

/* The number of samples, at least 1. */
size_t recent_count(const struct recent *recent);

/* Sample I (< recent_count), the oldest first; borrowed until recent_step. */
const struct recent_sample *recent_sample(const struct recent *recent, size_t i);

/* The counters of NAME in SAMPLE; NULL: it has none. */
const struct limit_counters *recent_limit(const struct recent_sample *sample, const char *name);

/* Free RECENT.  NULL is fine. */
void recent_free(struct recent *recent);

#endif
