/* test_cookie.c - tests of request/cookie: finding a cookie, and the spellings of its value. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "request/cookie.h"

#include <stdbool.h>
#include <stdio.h>

#define ROUNDS 100000

/* The first cookie NAME of HEADER (may be NULL), as it was sent; text is NULL if there is none. */
static struct span cookie_find(const char *header, const char *name)
{
    struct span rest = {header, header ? strlen(header) : 0}, found, value;

    while (cookie_next(&rest, &found, &value))
        if (found.len == strlen(name) && memcmp(found.text, name, found.len) == 0)
            return value;
    return (struct span){NULL, 0};
}

/* The value that cookie_find gives, copied to OUT; or "(none)". */
static const char *found(const char *header, const char *name, char *out, size_t size)
{
    struct span value = cookie_find(header, name);

    if (!value.text)
        return "(none)";
    if (value.text < header || value.text + value.len > header + strlen(header))
        fail_msg("\"%s\": the value of %s is outside the header", header, name);
    snprintf(out, size, "%.*s", (int)value.len, value.text);
    return out;
}

TEST(a_cookie_is_found_by_its_name)
{
    static const struct {
        const char *header, *name, *want;
    } cases[] = {
        {"a=1", "a", "1"},
        {"a=1; b=2", "a", "1"},
        {"a=1; b=2", "b", "2"},
        {"a=1; b=2; c=3", "b", "2"},
        {"a=1;b=2", "b", "2"},
        {"a=1;  \t b=2", "b", "2"},
        {"  a=1", "a", "1"},
        {"\ta=1", "a", "1"},
        {"a=1 ; b=2", "a", "1"},
        {"a=1\t \t; b=2", "a", "1"},
        {"a=1  ", "a", "1"},
        {"a= 1", "a", "1"},
        {"a=1 2", "a", "1 2"},
        {";;; a=1;;", "a", "1"},
        {"; ; ;a=1", "a", "1"},
        /* an empty value is present */
        {"a=", "a", ""},
        {"a=; b=2", "a", ""},
        {"a=   ", "a", ""},
        /* the first of several */
        {"a=1; a=2", "a", "1"},
        {"a=; a=2", "a", ""},
        /* quotes and '=' belong to the value */
        {"a=\"1\"", "a", "\"1\""},
        {"a=\"1;2\"", "a", "\"1"},
        {"a=1=2", "a", "1=2"},
        {"a==", "a", "="},
        {"a=%31", "a", "%31"},
        {"a=1,b=2", "a", "1,b=2"},
        /* byte by byte */
        {"A=1; a=2", "a", "2"},
        {"A=1", "a", "(none)"},
        {"%61=1", "a", "(none)"},
        {"\xc3\xa9=1", "\xc3\xa9", "1"},
        {"e\xcc\x81=1", "\xc3\xa9", "(none)"},
        /* another name */
        {"ab=1", "a", "(none)"},
        {"ba=1", "a", "(none)"},
        {"a", "a", "(none)"},
        {"a; a=2", "a", "2"},
        {"a =1", "a", "1"},
        {"a =1; a=2", "a", "1"},
        {"=1", "a", "(none)"},
        {"x=a=1", "a", "(none)"},
        {"x=;a=1", "a", "1"},
        {"session=1; sess=2", "sess", "2"},
        {"$Version=1; a=2; $Path=/", "a", "2"},
        {"b=1, a=2", "a", "(none)"},
        {"a=\xff\xfe", "a", "\xff\xfe"},
        {"a=\x01", "a", "\x01"},
        /* nothing */
        {"", "a", "(none)"},
        {";", "a", "(none)"},
        {"   ", "a", "(none)"},
        {"; \t", "a", "(none)"},
        {"=", "a", "(none)"},
        {NULL, "a", "(none)"},
    };
    char out[64];

    FOR_EACH(c, cases)
        want_text(c->header ? c->header : "(no header)", found(c->header, c->name, out, sizeof out),
                  c->want);
}

/* What cookie.h documents, implemented slowly: cut at each ';', trim, compare. */
static const char *reference(const char *header, const char *name, char *out)
{
    for (const char *at = header;; at++) {
        size_t len = 0;
        while (*at == ' ' || *at == '\t')
            at++;
        for (; at[len] != ';' && at[len] != '\0'; len++)
            out[len] = at[len];
        at += len;
        while (len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\t'))
            len--;
        out[len] = '\0';
        char *equals = strchr(out, '='), *behind = equals;
        while (behind && behind > out && (behind[-1] == ' ' || behind[-1] == '\t'))
            behind--;
        if (equals && strlen(name) == (size_t)(behind - out) &&
            strncmp(out, name, strlen(name)) == 0)
            return equals + 1 + strspn(equals + 1, " \t");
        if (*at == '\0')
            return "(none)";
    }
}

TEST(a_cookie_is_found_as_a_slow_reference_finds_it)
{
    static const char *const names[] = {"a", "b", "ab", "aa", "\""};
    uint64_t random = 3;

    for (int round = 0; round < ROUNDS; round++) {
        char header[24], got[24], want[24];
        const char *name = names[random_number(&random) % LENGTH(names)];

        random_text(&random, "ab==;; \t\"", header, sizeof header);
        /* A copy of exactly its size, so that a sanitizer sees a byte read beyond it. */
        char *copy = strdup(header);
        assert_non_null(copy);
        want_text(header, found(copy, name, got, sizeof got), reference(header, name, want));
        free(copy);
    }
}

TEST(every_spelling_of_a_value_gives_the_same_value)
{
    static const struct {
        const char *value, *want; /* NULL: the value has two readings */
    } cases[] = {
        {"abc", "abc"},       {"\"abc\"", "abc"},     {"%61bc", "abc"},
        {"%61%62%63", "abc"}, {"\"%61bc\"", "abc"},   {"\"\\141bc\"", "abc"},
        {"\"a\\bc\"", "abc"}, {"\"a\\\"c\"", "a\"c"}, {"a\\141", "a\\141"},
        {"abc\"", "abc\""},   {"a+b", "a+b"},         {"a%2Bb", "a+b"},
        {"%", "%"},           {"%4", "%4"},           {"", ""},
        {"\"\"", ""},         {"\"", NULL},           {"\"abc", NULL},
        {"\"abcd\\", NULL},
    };

    FOR_EACH(c, cases) {
        char bytes[64];
        struct scratch scratch = {bytes, strlen(c->value), 0};
        struct span value = {c->value, strlen(c->value)};
        struct span got = cookie_value(value, &scratch);
        char text[64] = "(none)";

        if (got.text)
            snprintf(text, sizeof text, "%.*s", (int)got.len, got.text);
        want_text(c->value, text, c->want ? c->want : "(none)");
        want_number(c->value, (int64_t)scratch.used, (int64_t)got.len);
    }
}

TEST(a_header_of_any_length_is_read_once)
{
    enum { COOKIES = 100000 };
    char *header = malloc(COOKIES * 4 + 8), out[8];

    assert_non_null(header);
    for (size_t i = 0; i < COOKIES; i++)
        memcpy(header + i * 4, "b=1;", 5);
    assert_string_equal(found(header, "a", out, sizeof out), "(none)");
    strcpy(header + COOKIES * 4, "a=9");
    assert_string_equal(found(header, "a", out, sizeof out), "9");
    memset(header, ';', COOKIES * 4);
    assert_string_equal(found(header, "a", out, sizeof out), "9");
    free(header);
}

TESTS_MAIN
