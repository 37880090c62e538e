/* test_query.c - tests of request/query: finding a parameter, and decoding its value. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "request/query.h"
#include "request/target.h"

#include <stdio.h>

#define ROUNDS 20000

/* The first parameter NAME in the query of URI, still encoded; text is NULL if there is none. */
static struct span query_find(const char *uri, const char *name)
{
    struct span rest = target_read(uri).query, found, value;
    char bytes[256], wanted[64];

    strcpy(wanted, name);
    struct span want = query_one_name(wanted, strlen(wanted));
    while (query_next(&rest, &found, &value)) {
        struct scratch scratch = {bytes, sizeof bytes, 0};
        struct span decoded = query_decode(found, &scratch);
        assert_non_null(decoded.text);
        decoded = query_one_name((char *)decoded.text, decoded.len);
        if (decoded.len == want.len && memcmp(decoded.text, want.text, want.len) == 0)
            return value;
    }
    return (struct span){NULL, 0};
}

static void want_parameter(const char *uri, const char *name, const char *want)
{
    struct span got = query_find(uri, name);

    if (!got.text || !want) {
        if (got.text || want)
            fail_msg("\"%s\": %s is %s", uri, name, want ? "not found" : "found");
    } else if (got.len != strlen(want) || memcmp(got.text, want, got.len) != 0) {
        fail_msg("\"%s\": %s is \"%.*s\", want \"%s\"", uri, name, (int)got.len, got.text, want);
    }
}

TEST(a_parameter_is_found_by_its_name)
{
    static const struct {
        const char *uri, *want; /* of "user"; NULL: none */
    } cases[] = {
        {"/?user=ann", "ann"},
        {"/path?a=1&user=ann&b=2", "ann"},
        {"/path?a=1&user=ann", "ann"},
        {"?user=ann", "ann"},
        {"http://example.org/path?user=ann", "ann"},
        {"/?user=a=b", "a=b"},
        {"/?user==", "="},
        {"/?user=a?user=b", "a?user=b"},
        {"/?a?user=b", NULL},
        {"/?user=a;user=b", "a"},
        {"/?a=1;user=b", "b"},
        {"/?user[]=ann", "ann"},
        {"/?user[0]=ann", "ann"},
        {"/?+user=ann", "ann"},
        {"/?user=a%26b%3Dc", "a%26b%3Dc"},
        {"/?user=a+b", "a+b"},
        {"/?user=%FF", "%FF"},
        {"/?&&user=ann&&", "ann"},
        {"/?=x&user=ann", "ann"},
        {"/?user=", ""},
        {"/?user", ""},
        {"/?user&user=ann", ""},
        {"/?user=&user=ann", ""},
        {"/?user=ann&user=bob", "ann"},
        {"/?user=ann#top", "ann"},
        {"/?user#=ann", ""},
        {"/?a=1#&user=ann", NULL},
        {"/#?user=ann", NULL},
        {"/user=ann", NULL},
        {"/?a=user", NULL},
        {"/?users=ann", NULL},
        {"/?use=ann", NULL},
        {"/?User=ann", NULL},
        {"/?xuser=ann", NULL},
        {"/? user=ann", "ann"},
        {"/?", NULL},
        {"/", NULL},
        {"*", NULL},
        {"", NULL},
    };

    FOR_EACH(c, cases)
        want_parameter(c->uri, "user", c->want);
}

TEST(names_are_compared_decoded)
{
    static const struct {
        const char *uri, *name, *want;
    } cases[] = {
        {"/?%75ser=ann", "user", "ann"},
        {"/?%75%73%65%72=ann", "user", "ann"},
        {"/?us%65r=ann&user=bob", "user", "ann"},
        {"/?user%00=ann", "user", "ann"},
        {"/?%00user=ann", "user", NULL},
        {"/?user%3Dann", "user", NULL},
        {"/?user%3dx=ann", "user=x", "ann"},
        {"/?a+b=1", "a b", "1"},
        {"/?a.b=1", "a_b", "1"},
        {"/?a_b=1", "a.b", "1"},
        {"/?a%2Bb=1", "a+b", "1"},
        {"/?100%=1", "100%", "1"},
        {"/?%c3%a9=1", "\xc3\xa9", "1"},
        {"/?\xc3\xa9=1", "\xc3\xa9", "1"},
        {"/?%2575ser=ann", "user", NULL},
        {"/?&&", "", NULL},
        {"/?=x", "", "x"},
    };

    FOR_EACH(c, cases)
        want_parameter(c->uri, c->name, c->want);
}

TEST(an_empty_value_still_points_into_the_uri)
{
    static const char *const cases[] = {"/?user", "/?user=", "/?user&a=1", "/?user=#a"};

    FOR_EACH(c, cases) {
        struct span got = query_find(*c, "user");

        if (got.text < *c || got.text > *c + strlen(*c) || got.len != 0)
            fail_msg("\"%s\": not an empty piece of it", *c);
    }
}

struct bytes_case {
    const char *encoded, *want;
    size_t want_len;
};

/* NEXT gives the bytes that C wants, and then no more. */
static void want_bytes(int (*next)(struct span *encoded), const struct bytes_case *c)
{
    struct span encoded = {c->encoded, strlen(c->encoded)};

    for (size_t i = 0; i < c->want_len; i++)
        want_number(c->encoded, next(&encoded), (unsigned char)c->want[i]);
    want_number(c->encoded, next(&encoded), -1);
    want_number(c->encoded, next(&encoded), -1);
}

