/* totals.c - sums over the slots of a region. */
/* SPDX-License-Identifier: MIT */
#include "shared/totals.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "shared/record.h"

#define WORDS(type) (sizeof(type) / sizeof(uint64_t))

/* The index of the row of NAME; limit_count: there is none.  HINT: where it probably is. */
static size_t find(const struct totals *totals, const char *name, size_t hint)
{
    if (hint < totals->limit_count && strcmp(totals->limit[hint].name, name) == 0)
        return hint;
    for (size_t i = 0; i < totals->limit_count; i++)
        if (strcmp(totals->limit[i].name, name) == 0)
            return i;
    return totals->limit_count;
}

static void add_limit(struct totals *totals, const struct limit_row *row, size_t hint, bool live)
{
    char name[TOP_LIMIT_SIZE];

    memcpy(name, row->name, sizeof name);
    name[sizeof name - 1] = '\0';
    size_t i = find(totals, name, hint);
    if (i == totals->limit_count) {
        totals->limit = memory_resize(totals->limit, ++totals->limit_count * sizeof *totals->limit);
        totals->limit[i] = (struct limit_row){.in_force = 0};
        memcpy(totals->limit[i].name, name, sizeof name);
    }
    counters_sum((uint64_t *)&totals->limit[i].counters, (const uint64_t *)&row->counters,
                 WORDS(struct limit_counters));
    if (live && counter_get(&row->in_force))
        totals->limit[i].in_force = 1;
}

static void add_process(struct totals *totals, const struct slot *slot)
{
    struct live_process *live = &totals->process[totals->process_count];

    if (!record_read(&slot->process_sequence, &slot->process, &live->process,
                     sizeof live->process) ||
        live->process.pid == 0)
        return; /* it begins, or it has just died */
    memset(&live->gauges, 0, sizeof live->gauges);
    memset(&live->counters, 0, sizeof live->counters);
    counters_sum((uint64_t *)&live->gauges, (const uint64_t *)&slot->gauges,
                 WORDS(struct process_gauges));
    counters_sum((uint64_t *)&live->counters, (const uint64_t *)&slot->counters,
                 WORDS(struct process_counters));
    counters_sum((uint64_t *)&totals->gauges, (const uint64_t *)&live->gauges,
                 WORDS(struct process_gauges));
    totals->process_count++;
}

struct totals *totals_read(const struct region *region)
{
    struct totals *totals = memory_new(sizeof *totals);

    totals->now_us = clock_unix_us();
    for (size_t i = 0; i < REGION_SLOTS; i++) {
        bool live;
        const struct slot *slot = region_slot(region, i, &live);
        if (!slot)
            continue;
        counters_sum((uint64_t *)&totals->counters, (const uint64_t *)&slot->counters,
                     WORDS(struct process_counters));
        size_t rows = __atomic_load_n(&slot->limit_count, __ATOMIC_ACQUIRE);
        for (size_t row = 0; row < rows && row < REGION_LIMIT_ROWS; row++)
            add_limit(totals, &slot->limit[row], row, live);
        if (live)
            add_process(totals, slot);
    }
    return totals;
}

const struct limit_row *totals_limit(const struct totals *totals, const char *name)
{
    size_t i = find(totals, name, 0);

    return i < totals->limit_count ? &totals->limit[i] : NULL;
}

bool totals_has_drift(const struct totals *totals)
{
    for (size_t i = 1; i < totals->process_count; i++)
        if (strcmp(totals->process[i].process.sha256, totals->process[0].process.sha256) != 0)
            return true;
    return false;
}

uint64_t totals_undecided(const struct process_counters *counters)
{
    return counters->undecided_lost + counters->undecided_late + counters->undecided_error;
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += histogram->count[i];
    return count;
}

double histogram_quantile(const struct histogram *histogram, double q)
{
    uint64_t total = histogram_count(histogram);
    double before = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1 && total > 0; i++) {
        double count = (double)histogram->count[i], low_us = i > 0 ? histogram_bounds_us[i - 1] : 0;
        if (count > 0 && before + count >= q * (double)total)
            return (low_us +
                    (histogram_bounds_us[i] - low_us) * (q * (double)total - before) / count) /
                   1e6;
        before += count;
    }
    return total > 0 ? histogram_bounds_us[HISTOGRAM_BUCKETS - 2] / 1e6 : 0;
}

void totals_free(struct totals *totals)
{
    if (!totals)
        return;
    free(totals->limit);
    free(totals);
}

struct top_list totals_top(const struct region *region, bool shadow, int64_t since_us)
{
    struct top_list list = {0};

    for (size_t i = 0; i < REGION_SLOTS; i++) {
        bool live;
        const struct slot *slot = region_slot(region, i, &live);
        if (slot)
            top_list_add(&list, shadow ? &slot->shadow_refused : &slot->refused, since_us);
    }
    top_list_merge(&list);
    return list;
}
