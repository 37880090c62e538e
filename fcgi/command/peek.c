/* peek.c - balances from Redis, and refusals from the shared memory of this host. */
/* SPDX-License-Identifier: MIT */
#include "command/peek.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/units.h"
#include "command/buckets.h"
#include "command/observe.h"
#include "command/look.h"
#include "shared/totals.h"

/* Look at the BUCKETS that have tokens, as many at once as one ask may have.  Returns NULL, or why
 * Redis did not say. */
static const char *look_at_all(struct buckets *buckets)
{
    static struct charge charges[STORE_CHARGES_MAX];
    size_t index[STORE_CHARGES_MAX], count = 0;
    const char *why = NULL;

    for (size_t i = 0; i < buckets->count && !why; i++) {
        if (buckets->bucket[i].result == APPLY_CHARGE) {
            index[count] = i;
            charges[count++] = buckets->bucket[i].charge;
        }
        if (count < STORE_CHARGES_MAX && i + 1 < buckets->count)
            continue;
        why = look_at(charges, count, &buckets->redis);
        for (size_t k = 0; k < count; k++)
            buckets->bucket[index[k]].charge.balance = charges[k].balance;
        count = 0;
    }
    return why;
}

/* What this host knows of refusals; both lists are sorted by key. */
struct refusals {
    struct top_list top[2]; /* of enforced limits, and of shadows */
};

static struct refusals read_refusals(const struct options *options)
{
    struct refusals refusals = {0};
    char error[REGION_PATH_SIZE + 128];
    struct region *region = observe_region(options, false, error, sizeof error);

    for (int shadow = 0; region && shadow < 2; shadow++) {
        refusals.top[shadow] = totals_top(region, shadow, 0);
        top_list_sort_by_key(&refusals.top[shadow]);
    }
    region_free(region);
    return refusals;
}

static const char *override_of(const struct bucket *bucket)
{
    return bucket->result == APPLY_BLOCKED ? "blocked" : "unlimited";
}

static void print_row(const struct bucket *bucket, const struct top_row *row)
{
    const struct charge *charge = &bucket->charge;
    char tokens[48], refused[48] = "-", since[CLOCK_SHOWN_SIZE] = "-";

    if (bucket->result == APPLY_CHARGE)
        snprintf(tokens, sizeof tokens, "%" PRId64 " of %" PRId64, charge->balance.remaining,
                 charge->capacity);
    else
        snprintf(tokens, sizeof tokens, "%s", override_of(bucket));
    if (row) {
        snprintf(refused, sizeof refused, "%" PRIu64, row->count);
        clock_show(row->first_us, since);
    }
    printf("%-24s %14s %8" PRId64 " s %8s  %-19s  %s\n", bucket->limit->name, tokens,
           bucket->result == APPLY_CHARGE ? units_seconds_up(charge->balance.full_us) : 0, refused,
           since, charge->key);
}

static void print_json(const struct bucket *bucket, const struct top_row *row, bool first)
{
    const struct charge *charge = &bucket->charge;

    fputs(first ? "\n{\"limit\":" : ",\n{\"limit\":", stdout);
    json_string(stdout, bucket->limit->name);
    fputs(",\"key\":", stdout);
    json_string(stdout, charge->key);
    if (bucket->result == APPLY_CHARGE)
        printf(",\"tokens\":%" PRId64 ",\"capacity\":%" PRId64 ",\"full_seconds\":%" PRId64,
               charge->balance.remaining, charge->capacity,
               units_seconds_up(charge->balance.full_us));
    else
        printf(",\"override\":\"%s\"", override_of(bucket));
    if (row) {
        printf(",\"refused\":%" PRIu64 ",\"error\":%" PRIu64 ",\"first\":", row->count, row->error);
        json_time(stdout, row->first_us);
        fputs(",\"last\":", stdout);
        json_time(stdout, row->last_us);
    }
    fputs("}", stdout);
}

static void print_buckets(const struct options *options, const struct buckets *buckets)
{
    struct refusals refusals = read_refusals(options);

    if (options->json)
        fputs("[", stdout);
    else
        printf("%-24s %14s %10s %8s  %-19s  %s\n", "LIMIT", "TOKENS", "FULL IN", "REFUSED", "SINCE",
               "KEY");
    for (size_t i = 0; i < buckets->count; i++) {
        const struct bucket *bucket = &buckets->bucket[i];
        const struct top_row *row =
            top_list_find(&refusals.top[bucket->limit->shadow], bucket->charge.key);
        if (options->json)
            print_json(bucket, row, i == 0);
        else
            print_row(bucket, row);
    }
    if (options->json)
        puts("]");
    top_list_free(&refusals.top[0]);
    top_list_free(&refusals.top[1]);
}

int peek(const struct options *options)
{
    struct buckets buckets;
    char shown[REDIS_CONFIG_SHOWN_SIZE];
    int status = buckets_find(options, true, &buckets);

    if (status != EXIT_SUCCESS)
        return status;
    const char *why = look_at_all(&buckets);
    if (why)
        fprintf(stderr, "%s: redis %s: %s\n", options->program,
                redis_config_show(&buckets.redis, shown), why);
    else if (buckets.count == 0 && !options->json)
        puts("no limit applies to this request");
    else
        print_buckets(options, &buckets);
    buckets_free(&buckets);
    return why ? EXIT_FAILURE : EXIT_SUCCESS;
}
