/* glob.h - shell-like patterns for paths and hosts.  Pure. */
#ifndef GLOB_H
#define GLOB_H

#include <stdbool.h>

#include "span.h"

#define GLOB_MAX 256 /* bytes of a pattern, without the NUL */

/* Whether TEXT as a whole fits PATTERN (at most GLOB_MAX bytes): '*' stands for any bytes but '/', "**"
 * for any bytes at all, and every other byte for itself.  A pattern that ends in "/" and "**" also fits
 * what stands before that slash, so that a limit on all below /api covers /api itself.
 * Takes at most strlen(PATTERN) * TEXT.len steps, whatever both are: no client can make it slow. */
bool glob_fits(const char *pattern, struct span text);

/* The same for TEXT as it stands in a query, percent-encoded: its decoded bytes (query.h) are what must fit. */
bool glob_fits_query(const char *pattern, struct span text);

#endif
