/* limiter.c - all limits are applied to a request, the store is asked once, and its answer becomes
 * the reply. */
/* SPDX-License-Identifier: MIT */
#include "decide/limiter.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "decide/tally.h"
#include "limits/apply.h"

#define NOT_APPLIED_LOG_S 60 /* between two lines about limits that cannot be applied */

/* After a burst of requests the memory that it took is given back to the system: if at least
 * BURST_COUNT were under way, and less than a sixteenth of it are left; at most once in TRIM_S,
 * because it takes milliseconds. */
#define BURST_COUNT 2048
#define TRIM_S      10

#define SPARE_MAX 256 /* decisions that are kept for the next requests */

/* A request between its ask and its answer. */
struct decision {
    struct ask ask; /* first, so that an ask of ours is a decision */
    struct limiter *limiter;
    struct limits *limits; /* that decide; a reference */
    struct decision *next_spare;
    void *exchange;
    double begun_s; /* on clock_s: when the loop woke up, or later */
    enum reply_form form;
    size_t applied_count;  /* limits that apply, those that an override lifts included */
    size_t enforced_count; /* of the ask's charges; these come first */
    size_t shadow_count;
    struct quota *quotas;        /* one for each charge */
    const struct limit **shadow; /* SHADOW_COUNT shadow limits that would have refused */
    struct charge charges[]; /* as many as may apply; QUOTAS and SHADOW are behind them, as many */
};

struct limiter {
    struct limits *limits; /* a reference */
    struct store *store;
    struct tally *tally;
    limiter_reply *reply;
    double not_applied_said_s; /* on clock_s; 0: never */
    struct view view;          /* of the request that is handled now; too large for a stack */
    struct decision *spare;    /* all of them for LIMITS */
    size_t spare_count;
    size_t under_way, most_under_way; /* MOST: since memory was given back */
    double trimmed_s;                 /* on clock_s */
};

/* ---- Requests under way ---- */

/* How many limits may apply to one request. */
static size_t charges_max(const struct limits *limits)
{
    return limits->count < STORE_CHARGES_MAX ? limits->count : STORE_CHARGES_MAX;
}

static void on_settled(struct ask *ask);

static struct decision *decision_new(struct limiter *limiter)
{
    size_t count = charges_max(limiter->limits);
    struct decision *decision =
        memory_get(sizeof *decision + count * (sizeof(struct charge) + sizeof(struct quota) +
                                               sizeof(const struct limit *)));

    decision->quotas = (struct quota *)&decision->charges[count];
    decision->shadow = (const struct limit **)&decision->quotas[count];
    decision->limiter = limiter;
    decision->limits = limits_ref(limiter->limits);
    decision->ask = (struct ask){.charges = decision->charges, .done = on_settled};
    return decision;
}

static struct decision *decision_get(struct limiter *limiter)
{
    struct decision *decision = limiter->spare;

    if (++limiter->under_way > limiter->most_under_way)
        limiter->most_under_way = limiter->under_way;
    if (!decision) {
        decision = decision_new(limiter);
    } else {
        limiter->spare = decision->next_spare;
        limiter->spare_count--;
    }
    decision->ask.charge_count = 0;
    decision->ask.settled_by = UNSETTLED;
    decision->applied_count = decision->enforced_count = decision->shadow_count = 0;
    return decision;
}

static void decision_free(struct decision *decision)
{
    limits_unref(decision->limits);
    free(decision);
}

/* A burst is over: what it took is free, but glibc keeps it. */
static void trim_after_burst(struct limiter *limiter)
{
    double now_s;

    if (limiter->most_under_way < BURST_COUNT || limiter->under_way > BURST_COUNT / 16)
        return;
    now_s = clock_s();
    if (limiter->trimmed_s > 0 && now_s < limiter->trimmed_s + TRIM_S)
        return;
    limiter->trimmed_s = now_s;
    limiter->most_under_way = limiter->under_way;
    malloc_trim(0);
}

static void decision_put(struct decision *decision)
{
    struct limiter *limiter = decision->limiter;

    limiter->under_way--;
    if (decision->limits != limiter->limits || limiter->spare_count == SPARE_MAX) {
        decision_free(decision);
    } else {
        decision->next_spare = limiter->spare;
        limiter->spare = decision;
        limiter->spare_count++;
    }
    trim_after_burst(limiter);
}

