/* override.h - ratelimitctl override: overrides that are stored in Redis. */
#ifndef OVERRIDE_H
#define OVERRIDE_H

#include <stddef.h>

#include "command/options.h"
#include "limits/limits.h"
#include "store/redis_config.h"

/* Set, delete or list overrides, as the operands of OPTIONS say.  Returns an exit status. */
int override(const struct options *options);

/* Give LIMITS, which have none, the overrides that are stored in the Redis at ADDRESS; one with a
 * mistake is left out.  Returns whether Redis could be read; else ERROR (SIZE bytes) says why. */
bool override_attach(struct limits *limits, const struct redis_config *config, char *error,
                     size_t size);

#endif
