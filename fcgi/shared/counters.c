/* counters.c - sums and histograms. */
/* SPDX-License-Identifier: MIT */
#include "shared/counters.h"

#include "base/hash.h"

const double histogram_bounds_us[HISTOGRAM_BUCKETS - 1] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000};

void histogram_add(struct histogram *histogram, double seconds)
{
    double us = seconds * 1e6;
    size_t bucket = 0;

    while (bucket < HISTOGRAM_BUCKETS - 1 && us > histogram_bounds_us[bucket])
        bucket++;
    counter_add(&histogram->count[bucket], 1);
    counter_add(&histogram->sum_us, (uint64_t)us);
}

void counters_sum(uint64_t *to, const uint64_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += counter_get(&from[i]);
}

uint64_t counters_layout(void)
{
    static const char fields[] =
#define LIMIT_COUNTER(field, metric, label, help)            "l" #field
#define PROCESS_COUNTER(field, metric, label, divisor, help) "c" #field
#define PROCESS_GAUGE(field, metric, help)                   "g" #field
#define PROCESS_HISTOGRAM(field, metric, help)               "h" #field
#include "shared/counters.def"
        ;

    return hash_of(fields, sizeof fields - 1);
}
