/* tally.c - count decisions and answers. */
/* SPDX-License-Identifier: MIT */
#include "decide/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "shared/counters.h"
#include "shared/slot.h"
#include "shared/top.h"

struct tally {
    struct slot *slot;
    const struct watch_wish *wish;
    struct watch_rate rate;
    const struct limits *limits;
    struct limit_row **row; /* one for each limit of LIMITS; in SLOT */
};

void tally_set_limits(struct tally *tally, const struct limits *limits)
{
    tally->limits = limits;
    tally->row = memory_resize(tally->row, limits->count * sizeof(struct limit_row *));
    slot_retire_limits(tally->slot);
    for (size_t i = 0; i < limits->count; i++) {
        tally->row[i] = slot_limit(tally->slot, limits->limit[i].name, i);
        counter_set(&tally->row[i]->in_force, 1);
    }
}

/* The counters of LIMIT, one of LIMITS, which may have been replaced meanwhile. */
static struct limit_counters *counters_of(struct tally *tally, const struct limits *limits,
                                          const struct limit *limit)
{
    if (limits == tally->limits)
        return &tally->row[limit - limits->limit]->counters;
    return &slot_limit(tally->slot, limit->name, 0)->counters;
}

static void add_to_top(struct top *top, const struct limit *limit, const struct charge *charge)
{
    top_add(top, limit->name, charge->key, charge->key_len, clock_unix_us());
}

/* LIMIT has decided about the client of CHARGE.  REMAINING: tokens; -1: not known. */
static void show(struct tally *tally, enum watch_decision decision, const struct limit *limit,
                 const struct charge *charge, int64_t remaining)
{
    struct watch_row row = {.at_us = clock_unix_us(), .decision = decision, .remaining = remaining};

    strcpy(row.limit, limit->name);
    strcpy(row.key, charge->key);
    watch_add(&tally->slot->watched, tally->wish, &tally->rate, &row);
}

static void count_decided(struct tally *tally, struct limit_counters *counters,
                          const struct quota *quota, bool charged)
{
    const struct charge *charge = quota->charge;
    enum watch_decision decision = WATCH_ALLOWED;

    if (charge->balance.allowed) {
        counter_add(&counters->allowed, 1);
        if (charged)
            counter_add(&counters->tokens_taken, (uint64_t)charge->cost);
    } else if (charge->enforced) {
        decision = WATCH_REFUSED;
        counter_add(&counters->refused, 1);
        add_to_top(&tally->slot->refused, quota->limit, charge);
    } else {
        decision = WATCH_SHADOW_REFUSED;
        counter_add(&counters->shadow_refused, 1);
        add_to_top(&tally->slot->shadow_refused, quota->limit, charge);
    }
    if (watch_is_on(tally->wish))
        show(tally, decision, quota->limit, charge, charge->balance.remaining);
}

static void count_undecided(struct tally *tally, struct limit_counters *counters,
                            const struct quota *quota, bool denied)
{
    counter_add(denied ? &counters->undecided_denied : &counters->undecided_allowed, 1);
    if (watch_is_on(tally->wish))
        show(tally, denied ? WATCH_UNDECIDED_DENIED : WATCH_UNDECIDED_ALLOWED, quota->limit,
             quota->charge, -1);
}

/* Whether tokens were taken: the enforced charges, which come first, all had room. */
static bool is_charged(const struct ask *ask)
{
    for (size_t i = 0; i < ask->charge_count && ask->charges[i].enforced; i++)
        if (!ask->charges[i].balance.allowed)
            return false;
    return true;
}

void tally_settled(struct tally *tally, const struct limits *limits, const struct quota *quotas,
                   const struct ask *ask, bool denied)
{
    bool charged = ask->settled_by != UNSETTLED && is_charged(ask);

    for (size_t i = 0; i < ask->charge_count; i++) {
        struct limit_counters *counters = counters_of(tally, limits, quotas[i].limit);

        if (ask->settled_by != UNSETTLED)
            count_decided(tally, counters, &quotas[i], charged);
        if (ask->settled_by == SETTLED_BY_LOCAL)
            counter_add(ask->charges[i].balance.allowed ? &counters->local_allowed
                                                        : &counters->local_refused,
                        1);
        if (ask->settled_by == UNSETTLED)
            count_undecided(tally, counters, &quotas[i], denied);
    }
}

void tally_lifted(struct tally *tally, const struct limits *limits, const struct limit *limit)
{
    counter_add(&counters_of(tally, limits, limit)->allowed, 1);
}

void tally_blocked(struct tally *tally, const struct limits *limits, const struct limit *limit,
                   const struct charge *charge)
{
    struct limit_counters *counters = counters_of(tally, limits, limit);

    if (limit->shadow) {
        counter_add(&counters->shadow_refused, 1);
        add_to_top(&tally->slot->shadow_refused, limit, charge);
    } else {
        counter_add(&counters->blocked, 1);
        add_to_top(&tally->slot->refused, limit, charge);
    }
    if (watch_is_on(tally->wish))
        show(tally, limit->shadow ? WATCH_SHADOW_REFUSED : WATCH_BLOCKED, limit, charge, -1);
}

static uint64_t *status_counter(struct process_counters *counters, int status)
{
    switch (status) {
    case 200:
        return &counters->status_200;
    case 400:
        return &counters->status_400;
    case 403:
        return &counters->status_403;
    case 429:
        return &counters->status_429;
    case 431:
        return &counters->status_431;
    case 503:
        return &counters->status_503;
    default:
        return &counters->status_500;
    }
}

void tally_answer(struct tally *tally, const char *text, double begun_s)
{
    struct process_counters *counters = &tally->slot->counters;

    counter_add(status_counter(counters, reply_status(text)), 1);
    /* The clock was read when the reply of Redis came. */
    histogram_add(&counters->request_duration, clock_recent_s() - begun_s);
}

struct tally *tally_new(const struct region *region)
{
    struct tally *tally = memory_new(sizeof *tally);

    tally->slot = region_own(region);
    tally->wish = region_wish(region);
    return tally;
}

void tally_free(struct tally *tally)
{
    if (!tally)
        return;
    free(tally->row);
    free(tally);
}
