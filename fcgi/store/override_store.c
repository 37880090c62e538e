/* override_store.c - the hash of overrides is read page by page, and changed by a script. */
/* SPDX-License-Identifier: MIT */
#include "store/override_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

static const char script[] = {
#include "override.lua.inc"
};

/* ---- Reading ---- */

static void add(void *context, const char *field, size_t field_len, const char *value,
                size_t value_len)
{
    struct stored_overrides *store = context;

    if (strcmp(field, OVERRIDE_STORE_VERSION) == 0)
        return;
    if (memchr(field, '\0', field_len) || memchr(value, '\0', value_len))
        value_len = 0;
    /* A power of two is when the array is full. */
    if ((store->count & (store->count - 1)) == 0)
        store->entry = memory_resize(store->entry, (store->count > 0 ? 2 * store->count : 1) *
                                                       sizeof *store->entry);
    struct stored_override *entry = &store->entry[store->count++];
    entry->name = memory_get(field_len + value_len + 2);
    memcpy(entry->name, field, field_len);
    entry->name[field_len] = '\0';
    entry->value = entry->name + field_len + 1;
    memcpy(entry->value, value, value_len);
    entry->value[value_len] = '\0';
}

static int by_name(const void *one, const void *other)
{
    return strcmp(((const struct stored_override *)one)->name,
                  ((const struct stored_override *)other)->name);
}

/* Sort, and keep one entry of each name: HSCAN can return a field twice. */
static void sort(struct stored_overrides *store)
{
    size_t kept = 0;

    if (store->count > 0)
        qsort(store->entry, store->count, sizeof *store->entry, by_name);
    for (size_t i = 0; i < store->count; i++) {
        if (kept > 0 && strcmp(store->entry[kept - 1].name, store->entry[i].name) == 0)
            free(store->entry[i].name);
        else
            store->entry[kept++] = store->entry[i];
    }
    store->count = kept;
}

struct stored_overrides *override_store_read(struct redis_client *client, const char **why)
{
    struct stored_overrides *store = memory_new(sizeof *store);
    char cursor[24] = "0";

    *why = redis_client_time(client, &store->now_us);
    store->read_s = clock_s();
    if (!*why)
        *why = redis_client_hget(client, OVERRIDE_STORE_KEY, OVERRIDE_STORE_VERSION, store->version,
                                 sizeof store->version);
    do
        if (!*why)
            *why = redis_client_hscan(client, cursor, OVERRIDE_STORE_KEY, add, store);
    while (!*why && strcmp(cursor, "0") != 0);
    sort(store);
    if (!*why)
        return store;
    override_store_free(store);
    return NULL;
}

void override_store_free(struct stored_overrides *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->count; i++)
        free(store->entry[i].name);
    free(store->entry);
    free(store);
}

/* ---- Changing ---- */

/* Run the script with the GIVEN arguments and COUNT NAMES behind them. */
static const char *run(struct redis_client *client, const char *const given[], size_t given_count,
                       const char *const names[], size_t count, int64_t *out)
{
    const char **arguments = memory_get((given_count + count) * sizeof(const char *));

    memcpy(arguments, given, given_count * sizeof(const char *));
    memcpy(arguments + given_count, names, count * sizeof(const char *));
    const char *why = redis_client_eval(client, script, sizeof script, OVERRIDE_STORE_KEY,
                                        arguments, given_count + count, out);
    free(arguments);
    return why;
}

const char *override_store_set(struct redis_client *client, const char *const names[], size_t count,
                               const char *settings, int64_t for_us)
{
    char lasts[24];
    int64_t set;

    snprintf(lasts, sizeof lasts, "%lld", (long long)for_us);
    return run(client, (const char *[]){"set", settings, lasts}, 3, names, count, &set);
}

const char *override_store_delete(struct redis_client *client, const char *const names[],
                                  size_t count, int64_t *removed)
{
    return run(client, (const char *[]){"delete"}, 1, names, count, removed);
}

const char *override_store_prune(struct redis_client *client, const char *const names[],
                                 size_t count)
{
    int64_t removed;

    return run(client, (const char *[]){"prune"}, 1, names, count, &removed);
}
