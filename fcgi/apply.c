#include "apply.h"

enum apply_result apply_limit(const struct limit *limit, struct subject *subject, struct take *take,
                              const struct override **override)
{
    struct key_values values;

    if (match_request(&limit->match, subject) != MATCH_FITS)
        return APPLY_NOT;
    key_find(&limit->key, subject, &values);
    take->key_len = key_build(&values, limit->name, take->key);
    take->capacity = limit->capacity;
    take->interval_us = limit->interval_us;
    take->cost = cost_of(&limit->cost, subject);
    *override = limit->overrides
                    ? overrides_find(limit->overrides, take->key, take->key_len, &values, subject)
                    : NULL;
    if (!*override)
        return APPLY_TAKE;
    take->capacity = (*override)->capacity;
    take->interval_us = (*override)->interval_us;
    return (*override)->kind == OVERRIDE_BLOCKED     ? APPLY_BLOCKED
           : (*override)->kind == OVERRIDE_UNLIMITED ? APPLY_UNLIMITED
                                                     : APPLY_TAKE;
}
