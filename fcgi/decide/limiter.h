/* limiter.h - the decision: a request, the limits that apply to it, the tokens they cost, the
 * answer. It sees Redis as a function that takes tokens, and the client as a function that is given
 * a reply. */
#ifndef LIMITER_H
#define LIMITER_H

#include "limits/limits.h"
#include "request/request.h"
#include "store/take.h"

struct limiter;

/* Called exactly once for each limiter_handle, now or later: TEXT (LEN bytes, borrowed) is the
 * whole answer to EXCHANGE, in the form of reply.h. */
typedef void limiter_reply(void *exchange, const char *text, size_t len);

/* A limiter for LIMITS (held) that takes from STORE with TAKE and answers with REPLY.
 * Returns it, the caller's to free with limiter_free; never NULL. */
struct limiter *limiter_new(struct limits *limits, take_tokens *take, void *store,
                            limiter_reply *reply);

/* From now on decide by LIMITS (held).  Requests under way are decided by the limits that they
 * began with. */
void limiter_set_limits(struct limiter *limiter, struct limits *limits);

/* Decide about REQUEST (borrowed for the call) and answer EXCHANGE: every limit whose match fits
 * applies. A request that lacks a parameter which every one has is answered with 500, one with a
 * defect with 431 or 400. A limit that blocks the client is a 403 without asking the store; where
 * no limit is left to ask about, the answer is 200 without asking.  Where the store does not
 * decide, the answer is 503 if any limit that applies and is no shadow says `on_redis_failure:
 * deny`, else 200. A shadow limit that would have refused is named in the answer and in the log,
 * there at most once a second. */
void limiter_handle(struct limiter *limiter, void *exchange, const struct request *request);

/* Free LIMITER, which has no take under way.  NULL is fine. */
void limiter_free(struct limiter *limiter);

#endif
