#include "cost.h"

#include <string.h>

#include "units.h"

const char *cost_parse(const char *text, struct cost *out)
{
    *out = (struct cost){0};
    if (!strchr(text, ':')) {
        const char *error = units_count(text, 1, COST_MAX, &out->tokens);
        return error ? "neither a whole number from 1 to 1000000 nor a source; write 1, env:NAME, "
                       "header:NAME, query:NAME or cookie:NAME"
                     : NULL;
    }
    return source_parse((struct span){text, strlen(text)}, &out->source);
}

int64_t cost_read(struct value value)
{
    int64_t tokens = 0;

    for (int byte = value_next_byte(&value); byte >= 0; byte = value_next_byte(&value)) {
        if (byte < '0' || byte > '9')
            return 1;
        tokens = tokens * 10 + (byte - '0');
        if (tokens > COST_MAX)
            tokens = COST_MAX; /* and so it stays, ten times it being more */
    }
    return tokens < 1 ? 1 : tokens;
}

int64_t cost_of(const struct cost *cost, struct subject *subject)
{
    return cost->tokens > 0 ? cost->tokens : cost_read(source_value(&cost->source, subject));
}
