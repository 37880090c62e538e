/* ceiling.c - redis.h without a Redis: every bucket is full, at once.  Linked in place of redis.c
 * it makes the program that `make bench` compares with: what the loop, libfcgi and the web server
 * can do alone. */
#include <assert.h>
#include <stdlib.h>

#include "limits/limits.h"
#include "store/redis.h"

struct redis {
    char unused;
};

struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address,
                        unsigned timeout_ms)
{
    struct redis *redis = calloc(1, sizeof *redis);

    (void)loop, (void)address, (void)timeout_ms;
    assert(redis);
    return redis;
}

void redis_take(void *store, const struct take *takes, size_t count, size_t enforced,
                take_done *done, void *context)
{
    struct bucket buckets[LIMITS_MAX];

    (void)store, (void)enforced;
    for (size_t i = 0; i < count; i++)
        buckets[i] = (struct bucket){.allowed = true,
                                     .remaining = takes[i].capacity - 1,
                                     .wait_us = 0,
                                     .full_us = takes[i].interval_us};
    done(context, buckets);
}

void redis_turn(struct redis *redis)
{
    (void)redis;
}

void redis_free(struct redis *redis)
{
    free(redis);
}
