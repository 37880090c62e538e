/* look.h - what buckets hold now, without taking anything. */
#ifndef LOOK_H
#define LOOK_H

#include <stddef.h>

#include "store/redis_config.h"
#include "store/store.h"

#define LOOK_TIMEOUT_MS 2000 /* a person at a terminal waits longer than a web server */

/* Ask the Redis of CONFIG for the balance of each of the COUNT (<= STORE_CHARGES_MAX) CHARGES,
 * whose keys differ; their cost becomes 0.  Returns NULL, or why Redis did not say (static
 * string). */
const char *look_at(struct charge *charges, size_t count, const struct redis_config *config);

#endif
