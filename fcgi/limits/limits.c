/* limits.c - references to the limits, and their stored overrides. */
/* SPDX-License-Identifier: MIT */
#include "limits/limits.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/thread.h"

#define MANY 1000 /* overrides that take long to free */

static void limits_free(struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++) {
        overrides_free(limits->limit[i].overrides);
        overrides_free(limits->limit[i].stored);
    }
    free(limits->limit);
    free(limits);
}

static void *free_aside(void *limits)
{
    limits_free(limits);
    return NULL;
}

struct limits *limits_ref(struct limits *limits)
{
    limits->ref_count++;
    return limits;
}

/* Sets of overrides; NULL after the last. */
static void *free_sets(void *context)
{
    struct overrides **sets = context;

    for (size_t i = 0; sets[i]; i++)
        overrides_free(sets[i]);
    free(sets);
    return NULL;
}

void limits_set_stored(struct limits *limits, struct overrides *const stored[])
{
    struct overrides **old = memory_get((limits->count + 1) * sizeof(struct overrides *));
    size_t count = 0, overrides = 0;

    for (size_t i = 0; i < limits->count; i++) {
        if (limits->limit[i].stored) {
            overrides += overrides_count(limits->limit[i].stored);
            old[count++] = limits->limit[i].stored;
        }
        limits->limit[i].stored = stored[i];
        limits->large = limits->large || (stored[i] && overrides_count(stored[i]) > MANY);
    }
    old[count] = NULL;
    if (overrides <= MANY || !thread_start(NULL, free_sets, old))
        free_sets(old);
}

void limits_unref(struct limits *limits)
{
    if (!limits || --limits->ref_count > 0)
        return;
    if (!limits->large || !thread_start(NULL, free_aside, limits))
        limits_free(limits);
}
