/* redis.h - the store of buckets: one connection to Redis, its script, its deadlines. */
#ifndef REDIS_H
#define REDIS_H

#include <ev.h>
#include <stddef.h>

#include "store/redis_address.h"
#include "store/take.h"

struct redis;

/* A connection to the Redis at ADDRESS (copied) from LOOP.  It connects by itself, now and whenever
 * it is lost: AUTH, SELECT, SCRIPT LOAD and one take from a bucket of its own, rl:{probe}, on each
 * connect. If SCRIPT LOAD or EVALSHA is refused, the whole script is sent with each take (EVAL).
 * A server that is READONLY, LOADING, MASTERDOWN, NOAUTH, NOPERM or WRONGPASS, that sends nonsense,
 * or is not ready within 1 s, is unfit: the next address of the name is tried.
 * TIMEOUT_MS  (> 0) is how long a take waits for its reply once its command is written, or for a
 * connection once it is asked.  What has come is read before a take is called late.  A late take is
 * not decided; its reply is discarded when it comes, and the connection stays.  An error about one
 * take is no decision either: Redis out of memory, busy, MOVED.
 * Redis is lost if it owes a reply and none came for twice TIMEOUT_MS, if it becomes unfit, or if
 * the connection cannot be made again: then takes are not decided, at once, and a new connection is
 * tried after 10 ms, doubling to 1 s, with jitter.  If replies come but are owed for over twice
 * TIMEOUT_MS, takes are not decided until Redis has caught up.
 * A connection that worked and is closed is replaced at once, and takes wait for it; what was in
 * flight is not decided and not sent again, because Redis may have charged it.
 * Each change of state is one log line.
 * Returns it, the caller's to free with redis_free; never NULL. */
struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address,
                        unsigned timeout_ms);

/* A take_tokens (take.h) from STORE, a struct redis.  TAKES and CONTEXT are borrowed until DONE.
 * All takes of a call go in one EVALSHA.  A Redis Cluster wants the keys of one command in one
 * slot: limits with the same identity (key.h) are there, limits with different ones need not be. */
void redis_take(void *store, const struct take *takes, size_t count, size_t enforced,
                take_done *done, void *context);

/* Write out the commands that were gathered, and handle the replies that have come, without
 * waiting.  The loop does so by itself before it sleeps; call this within long work, so that Redis
 * works meanwhile.  Takes may end inside. */
void redis_turn(struct redis *redis);

/* Close the connection and free REDIS; takes under way are not decided.  NULL is fine. */
void redis_free(struct redis *redis);

#endif
