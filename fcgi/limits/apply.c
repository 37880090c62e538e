/* apply.c - what one limit asks of one request.
 * SPDX-License-Identifier: MIT */
#include "limits/apply.h"

static enum apply_result result_of(const struct override *override)
{
    if (!override)
        return APPLY_TAKE;
    return override->kind == OVERRIDE_BLOCKED     ? APPLY_BLOCKED
           : override->kind == OVERRIDE_UNLIMITED ? APPLY_UNLIMITED
                                                  : APPLY_TAKE;
}

enum apply_result apply_limit(const struct limit *limit, struct view *view, struct take *take,
                              struct applied *applied)
{
    static const struct key_source host = {.kind = KEY_SOURCE_HOST};
    struct key_values values;
    bool ambiguous_cost;

    *applied = (struct applied){NULL, NULL};
    enum match_result match = match_request(&limit->match, view);
    if (view->work.exhausted)
        return limit->shadow ? APPLY_NOT : APPLY_TOO_MUCH;
    if (match == MATCH_HOST_UNREADABLE && !limit->shadow)
        applied->ambiguous = &host;
    if (match != MATCH_FITS)
        return applied->ambiguous ? APPLY_AMBIGUOUS : APPLY_NOT;
    key_find(&limit->key, view, &values);
    take->cost = cost_of(&limit->cost, view, &ambiguous_cost);
    applied->ambiguous = ambiguous_cost ? &limit->cost.source : values.ambiguous;
    if ((ambiguous_cost || values.ambiguous) && !limit->shadow)
        return APPLY_AMBIGUOUS;
    take->key_len = key_build(&values, limit->name, take->key);
    take->capacity = limit->capacity;
    take->interval_us = limit->interval_us;
    if (limit->overrides)
        applied->override =
            overrides_find(limit->overrides, take->key, take->key_len, &values, view);
    if (view->work.exhausted)
        return limit->shadow ? APPLY_NOT : APPLY_TOO_MUCH;
    if (applied->override) {
        take->capacity = applied->override->capacity;
        take->interval_us = applied->override->interval_us;
    }
    return result_of(applied->override);
}
