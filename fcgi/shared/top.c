/* top.c - a space-saving sketch, its writer and its readers. */
/* SPDX-License-Identifier: MIT */
#include "shared/top.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "shared/counters.h"
#include "shared/record.h"

#define NONE TOP_ROWS /* no row */

/* ---- The writer ---- */

static size_t find(const struct top *top, uint64_t hash, const char *key, size_t len)
{
    for (size_t i = 0; i < TOP_ROWS; i++)
        if (top->hash[i] == hash && memcmp(top->row[i].key, key, len) == 0 &&
            top->row[i].key[len] == '\0')
            return i;
    return NONE;
}

/* The row for a new key: a free one, else one that is old, else the one with the lowest count. */
static size_t choose(const struct top *top, int64_t now_us)
{
    size_t lowest = 0;

    for (size_t i = 0; i < TOP_ROWS; i++) {
        const struct top_row *row = &top->row[i];
        if (top->hash[i] == 0 || row->last_us < now_us - TOP_FORGET_US)
            return i;
        if (row->count < top->row[lowest].count)
            lowest = i;
    }
    return lowest;
}

/* The count of row I is given up for another key. */
static void give_up(struct top *top, size_t i, int64_t now_us)
{
    bool forgotten = top->hash[i] == 0 || top->row[i].last_us < now_us - TOP_FORGET_US;

    if (top->floor_us < now_us - TOP_FORGET_US)
        counter_set(&top->floor, 0);
    if (forgotten)
        return;
    if (top->floor < top->row[i].count)
        counter_set(&top->floor, top->row[i].count);
    top->floor_us = now_us;
}

static void set_row(struct top *top, size_t i, const char *limit, const char *key, size_t len,
                    int64_t now_us)
{
    struct top_row *row = &top->row[i];

    memcpy(row->key, key, len);
    row->key[len] = '\0';
    strncpy(row->limit, limit, sizeof row->limit - 1);
    row->limit[sizeof row->limit - 1] = '\0';
    row->error = top->floor;
    row->count = top->floor + 1;
    row->first_us = row->last_us = now_us;
}

void top_add(struct top *top, const char *limit, const char *key, size_t key_len, int64_t now_us)
{
    uint64_t hash = hash_of(key, key_len) | 1; /* 0 is that of a free row */
    size_t i = find(top, hash, key, key_len);

    assert(key_len < TOP_KEY_SIZE);
    if (i != NONE) {
        counter_add(&top->row[i].count, 1);
        if (now_us > top->row[i].last_us) /* the time of day can step back */
            __atomic_store_n(&top->row[i].last_us, now_us, __ATOMIC_RELAXED);
        return;
    }
    i = choose(top, now_us);
    give_up(top, i, now_us);
    record_begin(&top->sequence[i]);
    top->hash[i] = hash;
    set_row(top, i, limit, key, key_len, now_us);
    record_end(&top->sequence[i]);
}

void top_repair(struct top *top)
{
    for (size_t i = 0; i < TOP_ROWS; i++) {
        if (!record_is_broken(&top->sequence[i]))
            continue;
        top->hash[i] = 0;
        memset(&top->row[i], 0, sizeof top->row[i]);
        record_end(&top->sequence[i]);
    }
}

/* ---- The readers ---- */

static void list_append(struct top_list *list, const struct top_row *row)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : TOP_ROWS;
        list->row = memory_resize(list->row, list->room * sizeof *list->row);
    }
    list->row[list->count++] = *row;
}

/* A key without a row in TOP has been refused at most FLOOR times there.  So that every key gets
 * FLOOR of every sketch once, rows are listed without it, and top_list_merge adds the sum. */
void top_list_add(struct top_list *list, const struct top *top, int64_t since_us)
{
    uint64_t floor = counter_get(&top->floor);

    list->floor += floor;
    for (size_t i = 0; i < TOP_ROWS; i++) {
        struct top_row row;
        if (top->hash[i] == 0 || !record_read(&top->sequence[i], &top->row[i], &row, sizeof row) ||
            row.count == 0 || row.last_us < since_us)
            continue;
        row.key[TOP_KEY_SIZE - 1] = row.limit[TOP_LIMIT_SIZE - 1] = '\0';
        row.count -= floor; /* may wrap around, and back in top_list_merge */
        row.error -= floor;
        list_append(list, &row);
    }
}

static int by_key(const void *one, const void *other)
{
    const struct top_row *a = one, *b = other;

    return strcmp(a->key, b->key);
}

static int by_count(const void *one, const void *other)
{
    const struct top_row *a = one, *b = other;

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->key, b->key);
}

static void merge(struct top_row *into, const struct top_row *row)
{
    into->count += row->count;
    into->error += row->error;
    if (row->first_us < into->first_us)
        into->first_us = row->first_us;
    if (row->last_us > into->last_us)
        into->last_us = row->last_us;
}

void top_list_merge(struct top_list *list)
{
    size_t count = 0;

    if (list->count == 0)
        return;
    qsort(list->row, list->count, sizeof *list->row, by_key);
    for (size_t i = 0; i < list->count; i++) {
        if (count > 0 && strcmp(list->row[count - 1].key, list->row[i].key) == 0)
            merge(&list->row[count - 1], &list->row[i]);
        else
            list->row[count++] = list->row[i];
    }
    list->count = count;
    for (size_t i = 0; i < count; i++) {
        list->row[i].count += list->floor;
        list->row[i].error += list->floor;
    }
    qsort(list->row, count, sizeof *list->row, by_count);
}

void top_list_sort_by_key(struct top_list *list)
{
    if (list->count > 0)
        qsort(list->row, list->count, sizeof *list->row, by_key);
}

static int compare_key(const void *key, const void *row)
{
    return strcmp(key, ((const struct top_row *)row)->key);
}

const struct top_row *top_list_find(const struct top_list *list, const char *key)
{
    return list->count == 0 ? NULL
                            : bsearch(key, list->row, list->count, sizeof *list->row, compare_key);
}

void top_list_free(struct top_list *list)
{
    free(list->row);
    *list = (struct top_list){0};
}
