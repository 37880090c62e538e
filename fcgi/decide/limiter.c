/* limiter.c - all limits are applied to a request, the store is asked once, and its answer becomes
 * the reply. */
/* SPDX-License-Identifier: MIT */
#include "decide/limiter.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"
#include "limits/apply.h"
#include "base/clock.h"
#include "request/forward_auth.h"
#include "base/log.h"
#include "decide/reply.h"

#define SHADOW_LOG_S                                                                               \
    1 /* a shadow limit that would refuse is said so at most once in so many seconds */

#define TOO_MUCH_LOG_S 60

/* After a burst of requests the memory that it took is given back to the system: if at least
 * BURST_COUNT were under way, and less than a sixteenth of it are left; at most once in TRIM_S,
 * because it takes milliseconds. */
#define BURST_COUNT 2048
#define TRIM_S      10
/* Requests that are kept for the next ones. */
#define SPARE_MAX 256

/* A request between its take and its answer.  Kept for the next one when it is answered. */
struct pending {
    struct limiter *limiter;
    struct limits *limits; /* that decide about it; held */
    struct pending *next_free;
    void *exchange;
    enum reply_form form;
    size_t count, enforced;        /* of the limits that are taken from; these come first */
    size_t shadow_count;           /* shadow limits that would have refused */
    const struct limit **applying; /* the first COUNT of it: which */
    const struct limit **shadow;   /* the first SHADOWS of it: which */
    struct take takes[]; /* as many as LIMITS has, as APPLYING and SHADOW; those lie behind it */
};

/* What the log has been told of a shadow limit. */
struct shadow_log {
    double said_s; /* on clock_s; 0: never */
    unsigned long unsaid;
};

struct limiter {
    struct limits *limits; /* held */
    take_tokens *take;
    void *store;
    limiter_reply *reply;
    double too_much_said_s; /* on clock_s; 0: never */
    bool incomplete_logged;
    struct forward_auth forward; /* of the request that is handled now ... */
    struct view view;            /* ... both too large for a stack */
    struct pending *free;        /* all of them for LIMITS */
    size_t free_count;
    size_t under_way, most_under_way; /* MOST: since memory was given back */
    double trimmed_s;                 /* on clock_s */
    struct shadow_log shadow_log[LIMITS_MAX];
};

/* ---- Requests under way ---- */

static struct pending *pending_get(struct limiter *limiter)
{
    struct pending *pending = limiter->free;
    size_t count = limiter->limits->count;

    if (++limiter->under_way > limiter->most_under_way)
        limiter->most_under_way = limiter->under_way;
    if (pending) {
        limiter->free = pending->next_free;
        limiter->free_count--;
        return pending;
    }
    pending = memory_get(sizeof *pending +
                         count * (sizeof pending->takes[0] + 2 * sizeof(const struct limit *)));
    pending->applying = (const struct limit **)&pending->takes[count];
    pending->shadow = pending->applying + count;
    pending->limiter = limiter;
    pending->limits = limits_ref(limiter->limits);
    return pending;
}

