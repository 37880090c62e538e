/* test_stored_reader.c - tests of config/stored_reader: stored overrides become those of limits. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "config/stored_reader.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"
#include "config/limits_file.h"
#include "limits/apply.h"

#define NOW_US INT64_C(1795764794000000)

static const char file[] = "limits:\n"
                           "  - name: per-user\n"
                           "    key: query:user | ip\n"
                           "    capacity: 5\n"
                           "    refill: 1/12s\n"
                           "    overrides: [{ key: carol, capacity: 7 }]\n"
                           "  - { name: per-key, key: 'header:x-key', capacity: 5, refill: 1/s }\n"
                           "  - { name: slow, key: ip, capacity: 1000, refill: 1/day }\n";

/* The stored overrides of a test: NAMES and VALUES, ended by NULL. */
static struct limits *read_all(const char *const entries[][2], struct stored_sets *sets)
{
    struct findings findings = {.file = "test.yaml"};
    struct limits *limits = limits_parse(file, strlen(file), &findings);
    struct stored_overrides stored = {.now_us = NOW_US, .read_s = clock_s()};

    assert_non_null(limits);
    while (entries[stored.count][0])
        stored.count++;
    stored.entry = memory_new((stored.count + 1) * sizeof *stored.entry);
    for (size_t i = 0; i < stored.count; i++) {
        stored.entry[i].name = (char *)entries[i][0];
        stored.entry[i].value = (char *)entries[i][1];
    }
    stored_reader_read(&stored, limits, sets);
    free(stored.entry);
    findings_free(&findings);
    return limits;
}

/* What limit I of LIMITS, with its SETS, makes of GET URI from 10.1.2.3. */
static enum apply_result apply(struct limits *limits, const struct stored_sets *sets, size_t i,
                               const char *uri, struct charge *charge)
{
    static struct view view;
    char *parameters[] = {NULL};
    const struct request request = {"GET", uri, "10.1.2.3", parameters};
    struct applied applied;

    limits->limit[i].stored = sets->of[i];
    view_begin(&view, &request, 64);
    enum apply_result result = apply_limit(&limits->limit[i], &view, charge, &applied);
    limits->limit[i].stored = NULL;
    return result;
}

static void free_all(struct limits *limits, struct stored_sets *sets)
{
    stored_reader_free(sets, limits->count);
    limits_unref(limits);
}

#define ALICE "rl:{query:user=alice}:per-user"

TEST(one_stored_override_says_what_is_in_force)
{
    static const struct {
        const char *value;
        enum apply_result want;
        int64_t capacity, interval_us;
    } cases[] = {
        {"capacity=200 refill=50/s set=1", APPLY_CHARGE, 200, 20000},
        {"capacity=200", APPLY_CHARGE, 200, 12000000},
        {"refill=1/s", APPLY_CHARGE, 5, 1000000},
        {"set=1 capacity=9", APPLY_CHARGE, 9, 12000000},
        {"unlimited set=1", APPLY_UNLIMITED, 0, 0},
        {"blocked", APPLY_BLOCKED, 0, 0},
        {"blocked=true  ", APPLY_BLOCKED, 0, 0},
        {"blocked until=1795764799000000", APPLY_BLOCKED, 0, 0},
    };

    FOR_EACH(c, cases) {
        const char *const entries[][2] = {{ALICE, c->value}, {NULL, NULL}};
        struct stored_sets sets;
        struct limits *limits = read_all(entries, &sets);
        struct charge charge;

        want_text(c->value, sets.problem, "");
        want_number(c->value, (int64_t)sets.count, 1);
        want_number(c->value, apply(limits, &sets, 0, "/?user=alice", &charge), c->want);
        if (c->want == APPLY_CHARGE) {
            want_number(c->value, charge.capacity, c->capacity);
            want_number(c->value, charge.interval_us, c->interval_us);
        }
        want_number(c->value, apply(limits, &sets, 0, "/?user=bob", &charge), APPLY_CHARGE);
        want_number(c->value, charge.capacity, 5);
        free_all(limits, &sets);
    }
}

