/* fuzz_glob.c - a pattern matches if and only if a matcher that tries every length of a wildcard
 * succeeds */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "base/glob.h"

#define TEXT_MAX 256

/* What has been tried: the rest of the pattern from a position does not match the rest of the text
 * from a position. */
static bool tried[GLOB_MAX + 1][TEXT_MAX + 1];

/* Whether TEXT from position T matches PATTERN from position P. */
static bool reference(const char *pattern, size_t p, struct bytes text, size_t t)
{
    bool any = pattern[p] == '*' && pattern[p + 1] == '*', fits = false;
    size_t after = p + 1 + any;

    if (pattern[p] == '\0')
        return t == text.len;
    if (tried[p][t])
        return false;
    if (t == text.len && strcmp(pattern + p, "/**") == 0)
        return true;
    if (pattern[p] != '*')
        fits = t < text.len && text.text[t] == pattern[p] && reference(pattern, p + 1, text, t + 1);
    for (size_t end = t; pattern[p] == '*' && end <= text.len && !fits; end++) {
        fits = reference(pattern, after, text, end);
        if (end < text.len && text.text[end] == '/' && !any)
            break;
    }
    tried[p][t] = true;
    return fits;
}

static void fits_as_by_reference(const char *pattern, const char *encoded)
{
    size_t len = strlen(encoded);
    struct bytes text = {(char *)encoded, len};
    static struct glob_work work;

    memset(tried, 0, sizeof tried);
    bool fits = reference(pattern, 0, text, 0);
    must(glob_fits(pattern, (struct span){encoded, len}, NULL) == fits,
         "a pattern fits a text as by trial");
    glob_work_begin(&work);
    must((glob_fits(pattern, (struct span){encoded, len}, &work) == fits) != work.exhausted ||
             !fits,
         "within its bound it says the same, and beyond it that nothing fits");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *pattern = next_text(&input), *text = next_text(&input);

    if (strlen(pattern) <= GLOB_MAX && strlen(text) <= TEXT_MAX)
        fits_as_by_reference(pattern, text);
    free(text);
    free(pattern);
    return 0;
}
