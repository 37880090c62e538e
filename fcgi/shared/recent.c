/* recent.c - a ring of samples. */
/* SPDX-License-Identifier: MIT */
#include "shared/recent.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "shared/totals.h"

struct recent {
    const struct region *region;
    size_t count, next; /* NEXT: where the next sample goes */
    struct recent_sample *ring[RECENT_SAMPLES];
};

static struct recent_sample *sample_new(const struct region *region)
{
    struct totals *totals = totals_read(region);
    size_t count = 0;
    struct recent_sample *sample = memory_new(sizeof *sample);

    sample->at_us = totals->now_us;
    sample->counters = totals->counters;
    for (size_t i = 0; i < totals->limit_count && count < RECENT_LIMITS; i++) {
        if (!totals->limit[i].in_force)
            continue;
        memcpy(sample->limit[count].name, totals->limit[i].name, TOP_LIMIT_SIZE);
        sample->limit[count++].counters = totals->limit[i].counters;
    }
    sample->limit_count = count;
    totals_free(totals);
    /* Most hosts have a few limits, and so most of the rows are given back. */
    return memory_resize(sample, offsetof(struct recent_sample, limit) +
                                     (count ? count : 1) * sizeof sample->limit[0]);
}

struct recent *recent_new(const struct region *region)
{
    struct recent *recent = memory_new(sizeof *recent);

    recent->region = region;
    recent_step(recent);
    return recent;
}

void recent_step(struct recent *recent)
{
    free(recent->ring[recent->next]);
    recent->ring[recent->next] = sample_new(recent->region);
    recent->next = (recent->next + 1) % RECENT_SAMPLES;
    if (recent->count < RECENT_SAMPLES)
        recent->count++;
}

size_t recent_count(const struct recent *recent)
{
    return recent->count;
}

const struct recent_sample *recent_sample(const struct recent *recent, size_t i)
{
    return recent->ring[(recent->next + RECENT_SAMPLES - recent->count + i) % RECENT_SAMPLES];
}

const struct limit_counters *recent_limit(const struct recent_sample *sample, const char *name)
{
    for (size_t i = 0; i < sample->limit_count; i++)
        if (strcmp(sample->limit[i].name, name) == 0)
            return &sample->limit[i].counters;
    return NULL;
}

void recent_free(struct recent *recent)
{
    if (!recent)
        return;
    for (size_t i = 0; i < RECENT_SAMPLES; i++)
        free(recent->ring[i]);
    free(recent);
}