TEST(a_mistake_is_told_and_leaves_the_others_readable)
{
    static const struct {
        const char *name, *value, *want;
    } cases[] = {
        {ALICE, "", ALICE ": an override says one thing of its clients"},
        {ALICE, "set=1", ALICE ": an override says one thing of its clients"},
        {ALICE, "capacity=0", ALICE ": capacity: the number is too small; a capacity is 1 to"},
        {ALICE, "capacity=2 capacity=3", ALICE ": capacity: it is there twice; write it once"},
        {ALICE, "capacity=2 blocked", ALICE ": an override says one thing of its clients"},
        {ALICE, "capcity=2",
         ALICE ": unknown field 'capcity' in an override; did you mean 'capacity'?"},
        {ALICE, "refill=x", ALICE ": refill: "},
        {ALICE, "blocked set=never", ALICE ": set: "},
        {ALICE, "blocked until=0", ALICE ": until: "},
        {ALICE, "capacity=1000000000 refill=1/day",
         ALICE ": this bucket takes more than ten years"},
        {ALICE, "a b c d e f g h i", ALICE ": i: too many words"},
        {"rl:{ip=10.0.0.0/99}:per-user", "blocked", "rl:{ip=10.0.0.0/99}:per-user: "},
        {"nonsense\n", "blocked", "nonsense?: a name is such as rl:{query:user=alice}:per-user"},
        {"rl:{header:x-key=top-secret}:per-key", "capacity=0",
         "an override of per-key: capacity: the number is too small"},
    };

    FOR_EACH(c, cases) {
        const char *const entries[][2] = {
            {"rl:{query:user=bob}:per-user", "blocked"}, {c->name, c->value}, {NULL, NULL}};
        struct stored_sets sets;
        struct limits *limits = read_all(entries, &sets);
        struct charge charge;

        want_number(c->value, (int64_t)sets.broken_count, 1);
        want_number(c->value, sets.state[1], STORED_BROKEN);
        sets.problem[strlen(c->want)] = '\0';
        want_text(c->value, sets.problem, c->want);
        want_number(c->value, (int64_t)sets.count, 1);
        want_number(c->value, apply(limits, &sets, 0, "/?user=bob", &charge), APPLY_BLOCKED);
        free_all(limits, &sets);
    }
}

TEST(of_several_the_one_that_was_set_last_is_used)
{
    static const struct {
        const char *entries[4][2];
        enum apply_result want;
    } cases[] = {
        {{{ALICE, "unlimited set=2"}, {"rl:{query:user=a*}:per-user", "blocked set=1"}},
         APPLY_UNLIMITED},
        {{{ALICE, "unlimited set=1"}, {"rl:{query:user=a*}:per-user", "blocked set=2"}},
         APPLY_BLOCKED},
        {{{"rl:{query:user=a*}:per-user", "blocked set=2"},
          {"rl:{query:user=al*}:per-user", "unlimited set=3"}},
         APPLY_UNLIMITED},
        /* the time of the last one is over */
        {{{ALICE, "unlimited set=1"},
          {"rl:{query:user=a*}:per-user", "blocked set=2 until=1795764793999999"}},
         APPLY_UNLIMITED},
        {{{ALICE, "unlimited set=3 until=1"}, {"rl:{query:user=a*}:per-user", "blocked set=2"}},
         APPLY_BLOCKED},
    };

    FOR_EACH(c, cases) {
        struct stored_sets sets;
        struct limits *limits = read_all(c->entries, &sets);
        struct charge charge;

        want_text(c->entries[0][1], sets.problem, "");
        want_number(c->entries[0][1], apply(limits, &sets, 0, "/?user=alice", &charge), c->want);
        free_all(limits, &sets);
    }
}

