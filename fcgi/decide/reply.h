/* reply.h - turn a decision into an HTTP response, as CGI headers (RFC 3875, 6) and a body.
 * Pure: no I/O, clock, heap or globals. */
#ifndef REPLY_H
#define REPLY_H

#include <stddef.h>

#include "limits/limits.h"
#include "request/request.h"
#include "store/store.h"

/* Bytes of a reply, NUL included: always enough, see tests/unit/test_reply.c.  There is
 * room for each limit four times, with its numbers.  An enforced limit appears at most three times
 * (RateLimit-Policy, RateLimit, violated-policies), a shadow limit twice (RateLimit-Shadow and
 * shadow); the one that is closest to refusing once more. */
#define REPLY_SIZE (2048 + STORE_CHARGES_MAX * 4 * (LIMIT_NAME_MAX + 40))

/* What an answer is for. */
enum reply_form {
    REPLY_WHOLE,        /* a client */
    REPLY_AUTHORIZER,   /* a web server that asked in this role (FastCGI, 6.3) */
    REPLY_AUTH_REQUEST, /* nginx's auth_request: it reads only the head of a response, and
                         * understands only 2xx, 401 and 403 */
};

/* A web server that asks for REPLY_AUTH_REQUEST sends this FastCGI parameter. */
#define REPLY_AUTH_REQUEST_PARAMETER "RATELIMIT_AUTH_REQUEST"

/* A limit that applied, and what it asked of the client's bucket, with the balance after that. */
struct quota {
    const struct limit *limit;   /* borrowed */
    const struct charge *charge; /* borrowed */
};

/* All that decides about a request. */
struct verdict {
    const struct quota *quotas; /* those of the COUNT (0 .. STORE_CHARGES_MAX) enforced limits */
    size_t count;
    const struct limit *const *shadow; /* SHADOWS shadow limits that would have refused, borrowed */
    size_t shadow_count;
    unsigned headers; /* enum limits_header, added up */
    bool local;       /* this host decided by its own share, without Redis */
};

/* Write the answer to VERDICT in FORM: 200 if every bucket allowed, else 429.
 *
 *   RateLimit-Policy: "per-user";q=5;w=60     q: capacity; w: seconds from empty to full
 *   RateLimit: "per-user";r=4;t=48            r: remaining; t: seconds in which the client can
 *                                             use no more than r: ceil(r * interval), and with
 *                                             none left the seconds until the cost fits; left out
 *                                             if it never does
 *   X-RateLimit-Limit, -Remaining, -Reset     capacity, remaining, seconds until full, of the quota
 *                                             that is closest to refusing
 *   RateLimit-Shadow: "new", "newer"          the shadow limits that would have refused, if any
 *   Retry-After: 12                           on 429, RFC 9110, 10.2.3: the longest wait of those
 *                                             that refused, rounded up; left out if one is for ever
 *
 * The first two and RateLimit-Shadow are Lists of String names (RFC 9651,
 * draft-ietf-httpapi-ratelimit-headers-11); Cache-Control is no-store.  The body of a 200 is
 * {"allowed":true,"limit":CAPACITY,"remaining":R,"reset":SECONDS until the bucket is full}, of the
 * quota that is closest to refusing: the one that has room for the fewest requests like this one,
 * and of several that refused the one that does so longest.  The body of a 429 is an
 * application/problem+json (RFC 9457) of type quota-exceeded that names the violated-policies, and
 * has a detail if a cost can never fit.  Either has a member shadow, a list of names, if a shadow
 * limit would have refused, and "local":true if the host decided without Redis; a refusal is then
 * of type temporary-reduced-capacity, because the host has only its share.
 *
 * As REPLY_AUTHORIZER a 200 only allows the request: it has no body, and instead of the fields
 * these variables, which the web server passes to the backend (Variable-NAME; FastCGI, 6.3):
 *
 *   RATELIMIT_POLICY, RATELIMIT          as the fields of these names
 *   X_RATELIMIT_LIMIT, _REMAINING, _RESET
 *   RATELIMIT_NAME, RATELIMIT_REMAINING  of the quota that is closest to refusing, in any case
 *   RATELIMIT_SHADOW                     names of shadow limits that would have refused, by ", "
 *
 * As REPLY_AUTH_REQUEST 204 allows the request and 403 refuses it.  Neither has a body, and there
 * are more fields, for the access log and for what the client is answered:
 *
 *   RateLimit-Status: 429                what the status would be
 *   RateLimit-Name: per-user             of the quota that is closest to refusing, in any case
 *   RateLimit-Remaining: 4               likewise
 *   RateLimit-Problem: {...}             on a refusal: what the body would be
 *
 * Returns the bytes written, without the NUL.  Cannot fail. */
size_t reply_decided(const struct verdict *verdict, enum reply_form form, char out[REPLY_SIZE]);

/* Write the answer to a client that LIMIT blocks: 403, in FORM.  Returns as above. */
size_t reply_blocked(const struct limit *limit, enum reply_form form, char out[REPLY_SIZE]);

/* Write the answer in FORM if the store did not decide: for WHEN_DOWN_ALLOW the same as if no limit
 * applied, for WHEN_DOWN_DENY 503 with Retry-After: 1.  Returns as above. */
size_t reply_undecided(enum when_down failure, enum reply_form form, char out[REPLY_SIZE]);

/* Write the answer to a request that the web server described without PARAMETER, such as
 * "REMOTE_ADDR": 500, naming it, and always REPLY_WHOLE, because it is for the operator of the web
 * server.  Returns as above. */
size_t reply_incomplete(const char *parameter, char out[REPLY_SIZE]);

/* Write the answer to a request whose parameters have DEFECT: 431 if they are too large (RFC 6585,
 * 5), 400 if they cannot be read; in FORM.  Returns as above. */
size_t reply_defect(enum request_defect defect, enum reply_form form, char out[REPLY_SIZE]);

/* Write the answer to a request to which over STORE_CHARGES_MAX limits apply: 500, in FORM.
 * Returns as above. */
size_t reply_too_many(enum reply_form form, char out[REPLY_SIZE]);

/* Write the answer to a proxy whose question does not say which request it is about: 400, in FORM,
 * with DETAIL (a sentence without quotes).  Returns as above. */
size_t reply_unclear(const char *detail, enum reply_form form, char out[REPLY_SIZE]);

/* Write the answer to a request in which SOURCE, which a limit reads, has two values or none that
 * can be read: 400, in FORM, naming SOURCE and never its value.  Returns as above. */
size_t reply_ambiguous(const struct key_source *source, enum reply_form form, char out[REPLY_SIZE]);

/* The status that the answer TEXT, written by one of the functions above, means: 200 or above.  As
 * REPLY_AUTH_REQUEST it is that of RateLimit-Status. */
int reply_status(const char *text);

#endif