TEST(bytes_are_decoded_as_a_form_encodes_them)
{
    static const struct bytes_case cases[] = {
        {"", "", 0},         {"abc", "abc", 3},       {"%41", "A", 1},   {"%4a%4A", "JJ", 2},
        {"a+b", "a b", 3},   {"a%20b%2B", "a b+", 4}, {"%", "%", 1},     {"%%", "%%", 2},
        {"%4", "%4", 2},     {"%4g", "%4g", 3},       {"%g4", "%g4", 3}, {"%%41", "%A", 2},
        {"%4%41", "%4A", 3}, {"%2541", "%41", 3},     {"%00", "\0", 1},  {"%FF\xff", "\xff\xff", 2},
    };

    FOR_EACH(c, cases)
        want_bytes(query_next_byte, c);
}

TEST(bytes_of_a_path_are_decoded_and_plus_is_itself)
{
    static const struct bytes_case cases[] = {
        {"", "", 0},      {"abc", "abc", 3},          {"a+b", "a+b", 3},   {"+", "+", 1},
        {"%2B", "+", 1},  {"a%20b", "a b", 3},        {"%2F%2f", "//", 2}, {"%", "%", 1},
        {"%4", "%4", 2},  {"%4g", "%4g", 3},          {"%+1", "%+1", 3},   {"%%41", "%A", 2},
        {"%00", "\0", 1}, {"%FF\xff", "\xff\xff", 2}, {"%2541", "%41", 3},
    };

    FOR_EACH(c, cases)
        want_bytes(query_next_path_byte, c);
}

TEST(a_path_and_a_form_differ_only_in_plus)
{
    uint64_t seed = 3;

    for (int round = 0; round < ROUNDS; round++) {
        char text[20];
        char *encoded = strdup(random_text(&seed, "%+2bBFg", text, sizeof text));
        struct span form = {encoded, strlen(encoded)}, path = form;

        while (path.len > 0) {
            bool plus = *path.text == '+';
            int byte = query_next_path_byte(&path);

            want_number(encoded, query_next_byte(&form), plus ? ' ' : byte);
            want_number(encoded, (int64_t)form.len, (int64_t)path.len);
            if (plus)
                want_number(encoded, byte, '+');
        }
        free(encoded);
    }
}

TEST(no_byte_after_the_end_of_a_span_is_read)
{
    struct span cut_short = {"%41", 2}, path = cut_short;
    struct span none = {NULL, 0};

    assert_int_equal(query_next_byte(&cut_short), '%');
    assert_int_equal(query_next_byte(&cut_short), '4');
    assert_int_equal(query_next_byte(&cut_short), -1);
    assert_int_equal(query_next_byte(&none), -1);
    assert_int_equal(query_next_path_byte(&path), '%');
    assert_int_equal(query_next_path_byte(&path), '4');
    assert_int_equal(query_next_path_byte(&path), -1);
    assert_int_equal(query_next_path_byte(&none), -1);
}

/* Write BYTE to OUT in one of the ways in which a client may encode it. */
static size_t encode(unsigned char byte, uint64_t *seed, char *out)
{
    uint64_t way = random_number(seed) % 4;

    if (way >= 2 && byte == ' ')
        return (size_t)sprintf(out, "+");
    if (way >= 2 && byte > ' ' && !strchr("%+&;#", byte))
        return (size_t)sprintf(out, "%c", byte);
    return (size_t)(way % 2 ? sprintf(out, "%%%02x", byte) : sprintf(out, "%%%02X", byte));
}

TEST(any_encoded_bytes_come_back)
{
    uint64_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        unsigned char bytes[24];
        size_t count = random_number(&seed) % sizeof bytes;
        char uri[128] = "/?a=1&user=";
        size_t len = strlen(uri);

        for (size_t i = 0; i < count; i++) {
            bytes[i] = (unsigned char)random_number(&seed);
            len += encode(bytes[i], &seed, uri + len);
        }
        snprintf(uri + len, sizeof uri - len, "&b=2");

        struct span value = query_find(uri, "user");
        for (size_t i = 0; i < count; i++)
            want_number(uri, query_next_byte(&value), bytes[i]);
        want_number(uri, query_next_byte(&value), -1);
    }
}

TEST(the_value_is_within_the_query_of_any_uri)
{
    uint64_t seed = 2;

    for (int round = 0; round < 10 * ROUNDS; round++) {
        char text[20];
        /* A copy of exactly its size, so that a sanitizer sees a byte read beyond it. */
        char *uri = strdup(random_text(&seed, "?&=#%6uU5+/", text, sizeof text));
        struct span got = query_find(uri, "u");
        const char *query = strchr(uri, '?');

        if (got.text && (!query || got.text <= query || got.text + got.len > uri + strlen(uri) ||
                         memchr(got.text, '&', got.len) || memchr(got.text, ';', got.len) ||
                         memchr(got.text, '#', got.len)))
            fail_msg("\"%s\": the value is not in the query", uri);
        while (query_next_byte(&got) >= 0)
            ;
        free(uri);
    }
}

TESTS_MAIN
