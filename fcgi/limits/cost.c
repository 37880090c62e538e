/* cost.c - how many tokens a request takes. */
/* SPDX-License-Identifier: MIT */
#include "limits/cost.h"

#include <string.h>

#include "base/units.h"

const char *cost_parse(const char *text, struct cost *out)
{
    *out = (struct cost){0};
    if (!strchr(text, ':')) {
        const char *error = units_count(text, 1, COST_MAX, &out->tokens);
        return error ? "neither a whole number from 1 to 1000000 nor a source; write 1, env:NAME, "
                       "header:NAME, query:NAME or cookie:NAME"
                     : NULL;
    }
    return key_source_parse((struct span){text, strlen(text)}, &out->source);
}

int64_t cost_read(struct span value)
{
    int64_t tokens = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (value.text[i] < '0' || value.text[i] > '9')
            return 1;
        tokens = tokens * 10 + (value.text[i] - '0');
        if (tokens > COST_MAX)
            tokens = COST_MAX; /* and stays there, because ten times as much is more */
    }
    return tokens < 1 ? 1 : tokens;
}

int64_t cost_of(const struct cost *cost, struct view *view, bool *ambiguous)
{
    *ambiguous = false;
    if (cost->tokens > 0)
        return cost->tokens;
    struct found found = key_source_value(&cost->source, view);
    *ambiguous = found.ambiguous;
    return cost_read(found.value);
}
