/* fuzz_cookie.c - a cookie is the one that is found by splitting the header, and points into the
 * header */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "request/cookie.h"

/* The first cookie NAME of HEADER (may be NULL), still encoded; text NULL if there is none. */
static struct span cookie_find(const char *header, const char *name)
{
    struct span rest = {header, header ? strlen(header) : 0}, found, value;

    while (cookie_next(&rest, &found, &value))
        if (found.len == strlen(name) && memcmp(found.text, name, found.len) == 0)
            return value;
    return (struct span){NULL, 0};
}

/* A decoded value is never longer than VALUE, is written within its scratch, and is unchanged if
 * nothing is encoded. */
static void has_one_value(struct span value)
{
    char *bytes = malloc(value.len + 1);
    struct scratch scratch = {bytes, value.len, 0};
    struct span one = cookie_value(value, &scratch);

    must(!one.text || one.len == scratch.used, "what is not used is given back");
    if (one.text && value.text && value.len > 0 && value.text[0] != '"' &&
        !memchr(value.text, '%', value.len))
        must(one.len == value.len && memcmp(one.text, value.text, one.len) == 0,
             "a plain value is itself");
    free(bytes);
}

/* TEXT without the spaces and tabs around it, which are overwritten. */
static char *trimmed(char *text)
{
    size_t len;

    text += strspn(text, " \t");
    for (len = strlen(text); len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t');)
        text[--len] = '\0';
    return text;
}

/* Find the cookie NAME of HEADER by splitting it, which changes HEADER; NULL if there is none. */
static const char *reference(char *header, const char *name)
{
    for (char *piece; (piece = strsep(&header, ";"));) {
        char *value = trimmed(piece);
        const char *found = strsep(&value, "=");
        if (value && strcmp(trimmed((char *)found), name) == 0)
            return trimmed(value);
    }
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *word = next_text(&input), *header = next_text(&input), *copy = strdup(header);
    struct key_source source;
    const char *error = key_source_parse((struct span){word, strlen(word)}, &source);

    if (error) {
        must_advise(error);
    } else if (source.kind == KEY_SOURCE_COOKIE) {
        const char *want = reference(copy, source.name);
        struct span got = cookie_find(header, source.name);
        must(!want == !got.text, "a cookie is found where there is one");
        must(!want || (got.len == strlen(want) && memcmp(got.text, want, got.len) == 0),
             "it is the first");
        must(!want || (got.text >= header && got.text + got.len <= header + strlen(header)),
             "its value is in the header");
        must(!cookie_find(NULL, source.name).text, "without a header there is none");
        has_one_value(got);
    }
    free(copy);
    free(header);
    free(word);
    return 0;
}
