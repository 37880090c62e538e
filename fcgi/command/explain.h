/* explain.h - tell what a limits file does with one request, for people.  Takes nothing. */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include <stdio.h>

#include "limits/limits.h"
#include "command/options.h"
#include "store/redis_address.h"

/* Write to OUT which LIMITS apply to the request of OPTIONS and why the others do not: the key that
 * each builds, its bucket in Redis, capacity, refill and cost; and, where REDIS is not NULL, what
 * the bucket holds now in the Redis there. Returns an exit status: 0; 1 where Redis did not answer;
 * 2 for a request that cannot be read.  What is wrong was written to standard error. */
int explain(const struct limits *limits, const struct redis_address *redis,
            const struct options *options, FILE *out);

#endif
