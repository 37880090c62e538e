/* mirror.c - a set-associative table without locks. */
/* SPDX-License-Identifier: MIT */
#include "shared/mirror.h"

#include <assert.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

#define CLAIM_US 1000000 /* a claim that is older is one of a process that has died */

/* The hashes are in front of the rows, because those of a set are in one cache line. */
struct mirror {
    uint64_t rows;
    uint64_t owing;
    uint64_t evicted;
    uint64_t padding[5]; /* to a cache line */
    uint64_t hash[]; /* of each row's key; 0: the row is free.  Then the claims, then the rows */
};

static uint64_t whole_sets(uint64_t rows)
{
    return (rows + MIRROR_WAYS - 1) / MIRROR_WAYS * MIRROR_WAYS;
}

/* When each set was claimed; 0: it is not. */
static int64_t *claims(struct mirror *mirror)
{
    return (int64_t *)&mirror->hash[mirror->rows];
}

static struct mirror_row *rows(struct mirror *mirror)
{
    return (struct mirror_row *)&claims(mirror)[mirror->rows / MIRROR_WAYS];
}

size_t mirror_bytes(uint64_t count)
{
    count = whole_sets(count);
    return sizeof(struct mirror) + count * (sizeof(uint64_t) + sizeof(struct mirror_row)) +
           count / MIRROR_WAYS * sizeof(int64_t);
}

void mirror_begin(struct mirror *mirror, uint64_t count)
{
    __atomic_store_n(&mirror->rows, whole_sets(count), __ATOMIC_RELAXED);
}

uint64_t mirror_rows(const struct mirror *mirror)
{
    return mirror->rows;
}

uint64_t mirror_evicted(const struct mirror *mirror)
{
    return __atomic_load_n(&mirror->evicted, __ATOMIC_RELAXED);
}

struct mirror_row *mirror_row(struct mirror *mirror, uint64_t i)
{
    if (i >= mirror->rows || __atomic_load_n(&mirror->hash[i], __ATOMIC_ACQUIRE) == 0)
        return NULL;
    return &rows(mirror)[i];
}

void mirror_set_owing(struct mirror *mirror)
{
    __atomic_store_n(&mirror->owing, 1, __ATOMIC_RELEASE);
}

int mirror_take_owing(struct mirror *mirror)
{
    return __atomic_load_n(&mirror->owing, __ATOMIC_RELAXED) != 0 &&
           __atomic_exchange_n(&mirror->owing, 0, __ATOMIC_ACQ_REL) != 0;
}

/* ---- Finding ---- */

/* Never 0, which is a free row. */
static uint64_t hash_key(const char *key, size_t len)
{
    return hash_of(key, len) | 1;
}

/* FNV's low bits are the last bytes of a key, which are the limit's name: mix them. */
static uint64_t first_of_set(const struct mirror *mirror, uint64_t hash)
{
    uint64_t mixed = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15U;

    return (mixed >> 32) % (mirror->rows / MIRROR_WAYS) * MIRROR_WAYS;
}

static struct mirror_row *find_in_set(struct mirror *mirror, uint64_t first, uint64_t hash,
                                      const char *key, size_t len)
{
    for (uint64_t i = first; i < first + MIRROR_WAYS; i++) {
        struct mirror_row *row = &rows(mirror)[i];
        if (__atomic_load_n(&mirror->hash[i], __ATOMIC_ACQUIRE) == hash &&
            memcmp(row->key, key, len) == 0 && row->key[len] == '\0')
            return row;
    }
    return NULL;
}

struct mirror_row *mirror_find(struct mirror *mirror, const char *key, size_t len)
{
    uint64_t hash = hash_key(key, len);

    assert(len < MIRROR_KEY_SIZE);
    return find_in_set(mirror, first_of_set(mirror, hash), hash, key, len);
}

/* ---- New rows ---- */

/* When both buckets of ROW are full: the earlier, the less is lost with it. */
static int64_t full_at(const struct mirror_row *row)
{
    int64_t local = row->local_empty_at_us == 0 ? 0 : row->local_empty_at_us + row->window_us;

    return row->full_at_us > local ? row->full_at_us : local;
}

/* The row of the set that is lost with the least harm. */
static uint64_t choose(struct mirror *mirror, uint64_t first)
{
    uint64_t best = first;

    for (uint64_t i = first; i < first + MIRROR_WAYS; i++) {
        const struct mirror_row *row = &rows(mirror)[i], *other = &rows(mirror)[best];
        if (mirror->hash[i] == 0)
            return i;
        if ((row->owed > 0) < (other->owed > 0) ||
            ((row->owed > 0) == (other->owed > 0) && full_at(row) < full_at(other)))
            best = i;
    }
    return best;
}

/* Try to claim the set at FIRST at NOW_US. */
static bool try_claim(struct mirror *mirror, uint64_t first, int64_t now_us)
{
    int64_t *word = &claims(mirror)[first / MIRROR_WAYS];
    int64_t held = __atomic_load_n(word, __ATOMIC_RELAXED);

    if (held != 0 && held + CLAIM_US > now_us && held <= now_us + CLAIM_US)
        return false;
    return __atomic_compare_exchange_n(word, &held, now_us, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* Claim the set at FIRST.  A row takes 0.1 us to write, but the process that does it may have been
 * interrupted: leave it the processor. */
static bool claim(struct mirror *mirror, uint64_t first, int64_t now_us, int64_t patience_us)
{
    int64_t until_us = now_us + patience_us;

    while (!try_claim(mirror, first, now_us)) {
        if (now_us >= until_us)
            return false;
        sched_yield();
        now_us = (int64_t)(clock_s() * 1e6);
    }
    return true;
}

static void release(struct mirror *mirror, uint64_t first)
{
    __atomic_store_n(&claims(mirror)[first / MIRROR_WAYS], 0, __ATOMIC_RELEASE);
}

/* Give row I to KEY.  Until its hash is there, no process finds it. */
static struct mirror_row *replace(struct mirror *mirror, uint64_t i, uint64_t hash, const char *key,
                                  size_t len, int64_t now_us)
{
    struct mirror_row *row = &rows(mirror)[i];

    if (mirror->hash[i] != 0 && (row->owed > 0 || full_at(row) > now_us))
        __atomic_fetch_add(&mirror->evicted, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&mirror->hash[i], 0, __ATOMIC_RELEASE);
    memset(row, 0, sizeof *row);
    memcpy(row->key, key, len);
    __atomic_store_n(&mirror->hash[i], hash, __ATOMIC_RELEASE);
    return row;
}

struct mirror_row *mirror_get(struct mirror *mirror, const char *key, size_t len, int64_t now_us,
                              int64_t patience_us)
{
    uint64_t hash = hash_key(key, len), first = first_of_set(mirror, hash);
    struct mirror_row *row = find_in_set(mirror, first, hash, key, len);

    assert(len < MIRROR_KEY_SIZE && now_us > 0);
    if (row || !claim(mirror, first, now_us, patience_us))
        return row;
    row = find_in_set(mirror, first, hash, key, len); /* another process may have been faster */
    if (!row)
        row = replace(mirror, choose(mirror, first), hash, key, len, now_us);
    release(mirror, first);
    return row;
}
