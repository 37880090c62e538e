/* limiter.h - the decision: a request, the limits that apply to it, the tokens they cost, the answer.
 * It sees Redis as a function that takes tokens, and the client as a function that is given a reply. */
#ifndef LIMITER_H
#define LIMITER_H

#include "limits.h"
#include "request.h"
#include "take.h"

struct limiter;

/* Called exactly once for each limiter_handle, now or later: TEXT (LEN bytes, borrowed) is the whole
 * answer to EXCHANGE, in the form of reply.h. */
typedef void limiter_reply(void *exchange, const char *text, size_t len);

/* A limiter for LIMITS (borrowed, outlives it) that takes from STORE with TAKE and answers with REPLY.
 * Returns it, the caller's to free with limiter_free; never NULL. */
struct limiter *limiter_new(const struct limits *limits, take_tokens *take, void *store,
                            limiter_reply *reply);

/* Decide about REQUEST (borrowed for the call) and answer EXCHANGE: every limit whose match fits applies.
 * Where none does, the answer is 200 without asking the store.  Where the store does not decide,
 * the answer is 503 if any limit that applies says `on_redis_failure: deny`, else 200. */
void limiter_handle(struct limiter *limiter, void *exchange, const struct request *request);

/* Free LIMITER, which has no take under way.  NULL is fine. */
void limiter_free(struct limiter *limiter);

#endif
