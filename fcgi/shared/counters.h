/* counters.h - the numbers of one process, as they are in shared memory: structs that counters.def
 * declares.  Only the process that owns a struct writes it, and any process reads it: all accesses
 * go through the functions here.  Plain data. */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stddef.h>
#include <stdint.h>

/* Upper bounds of the buckets of a histogram, in microseconds; one more bucket is for all above. */
#define HISTOGRAM_BUCKETS 14
extern const double histogram_bounds_us[HISTOGRAM_BUCKETS - 1];

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS]; /* of each bucket alone, not cumulated */
    uint64_t sum_us;
};

struct limit_counters {
#define LIMIT_COUNTER(field, metric, label, help) uint64_t field;
#include "shared/counters.def"
};

struct process_counters {
#define PROCESS_COUNTER(field, metric, label, divisor, help) uint64_t field;
#define PROCESS_HISTOGRAM(field, metric, help)               struct histogram field;
#include "shared/counters.def"
};

struct process_gauges {
#define PROCESS_GAUGE(field, metric, help) uint64_t field;
#include "shared/counters.def"
};

/* A store that a reader sees whole.  It is an ordinary store, because each number has one
 * writer. */
static inline void counter_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline void counter_add(uint64_t *counter, uint64_t amount)
{
    counter_set(counter, *counter + amount);
}

static inline uint64_t counter_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Count a duration of SECONDS (>= 0). */
void histogram_add(struct histogram *histogram, double seconds);

/* Add the COUNT numbers at FROM, which another process may be changing, to those at TO. */
void counters_sum(uint64_t *to, const uint64_t *from, size_t count);

/* A number that differs between any two versions of counters.def with other fields. */
uint64_t counters_layout(void);

#endif