static void pending_free(struct pending *pending)
{
    limits_unref(pending->limits);
    free(pending);
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

static void pending_put(struct pending *pending)
{
    struct limiter *limiter = pending->limiter;

    limiter->under_way--;
    if (pending->limits != limiter->limits || limiter->free_count == SPARE_MAX) {
        pending_free(pending);
    } else {
        pending->next_free = limiter->free;
        limiter->free = pending;
        limiter->free_count++;
    }
    trim_after_burst(limiter);
}

static void pool_empty(struct limiter *limiter)
{
    while (limiter->free) {
        struct pending *next = limiter->free->next_free;
        pending_free(limiter->free);
        limiter->free = next;
    }
    limiter->free_count = 0;
}

/* ---- Shadow limits ---- */

static void shadow_log(struct shadow_log *log, const struct limit *limit, const char *key)
{
    double now_s = clock_s();

    if (log->said_s > 0 && now_s < log->said_s + SHADOW_LOG_S) {
        log->unsaid++;
        return;
    }
    if (log->unsaid > 0)
        log_line("shadow limit %s would have refused %s, and %lu requests since the last such line",
                 limit->name, key, log->unsaid);
    else
        log_line("shadow limit %s would have refused %s", limit->name, key);
    *log = (struct shadow_log){.said_s = now_s};
}

/* LIMIT, a shadow, would have refused the client whose bucket is at KEY. */
static void shadow_refuses(struct pending *pending, const struct limit *limit, const char *key)
{
    struct limiter *limiter = pending->limiter;

    pending->shadow[pending->shadow_count++] = limit;
    /* Of limits that have been replaced meanwhile, the log of the new ones says nothing. */
    if (pending->limits == limiter->limits)
        shadow_log(&limiter->shadow_log[limit - pending->limits->limit], limit, key);
}

/* ---- The decision ---- */

static enum reply_form form_for(const struct request *request)
{
    if (request->authorizer)
        return REPLY_AUTHORIZER;
    return request_parameter(request, REPLY_AUTH_REQUEST_PARAMETER) ? REPLY_AUTH_REQUEST
                                                                    : REPLY_WHOLE;
}

static enum redis_failure failure_mode(const struct pending *pending)
{
    for (size_t i = 0; i < pending->enforced; i++)
        if (pending->applying[i]->on_redis_failure == REDIS_FAILURE_DENY)
            return REDIS_FAILURE_DENY;
    return REDIS_FAILURE_ALLOW;
}

static void answer(struct pending *pending, const char *text, size_t len)
{
    pending->limiter->reply(pending->exchange, text, len);
    pending_put(pending);
}

/* QUOTAS are those of the limits that are enforced. */
static void answer_verdict(struct pending *pending, const struct quota *quotas)
{
    const struct verdict verdict = {
        .quotas = quotas,
        .count = pending->enforced,
        .shadow = pending->shadow,
        .shadow_count = pending->shadow_count,
        .headers = pending->limits->headers,
    };
    char text[REPLY_SIZE];

    answer(pending, text, reply_decided(&verdict, pending->form, text));
}

static void answer_decided(struct pending *pending, const struct bucket *buckets)
{
    struct quota quotas[LIMITS_MAX];

    for (size_t i = 0; i < pending->enforced; i++)
        quotas[i] = (struct quota){pending->applying[i], &pending->takes[i], buckets[i]};
    for (size_t i = pending->enforced; i < pending->count; i++)
        if (!buckets[i].allowed)
            shadow_refuses(pending, pending->applying[i], pending->takes[i].key);
    answer_verdict(pending, quotas);
}

static void on_taken(void *context, const struct bucket *buckets)
{
    struct pending *pending = context;
    char text[REPLY_SIZE];

    if (buckets)
        answer_decided(pending, buckets);
    else
        answer(pending, text, reply_undecided(failure_mode(pending), pending->form, text));
}

static const char too_much[] =
    "This request is too long to be compared with all patterns of the limits.";

/* Log that LIMIT's patterns took too long for a request, at most once a minute. */
static void log_too_much(struct limiter *limiter, const struct limit *limit)
{
    double now_s = clock_s();

    if (limiter->too_much_said_s > 0 && now_s < limiter->too_much_said_s + TOO_MUCH_LOG_S)
        return;
    limiter->too_much_said_s = now_s;
    log_line(
        "limit %s: a request was refused with 400, because comparing it with the patterns of the "
        "limits took too long",
        limit->name);
}

/* How the limits end a request without a take. */
struct ending {
    enum apply_result
        result; /* APPLY_BLOCKED, APPLY_AMBIGUOUS, APPLY_TOO_MUCH; APPLY_NOT: they do not */
    const struct limit *limit;
    struct applied applied;
};

/* Answer the request as ENDING says. */
static void answer_at_once(struct pending *pending, const struct ending *ending)
{
    enum reply_form form = pending->form;
    char text[REPLY_SIZE];

    if (ending->result == APPLY_TOO_MUCH)
        log_too_much(pending->limiter, ending->limit);
    answer(pending, text,
           ending->result == APPLY_AMBIGUOUS
               ? reply_ambiguous(ending->applied.ambiguous, form, text)
           : ending->result == APPLY_TOO_MUCH ? reply_unclear(too_much, form, text)
                                              : reply_blocked(ending->limit, form, text));
}

/* Let LIMIT take from the client's bucket, or not.  Returns what it is for the request. */
static enum apply_result apply(struct pending *pending, const struct limit *limit,
                               struct view *view, struct applied *applied)
{
    struct take *take = &pending->takes[pending->count];
    enum apply_result result = apply_limit(limit, view, take, applied);

    if (result == APPLY_TAKE)
        pending->applying[pending->count++] = limit;
    if (result == APPLY_BLOCKED && limit->shadow)
        shadow_refuses(pending, limit, take->key);
    return result;
}

/* Apply the limits that are enforced, up to one that ends the request. */
static struct ending apply_enforced(struct pending *pending, struct view *view)
{
    const struct limits *limits = pending->limits;
    struct ending ending = {.result = APPLY_NOT};

    for (size_t i = 0; i < limits->count; i++) {
        ending.limit = &limits->limit[i];
        if (ending.limit->shadow)
            continue;
        ending.result = apply(pending, ending.limit, view, &ending.applied);
        if (ending.result == APPLY_BLOCKED || ending.result == APPLY_AMBIGUOUS ||
            ending.result == APPLY_TOO_MUCH)
            return ending;
    }
    ending.result = APPLY_NOT;
    return ending;
}

static void apply_shadows(struct pending *pending, struct view *view)
{
    const struct limits *limits = pending->limits;
    struct applied applied;

    for (size_t i = 0; i < limits->count; i++)
        if (limits->limit[i].shadow)
            apply(pending, &limits->limit[i], view, &applied);
}

/* The web server described a request without PARAMETER. */
static void answer_incomplete(struct pending *pending, const char *parameter)
{
    struct limiter *limiter = pending->limiter;
    char text[REPLY_SIZE];

    /* Once is enough: it is the web server's configuration, and stays so for every request. */
    if (!limiter->incomplete_logged)
        log_line("the web server sends no %s; include its standard fastcgi_params", parameter);
    limiter->incomplete_logged = true;
    answer(pending, text, reply_incomplete(parameter, text));
}

/* Answer REQUEST if it is one that cannot be decided.  Returns whether it was answered. */
static bool answer_unreadable(struct pending *pending, const struct request *request)
{
    const char *missing = request_missing(request);
    char text[REPLY_SIZE];

    if (request->defect != REQUEST_FINE)
        answer(pending, text, reply_defect(request->defect, pending->form, text));
    else if (missing)
        answer_incomplete(pending, missing);
    return request->defect != REQUEST_FINE || missing;
}

/* ---- Public ---- */

struct limiter *limiter_new(struct limits *limits, take_tokens *take, void *store,
                            limiter_reply *reply)
{
    struct limiter *limiter = memory_new(sizeof *limiter);

    limiter->limits = limits_ref(limits);
    limiter->take = take;
    limiter->store = store;
    limiter->reply = reply;
    return limiter;
}

void limiter_set_limits(struct limiter *limiter, struct limits *limits)
{
    pool_empty(limiter);
    limits_ref(limits);
    limits_unref(limiter->limits);
    limiter->limits = limits;
    for (size_t i = 0; i < LIMITS_MAX; i++)
        limiter->shadow_log[i] = (struct shadow_log){0};
}

void limiter_handle(struct limiter *limiter, void *exchange, const struct request *request)
{
    struct pending *pending = pending_get(limiter);
    const struct limits *limits = pending->limits;
    const struct forward_auth_rules rules = {limits->trusted_proxy, limits->proxy_count,
                                             limits->forward_auth};
    struct view *view = &limiter->view;
    char text[REPLY_SIZE];

    pending->exchange = exchange;
    pending->form = form_for(request);
    if (answer_unreadable(pending, request))
        return;
    request = forward_auth_read(request, &rules, &limiter->forward);
    if (!request) {
        answer(pending, text, reply_unclear(limiter->forward.problem, pending->form, text));
        return;
    }
    pending->count = pending->enforced = pending->shadow_count = 0;
    view_begin(view, request, (unsigned)limits->ipv6_prefix_bits);
    const struct ending ending = apply_enforced(pending, view);
    if (ending.result != APPLY_NOT) {
        answer_at_once(pending, &ending);
        return;
    }
    pending->enforced = pending->count;
    apply_shadows(pending, view);
    if (pending->count > 0)
        limiter->take(limiter->store, pending->takes, pending->count, pending->enforced, on_taken,
                      pending);
    else
        answer_verdict(pending, NULL); /* there is nothing to ask */
}

void limiter_free(struct limiter *limiter)
{
    if (!limiter)
        return;
    pool_empty(limiter);
    limits_unref(limiter->limits);
    free(limiter);
}
