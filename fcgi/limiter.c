#include "limiter.h"

#include <assert.h>
#include <stdlib.h>

#include "reply.h"

/* A request between its take and its answer.  Kept for the next one when it is answered. */
struct pending {
    struct limiter *limiter;
    struct pending *next_free;
    void *exchange;
    size_t count;                             /* of the limits that apply, which may be none */
    const struct limit *applying[LIMITS_MAX]; /* the first COUNT of it: which */
    struct take takes[];
};

struct limiter {
    const struct limits *limits;
    take_tokens *take;
    void *store;
    limiter_reply *reply;
    struct pending *free;
};

static struct pending *pending_get(struct limiter *limiter)
{
    struct pending *pending = limiter->free;

    if (pending) {
        limiter->free = pending->next_free;
        return pending;
    }
    pending = malloc(sizeof *pending + limiter->limits->count * sizeof pending->takes[0]);
    assert(pending);
    pending->limiter = limiter;
    return pending;
}

static void pending_put(struct pending *pending)
{
    pending->next_free = pending->limiter->free;
    pending->limiter->free = pending;
}

static enum redis_failure failure_mode(const struct pending *pending)
{
    for (size_t i = 0; i < pending->count; i++)
        if (pending->applying[i]->on_redis_failure == REDIS_FAILURE_DENY)
            return REDIS_FAILURE_DENY;
    return REDIS_FAILURE_ALLOW;
}

static void answer(void *context, const struct bucket *buckets)
{
    struct pending *pending = context;
    struct limiter *limiter = pending->limiter;
    struct quota quotas[LIMITS_MAX];
    char text[REPLY_MAX];
    size_t len;

    if (buckets) {
        for (size_t i = 0; i < pending->count; i++)
            quotas[i] = (struct quota){pending->applying[i], buckets[i]};
        len = reply_decided(quotas, pending->count, text);
    } else {
        len = reply_undecided(failure_mode(pending), text);
    }
    limiter->reply(pending->exchange, text, len);
    pending_put(pending);
}

static void apply(struct pending *pending, const struct limit *limit, const struct request *request)
{
    struct take *take = &pending->takes[pending->count];

    pending->applying[pending->count++] = limit;
    take->key_len = key_build(&limit->key, limit->name, request, take->key);
    take->interval_us = limit->interval_us;
    take->capacity = limit->capacity;
    take->cost = 1;
}

struct limiter *limiter_new(const struct limits *limits, take_tokens *take, void *store,
                            limiter_reply *reply)
{
    struct limiter *limiter = malloc(sizeof *limiter);

    assert(limiter);
    *limiter = (struct limiter){limits, take, store, reply, NULL};
    return limiter;
}

void limiter_handle(struct limiter *limiter, void *exchange, const struct request *request)
{
    const struct limits *limits = limiter->limits;
    struct pending *pending = pending_get(limiter);
    struct match_subject subject;

    pending->exchange = exchange;
    pending->count = 0;
    match_begin(&subject, request);
    for (size_t i = 0; i < limits->count; i++)
        if (match_fits(&limits->limit[i].match, &subject))
            apply(pending, &limits->limit[i], request);
    if (pending->count > 0)
        limiter->take(limiter->store, pending->takes, pending->count, answer, pending);
    else
        answer(pending, NULL); /* no limit applies: there is nothing to decide */
}

void limiter_free(struct limiter *limiter)
{
    while (limiter && limiter->free) {
        struct pending *next = limiter->free->next_free;
        free(limiter->free);
        limiter->free = next;
    }
    free(limiter);
}
