#include "glob.h"

#include <assert.h>
#include <string.h>

#include "query.h"

/* A pattern while TEXT is read: what is left of it may be matched from each position that is set in AT.  Those
 * that may be set are FIRST .. LAST: most patterns have one or two at a time, and each byte costs but these. */
struct positions {
    size_t first, last;
    bool at[GLOB_MAX + 1];
};

static void clear(struct positions *positions, size_t first, size_t last)
{
    positions->first = first;
    positions->last = first;
    memset(positions->at + first, 0, last - first + 1);
}

/* Set POSITION, and those behind its wildcards: each may stand for nothing. */
static void set(struct positions *positions, const char *pattern, size_t position)
{
    positions->at[position] = true;
    while (pattern[position] == '*') {
        position += pattern[position + 1] == '*' ? 2 : 1;
        positions->at[position] = true;
    }
    if (position > positions->last)
        positions->last = position;
}

/* Returns whether there is any position left. */
static bool step(const char *pattern, size_t len, char byte, const struct positions *now,
                 struct positions *next)
{
    bool any = false;

    clear(next, now->first, len);
    for (size_t i = now->first; i <= now->last; i++) {
        if (!now->at[i] || pattern[i] == '\0')
            continue;
        if (pattern[i] == '*' ? byte == '/' && pattern[i + 1] != '*' : pattern[i] != byte)
            continue;
        if (!any)
            next->first = i;
        any = true;
        set(next, pattern, pattern[i] == '*' ? i : i + 1);
    }
    return any;
}

static int next_plain_byte(struct span *text)
{
    if (text->len == 0)
        return -1;
    text->len--;
    return (unsigned char)*text->text++;
}

/* Whether all of TEXT fits PATTERN, which begins with a wildcard. */
static bool fits_wildcard(const char *pattern, struct span text, int (*next_byte)(struct span *))
{
    size_t len = strlen(pattern);
    struct positions positions[2], *now = &positions[0], *next = &positions[1];

    if (strcmp(pattern, "**") == 0)
        return true;
    clear(now, 0, len);
    set(now, pattern, 0);
    for (int byte = next_byte(&text); byte >= 0; byte = next_byte(&text)) {
        struct positions *spare = now;
        if (!step(pattern, len, (char)byte, now, next))
            return false;
        now = next;
        next = spare;
    }
    bool below = len >= 3 && strcmp(pattern + len - 3, "/**") == 0;
    return now->at[len] || (below && now->first <= len - 3 && now->at[len - 3]);
}

static bool fits(const char *pattern, struct span text, int (*next_byte)(struct span *))
{
    assert(strlen(pattern) <= GLOB_MAX);
    /* Most texts differ from most patterns before the first wildcard. */
    for (; *pattern && *pattern != '*'; pattern++) {
        int byte = next_byte(&text);
        if (byte < 0)
            return strcmp(pattern, "/**") == 0;
        if ((char)byte != *pattern)
            return false;
    }
    return *pattern ? fits_wildcard(pattern, text, next_byte) : next_byte(&text) < 0;
}

/* Whether TEXT ends like PATTERN behind its last wildcard. */
static bool ends_like(const char *pattern, struct span text)
{
    const char *wildcard = strrchr(pattern, '*'), *end = wildcard ? wildcard + 1 : pattern;
    size_t len = strlen(end);

    return len == 0 || (text.len >= len && memcmp(text.text + text.len - len, end, len) == 0);
}

bool glob_fits(const char *pattern, struct span text)
{
    return ends_like(pattern, text) && fits(pattern, text, next_plain_byte);
}

bool glob_fits_query(const char *pattern, struct span text)
{
    return fits(pattern, text, query_next_byte);
}
