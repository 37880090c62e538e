/* observe.h - the commands of ratelimitctl that read the shared memory of this host: status, top
 * and watch. */
#ifndef OBSERVE_H
#define OBSERVE_H

#include "command/options.h"
#include "shared/region.h"

/* Open the region that OPTIONS name, or else the first that exists of those that the units, recipes
 * and the image use.  WATCH: see region_open_to_read.  Returns it, the caller's to free with
 * region_free; or NULL, and ERROR (SIZE bytes) says why. */
struct region *observe_region(const struct options *options, bool watch, char *error, size_t size);

/* Each prints what its help text says, and returns an exit status. */
int status(const struct options *options);
int top(const struct options *options);
int watch(const struct options *options);

#endif
