/* live_overrides.h - the overrides that are stored in Redis, kept in force while the program
 * runs. */
#ifndef LIVE_OVERRIDES_H
#define LIVE_OVERRIDES_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/stored_reader.h"
#include "limits/limits.h"
#include "store/redis.h"

#define LIVE_OVERRIDES_POLL_S 0.5 /* between two looks at the version in Redis */

/* What is in force. */
struct live_overrides_state {
    size_t count, foreign_count;         /* as in struct stored_sets */
    char version[OVERRIDE_VERSION_SIZE]; /* of the set in force; "": none was ever stored */
    int64_t loaded_us;                   /* when it came into force, since 1970; 0: none did */
    char problem[STORED_PROBLEM_SIZE];   /* why a newer set is not in force; "": there is none */
};

struct live_overrides;

/* Called from the loop: LIMITS (borrowed) are to decide from now on, or their stored overrides have
 * changed, or the state has. */
typedef void live_overrides_changed(void *context, struct limits *limits);

/* Keep the overrides that are stored in the Redis at ADDRESS (copied) in force for LIMITS, which
 * get a reference.  REDIS (borrowed) is asked for their version once in LIVE_OVERRIDES_POLL_S; if
 * it has changed, a thread reads them over a connection of its own.  A set with a mistake is
 * refused as a whole, and the one before stays; without one before, the overrides without a mistake
 * are used. While Redis is away, the set stays.  Each change of state is one log line.  Returns it,
 * the caller's to free with live_overrides_free; never NULL. */
struct live_overrides *live_overrides_new(struct ev_loop *loop, struct redis *redis,
                                          const struct redis_config *config, struct limits *limits,
                                          live_overrides_changed *changed, void *context);

/* Run the loop until the overrides are in force that Redis has now: at most for MAX_S seconds, and
 * not if Redis is away. */
void live_overrides_wait(struct live_overrides *live, double max_s);

/* Use LIMITS, which get a reference, in place of those before, as soon as they have their stored
 * overrides: CHANGED then says so, at once if none are stored. */
void live_overrides_use(struct live_overrides *live, struct limits *limits);

/* The state; borrowed. */
const struct live_overrides_state *live_overrides_state(const struct live_overrides *live);

/* Stop, and free LIVE.  The limits keep their overrides.  NULL is fine. */
void live_overrides_free(struct live_overrides *live);

#endif
