/* nemesis.h - the table of faults. */
#ifndef NEMESIS_H
#define NEMESIS_H

#include <stdbool.h>
#include <stddef.h>

#include "load.h"
#include "proxy.h"
#include "servers.h"

/* What a fault works on. */
struct scene {
    struct servers servers;
    struct weather weather;
    struct proxy *proxy; /* NULL if the fault is not PROXIED */
    int turn;            /* faults so far */
};

/* A fault: BEGIN, ACTIVE_MS, END (either may be NULL), and about REST_MS, over and over. */
struct fault {
    const char *name;
    void (*begin)(struct scene *scene), (*end)(struct scene *scene);
    int active_ms, rest_ms;
    const char *policy; /* on_redis_failure */
    struct rules rules; /* the bound; a fault that LOSES_DATA adds one capacity each time */
    bool loses_data, proxied;
    const char *aof; /* Redis's appendfsync; NULL: Redis keeps nothing */
};

extern const struct fault nemesis_faults[];
extern const size_t nemesis_fault_count;

/* Inflict FAULT on SCENE for SECONDS, in the rhythm of SEED. */
void nemesis_run(const struct fault *fault, struct scene *scene, double seconds, unsigned seed);

#endif
