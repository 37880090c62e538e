/* glob.h - shell-like patterns for paths, hosts and the keys of overrides.  Pure. */
#ifndef GLOB_H
#define GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define GLOB_MAX 256 /* bytes of a pattern, without the NUL */

/* The most work that matching may do for one request, in bytes and positions looked at.  Each takes
 * two to four nanoseconds. */
#define GLOB_WORK_MAX 210000
#define GLOB_TEXTS    24 /* twice the readings of a path (path.h), and the values of some keys */

/* The pairs of neighbouring bytes that occur in TEXT, one bit for each possible pair. */
struct glob_pairs {
    struct span text;
    uint64_t bits[65536 / 64];
};

/* What is left of GLOB_WORK_MAX, and what is known about the texts of a request.  Private to
 * glob.c, except EXHAUSTED. */
struct glob_work {
    int64_t left;
    bool exhausted; /* the limit is reached: from now on nothing matches */
    size_t known;
    struct glob_pairs pairs[GLOB_TEXTS]; /* the first KNOWN are valid, at most all */
};

/* Reset WORK at the start of a request. */
void glob_work_begin(struct glob_work *work);

/* Whether the whole TEXT matches PATTERN (at most GLOB_MAX bytes).  '*' matches any bytes except
 * '/', "**" matches any bytes, and every other byte matches itself.  A pattern that ends in a slash
 * and "**" also matches what comes before that slash, so that a limit on everything below /api
 * includes /api itself.
 * The work done is subtracted from WORK, so that the time for a request is bounded for any patterns
 * and any text.  With 64 limits of 256 patterns each, most texts need half of GLOB_WORK_MAX.  TEXT
 * must not change during a request, because WORK remembers it by its address.  If WORK is NULL,
 * there is no bound. */
bool glob_fits(const char *pattern, struct span text, struct glob_work *work);

#endif
