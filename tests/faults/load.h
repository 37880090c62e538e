/* load.h - the clients: a thread that keeps all processes busy and checks every answer. */
#ifndef LOAD_H
#define LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "servers.h"

/* What the nemesis does, for the thread of the load. */
struct weather {
    atomic_bool stop, fault;
    atomic_int_fast64_t healed_us;                   /* the end of the last fault */
    atomic_uint_fast64_t losses_begun, losses_ended; /* of Redis's data */
    /* Of each process: how often it was told to end, and how often it has ended. */
    atomic_uint_fast64_t ends_begun[SERVERS_PROGRAMS], ends_done[SERVERS_PROGRAMS];
};

/* What the checks of one fault depend on. */
struct rules {
    int scale;  /* the limits change between their numbers and SCALE times these */
    bool allow; /* on_redis_failure: allow: admissions have no bound */
    bool exact; /* a refusal is right, and Retry-After is kept */
    double extra_capacities, extra_costs; /* the bound: the greater of the two is added */
};

struct result {
    uint64_t decisions, admitted, undecided, lost;
    uint64_t violations;
    double over, bound, under; /* in capacities of the bucket, in capacities, in tokens */
    double worst_ms, p999_ms, recover_ms;
    double lag_ms; /* the 99.9th percentile of what the load itself was late to read an answer */
};

struct load;

/* Begin to send requests to SERVERS under WEATHER (both borrowed).  Each choice follows SEED.
 * Violations are written to standard output, the first ones with their history. */
struct load *load_start(const struct servers *servers, struct weather *weather,
                        const struct rules *rules, uint64_t seed);

/* Set weather.stop, wait for the last answers, and fill RESULT.  Frees LOAD. */
void load_stop(struct load *load, struct result *result);

/* Microseconds of the monotonic clock. */
int64_t load_now_us(void);

#endif
