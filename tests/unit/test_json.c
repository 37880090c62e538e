/* test_json.c - JSON strings and times. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "base/json.h"

#include <stdio.h>

/* What json_string writes for TEXT; owned. */
static char *string_of(const char *text)
{
    char *written;
    size_t len;
    FILE *out = open_memstream(&written, &len);

    assert_non_null(out);
    json_string(out, text);
    fclose(out);
    return written;
}

TEST(a_string_is_quoted_and_escaped)
{
    static const struct text_case cases[] = {
        {"", "\"\""},
        {"per-user", "\"per-user\""},
        {"say \"no\"", "\"say \\\"no\\\"\""},
        {"C:\\limits", "\"C:\\\\limits\""},
        {"a\nb\tc", "\"a\\u000ab\\u0009c\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
        {"</script><img src=x>", "\"</script><img src=x>\""},
    };

    FOR_EACH(c, cases) {
        char *got = string_of(c->text);
        want_text(c->text, got, c->want);
        free(got);
    }
}

TEST(utf_8_is_written_as_it_is)
{
    /* The first and last characters of each length, and those beside the surrogates. */
    static const char *const cases[] = {"\xc2\x80",         "\xdf\xbf",         "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",     "\xee\x80\x80",     "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "caf\xc3\xa9"};

    FOR_EACH(c, cases) {
        char *got = string_of(*c), want[32];
        sprintf(want, "\"%s\"", *c);
        want_text(*c, got, want);
        free(got);
    }
}

TEST(each_byte_that_is_not_utf_8_becomes_a_replacement_character)
{
#define BAD "\\ufffd"
    static const struct text_case cases[] = {
        {"\xff", "\"" BAD "\""},
        {"a\x80z", "\"a" BAD "z\""},                     /* a continuation alone */
        {"\xc3", "\"" BAD "\""},                         /* the text ends too early */
        {"\xc3\"", "\"" BAD "\\\"\""},                   /* it does not swallow a quote */
        {"\xe2\x82", "\"" BAD BAD "\""},                 /* two of three bytes */
        {"\xc0\xaf", "\"" BAD BAD "\""},                 /* "/", too long */
        {"\xe0\x9f\xbf", "\"" BAD BAD BAD "\""},         /* U+07FF, too long */
        {"\xed\xa0\x80", "\"" BAD BAD BAD "\""},         /* a surrogate */
        {"\xf0\x8f\xbf\xbf", "\"" BAD BAD BAD BAD "\""}, /* U+FFFF, too long */
        {"\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\""}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", "\"" BAD BAD BAD BAD "\""},
    };

    FOR_EACH(c, cases) {
        char *got = string_of(c->text);
        want_text(c->text, got, c->want);
        free(got);
    }
}

TEST(a_time_is_in_utc_and_zero_is_null)
{
    static const struct {
        int64_t us;
        const char *want;
    } cases[] = {
        {0, "null"},
        {1, "\"1970-01-01T00:00:00Z\""},
        {INT64_C(951782400999999), "\"2000-02-29T00:00:00Z\""},
        {INT64_C(1769903999000000), "\"2026-01-31T23:59:59Z\""},
    };

    FOR_EACH(c, cases) {
        char *written;
        size_t len;
        FILE *out = open_memstream(&written, &len);

        assert_non_null(out);
        json_time(out, c->us);
        fclose(out);
        want_text(c->want, written, c->want);
        free(written);
    }
}

TESTS_MAIN
