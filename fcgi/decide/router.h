/* router.h - which request is to be decided, and in which form the web server expects the answer.
 * What cannot be decided is answered here. */
#ifndef ROUTER_H
#define ROUTER_H

#include "decide/limiter.h"
#include "decide/pages.h"
#include "request/request.h"

struct router;

/* A router in front of LIMITER and PAGES (both borrowed); pages are answered with REPLY.  Returns
 * it, the caller's to free with router_free; never NULL. */
struct router *router_new(struct limiter *limiter, const struct pages *pages, limiter_reply *reply);

/* Route REQUEST (borrowed for the call) of EXCHANGE; it is answered exactly once, now or later.
 *
 *   a request whose parameters are too large or unreadable    431 or 400
 *   one for a page of the program itself (pages.h)            that page
 *   one without a parameter that every web server sends       500, logged once
 *   a question of a trusted proxy (/check, forward_auth.h)    the limiter, about the request that
 *                                                             the proxy asks about; 400 if the
 *                                                             question is not clear
 *   any other                                                 the limiter */
void router_handle(struct router *router, void *exchange, const struct request *request);

/* Free ROUTER.  NULL is fine. */
void router_free(struct router *router);

#endif
