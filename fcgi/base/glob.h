/* glob.h - shell-like patterns for paths, hosts and the keys of overrides.  Pure. */
#ifndef GLOB_H
#define GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define GLOB_MAX 256 /* bytes of a pattern, without the NUL */

/* What matching may cost one request, in bytes and positions that are looked at; two to four
 * nanoseconds each. */
#define GLOB_WORK_MAX 210000
#define GLOB_TEXTS    24 /* twice the readings of a path (path.h), and the values of some keys */

/* Which pairs of neighbouring bytes a text has: a bit for each. */
struct glob_pairs {
    struct span text;
    uint64_t bits[65536 / 64];
};

/* What is left of GLOB_WORK_MAX, and what is known of the texts of a request.  The fields are this
 * file's own, but for EXHAUSTED. */
struct glob_work {
    int64_t left;
    bool exhausted; /* no more is matched: nothing fits from then on */
    size_t known;
    struct glob_pairs pairs[GLOB_TEXTS]; /* the first KNOWN, or all, of them */
};

/* Begin the work of a request. */
void glob_work_begin(struct glob_work *work);

/* Whether TEXT as a whole fits PATTERN (at most GLOB_MAX bytes): '*' stands for any bytes but '/',
 * "**" for any bytes at all, and every other byte for itself.  A pattern that ends in "/" and "**"
 * also fits what comes before that slash, so that a limit on all below /api covers /api itself.
 * What it takes is taken off WORK, so that a request is matched in bounded time whatever the
 * patterns and the client's texts are: of 64 limits with 256 patterns each, what most texts take is
 * half of it.  A TEXT must not change during a request. WORK may be NULL: no bound. */
bool glob_fits(const char *pattern, struct span text, struct glob_work *work);

#endif
