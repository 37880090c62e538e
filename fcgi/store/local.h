/* local.h - limits without Redis: a store in front of it, which decides by this host's own buckets
 * what Redis does not decide.
 *
 * Each of H hosts has its share of a limit: a bucket of capacity / H, or the cost of one request if
 * that is more, in which a token is refilled every H * interval.  It starts with the tokens that
 * the mirror knows, divided by H, and is refilled at that rate whether Redis is there or not.  What
 * is handed out is owed to Redis, and charged to its bucket as soon as it is back, which can put
 * that in debt.  So in any time T, with any number of outages, a client is admitted at most
 *
 *     capacity + T / interval + max(capacity, H * cost)
 *
 * lua/README.md tells what else can be lost: rows that give way, processes that are killed. */
#ifndef LOCAL_H
#define LOCAL_H

#include <ev.h>

#include "shared/region.h"
#include "store/redis.h"
#include "store/store.h"

#define LOCAL_HOSTS_KEY   "rl:hosts" /* no bucket has this key */
#define LOCAL_HOSTS_MAX   1000
#define LOCAL_BEAT_S      2
#define LOCAL_HOST_AGE_MS "7000" /* a host that has not been counted for three beats is gone */

struct local;

/* A store in front of REDIS (borrowed), on LOOP, with the buckets in REGION (borrowed), of which
 * this process has a slot.  HOSTS share the limits; 0: they are counted in Redis.  Returns it, the
 * caller's to free with local_free after REDIS; never NULL. */
struct local *local_new(struct ev_loop *loop, struct region *region, struct redis *redis,
                        unsigned hosts);

/* LOCAL as a store; borrowed.  An ask that Redis does not decide is decided by this host if no
 * enforced charge says WHEN_DOWN_DENY and one says WHEN_DOWN_LOCAL; the enforced charges that say
 * WHEN_DOWN_ALLOW then have room.  It is UNSETTLED otherwise. */
struct store *local_store(struct local *local);

/* How many hosts share the limits, as far as is known; >= 1. */
unsigned local_hosts(const struct local *local);

/* Free LOCAL, which has no ask of others under way.  NULL is fine. */
void local_free(struct local *local);

#endif
