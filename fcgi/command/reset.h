/* reset.h - ratelimitctl reset: fill buckets again. */
#ifndef RESET_H
#define RESET_H

#include "command/options.h"

/* Remove the buckets that OPTIONS name from Redis, so that they are full.  Returns an exit
 * status. */
int reset(const struct options *options);

#endif
