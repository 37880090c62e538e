/* reply.h - turn a decision into an HTTP response, as CGI headers (RFC 3875, 6) and a body.
 * Pure: no I/O, clock, heap or globals. */
#ifndef REPLY_H
#define REPLY_H

#include <stddef.h>

#include "limits.h"
#include "take.h"

/* Bytes of a reply, NUL included: always enough, tests/unit/test_reply.c.  A limit stands at most
 * three times in it (RateLimit-Policy, RateLimit, violated-policies), with its numbers. */
#define REPLY_MAX (1024 + LIMITS_MAX * 3 * (LIMIT_NAME_MAX + 40))

/* A limit that applied, and its bucket after the decision. */
struct quota {
    const struct limit *limit; /* borrowed */
    struct bucket bucket;
};

/* Write the answer that COUNT (>= 1) QUOTAS give together: 200 where every bucket allowed, else 429.
 *
 *   RateLimit-Policy: "per-user";q=5;w=60     q: capacity; w: seconds from empty to full, rounded up
 *   RateLimit: "per-user";r=4;t=48            r: remaining; t: seconds in which the client can use no
 *                                             more than r: ceil(r * interval), and with none left the
 *                                             seconds until the cost fits; left out if it never does
 *   Retry-After: 12                           on 429, RFC 9110, 10.2.3: the longest wait of those
 *                                             that refused, rounded up; left out if one is for ever
 *
 * The fields are Lists of String names (RFC 9651, draft-ietf-httpapi-ratelimit-headers-11); Cache-Control
 * is no-store.  The body of a 200 is {"allowed":true,"limit":CAPACITY,"remaining":R,"reset":SECONDS
 * until the bucket is full}, of the quota that has the least remaining; of a 429 an
 * application/problem+json (RFC 9457) of type quota-exceeded that names the violated-policies.
 * Returns the bytes written, without the NUL.  Cannot fail. */
size_t reply_decided(const struct quota *quotas, size_t count, char out[REPLY_MAX]);

/* Write the answer where Redis did not decide: 200 without RateLimit fields for
 * REDIS_FAILURE_ALLOW, 503 with Retry-After: 1 for REDIS_FAILURE_DENY.  Returns as above. */
size_t reply_undecided(enum redis_failure failure, char out[REPLY_MAX]);

/* Write the answer to a request that the web server described without PARAMETER, such as
 * "REMOTE_ADDR": 500, naming it.  Returns as above. */
size_t reply_incomplete(const char *parameter, char out[REPLY_MAX]);

#endif
