/* peek.h - ratelimitctl peek: what buckets hold. */
#ifndef PEEK_H
#define PEEK_H

#include "command/options.h"

/* Print the buckets that OPTIONS name: tokens, when they are full, and how often they have refused.
 * Returns an exit status. */
int peek(const struct options *options);

#endif
