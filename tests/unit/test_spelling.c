/* test_spelling.c - tests of base/spelling: the word that was probably meant. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "base/spelling.h"

#include <stdbool.h>

#define ROUNDS 20000

static const char *const fields[] = {"name", "match",  "key",       "capacity",        "refill",
                                     "cost", "shadow", "overrides", "on_redis_failure"};

static const char *or_none(const char *word)
{
    return word ? word : "(none)";
}

TEST(a_word_that_is_too_long_to_compare_is_left_out)
{
    char longest[SPELLING_WORD_MAX + 1], longer[SPELLING_WORD_MAX + 2], name[65];
    const char *const words[] = {longer, name, longest};

    memset(longest, 'x', sizeof longest);
    memset(longer, 'x', sizeof longer);
    memset(name, 'x', sizeof name);
    longest[sizeof longest - 1] = longer[sizeof longer - 1] = name[sizeof name - 1] = '\0';
    want_text("near", or_none(spelling_nearest(&longest[1], words, LENGTH(words))), longest);
    want_text("far", or_none(spelling_nearest(&longest[1], words, 2)), "(none)");
}

TEST(a_hint_has_the_word_or_is_empty)
{
    char hint[SPELLING_HINT_SIZE];

    want_text("near", spelling_hint("capcity", fields, LENGTH(fields), hint),
              "; did you mean 'capacity'?");
    want_text("far", spelling_hint("burst", fields, LENGTH(fields), hint), "");
}

TEST(the_nearest_word_is_the_one_that_was_meant)
{
    static const struct text_case cases[] = {
        {"capacity", "capacity"},
        {"capcity", "capacity"},   /* left out */
        {"caapacity", "capacity"}, /* put in */
        {"capasity", "capacity"},  /* replaced */
        {"capactiy", "capacity"},  /* swapped */
        {"acpacity", "capacity"},  /* swapped, at the beginning */
        {"capaciyt", "capacity"},  /* swapped, at the end */
        {"Capacity", "capacity"},  /* case is a slip like any other */
        {"capazitie", "capacity"}, /* three of nine */
        {"kapazitie", "(none)"},   /* four of nine */
        {"nmae", "name"},
        {"names", "name"},
        {"kye", "key"},
        {"keys", "key"},
        {"ky", "key"},
        {"refil", "refill"},
        {"refills", "refill"},
        {"override", "overrides"},
        {"overide", "overrides"},
        {"on-redis-failure", "on_redis_failure"},
        {"on_redis_failiure", "on_redis_failure"},
        {"onRedisFailure", "on_redis_failure"},
        {"shaddow", "shadow"},
        {"costs", "cost"},
        {"colour", "(none)"},
        {"burst", "(none)"},
        {"REFILL", "(none)"},
        {"", "(none)"},
        {"k", "(none)"},
        {"zz", "(none)"},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "(none)"},
        {"on_redis_failureeeeeeeeeeeeeeeeee", "(none)"},
        {"\xff\xfe\xfd", "(none)"},
        {"k\xc3\xa9y", "key"}, /* two bytes, two slips, of four */
    };

    FOR_EACH(c, cases)
        want_text(c->text, or_none(spelling_nearest(c->text, fields, LENGTH(fields))), c->want);
}

/* A typo has at most one slip, and one more for every four characters. */
TEST(a_typo_has_a_largest_number_of_slips)
{
    static const char *const words[] = {"abcdefghijklmnopqrstuvwxyz012345"};
    static const struct {
        const char *text;
        bool near;
    } cases[] = {
        {"abcdefghijklmnopqrstuvwxyz012345", true},
        {"_________jklmnopqrstuvwxyz012345", true},  /* 9 of 32 */
        {"__________klmnopqrstuvwxyz012345", false}, /* 10 of 32 */
        {"ijklmnopqrstuvwxyz012345", false},         /* 8 left out; 24 characters allow 7 */
        {"hijklmnopqrstuvwxyz012345", true},         /* 7 left out; 25 characters allow 7 */
    };

    FOR_EACH(c, cases)
        want_number(c->text, spelling_nearest(c->text, words, 1) != NULL, c->near);
}

TEST(the_word_with_the_fewest_slips_wins_and_then_the_first)
{
    static const char *const words[] = {"abcd", "abce", "abcf", "xbcd"};
    static const struct text_case cases[] = {
        {"abcd", "abcd"}, {"abcf", "abcf"}, {"abc", "abcd"}, {"xbcd", "xbcd"}, {"xbce", "abce"},
    };

    FOR_EACH(c, cases)
        want_text(c->text, or_none(spelling_nearest(c->text, words, LENGTH(words))), c->want);
    assert_null(spelling_nearest("abcd", words, 0));
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The optimal string alignment distance of the first I and J characters, by its definition. */
static unsigned reference(const char *a, size_t i, const char *b, size_t j)
{
    if (i == 0 || j == 0)
        return (unsigned)(i + j);
    unsigned slips = least(reference(a, i - 1, b, j), reference(a, i, b, j - 1)) + 1;
    slips = least(slips, reference(a, i - 1, b, j - 1) + (a[i - 1] != b[j - 1]));
    if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        slips = least(slips, reference(a, i - 2, b, j - 2) + 1);
    return slips;
}

TEST(slips_are_counted_as_a_slow_reference_counts_them)
{
    uint64_t random = 7;

    for (int round = 0; round < ROUNDS; round++) {
        char text[7], word[7];
        const char *const words[] = {word};

        random_text(&random, "abc", text, sizeof text);
        random_text(&random, "abc", word, sizeof word);
        size_t len = strlen(text);
        unsigned slips = reference(text, len, word, strlen(word));
        bool near = len >= 2 && slips <= 1 + len / 4 && slips < strlen(word);
        if ((spelling_nearest(text, words, 1) != NULL) != near)
            fail_msg("\"%s\" for \"%s\", %u slips: want %d", text, word, slips, near);
    }
}

TESTS_MAIN
