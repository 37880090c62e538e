#include "glob.h"

#include <assert.h>
#include <string.h>

#include "query.h"

/* What is left of PATTERN may be matched from each position that is set in AT; a wildcard may stand for
 * nothing, so the position behind it is set as well. */
static void pass_wildcards(const char *pattern, size_t len, bool *at)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] && pattern[i] == '*')
            at[i + (pattern[i + 1] == '*' ? 2 : 1)] = true;
}

/* Returns whether there is any position left. */
static bool step(const char *pattern, size_t len, char byte, const bool *at, bool *next)
{
    bool any = false;

    memset(next, 0, len + 1);
    for (size_t i = 0; i < len; i++) {
        if (!at[i])
            continue;
        if (pattern[i] == '*' && (byte != '/' || pattern[i + 1] == '*'))
            next[i] = any = true;
        else if (pattern[i] == byte)
            next[i + 1] = any = true;
    }
    pass_wildcards(pattern, len, next);
    return any;
}

static int next_plain_byte(struct span *text)
{
    if (text->len == 0)
        return -1;
    text->len--;
    return (unsigned char)*text->text++;
}

static bool fits(const char *pattern, struct span text, int (*next_byte)(struct span *))
{
    size_t len = strlen(pattern);
    bool positions[2][GLOB_MAX + 1] = {{true}}, *at = positions[0], *next = positions[1];

    assert(len <= GLOB_MAX);
    pass_wildcards(pattern, len, at);
    for (int byte = next_byte(&text); byte >= 0; byte = next_byte(&text)) {
        bool *spare = at;
        if (!step(pattern, len, (char)byte, at, next))
            return false;
        at = next;
        next = spare;
    }
    bool below = len >= 3 && strcmp(pattern + len - 3, "/**") == 0;
    return at[len] || (below && at[len - 3]);
}

bool glob_fits(const char *pattern, struct span text)
{
    return fits(pattern, text, next_plain_byte);
}

bool glob_fits_query(const char *pattern, struct span text)
{
    return fits(pattern, text, query_next_byte);
}
