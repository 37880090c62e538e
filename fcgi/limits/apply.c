/* apply.c - what one limit asks of one request. */
/* SPDX-License-Identifier: MIT */
#include "limits/apply.h"

static enum apply_result result_of(const struct override *override)
{
    if (!override)
        return APPLY_CHARGE;
    return override->kind == OVERRIDE_BLOCKED     ? APPLY_BLOCKED
           : override->kind == OVERRIDE_UNLIMITED ? APPLY_UNLIMITED
                                                  : APPLY_CHARGE;
}

const struct override *limit_override(const struct limit *limit, const char *key, size_t len,
                                      const struct key_values *values, struct view *view)
{
    const struct override *stored =
        limit->stored ? overrides_find(limit->stored, key, len, values, view) : NULL;

    if (stored || !limit->overrides)
        return stored;
    return overrides_find(limit->overrides, key, len, values, view);
}

enum apply_result apply_limit(const struct limit *limit, struct view *view, struct charge *charge,
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
    charge->cost = cost_of(&limit->cost, view, &ambiguous_cost);
    applied->ambiguous = ambiguous_cost ? &limit->cost.source : values.ambiguous;
    if ((ambiguous_cost || values.ambiguous) && !limit->shadow)
        return APPLY_AMBIGUOUS;
    charge->key_len = key_build(&values, limit->name, charge->key);
    charge->enforced = !limit->shadow;
    charge->when_down = limit->on_redis_failure;
    charge->capacity = limit->capacity;
    charge->interval_us = limit->interval_us;
    applied->override = limit_override(limit, charge->key, charge->key_len, &values, view);
    if (view->work.exhausted)
        return limit->shadow ? APPLY_NOT : APPLY_TOO_MUCH;
    if (applied->override) {
        charge->capacity = applied->override->capacity;
        charge->interval_us = applied->override->interval_us;
    }
    return result_of(applied->override);
}
