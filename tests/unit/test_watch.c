/* test_watch.c - decisions that a watcher sees as they happen. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "shared/watch.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/memory.h"

/* What is wanted for the next minute. */
static struct watch_wish wish_of(const char *limit, const char *key, double seconds)
{
    struct watch_wish wish = {0};
    struct watch_filter filter = {.until_ms = (int64_t)((clock_s() + seconds) * 1e3)};

    strcpy(filter.limit, limit);
    strcpy(filter.key, key);
    watch_want(&wish, &filter);
    return wish;
}

static struct watch_row row_of(const char *limit, const char *key)
{
    struct watch_row row = {.at_us = 1, .decision = WATCH_REFUSED, .remaining = 3};

    strcpy(row.limit, limit);
    strcpy(row.key, key);
    return row;
}

TEST(what_is_wanted_is_kept)
{
    static const struct {
        const char *limit, *key; /* that are wanted */
        double seconds;
        bool want;
    } cases[] = {
        {"", "", 60, true},
        {"per-user", "", 60, true},
        {"per", "", 60, false},
        {"per-ip", "", 60, false},
        {"", "rl:{query:user=ann}:", 60, true},
        {"", "rl:{query:user=an}:", 60, false},
        {"per-user", "rl:{query:user=ann}:per-user", 60, true},
        {"per-user", "rl:{query:user=bob}:", 60, false},
        {"", "", -60, false},
    };

    FOR_EACH(c, cases) {
        struct watch_wish wish = wish_of(c->limit, c->key, c->seconds);
        struct watch_ring *ring = memory_new(sizeof *ring);
        struct watch_rate rate = {0};
        struct watch_row row = row_of("per-user", "rl:{query:user=ann}:per-user"), got;
        uint64_t seen = 0;

        assert_int_equal(watch_is_on(&wish), c->seconds > 0);
        watch_add(ring, &wish, &rate, &row);
        if (watch_next(ring, &seen, &got) != c->want)
            fail_msg("limit '%s', key '%s'", c->limit, c->key);
        if (c->want)
            assert_memory_equal(&got, &row, sizeof row);
        assert_false(watch_next(ring, &seen, &got));
        free(ring);
    }
}

TEST(without_a_watcher_nothing_is_wanted)
{
    struct watch_wish wish = {0};

    assert_false(watch_is_on(&wish));
}

TEST(a_process_samples_so_many_decisions_in_a_second)
{
    struct watch_wish wish = wish_of("", "", 60);
    struct watch_ring *ring = memory_new(sizeof *ring);
    struct watch_rate rate = {0};
    struct watch_row row = row_of("a", "k");
    double begin_s = clock_s();

    for (int i = 0; i < 20000; i++)
        watch_add(ring, &wish, &rate, &row);
    assert_in_range(ring->count, WATCH_PER_S_MAX,
                    ((int)(clock_s() - begin_s) + 2) * WATCH_PER_S_MAX);
    free(ring);
}

TEST(a_reader_that_is_slow_loses_the_oldest_rows)
{
    struct watch_wish wish = wish_of("", "", 60);
    struct watch_ring *ring = memory_new(sizeof *ring);
    uint64_t seen = 0, expected = 1000 - (WATCH_ROWS - 1);

    for (int i = 0; i < 1000; i++) {
        struct watch_rate rate = {0}; /* a second of its own for each */
        struct watch_row row = row_of("a", "k");
        row.remaining = i;
        watch_add(ring, &wish, &rate, &row);
    }
    for (struct watch_row got; watch_next(ring, &seen, &got);)
        assert_int_equal(got.remaining, expected++);
    assert_int_equal(expected, 1000);
    free(ring);
}

TESTS_MAIN
