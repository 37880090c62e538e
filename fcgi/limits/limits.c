/* limits.c - references to the limits. */
/* SPDX-License-Identifier: MIT */
#include "limits/limits.h"

#include <stdlib.h>

#include "base/thread.h"

static void limits_free(struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        overrides_free(limits->limit[i].overrides);
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

void limits_unref(struct limits *limits)
{
    if (!limits || --limits->ref_count > 0)
        return;
    if (!limits->large || !thread_start(NULL, free_aside, limits))
        limits_free(limits);
}
