/* table.h - how the unit tests are declared, run, and driven by tables.  Include it first.
 *
 *     TEST(a_count_is_plain_digits)
 *     {
 *         static const struct number_case cases[] = {{"0", 0}, {"10", 10}};
 *
 *         FOR_EACH(c, cases)
 *             want_number(c->text, count_of(c->text), c->want);
 *     }
 *
 *     TESTS_MAIN
 *
 * A case that fails prints its input. */
#ifndef TABLE_H
#define TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* TEST(name) { ... } defines a test and adds it to those that TESTS_MAIN runs. */
#define TEST(name) TEST_WITH(name, NULL, NULL)

/* The same, with cmocka's SETUP before the test and TEARDOWN after it; either may be NULL.  The
 * priority of the constructor keeps the tests in the order of their lines. */
#define TEST_WITH(name, setup, teardown)                                                           \
    static void name(void **cmocka_state);                                                         \
    __attribute__((constructor(1000 + __LINE__))) static void add_##name(void)                     \
    {                                                                                              \
        test_add(&(struct CMUnitTest){#name, name, setup, teardown, NULL});                        \
    }                                                                                              \
    static void name(__attribute__((unused)) void **cmocka_state)

/* The last line of a file of tests: run them all. */
#define TESTS_MAIN                                                                                 \
    int main(void)                                                                                 \
    {                                                                                              \
        return _cmocka_run_group_tests("tests", test_list.tests, test_list.count, NULL, NULL);     \
    }

#define TESTS_MAX 128 /* in one file */

static struct {
    struct CMUnitTest tests[TESTS_MAX];
    size_t count;
} test_list;

static inline void test_add(const struct CMUnitTest *test)
{
    if (test_list.count == TESTS_MAX)
        abort();
    test_list.tests[test_list.count++] = *test;
}

#define LENGTH(table) (sizeof(table) / sizeof *(table))

/* for each entry of TABLE, an array; AT points to the entry. */
#define FOR_EACH(at, table)                                                                        \
    for (const __typeof__(*(table)) *(at) = (table); (at) < (table) + LENGTH(table); (at)++)

/* The most frequent entries of tables. */
struct text_case {
    const char *text, *want;
};

struct number_case {
    const char *text;
    int64_t want;
};

struct error_case {
    const char *text, *error; /* ERROR: a fragment of the message */
};

static inline void want_text(const char *input, const char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\": got \"%s\", want \"%s\"", input, got, want);
}

static inline void want_number(const char *input, int64_t got, int64_t want)
{
    if (got != want)
        fail_msg("\"%s\": got %lld, want %lld", input, (long long)got, (long long)want);
}

static inline void want_no_error(const char *input, const char *error)
{
    if (error)
        fail_msg("\"%s\": refused: %s", input, error);
}

/* ERROR is a message that contains FRAGMENT. */
static inline void want_error(const char *input, const char *error, const char *fragment)
{
    if (!error)
        fail_msg("\"%s\": accepted, want an error that says \"%s\"", input, fragment);
    else if (!strstr(error, fragment))
        fail_msg("\"%s\": \"%s\", want an error that says \"%s\"", input, error, fragment);
}

/* The same; FRAGMENT is NULL if there is no error. */
static inline void want_error_or_none(const char *input, const char *error, const char *fragment)
{
    if (fragment)
        want_error(input, error, fragment);
    else
        want_no_error(input, error);
}

/* PARSE(text, OUT) refuses each text of CASES, struct error_case. */
#define WANT_ERRORS(parse, out, cases)                                                             \
    FOR_EACH(error_case, cases)                                                                    \
    want_error(error_case->text, parse(error_case->text, out), error_case->error)

/* The next number after *STATE; every run sees the same ones (splitmix64, Vigna). */
static inline uint64_t random_number(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* A number from MIN to MAX, small ones as likely as large ones: the bounds lie at both ends. */
static inline int64_t random_between(uint64_t *state, int64_t min, int64_t max)
{
    uint64_t size = (uint64_t)max - (uint64_t)min;
    uint64_t number = random_number(state) >> (random_number(state) % 64);

    return (int64_t)((uint64_t)min + (size == UINT64_MAX ? number : number % (size + 1)));
}

/* Up to SIZE - 1 characters out of ALPHABET, into OUT.  Returns OUT. */
static inline char *random_text(uint64_t *state, const char *alphabet, char *out, size_t size)
{
    size_t len = random_number(state) % size;

    for (size_t i = 0; i < len; i++)
        out[i] = alphabet[random_number(state) % strlen(alphabet)];
    out[len] = '\0';
    return out;
}

#endif