TEST(a_stored_override_is_used_before_those_of_the_file)
{
    static const char *const entries[][2] = {{"rl:{query:user=c*}:per-user", "blocked"}, {NULL}};
    struct stored_sets sets;
    struct limits *limits = read_all(entries, &sets);
    struct charge charge;

    want_number("", apply(limits, &sets, 0, "/?user=carol", &charge), APPLY_BLOCKED);
    free_all(limits, &sets);
}

TEST(overrides_for_what_the_file_does_not_have_are_set_aside)
{
    static const char *const entries[][2] = {{"rl:{query:user=alice}:per-usr", "blocked"},
                                             {"rl:{cookie:s=alice}:per-user", "blocked"},
                                             {"rl:{ip=10.1.2.3}:per-key", "blocked"},
                                             {"rl:{ip=10.1.2.3}:per-user", "blocked"},
                                             {NULL}};
    struct stored_sets sets;
    struct limits *limits = read_all(entries, &sets);

    want_number("foreign", (int64_t)sets.foreign_count, 3);
    want_number("in force", (int64_t)sets.count, 1);
    want_number("broken", (int64_t)sets.broken_count, 0);
    want_number("the first", sets.state[0], STORED_FOREIGN);
    want_number("the last", sets.state[3], STORED_IN_FORCE);
    free_all(limits, &sets);
}

TEST(a_capacity_that_does_not_go_with_the_limits_refill_is_a_mistake)
{
    static const char *const entries[][2] = {{"rl:{ip=10.1.2.3}:slow", "capacity=1000000"}, {NULL}};
    struct stored_sets sets;
    struct limits *limits = read_all(entries, &sets);

    want_number("broken", (int64_t)sets.broken_count, 1);
    free_all(limits, &sets);
}

TEST(as_many_patterns_as_in_a_file_are_read_and_no_more)
{
    enum { COUNT = OVERRIDES_PATTERNS_MAX + 1 };
    static char names[COUNT][40];
    static const char *entries[COUNT + 1][2];
    struct stored_sets sets;

    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "rl:{query:user=%zu*}:per-user", i);
        entries[i][0] = names[i];
        entries[i][1] = "blocked";
    }
    struct limits *limits = read_all((const char *const(*)[2])entries, &sets);
    want_number("in force", (int64_t)sets.count, OVERRIDES_PATTERNS_MAX);
    want_number("broken", (int64_t)sets.broken_count, 1);
    want_number(sets.problem, strstr(sets.problem, "the most is 256") != NULL, true);
    free_all(limits, &sets);
}

TEST(times_are_read_alone)
{
    struct stored_times times;

    stored_reader_times("nonsense set=7 until=9 capacity", &times);
    want_number("set", times.set_us, 7);
    want_number("until", times.until_us, 9);
    stored_reader_times("set=x", &times);
    want_number("set", times.set_us, 0);
}

TEST(a_damaged_value_is_read_or_refused)
{
    static const char good[] =
        "capacity=200 refill=50/s set=1795764794000000 until=1795764799000000";
    char value[sizeof good];
    struct findings findings = {.file = "test.yaml"};
    struct limits *limits = limits_parse(file, strlen(file), &findings);

    uint64_t random = 1;

    for (size_t round = 0; round < 20000; round++) {
        struct findings found = {.file = ""};
        struct stored_times times;
        struct override override;

        strcpy(value, good);
        for (size_t i = 0; i < 1 + random_number(&random) % 4; i++)
            value[random_number(&random) % (sizeof good - 1)] = (char)random_number(&random);
        stored_reader_value(value, &limits->limit[0], &override, &times, &found);
        if (found.error_count == 0)
            want_number(value, override.kind != OVERRIDE_LIMITED || override.capacity >= 1, true);
        findings_free(&found);
    }
    findings_free(&findings);
    limits_unref(limits);
}

TESTS_MAIN
