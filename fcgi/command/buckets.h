/* buckets.h - the buckets that the options of ratelimitctl name: those of a request, or those of a
 * client in one limit or in all. */
#ifndef BUCKETS_H
#define BUCKETS_H

#include <stdbool.h>

#include "command/options.h"
#include "limits/apply.h"
#include "limits/limits.h"
#include "store/redis_config.h"
#include "store/store.h"

/* One bucket. */
struct bucket {
    const struct limit *limit; /* borrowed from the limits */
    enum apply_result result;  /* APPLY_CHARGE, APPLY_UNLIMITED or APPLY_BLOCKED */
    struct charge charge;
};

struct buckets {
    struct limits *limits; /* a reference */
    struct redis_config redis;
    size_t count;
    struct bucket *bucket; /* COUNT of them with different keys, owned */
};

/* Find the buckets that OPTIONS name: by the operand, a request as --explain takes it; or by --key,
 * a client as overrides in the limits file name it, for each alternative of a key that it can be
 * for (typed_key.h), or by the key of a bucket, such as rl:{query:user=alice}:per-user.  --limit
 * leaves the others out.  The limits and Redis are those of the options, else those of the
 * processes of this host.  STORED: with the overrides that are stored in Redis.  Returns
 * EXIT_SUCCESS, and *OUT is the caller's to free with buckets_free; or another exit status, and
 * what is wrong was written. */
int buckets_find(const struct options *options, bool stored, struct buckets *out);

/* Read the limits and the address of Redis alone, as buckets_find does; *OUT has no bucket. */
int buckets_configure(const struct options *options, struct buckets *out);

/* The first of LIMITS that --limit chooses; or NULL, and that there is none was written. */
const struct limit *buckets_limit(const struct options *options, const struct limits *limits);

/* Free what BUCKETS hold. */
void buckets_free(struct buckets *buckets);

#endif
