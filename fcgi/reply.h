/* reply.h - turn a decision into an HTTP response, as CGI headers (RFC 3875, 6) and a body.
 * Pure: no I/O, clock, heap or globals. */
#ifndef REPLY_H
#define REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"
#include "take.h"

/* Bytes of a reply, NUL included: always enough, tests/unit/test_reply.c.  A limit stands at most
 * four times in it (RateLimit-Policy, RateLimit, and violated-policies in body and header), with its numbers. */
#define REPLY_MAX (2048 + LIMITS_MAX * 4 * (LIMIT_NAME_MAX + 40))

/* A web server that sends this FastCGI parameter throws the body of a refusal away: reply_add_problem is for it. */
#define REPLY_PROBLEM_PARAMETER "RATELIMIT_PROBLEM_HEADER"

/* A limit that applied and is enforced, what was asked of the client's bucket, and the bucket after that. */
struct quota {
    const struct limit *limit; /* borrowed */
    const struct take *take;   /* borrowed */
    struct bucket bucket;
};

/* All that decides about a request. */
struct verdict {
    const struct quota *quotas; /* COUNT (0 .. LIMITS_MAX) of them, borrowed */
    size_t count;
    const struct limit *const *shadow; /* SHADOWS shadow limits that would have refused, borrowed */
    size_t shadows;
    unsigned headers; /* enum limits_header, added up */
    bool authorizer;  /* the answer is for a web server that asked in this role (FastCGI, 6.3) */
};

/* Write the answer that VERDICT is: 200 where every bucket allowed, else 429.
 *
 *   RateLimit-Policy: "per-user";q=5;w=60     q: capacity; w: seconds from empty to full, rounded up
 *   RateLimit: "per-user";r=4;t=48            r: remaining; t: seconds in which the client can use no
 *                                             more than r: ceil(r * interval), and with none left the
 *                                             seconds until the cost fits; left out if it never does
 *   X-RateLimit-Limit, -Remaining, -Reset     capacity, remaining and seconds until full, of the quota
 *                                             that is closest to refusing
 *   Retry-After: 12                           on 429, RFC 9110, 10.2.3: the longest wait of those
 *                                             that refused, rounded up; left out if one is for ever
 *
 * The first two are Lists of String names (RFC 9651, draft-ietf-httpapi-ratelimit-headers-11); Cache-Control
 * is no-store.  The body of a 200 is {"allowed":true,"limit":CAPACITY,"remaining":R,"reset":SECONDS
 * until the bucket is full}, of the quota that is closest to refusing: the one that has room for the fewest
 * requests like this one, and of several that refused the one that does so longest.  The body of a 429 is
 * an application/problem+json (RFC 9457) of type quota-exceeded that names the violated-policies, and
 * has a detail where a cost can never fit.  Either has a member shadow, a list of names, where a
 * shadow limit would have refused.
 * To an authorizer's client a 200 is no answer but leave to go on: it has no body, and instead of the fields
 * these variables, which the web server gives to whoever answers the request (Variable-NAME; FastCGI, 6.3):
 *
 *   RATELIMIT_POLICY, RATELIMIT          as the fields of these names
 *   X_RATELIMIT_LIMIT, _REMAINING, _RESET
 *   RATELIMIT_NAME, RATELIMIT_REMAINING  of the quota that is closest to refusing, whatever the headers are
 *   RATELIMIT_SHADOW                     names of shadow limits that would have refused, by ", "
 *
 * Returns the bytes written, without the NUL.  Cannot fail. */
size_t reply_decided(const struct verdict *verdict, char out[REPLY_MAX]);

/* Write the answer to a client whom LIMIT blocks: 403.  Returns as above. */
size_t reply_blocked(const struct limit *limit, char out[REPLY_MAX]);

/* Write the answer where Redis did not decide: 200 without RateLimit fields, and for an AUTHORIZER's client
 * without a body, for REDIS_FAILURE_ALLOW, 503 with Retry-After: 1 for REDIS_FAILURE_DENY.  Returns as above. */
size_t reply_undecided(enum redis_failure failure, bool authorizer, char out[REPLY_MAX]);

/* Write the answer to a request that the web server described without PARAMETER, such as
 * "REMOTE_ADDR": 500, naming it.  Returns as above. */
size_t reply_incomplete(const char *parameter, char out[REPLY_MAX]);

/* Write the answer to a proxy whose question has a header twice, forward.h: 400.  Returns as above. */
size_t reply_ambiguous(char out[REPLY_MAX]);

/* Whether TEXT, that one of the above has written, is anything but a 200. */
bool reply_is_refusal(const char *text);

/* Let the head of the refusal in TEXT, LEN bytes, say what its body says, as RateLimit-Problem: of a refusal
 * nginx's auth_request leaves nothing but headers.  Returns as above. */
size_t reply_add_problem(char text[REPLY_MAX], size_t len);

#endif
