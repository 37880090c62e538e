/* local.c - the buckets of one host, and what it owes to Redis. */
/* SPDX-License-Identifier: MIT */
#include "store/local.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "shared/counters.h"
#include "shared/mirror.h"

#define TICK_S      0.1
#define PATIENCE_US 50000 /* for another process that writes a new row, and was interrupted */
#define DEBTS_MAX   64    /* that are charged at the same time */
#define SCAN_ROWS   512   /* rows that are looked at in one go: 10 us */

static const char hosts_script[] = {
#include "hosts.lua.inc"
    , '\0'};

/* Tokens that are owed for one bucket, on their way to Redis. */
struct debt {
    struct ask ask; /* first, so that an ask of ours is a debt */
    struct charge charge;
    struct local *local;
    bool under_way;
};

struct local {
    struct store store; /* first, so that a store of ours is a local */
    struct ev_loop *loop;
    struct redis *redis;
    struct store *next;
    struct region *region;
    struct mirror *mirror;
    struct slot *slot;
    unsigned hosts; /* as the limits file says; 0: counted */

    ev_timer tick;
    double beat_s; /* on clock_s: when the host was counted last; 0: never */
    bool hosts_said;
    bool led; /* this process leads the host, and has looked for debts at least once */
    bool sweeping;
    uint64_t at; /* the row that is looked at next */
    struct debt debt[DEBTS_MAX];
};

/* On the clock of the mirror. */
static int64_t now_us(void)
{
    return (int64_t)(clock_s() * 1e6);
}

unsigned local_hosts(const struct local *local)
{
    uint64_t counted = __atomic_load_n(region_host_count(local->region), __ATOMIC_RELAXED);

    if (local->hosts > 0)
        return local->hosts;
    return counted == 0 ? 1 : counted > LOCAL_HOSTS_MAX ? LOCAL_HOSTS_MAX : (unsigned)counted;
}

/* ---- What Redis has said ---- */

/* A store takes the row from the cache of another processor, so there is none without a change. */
static void set_number(int64_t *number, int64_t value)
{
    if (__atomic_load_n(number, __ATOMIC_RELAXED) != value)
        __atomic_store_n(number, value, __ATOMIC_RELAXED);
}

static void set_limit(struct mirror_row *row, const struct charge *charge)
{
    set_number(&row->interval_us, charge->interval_us);
    set_number(&row->window_us, charge->interval_us * charge->capacity);
}

static void observe(struct local *local, const struct ask *ask)
{
    int64_t now = (int64_t)(clock_recent_s() * 1e6); /* when the reply was read */

    for (size_t i = 0; i < ask->charge_count; i++) {
        const struct charge *charge = &ask->charges[i];
        struct mirror_row *row = mirror_get(local->mirror, charge->key, charge->key_len, now, 0);
        if (!row)
            continue; /* another process writes the set now: less is known, and nothing wrong */
        set_limit(row, charge);
        __atomic_store_n(&row->full_at_us, now + charge->balance.full_us, __ATOMIC_RELAXED);
    }
}

/* ---- The host's buckets ---- */

/* The share of one host in the bucket of a charge.  Credit is in microseconds, as in take.lua: with
 * an interval of H * interval, a capacity of capacity / H fills in the same window. */
struct share {
    int64_t interval_us; /* between two tokens of this host */
    int64_t window_us;   /* from empty to full */
    int64_t need_us;     /* the credit that the cost takes */
};

static struct share share_of(const struct local *local, const struct charge *charge)
{
    int64_t interval_us = charge->interval_us * local_hosts(local);
    int64_t window_us = charge->interval_us * charge->capacity;
    int64_t need_us = interval_us * charge->cost;

    return (struct share){interval_us, window_us > need_us ? window_us : need_us, need_us};
}

/* The credit that ROW has at NOW, by the host's own bucket, which was empty at EMPTY_AT, and by
 * what Redis has said last.  A moment that no bucket can have is one of before the machine was
 * started, whose clock began anew. */
static int64_t credit_of(const struct mirror_row *row, const struct charge *charge,
                         const struct share *share, int64_t empty_at, int64_t now)
{
    int64_t full_at = __atomic_load_n(&row->full_at_us, __ATOMIC_RELAXED);
    int64_t window_us = charge->interval_us * charge->capacity;
    int64_t credit = share->window_us, known = window_us;

    if (empty_at != 0 && empty_at <= now + share->window_us && now - empty_at < credit)
        credit = now - empty_at;
    if (full_at > now && full_at <= now + 2 * window_us)
        known = window_us - (full_at - now);
    if (share->window_us > window_us)
        known = (int64_t)((double)known / (double)window_us * (double)share->window_us);
    return credit < known ? credit : known;
}

