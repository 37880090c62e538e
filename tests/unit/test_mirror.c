/* test_mirror.c - tests of shared/mirror.h */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "shared/mirror.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND 1000000
#define NOW    (1000LL * SECOND)

/* A table of ROWS rows that child processes share. */
static struct mirror *table(uint64_t rows)
{
    struct mirror *mirror =
        mmap(NULL, mirror_bytes(rows), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(mirror, MAP_FAILED);
    mirror_begin(mirror, rows);
    return mirror;
}

static struct mirror_row *get(struct mirror *mirror, const char *key, int64_t now)
{
    return mirror_get(mirror, key, strlen(key), now, SECOND);
}

TEST(a_key_has_one_row_that_is_found_again)
{
    struct mirror *mirror = table(1024);
    char longest[MIRROR_KEY_SIZE];

    assert_null(mirror_find(mirror, "a", 1));
    struct mirror_row *row = get(mirror, "a", NOW);
    assert_non_null(row);
    assert_ptr_equal(get(mirror, "a", NOW), row);
    assert_ptr_equal(mirror_find(mirror, "a", 1), row);
    assert_null(mirror_find(mirror, "ab", 2));
    memset(longest, 'x', sizeof longest);
    assert_non_null(mirror_get(mirror, longest, sizeof longest - 1, NOW, 0));
    assert_non_null(mirror_find(mirror, longest, sizeof longest - 1));
    assert_null(mirror_find(mirror, longest, sizeof longest - 2));
    assert_int_equal(mirror_evicted(mirror), 0);
}

TEST(the_fullest_bucket_of_a_set_gives_way_and_one_that_owes_stays)
{
    struct mirror *mirror = table(MIRROR_WAYS); /* one set */
    char key[16];

    for (int i = 0; i < MIRROR_WAYS; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        struct mirror_row *row = get(mirror, key, NOW);
        row->window_us = 100LL * SECOND;
        row->full_at_us = NOW + (10 - i) * SECOND; /* the last one is the fullest */
        row->owed = i == MIRROR_WAYS - 1;
    }
    get(mirror, "new", NOW);
    assert_null(mirror_find(mirror, "key-6", 5));
    assert_non_null(mirror_find(mirror, "key-7", 5));
    assert_non_null(mirror_find(mirror, "key-0", 5));
    assert_int_equal(mirror_evicted(mirror), 1);
    get(mirror, "newer", NOW); /* in the place of "new", which has never been used */
    assert_null(mirror_find(mirror, "new", 3));
    assert_int_equal(mirror_evicted(mirror), 1);
}

TEST(what_is_owed_is_announced_to_one_process)
{
    struct mirror *mirror = table(64);

    assert_false(mirror_take_owing(mirror));
    mirror_set_owing(mirror);
    mirror_set_owing(mirror);
    assert_true(mirror_take_owing(mirror));
    assert_false(mirror_take_owing(mirror));
}

/* Take rows for ever, of few keys in few sets, so that most of the time is spent with claims. */
static void churn(struct mirror *mirror, unsigned seed)
{
    char key[32];

    for (int64_t now = NOW;; now++) {
        int len = snprintf(key, sizeof key, "key-%d", rand_r(&seed) % 64);
        struct mirror_row *row = mirror_get(mirror, key, (size_t)len, NOW, 0);
        if (row)
            __atomic_fetch_add(&row->owed, 1, __ATOMIC_RELAXED);
    }
}

TEST(processes_that_are_killed_at_any_instruction_leave_a_table_that_works)
{
    struct mirror *mirror = table(16);
    char key[32];

    for (unsigned round = 0; round < 60; round++) {
        pid_t pids[2];
        for (unsigned i = 0; i < 2; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                churn(mirror, round * 2 + i);
        }
        usleep(1000 + round % 7 * 300);
        for (unsigned i = 0; i < 2; i++) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
        /* A second later every key can have a row, whichever process had claimed its set. */
        for (int i = 0; i < 64; i++) {
            int len = snprintf(key, sizeof key, "key-%d", i);
            struct mirror_row *row =
                mirror_get(mirror, key, (size_t)len, NOW + (round + 1) * 10LL * SECOND, 0);
            assert_non_null(row);
            want_text(key, row->key, key);
        }
    }
}

TEST(the_default_table_is_below_six_megabytes)
{
    assert_true(mirror_bytes(MIRROR_ROWS_DEFAULT) < 6000000);
}

TESTS_MAIN
