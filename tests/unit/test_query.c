#include "table.h"
#include "request/query.h"
#include "request/target.h"

#include <stdio.h>

#define ROUNDS 20000

/* The first parameter NAME in the query of URI, still encoded; text NULL: none. */
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

static void a_parameter_is_found_by_its_name(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_parameter(cases[i].uri, "user", cases[i].want);
}

static void names_are_compared_decoded(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_parameter(cases[i].uri, cases[i].name, cases[i].want);
}

static void an_empty_value_still_points_into_the_uri(void **state)
{
    static const char *const cases[] = {"/?user", "/?user=", "/?user&a=1", "/?user=#a"};

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct span got = query_find(cases[i], "user");

        if (got.text < cases[i] || got.text > cases[i] + strlen(cases[i]) || got.len != 0)
            fail_msg("\"%s\": not an empty piece of it", cases[i]);
    }
}

static void bytes_are_decoded_as_a_form_encodes_them(void **state)
{
    static const struct {
        const char *encoded, *want;
        size_t want_len;
    } cases[] = {
        {"", "", 0},         {"abc", "abc", 3},       {"%41", "A", 1},   {"%4a%4A", "JJ", 2},
        {"a+b", "a b", 3},   {"a%20b%2B", "a b+", 4}, {"%", "%", 1},     {"%%", "%%", 2},
        {"%4", "%4", 2},     {"%4g", "%4g", 3},       {"%g4", "%g4", 3}, {"%%41", "%A", 2},
        {"%4%41", "%4A", 3}, {"%2541", "%41", 3},     {"%00", "\0", 1},  {"%FF\xff", "\xff\xff", 2},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct span encoded = {cases[i].encoded, strlen(cases[i].encoded)};

        for (size_t j = 0; j < cases[i].want_len; j++)
            want_number(cases[i].encoded, query_next_byte(&encoded),
                        (unsigned char)cases[i].want[j]);
        want_number(cases[i].encoded, query_next_byte(&encoded), -1);
        want_number(cases[i].encoded, query_next_byte(&encoded), -1);
    }
}

static void bytes_of_a_path_are_decoded_and_plus_is_itself(void **state)
{
    static const struct {
        const char *encoded, *want;
        size_t want_len;
    } cases[] = {
        {"", "", 0},      {"abc", "abc", 3},          {"a+b", "a+b", 3},   {"+", "+", 1},
        {"%2B", "+", 1},  {"a%20b", "a b", 3},        {"%2F%2f", "//", 2}, {"%", "%", 1},
        {"%4", "%4", 2},  {"%4g", "%4g", 3},          {"%+1", "%+1", 3},   {"%%41", "%A", 2},
        {"%00", "\0", 1}, {"%FF\xff", "\xff\xff", 2}, {"%2541", "%41", 3},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct span encoded = {cases[i].encoded, strlen(cases[i].encoded)};

        for (size_t j = 0; j < cases[i].want_len; j++)
            want_number(cases[i].encoded, query_next_path_byte(&encoded),
                        (unsigned char)cases[i].want[j]);
        want_number(cases[i].encoded, query_next_path_byte(&encoded), -1);
        want_number(cases[i].encoded, query_next_path_byte(&encoded), -1);
    }
}

static void a_path_and_a_form_differ_in_plus_alone(void **state)
{
    uint64_t seed = 3;

    (void)state;
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

static void the_end_of_a_span_is_not_read_over(void **state)
{
    struct span cut_short = {"%41", 2}, path = cut_short;
    struct span none = {NULL, 0};

    (void)state;
    assert_int_equal(query_next_byte(&cut_short), '%');
    assert_int_equal(query_next_byte(&cut_short), '4');
    assert_int_equal(query_next_byte(&cut_short), -1);
    assert_int_equal(query_next_byte(&none), -1);
    assert_int_equal(query_next_path_byte(&path), '%');
    assert_int_equal(query_next_path_byte(&path), '4');
    assert_int_equal(query_next_path_byte(&path), -1);
    assert_int_equal(query_next_path_byte(&none), -1);
}

/* Append BYTE to OUT in one of the ways in which a client may write it. */
static size_t encode(unsigned char byte, uint64_t *seed, char *out)
{
    uint64_t way = random_number(seed) % 4;

    if (way >= 2 && byte == ' ')
        return (size_t)sprintf(out, "+");
    if (way >= 2 && byte > ' ' && !strchr("%+&;#", byte))
        return (size_t)sprintf(out, "%c", byte);
    return (size_t)(way % 2 ? sprintf(out, "%%%02x", byte) : sprintf(out, "%%%02X", byte));
}

static void whatever_bytes_are_encoded_come_back(void **state)
{
    uint64_t seed = 1;

    (void)state;
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

static void whatever_the_uri_the_value_lies_within_its_query(void **state)
{
    uint64_t seed = 2;

    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parameter_is_found_by_its_name),
        cmocka_unit_test(names_are_compared_decoded),
        cmocka_unit_test(an_empty_value_still_points_into_the_uri),
        cmocka_unit_test(bytes_are_decoded_as_a_form_encodes_them),
        cmocka_unit_test(bytes_of_a_path_are_decoded_and_plus_is_itself),
        cmocka_unit_test(a_path_and_a_form_differ_in_plus_alone),
        cmocka_unit_test(the_end_of_a_span_is_not_read_over),
        cmocka_unit_test(whatever_bytes_are_encoded_come_back),
        cmocka_unit_test(whatever_the_uri_the_value_lies_within_its_query),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