/* Write what the bucket of CHARGE has with CREDIT. */
static void set_balance(struct charge *charge, const struct share *share, int64_t credit,
                        bool allowed)
{
    int64_t wait_us = share->need_us - credit, remaining = credit > 0 ? credit : 0;

    remaining /= share->interval_us;
    charge->balance = (struct balance){
        .allowed = allowed,
        .remaining = remaining < charge->capacity ? remaining : charge->capacity,
        .wait_us = wait_us > 0 ? wait_us : 0,
        .full_us = share->window_us - credit,
    };
}

/* Take the cost of CHARGE from this host's bucket, if TAKE says so and there is room, and write the
 * balance.  Returns whether it was charged. */
static bool take(struct local *local, struct charge *charge, int64_t now, bool take)
{
    struct share share = share_of(local, charge);
    struct mirror_row *row =
        mirror_get(local->mirror, charge->key, charge->key_len, now, PATIENCE_US);

    if (charge->cost > charge->capacity || !row) {
        set_balance(charge, &share, 0, false);
        charge->balance.wait_us = row ? -1 : 1000000; /* the set is being written: try again soon */
        return false;
    }
    set_limit(row, charge);
    int64_t empty_at = __atomic_load_n(&row->local_empty_at_us, __ATOMIC_RELAXED);
    for (;;) {
        int64_t credit = credit_of(row, charge, &share, empty_at, now);
        bool allowed = charge->cost == 0 || credit >= share.need_us;
        if (!allowed || !take || charge->cost == 0) {
            set_balance(charge, &share, credit, allowed);
            return false;
        }
        int64_t next = now - credit + share.need_us;
        if (next == 0)
            next = 1; /* 0 is a bucket that was never used */
        if (!__atomic_compare_exchange_n(&row->local_empty_at_us, &empty_at, next, false,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        set_balance(charge, &share, credit - share.need_us, true);
        return true;
    }
}

/* Give back what was taken for CHARGE.  The row is looked up anew, because that of another charge
 * may have taken its place. */
static void give_back(struct local *local, struct charge *charge, int64_t now)
{
    struct mirror_row *row = mirror_find(local->mirror, charge->key, charge->key_len);
    struct share share = share_of(local, charge);

    if (!row)
        return;
    int64_t empty_at = __atomic_sub_fetch(&row->local_empty_at_us, share.need_us, __ATOMIC_RELAXED);
    set_balance(charge, &share, credit_of(row, charge, &share, empty_at, now), true);
}

/* The tokens of CHARGE are owed to Redis. */
static void owe(struct local *local, const struct charge *charge)
{
    struct mirror_row *row =
        mirror_get(local->mirror, charge->key, charge->key_len, now_us(), PATIENCE_US);

    if (!row)
        return;
    set_limit(row, charge);
    __atomic_fetch_add(&row->owed, charge->cost, __ATOMIC_RELAXED);
    mirror_set_owing(local->mirror);
}

/* Whether this host decides CHARGE; the others have room. */
static bool is_local(struct charge *charge)
{
    if (charge->when_down == WHEN_DOWN_LOCAL)
        return true;
    charge->balance = (struct balance){.allowed = true, .remaining = charge->capacity};
    return false;
}

/* Decide ASK by this host's buckets: all of the enforced charges are taken, or none of them is. */
static void decide(struct local *local, struct ask *ask)
{
    bool taken[STORE_CHARGES_MAX] = {false};
    int64_t now = now_us();
    bool all = true;
    size_t i;

    for (i = 0; i < ask->charge_count; i++) {
        struct charge *charge = &ask->charges[i];
        if (!is_local(charge))
            continue;
        taken[i] = take(local, charge, now, all);
        if (charge->enforced && !charge->balance.allowed)
            all = false;
    }
    for (i = 0; i < ask->charge_count; i++) {
        if (taken[i] && all)
            owe(local, &ask->charges[i]);
        else if (taken[i])
            give_back(local, &ask->charges[i], now);
    }
    ask->settled_by = SETTLED_BY_LOCAL;
}

/* Whether this host may decide ASK. */
static bool wants_local(const struct ask *ask)
{
    bool local = false;

    for (size_t i = 0; i < ask->charge_count && ask->charges[i].enforced; i++) {
        if (ask->charges[i].when_down == WHEN_DOWN_DENY)
            return false;
        local |= ask->charges[i].when_down == WHEN_DOWN_LOCAL;
    }
    return local;
}

/* Redis has decided ASK, or not. */
static void on_settled(struct ask *ask)
{
    struct local *local = (struct local *)ask->asker;

    ask->done = ask->next_done;
    if (ask->settled_by == SETTLED_BY_REDIS)
        observe(local, ask);
    else if (wants_local(ask))
        decide(local, ask);
    ask->done(ask);
}

static void local_ask(struct store *store, struct ask *ask)
{
    struct local *local = (struct local *)store;

    ask->next_done = ask->done;
    ask->asker = store;
    ask->done = on_settled;
    local->next->ask(local->next, ask);
}

/* ---- What is owed ---- */

/* If Redis has certainly not charged it, it is owed again.  If it may have, it counts as charged,
 * because otherwise a Redis that answers late would charge a client without end. */
static void on_charged(struct ask *ask)
{
    struct debt *debt = (struct debt *)ask;
    struct local *local = debt->local;
    bool charged = ask->settled_by == SETTLED_BY_REDIS;

    debt->under_way = false;
    if (charged) {
        counter_add(&local->slot->counters.local_tokens_charged, (uint64_t)debt->charge.cost);
        observe(local, ask);
    } else if (!ask->may_be_charged) {
        owe(local, &debt->charge);
        local->sweeping = false; /* until the next tick */
    }
}

/* Charge what ROW owes.  False: as many as may be are under way. */
static bool charge(struct local *local, struct mirror_row *row)
{
    struct debt *debt = local->debt, *end = local->debt + DEBTS_MAX;

    while (debt < end && debt->under_way)
        debt++;
    if (debt == end)
        return false;
    int64_t tokens = __atomic_exchange_n(&row->owed, 0, __ATOMIC_ACQ_REL);
    size_t len = strnlen(row->key, sizeof row->key - 1);
    if (tokens <= 0 || row->interval_us <= 0 || row->window_us < row->interval_us)
        return true;
    *debt = (struct debt){.local = local, .under_way = true};
    debt->charge = (struct charge){.key_len = len,
                                   .interval_us = row->interval_us,
                                   .capacity = row->window_us / row->interval_us,
                                   .cost = tokens,
                                   .enforced = true};
    memcpy(debt->charge.key, row->key, len);
    debt->ask = (struct ask){
        .charges = &debt->charge, .charge_count = 1, .force = true, .done = on_charged};
    local->next->ask(local->next, &debt->ask);
    return true;
}

/* Go through the rows, some at a time. */
static void sweep(struct local *local)
{
    uint64_t end = local->at + SCAN_ROWS;

    for (; local->at < end && local->at < mirror_rows(local->mirror); local->at++) {
        struct mirror_row *row = mirror_row(local->mirror, local->at);
        if (row && __atomic_load_n(&row->owed, __ATOMIC_RELAXED) > 0 && !charge(local, row))
            return;
        if (!local->sweeping)
            return; /* Redis is away again */
    }
    local->sweeping = local->at < mirror_rows(local->mirror);
}

/* Begin to charge what is owed, if Redis is there, and go on with it. */
static void pay(struct local *local)
{
    if (redis_is_away(local->redis))
        return;
    if (!local->sweeping && (mirror_take_owing(local->mirror) || !local->led)) {
        local->sweeping = local->led = true;
        local->at = 0;
    }
    /* 16384 rows take four ticks, if few of them owe something. */
    for (int i = 0; i < 8 && local->sweeping; i++)
        sweep(local);
}

/* ---- How many hosts there are ---- */

static void on_counted(void *context, const struct redis_reply *reply)
{
    struct local *local = context;

    if (reply->kind == REDIS_SAYS_NUMBERS && reply->count == 1 && reply->number[0] >= 1) {
        __atomic_store_n(region_host_count(local->region), (uint64_t)reply->number[0],
                         __ATOMIC_RELAXED);
        local->hosts_said = false;
    } else if (!local->hosts_said) {
        local->hosts_said = true;
        log_line(LOG_WARNING,
                 "redis %s does not count the hosts (%s): without Redis this host takes itself for "
                 "one of %u; allow it, or write redis.hosts",
                 redis_shown(local->redis),
                 reply->kind == REDIS_SAYS_ERROR ? reply->text : "a reply that makes no sense",
                 local_hosts(local));
    }
}

static void beat(struct local *local)
{
    if (local->hosts > 0 || (local->beat_s > 0 && clock_s() < local->beat_s + LOCAL_BEAT_S))
        return;
    if (redis_eval(local->redis, hosts_script, LOCAL_HOSTS_KEY, region_host_id(local->region),
                   LOCAL_HOST_AGE_MS, on_counted, local))
        local->beat_s = clock_s();
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct local *local = watcher->data;

    (void)loop, (void)events;
    if (!region_lead(local->region))
        return;
    counter_set(&local->slot->gauges.hosts, local_hosts(local));
    beat(local);
    pay(local);
}

/* ---- Public ---- */

struct local *local_new(struct ev_loop *loop, struct region *region, struct redis *redis,
                        unsigned hosts)
{
    struct local *local = memory_new(sizeof *local);

    local->store.ask = local_ask;
    local->loop = loop;
    local->redis = redis;
    local->next = redis_store(redis);
    local->region = region;
    local->mirror = region_mirror(region);
    local->slot = region_own(region);
    local->hosts = hosts;
    ev_timer_init(&local->tick, on_tick, TICK_S, TICK_S);
    local->tick.data = local;
    ev_timer_start(loop, &local->tick);
    return local;
}

struct store *local_store(struct local *local)
{
    return &local->store;
}

void local_free(struct local *local)
{
    if (!local)
        return;
    ev_timer_stop(local->loop, &local->tick);
    free(local);
}
