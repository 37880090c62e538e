#include "limiter.h"

#include <assert.h>
#include <stdlib.h>

#include "reply.h"

/* A request between its take and its answer.  Kept for the next one when it is answered. */
struct pending {
    struct limiter *limiter;
    struct pending *next_free;
    void *exchange;
    struct take takes[]; /* one for each limit */
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

static enum redis_failure failure_mode(const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        if (limits->limit[i].on_redis_failure == REDIS_FAILURE_DENY)
            return REDIS_FAILURE_DENY;
    return REDIS_FAILURE_ALLOW;
}

static void answer(void *context, const struct bucket *buckets)
{
    struct pending *pending = context;
    struct limiter *limiter = pending->limiter;
    const struct limits *limits = limiter->limits;
    struct quota quotas[LIMITS_MAX];
    char text[REPLY_MAX];
    size_t len;

    if (buckets) {
        for (size_t i = 0; i < limits->count; i++)
            quotas[i] = (struct quota){&limits->limit[i], buckets[i]};
        len = reply_decided(quotas, limits->count, text);
    } else {
        len = reply_undecided(failure_mode(limits), text);
    }
    limiter->reply(pending->exchange, text, len);
    pending_put(pending);
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

    pending->exchange = exchange;
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *limit = &limits->limit[i];
        struct take *take = &pending->takes[i];
        take->key_len = key_build(&limit->key, limit->name, request, take->key);
        take->interval_us = limit->interval_us;
        take->capacity = limit->capacity;
        take->cost = 1;
    }
    limiter->take(limiter->store, pending->takes, limits->count, answer, pending);
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
