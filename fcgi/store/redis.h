/* redis.h - the store of buckets that keeps them in Redis. */
#ifndef REDIS_H
#define REDIS_H

#include <ev.h>
#include <stdbool.h>

#include "shared/region.h"
#include "store/redis_config.h"
#include "store/redis_reply.h"
#include "store/store.h"

struct redis;

/* A store in the Redis of CONFIG (copied), asked from LOOP.  It connects by itself, as
 * connection_start has it, now and whenever the connection is lost.
 * TIMEOUT_MS of CONFIG is how long an ask waits for its reply once its command is written, or for a
 * connection once it is asked.  Replies that have come are read before an ask is called late.  A
 * late ask is not decided; its reply is discarded when it comes, and the connection stays.  An
 * error about one ask is no decision either: Redis out of memory, BUSY, MOVED.
 * Redis is lost if it owes a reply and sends none for twice TIMEOUT_MS, if it becomes unfit, or if
 * no connection can be made: then asks are not decided, at once.  If replies come but are owed for
 * over twice TIMEOUT_MS, asks are not decided until Redis has caught up.
 * If a connection that worked is closed, asks wait for the next one; what was in flight is not
 * decided and not sent again, because Redis may have charged it.
 * Each change of state is one log line.  Latency, losses and asks that are not decided are counted
 * in SLOT (borrowed).
 * Returns it, the caller's to free with redis_free; never NULL. */
struct redis *redis_new(struct ev_loop *loop, const struct redis_config *config, struct slot *slot);

/* REDIS as a store; borrowed.  All charges of an ask go in one EVALSHA.  A Redis Cluster wants the
 * keys of one command in one slot: limits with the same identity (key.h) are in one, limits with
 * different ones need not be. */
struct store *redis_store(struct redis *redis);

/* REPLY (borrowed for the call) to redis_hget: REDIS_SAYS_BULK, or REDIS_SAYS_OTHER if there is no
 * such field; to redis_eval what the script returns; or REDIS_SAYS_ERROR. */
typedef void redis_query_done(void *context, const struct redis_reply *reply);

/* Ask REDIS for FIELD of the hash KEY.  DONE is called with CONTEXT when the reply comes, and not
 * at all if the connection is lost before.  Returns false, and does nothing, if Redis is away or
 * behind, or still owes the reply to the last call. */
bool redis_hget(struct redis *redis, const char *key, const char *field, redis_query_done *done,
                void *context);

/* Run SCRIPT, a text of Lua, with KEY and two arguments; otherwise as redis_hget. */
bool redis_eval(struct redis *redis, const char *script, const char *key, const char *argument,
                const char *other, redis_query_done *done, void *context);

/* Whether REDIS is lost. */
bool redis_is_away(const struct redis *redis);

/* Where REDIS is, as redis_config_show has it; borrowed. */
const char *redis_shown(const struct redis *redis);

/* Count the time that REDIS has been lost, up to now.  Call this once a second. */
void redis_count_down_time(struct redis *redis);

/* Write out the commands that were gathered, and handle the replies that have come, without
 * waiting.  The loop does so by itself before it sleeps; call this within long work, so that Redis
 * works meanwhile.  Asks may be done inside. */
void redis_turn(struct redis *redis);

/* Close the connection and free REDIS; asks under way are not decided.  NULL is fine. */
void redis_free(struct redis *redis);

#endif
