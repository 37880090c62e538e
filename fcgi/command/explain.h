/* explain.h - --explain: tell what a limits file does with one request, for people. */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "command/options.h"

/* Write to standard output which limits apply to the request of OPTIONS and why the others do not:
 * the key that each builds, its bucket in Redis, capacity, refill and cost, and what the bucket
 * holds now, or that Redis did not say.  No tokens are taken.  Returns an exit status: 0, or
 * EXIT_USAGE for a request, a limits file or an address that cannot be read; what is wrong was
 * written to standard error. */
int explain(const struct options *options);

#endif