static void spare_free(struct limiter *limiter)
{
    while (limiter->spare) {
        struct decision *next = limiter->spare->next_spare;
        decision_free(limiter->spare);
        limiter->spare = next;
    }
    limiter->spare_count = 0;
}

/* LIMIT, a shadow, would have refused the request. */
static void shadow_refuses(struct decision *decision, const struct limit *limit)
{
    decision->shadow[decision->shadow_count++] = limit;
}

/* ---- Answers ---- */

static void answer(struct decision *decision, const char *text, size_t len)
{
    decision->limiter->reply(decision->exchange, text, len);
    tally_answer(decision->limiter->tally, text, decision->begun_s);
    decision_put(decision);
}

static void answer_verdict(struct decision *decision)
{
    const struct verdict verdict = {
        .quotas = decision->quotas,
        .count = decision->enforced_count,
        .shadow = decision->shadow,
        .shadow_count = decision->shadow_count,
        .headers = decision->limits->headers,
        .local = decision->ask.settled_by == SETTLED_BY_LOCAL,
    };
    char text[REPLY_SIZE];

    answer(decision, text, reply_decided(&verdict, decision->form, text));
}

static void answer_decided(struct decision *decision)
{
    tally_settled(decision->limiter->tally, decision->limits, decision->quotas, &decision->ask,
                  false);
    for (size_t i = decision->enforced_count; i < decision->ask.charge_count; i++)
        if (!decision->charges[i].balance.allowed)
            shadow_refuses(decision, decision->quotas[i].limit);
    answer_verdict(decision);
}

/* Each charge has its own policy for when the store is down; one that denies is enough.  A store
 * that does not decide although a charge says WHEN_DOWN_LOCAL does so because another one denies.
 */
static void answer_undecided(struct decision *decision)
{
    enum when_down when_down = WHEN_DOWN_ALLOW;
    char text[REPLY_SIZE];

    for (size_t i = 0; i < decision->enforced_count; i++)
        if (decision->charges[i].when_down == WHEN_DOWN_DENY)
            when_down = WHEN_DOWN_DENY;
    tally_settled(decision->limiter->tally, decision->limits, decision->quotas, &decision->ask,
                  when_down == WHEN_DOWN_DENY);
    answer(decision, text, reply_undecided(when_down, decision->form, text));
}

static void on_settled(struct ask *ask)
{
    struct decision *decision = (struct decision *)ask;

    if (ask->settled_by == UNSETTLED)
        answer_undecided(decision);
    else
        answer_decided(decision);
}

/* Log at most once a minute that LIMIT could not be applied to a request, as RESULT says. */
static void log_not_applied(struct limiter *limiter, const struct limit *limit,
                            enum apply_result result)
{
    double now_s = clock_s();

    if (limiter->not_applied_said_s > 0 && now_s < limiter->not_applied_said_s + NOT_APPLIED_LOG_S)
        return;
    limiter->not_applied_said_s = now_s;
    if (result == APPLY_TOO_MUCH)
        log_line(LOG_WARNING,
                 "limit %s: a request was refused with 400, because comparing it with the patterns "
                 "of the limits took too long",
                 limit->name);
    else
        log_line(LOG_WARNING,
                 "limit %s: %s, because over %d limits apply to it; give some of them a narrower "
                 "match",
                 limit->name,
                 limit->shadow ? "it was left out of a request" : "a request was refused with 500",
                 STORE_CHARGES_MAX);
}

/* How the limits end a request without asking the store. */
struct ending {
    enum apply_result result; /* APPLY_NOT: they do not */
    const struct limit *limit;
    struct applied applied;
};

/* Answer the request as ENDING says. */
static void answer_ending(struct decision *decision, const struct ending *ending)
{
    enum reply_form form = decision->form;
    char text[REPLY_SIZE];
    size_t len;

    if (ending->result == APPLY_TOO_MUCH || ending->result == APPLY_TOO_MANY)
        log_not_applied(decision->limiter, ending->limit, ending->result);
    if (ending->result == APPLY_AMBIGUOUS)
        len = reply_ambiguous(ending->applied.ambiguous, form, text);
    else if (ending->result == APPLY_TOO_MUCH)
        len = reply_unclear(
            "This request is too long to be compared with all patterns of the limits.", form, text);
    else if (ending->result == APPLY_TOO_MANY)
        len = reply_too_many(form, text);
    else
        len = reply_blocked(ending->limit, form, text);
    answer(decision, text, len);
}

/* ---- The decision ---- */

