/* look.c - one ask of no tokens, on a loop of its own. */
/* SPDX-License-Identifier: MIT */
#include "command/look.h"

#include <ev.h>
#include <stdbool.h>

#include "shared/region.h"
#include "store/redis.h"

/* An ask that ends the loop. */
struct look {
    struct ask ask; /* first, so that an ask of ours is a look */
    struct ev_loop *loop;
    bool done;
};

static void on_looked(struct ask *ask)
{
    struct look *look = (struct look *)ask;

    look->done = true;
    ev_break(look->loop, EVBREAK_ALL);
}

static void ask(struct look *look, const struct redis_config *config, struct region *region)
{
    struct redis_config patient = *config;

    patient.timeout_ms = LOOK_TIMEOUT_MS;
    struct redis *redis = redis_new(look->loop, &patient, region_claim(region));

    redis_store(redis)->ask(redis_store(redis), &look->ask);
    if (!look->done)
        ev_run(look->loop, 0);
    redis_free(redis);
}

const char *look_at(struct charge *charges, size_t count, const struct redis_config *config)
{
    struct look look = {.ask = {.charges = charges, .charge_count = count, .done = on_looked},
                        .loop = ev_default_loop(EVFLAG_AUTO)};
    char error[128];

    if (count == 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        charges[i].cost = 0;
        charges[i].enforced = true;
    }
    if (!look.loop)
        return "libev finds no way to wait for events";
    struct region *region = region_open(NULL, MIRROR_ROWS_DEFAULT, error, sizeof error);
    if (!region)
        return "there is no memory";
    ask(&look, config, region);
    region_free(region);
    return look.ask.settled_by == UNSETTLED ? look.ask.why : NULL;
}
