/* limiter.h - the decision: a request, the limits that apply to it, the tokens they cost, the
 * answer.  The limiter knows neither where the buckets are nor how the web server is answered. */
#ifndef LIMITER_H
#define LIMITER_H

#include "decide/reply.h"
#include "limits/limits.h"
#include "request/request.h"
#include "shared/region.h"
#include "store/store.h"

struct limiter;

/* Called exactly once for each limiter_handle, now or later: TEXT (LEN bytes, borrowed) is the
 * whole answer to EXCHANGE, as reply.h writes it. */
typedef void limiter_reply(void *exchange, const char *text, size_t len);

/* A limiter for LIMITS (a reference of its own) that asks STORE (borrowed), counts in the slot that
 * this process has in REGION (borrowed), and answers with REPLY.  Returns it, the caller's to free
 * with limiter_free; never NULL. */
struct limiter *limiter_new(struct limits *limits, struct store *store, const struct region *region,
                            limiter_reply *reply);

/* From now on decide by LIMITS (a reference of its own).  Requests under way are decided by the
 * limits that they began with. */
void limiter_set_limits(struct limiter *limiter, struct limits *limits);

/* The limits that requests are decided by now; borrowed until limiter_set_limits. */
const struct limits *limiter_limits(const struct limiter *limiter);

/* Decide about REQUEST (borrowed for the call) and answer EXCHANGE in FORM: every limit whose match
 * fits applies, and the store is asked once for all of them.
 *
 *   every enforced limit had room, or none applies                  200
 *   one of them had not                                             429
 *   an override of an enforced limit blocks the client              403, the store is not asked
 *   a source of an enforced limit has two values, or the patterns
 *   would take too long                                             400, the store is not asked
 *   over STORE_CHARGES_MAX limits apply                             500, the store is not asked
 *   the store does not decide                                       503 if any enforced limit that
 *                                                                   applies denies (when_down),
 *                                                                   else 200
 *
 * A shadow limit that would have refused is named in the answer. */
void limiter_handle(struct limiter *limiter, void *exchange, const struct request *request,
                    enum reply_form form);

/* The number of requests that wait for the store. */
size_t limiter_under_way(const struct limiter *limiter);

/* Answer EXCHANGE, a request that is not for the limits, with the LEN bytes at TEXT (reply.h), and
 * count the answer. */
void limiter_answer(struct limiter *limiter, void *exchange, const char *text, size_t len);

/* Free LIMITER, which has no ask under way.  NULL is fine. */
void limiter_free(struct limiter *limiter);

#endif