/* Add what LIMIT asks of the client's bucket, if it applies.  Returns whether it does. */
static enum apply_result apply(struct decision *decision, const struct limit *limit,
                               struct view *view, struct applied *applied)
{
    size_t count = decision->ask.charge_count;
    struct charge *charge = &decision->charges[count];

    if (decision->applied_count == STORE_CHARGES_MAX)
        return match_request(&limit->match, view) == MATCH_FITS ? APPLY_TOO_MANY : APPLY_NOT;
    enum apply_result result = apply_limit(limit, view, charge, applied);
    decision->applied_count += result != APPLY_NOT;
    if (result == APPLY_CHARGE) {
        decision->quotas[count] = (struct quota){limit, charge};
        decision->ask.charge_count++;
    }
    if (result == APPLY_UNLIMITED)
        tally_lifted(decision->limiter->tally, decision->limits, limit);
    if (result == APPLY_BLOCKED)
        tally_blocked(decision->limiter->tally, decision->limits, limit, charge);
    if (result == APPLY_BLOCKED && limit->shadow)
        shadow_refuses(decision, limit);
    return result;
}

/* Apply the limits that are enforced, up to one that ends the request. */
static struct ending apply_enforced(struct decision *decision, struct view *view)
{
    const struct limits *limits = decision->limits;
    struct ending ending = {.result = APPLY_NOT};

    for (size_t i = 0; i < limits->count; i++) {
        ending.limit = &limits->limit[i];
        if (ending.limit->shadow)
            continue;
        ending.result = apply(decision, ending.limit, view, &ending.applied);
        if (ending.result != APPLY_NOT && ending.result != APPLY_CHARGE &&
            ending.result != APPLY_UNLIMITED)
            return ending;
    }
    ending.result = APPLY_NOT;
    return ending;
}

static void apply_shadows(struct decision *decision, struct view *view)
{
    const struct limits *limits = decision->limits;
    struct applied applied;

    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *limit = &limits->limit[i];
        if (limit->shadow && apply(decision, limit, view, &applied) == APPLY_TOO_MANY)
            log_not_applied(decision->limiter, limit, APPLY_TOO_MANY);
    }
}

void limiter_handle(struct limiter *limiter, void *exchange, const struct request *request,
                    enum reply_form form)
{
    struct decision *decision = decision_get(limiter);
    struct view *view = &limiter->view;

    decision->exchange = exchange;
    decision->form = form;
    decision->begun_s = clock_recent_s();
    view_begin(view, request, (unsigned)decision->limits->ipv6_prefix_bits);
    const struct ending ending = apply_enforced(decision, view);
    if (ending.result != APPLY_NOT) {
        answer_ending(decision, &ending);
        return;
    }
    decision->enforced_count = decision->ask.charge_count;
    apply_shadows(decision, view);
    if (decision->ask.charge_count > 0)
        limiter->store->ask(limiter->store, &decision->ask);
    else
        answer_verdict(decision); /* there is nothing to ask */
}

/* ---- Public ---- */

/* Use LIMITS, a reference that becomes the limiter's. */
static void use_limits(struct limiter *limiter, struct limits *limits)
{
    limiter->limits = limits;
    tally_set_limits(limiter->tally, limits);
}

struct limiter *limiter_new(struct limits *limits, struct store *store, const struct region *region,
                            limiter_reply *reply)
{
    struct limiter *limiter = memory_new(sizeof *limiter);

    limiter->store = store;
    limiter->tally = tally_new(region);
    limiter->reply = reply;
    use_limits(limiter, limits_ref(limits));
    return limiter;
}

void limiter_set_limits(struct limiter *limiter, struct limits *limits)
{
    struct limits *before = limiter->limits;

    spare_free(limiter);
    use_limits(limiter, limits_ref(limits));
    limits_unref(before);
}

const struct limits *limiter_limits(const struct limiter *limiter)
{
    return limiter->limits;
}

size_t limiter_under_way(const struct limiter *limiter)
{
    return limiter->under_way;
}

void limiter_answer(struct limiter *limiter, void *exchange, const char *text, size_t len)
{
    double begun_s = clock_recent_s();

    limiter->reply(exchange, text, len);
    tally_answer(limiter->tally, text, begun_s);
}

void limiter_free(struct limiter *limiter)
{
    if (!limiter)
        return;
    spare_free(limiter);
    tally_free(limiter->tally);
    limits_unref(limiter->limits);
    free(limiter);
}
