/* ceiling.c - redis.h without Redis: every bucket is always full.  Linked instead of redis.c, it
 * makes the program that `make bench` compares with, which shows the maximum for the event loop,
 * libfcgi and the web server alone. */
/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>

#include "store/redis.h"

struct redis {
    struct store store; /* first */
};

static void allow(struct store *store, struct ask *ask)
{
    (void)store;
    for (size_t i = 0; i < ask->charge_count; i++)
        ask->charges[i].balance = (struct balance){.allowed = true,
                                                   .remaining = ask->charges[i].capacity - 1,
                                                   .wait_us = 0,
                                                   .full_us = ask->charges[i].interval_us};
    ask->settled_by = SETTLED_BY_REDIS;
    ask->done(ask);
}

struct redis *redis_new(struct ev_loop *loop, const struct redis_config *config, struct slot *slot)
{
    struct redis *redis = calloc(1, sizeof *redis);

    (void)loop, (void)config, (void)slot;
    assert(redis);
    redis->store.ask = allow;
    return redis;
}

struct store *redis_store(struct redis *redis)
{
    return &redis->store;
}

bool redis_hget(struct redis *redis, const char *key, const char *field, redis_query_done *done,
                void *context)
{
    (void)redis, (void)key, (void)field, (void)done, (void)context;
    return false;
}

bool redis_eval(struct redis *redis, const char *script, const char *key, const char *argument,
                const char *other, redis_query_done *done, void *context)
{
    (void)redis, (void)script, (void)key, (void)argument, (void)other, (void)done, (void)context;
    return false;
}

bool redis_is_away(const struct redis *redis)
{
    (void)redis;
    return false;
}

const char *redis_shown(const struct redis *redis)
{
    (void)redis;
    return "none";
}

void redis_count_down_time(struct redis *redis)
{
    (void)redis;
}

void redis_turn(struct redis *redis)
{
    (void)redis;
}

void redis_free(struct redis *redis)
{
    free(redis);
}
