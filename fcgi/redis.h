/* redis.h - the store of buckets: one connection to Redis, its script, its deadline.
 * The only file that knows hiredis. */
#ifndef REDIS_H
#define REDIS_H

#include <ev.h>
#include <stddef.h>

#include "redis_address.h"
#include "take.h"

struct redis;

/* A connection to the Redis at ADDRESS (copied) from LOOP.  It connects by itself, now and whenever it
 * is lost: AUTH, SELECT, SCRIPT LOAD and one take from a bucket of its own, rl:{probe}, on each connect,
 * so that a Redis that is loading, read-only, out of memory or forbidden counts as lost.
 * TIMEOUT_MS  (> 0) is how long a take may last, waiting for a connection included.
 * A connection that worked and is closed is replaced at once, and takes wait for it; what was in flight
 * is not decided and not sent again, for Redis may have charged it.  Where that fails, or a reply is an
 * error or late, Redis is away: takes are not decided, at once, and a new connection is tried after
 * 10 ms, doubling to 1 s, with jitter.  The loss and the return are one log line each.
 * Returns it, the caller's to free with redis_free; never NULL. */
struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address,
                        unsigned timeout_ms);

/* A take_tokens (take.h) from STORE, a struct redis.  TAKES and CONTEXT are borrowed until DONE.
 * All takes of a call go in one EVALSHA.  A Redis Cluster wants the keys of one command in one slot:
 * limits with the same identity (key.h) are there, limits with different ones need not be. */
void redis_take(void *store, const struct take *takes, size_t count, size_t enforced,
                take_done *done, void *context);

/* Close the connection and free REDIS; takes under way are not decided.  NULL is fine. */
void redis_free(struct redis *redis);

#endif
