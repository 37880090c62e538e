/* router.c - what each request is for, before anything is decided about it. */
/* SPDX-License-Identifier: MIT */
#include "decide/router.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "decide/reply.h"
#include "request/forward_auth.h"

struct router {
    struct limiter *limiter;
    const struct pages *pages;
    limiter_reply *reply;
    bool incomplete_logged;
    struct forward_auth forward; /* of the request that is routed now; too large for a stack */
};

static enum reply_form form_for(const struct request *request)
{
    if (request->authorizer)
        return REPLY_AUTHORIZER;
    return request_parameter(request, REPLY_AUTH_REQUEST_PARAMETER) ? REPLY_AUTH_REQUEST
                                                                    : REPLY_WHOLE;
}

/* Log once that the web server does not send PARAMETER, because its configuration is the same for
 * every request. */
static void log_incomplete(struct router *router, const char *parameter)
{
    if (!router->incomplete_logged)
        log_line(LOG_ERR, "the web server sends no %s; include its standard fastcgi_params",
                 parameter);
    router->incomplete_logged = true;
}

/* Answer EXCHANGE with the page NAME.  It is not counted as an answer to a request. */
static void answer_page(struct router *router, void *exchange, const char *name,
                        const struct request *request)
{
    size_t len;
    char *text = pages_answer(router->pages, name, request, limiter_limits(router->limiter), &len);

    router->reply(exchange, text, len);
    free(text);
}

void router_handle(struct router *router, void *exchange, const struct request *request)
{
    const struct limits *limits = limiter_limits(router->limiter);
    const struct forward_auth_rules rules = {limits->trusted_proxy, limits->proxy_count,
                                             limits->forward_auth};
    enum reply_form form = form_for(request);
    const struct request *asked_about;
    const char *missing, *page = request_parameter(request, PAGES_PARAMETER);
    char text[REPLY_SIZE];

    if (request->defect != REQUEST_FINE) {
        limiter_answer(router->limiter, exchange, text, reply_defect(request->defect, form, text));
    } else if (page && form == REPLY_WHOLE) {
        answer_page(router, exchange, page, request);
    } else if ((missing = request_missing(request))) {
        log_incomplete(router, missing);
        limiter_answer(router->limiter, exchange, text, reply_incomplete(missing, text));
    } else if (!(asked_about = forward_auth_read(request, &rules, &router->forward))) {
        limiter_answer(router->limiter, exchange, text,
                       reply_unclear(router->forward.problem, form, text));
    } else {
        limiter_handle(router->limiter, exchange, asked_about, form);
    }
}

struct router *router_new(struct limiter *limiter, const struct pages *pages, limiter_reply *reply)
{
    struct router *router = memory_new(sizeof *router);

    router->limiter = limiter;
    router->pages = pages;
    router->reply = reply;
    return router;
}

void router_free(struct router *router)
{
    free(router);
}
