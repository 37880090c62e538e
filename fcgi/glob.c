#include "glob.h"

#include <assert.h>
#include <string.h>

/* What is left of PATTERN may be matched from each position that is set in AT; a wildcard may stand for
 * nothing, so the position behind it is set as well. */
static void pass_wildcards(const char *pattern, size_t len, bool *at)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] && pattern[i] == '*')
            at[i + (pattern[i + 1] == '*' ? 2 : 1)] = true;
}

static void step(const char *pattern, size_t len, char byte, const bool *at, bool *next)
{
    memset(next, 0, len + 1);
    for (size_t i = 0; i < len; i++) {
        if (!at[i])
            continue;
        if (pattern[i] == '*')
            next[i] = next[i] || byte != '/' || pattern[i + 1] == '*';
        else if (pattern[i] == byte)
            next[i + 1] = true;
    }
    pass_wildcards(pattern, len, next);
}

bool glob_fits(const char *pattern, struct span text)
{
    size_t len = strlen(pattern);
    bool positions[2][GLOB_MAX + 1] = {{true}}, *at = positions[0], *next = positions[1];

    assert(len <= GLOB_MAX);
    pass_wildcards(pattern, len, at);
    for (size_t i = 0; i < text.len; i++) {
        bool *spare = at;
        step(pattern, len, text.text[i], at, next);
        at = next;
        next = spare;
    }
    bool below = len >= 3 && strcmp(pattern + len - 3, "/**") == 0;
    return at[len] || (below && at[len - 3]);
}
