/* test_top.c - the sketch of the clients that are refused most. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "shared/top.h"

#include <stdio.h>

#include "base/memory.h"

#define SECOND_US 1000000LL
#define NOW_US    (1700000000 * SECOND_US)

static struct top *top_new(void)
{
    return memory_new(sizeof(struct top));
}

static void add(struct top *top, unsigned number, int64_t now_us)
{
    char key[32];

    top_add(top, "per-user", key, (size_t)sprintf(key, "rl:{user=%u}:per-user", number), now_us);
}

/* The rows of TOPS[0 .. COUNT), merged. */
static struct top_list list_of(struct top *const tops[], size_t count, int64_t since_us)
{
    struct top_list list = {0};

    for (size_t i = 0; i < count; i++)
        top_list_add(&list, tops[i], since_us);
    top_list_merge(&list);
    return list;
}

static const struct top_row *row_of(const struct top_list *list, unsigned number)
{
    char key[32];

    sprintf(key, "rl:{user=%u}:per-user", number);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->row[i].key, key) == 0)
            return &list->row[i];
    return NULL;
}

TEST(with_as_many_clients_as_rows_the_counts_are_exact)
{
    struct top *top = top_new();

    for (unsigned number = 0; number < TOP_ROWS; number++)
        for (unsigned i = 0; i <= number % 7; i++)
            add(top, number, NOW_US + number + i);
    struct top_list list = list_of(&top, 1, 0);
    assert_int_equal(list.count, TOP_ROWS);
    for (unsigned number = 0; number < TOP_ROWS; number++) {
        const struct top_row *row = row_of(&list, number);
        assert_non_null(row);
        assert_int_equal(row->count, number % 7 + 1);
        assert_int_equal(row->error, 0);
        assert_int_equal(row->first_us, NOW_US + number);
        assert_int_equal(row->last_us, NOW_US + number + number % 7);
        want_text(row->key, row->limit, "per-user");
    }
    for (size_t i = 1; i < list.count; i++)
        assert_true(list.row[i - 1].count >= list.row[i].count);
    top_list_free(&list);
    free(top);
}

/* Clients are refused with a few that are refused often, and many that are refused once. */
TEST(with_more_clients_than_rows_the_true_count_is_within_the_error)
{
    enum { CLIENTS = 5000, REFUSALS = 40000 };
    static uint64_t truth[CLIENTS];
    struct top *tops[2] = {top_new(), top_new()};
    uint64_t random = 11;

    for (int i = 0; i < REFUSALS; i++) {
        uint64_t pick = random_number(&random);
        unsigned number = pick % 3 == 0 ? (unsigned)(random_number(&random) % 5)
                                        : (unsigned)(random_number(&random) % CLIENTS);
        add(tops[pick / 3 % 2], number, NOW_US + i);
        truth[number]++;
    }
    struct top_list list = list_of(tops, 2, 0);
    for (size_t i = 0; i < list.count; i++) {
        unsigned number;
        assert_int_equal(sscanf(list.row[i].key, "rl:{user=%u}", &number), 1);
        assert_true(list.row[i].count >= truth[number]);
        assert_true(list.row[i].count - list.row[i].error <= truth[number]);
    }
    for (unsigned number = 0; number < 5; number++) /* the heavy ones are the first */
        assert_in_range(row_of(&list, number) - list.row, 0, 4);
    top_list_free(&list);
    free(tops[0]);
    free(tops[1]);
}

TEST(the_rows_of_several_processes_are_added)
{
    struct top *tops[2] = {top_new(), top_new()};

    add(tops[0], 1, NOW_US + 5);
    add(tops[0], 1, NOW_US + 6);
    add(tops[1], 1, NOW_US + 2);
    add(tops[1], 2, NOW_US + 9);
    struct top_list list = list_of(tops, 2, 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(row_of(&list, 1)->count, 3);
    assert_int_equal(row_of(&list, 1)->first_us, NOW_US + 2);
    assert_int_equal(row_of(&list, 1)->last_us, NOW_US + 6);
    assert_int_equal(row_of(&list, 2)->count, 1);
    top_list_sort_by_key(&list);
    assert_ptr_equal(top_list_find(&list, "rl:{user=2}:per-user"), row_of(&list, 2));
    assert_null(top_list_find(&list, "rl:{user=3}:per-user"));
    top_list_free(&list);
    list = list_of(tops, 2, NOW_US + 7);
    assert_int_equal(list.count, 1);
    top_list_free(&list);
    free(tops[0]);
    free(tops[1]);
}

TEST(a_client_that_was_not_refused_for_an_hour_gives_its_row_away)
{
    struct top *top = top_new();
    int64_t later_us = NOW_US + TOP_FORGET_US + SECOND_US;

    for (unsigned number = 0; number < TOP_ROWS; number++)
        for (int i = 0; i < 100; i++)
            add(top, number, NOW_US);
    add(top, 0, later_us);    /* this one goes on */
    add(top, 1000, later_us); /* and a new one takes the row of another */
    struct top_list list = list_of(&top, 1, later_us);
    assert_int_equal(list.count, 2);
    assert_int_equal(row_of(&list, 0)->count, 101);
    assert_int_equal(row_of(&list, 1000)->count, 1);
    assert_int_equal(row_of(&list, 1000)->error, 0);
    top_list_free(&list);
    free(top);
}

TEST(a_row_that_its_writer_left_half_written_is_skipped_and_then_repaired)
{
    struct top *top = top_new();

    add(top, 1, NOW_US);
    add(top, 2, NOW_US);
    top->sequence[0] |= 1;
    struct top_list list = list_of(&top, 1, 0);
    assert_int_equal(list.count, 1);
    assert_non_null(row_of(&list, 2));
    top_list_free(&list);
    top_repair(top);
    add(top, 3, NOW_US);
    list = list_of(&top, 1, 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(row_of(&list, 3)->count, 1);
    top_list_free(&list);
    free(top);
}

TESTS_MAIN
