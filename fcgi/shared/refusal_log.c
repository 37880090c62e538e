/* refusal_log.c - the totals of a host are compared with those of ten seconds ago. */
/* SPDX-License-Identifier: MIT */
#include "shared/refusal_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "shared/totals.h"

/* The state at one moment. */
struct moment {
    struct totals *totals;
    struct top_list top[2]; /* of refusals, and of those of shadow limits */
};

struct refusal_log {
    struct region *region;
    struct moment before;
};

static uint64_t refusals(const struct limit_row *row, bool shadow)
{
    return shadow ? row->counters.shadow_refused : row->counters.refused + row->counters.blocked;
}

/* What LIMIT has refused between BEFORE and NOW. */
static uint64_t refused_since(const struct moment *before, const struct limit_row *limit,
                              bool shadow)
{
    const struct limit_row *old = totals_limit(before->totals, limit->name);

    return refusals(limit, shadow) - (old ? refusals(old, shadow) : 0);
}

/* How often the bucket of ROW has refused since BEFORE, which is sorted by key. */
static uint64_t row_since(const struct top_list *before, const struct top_row *row)
{
    const struct top_row *old = top_list_find(before, row->key);

    return old && old->count <= row->count ? row->count - old->count : row->count - row->error;
}

static void write_line(const struct moment *before, const struct moment *now,
                       const struct limit_row *limit, bool shadow)
{
    uint64_t count = refused_since(before, limit, shadow), most_count = 0, clients = 0;
    const struct top_list *top = &now->top[shadow];
    const char *most = "";

    for (size_t i = 0; i < top->count; i++) {
        const struct top_row *row = &top->row[i];
        if (row->last_us < before->totals->now_us || strcmp(row->limit, limit->name) != 0)
            continue;
        uint64_t since = row_since(&before->top[shadow], row);
        clients++;
        if (since > most_count) {
            most_count = since;
            most = row->key;
        }
    }
    log_line(LOG_INFO,
             "%slimit %s %s %" PRIu64 " request%s of %s%" PRIu64 " client%s in %d s, most often %s "
             "(%" PRIu64 ")",
             shadow ? "shadow " : "", limit->name, shadow ? "would have refused" : "refused", count,
             count == 1 ? "" : "s", clients >= TOP_ROWS ? "at least " : "", clients,
             clients == 1 ? "" : "s",
             (int)((now->totals->now_us - before->totals->now_us + 500000) / 1000000), most,
             most_count);
}

static struct moment read_moment(const struct region *region)
{
    struct moment moment = {.totals = totals_read(region)};
    int64_t since_us = moment.totals->now_us - 2LL * REFUSAL_LOG_S * 1000000;

    for (int shadow = 0; shadow < 2; shadow++)
        moment.top[shadow] = totals_top(region, shadow, since_us);
    return moment;
}

static void moment_free(struct moment *moment)
{
    totals_free(moment->totals);
    top_list_free(&moment->top[0]);
    top_list_free(&moment->top[1]);
}

struct refusal_log *refusal_log_new(struct region *region)
{
    struct refusal_log *log = memory_new(sizeof *log);

    log->region = region;
    log->before = read_moment(region);
    for (int shadow = 0; shadow < 2; shadow++)
        top_list_sort_by_key(&log->before.top[shadow]);
    return log;
}

void refusal_log_write(struct refusal_log *log, bool on)
{
    struct moment now = read_moment(log->region);

    for (int shadow = 0; region_lead(log->region) && on && shadow < 2; shadow++)
        for (size_t i = 0; i < now.totals->limit_count; i++)
            if (refused_since(&log->before, &now.totals->limit[i], shadow) > 0)
                write_line(&log->before, &now, &now.totals->limit[i], shadow);
    moment_free(&log->before);
    log->before = now;
    for (int shadow = 0; shadow < 2; shadow++)
        top_list_sort_by_key(&log->before.top[shadow]);
}

void refusal_log_free(struct refusal_log *log)
{
    if (!log)
        return;
    moment_free(&log->before);
    free(log);
}
