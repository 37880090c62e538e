/* pages.h - the endpoints of the program itself: what it does, for people and for monitoring.  They
 * take no token, do not ask Redis, and answer while Redis is down. */
#ifndef PAGES_H
#define PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/network.h"
#include "limits/limits.h"
#include "request/request.h"
#include "shared/recent.h"
#include "shared/region.h"

/* The FastCGI parameter by which a web server asks for a page: its value is the name of the page.
 * A client cannot send it, because its headers become HTTP_*. */
#define PAGES_PARAMETER "RATELIMIT_ENDPOINT"

#define PAGES_NETWORKS_MAX 64

/* Which clients may see the pages that show what happens. */
struct pages_access {
    size_t count; /* 0: only those on the loopback interface */
    struct network network[PAGES_NETWORKS_MAX];
};

/* Read TEXT, networks in CIDR notation separated by spaces or commas, into *OUT.  Returns NULL, or
 * what is wrong with the one at *PLACE (static string). */
const char *pages_access_parse(const char *text, struct pages_access *out, const char **place);

struct pages;

/* Pages about REGION, in which this process has a slot, with what RECENT holds (both borrowed), for
 * the clients that ACCESS (copied) allows.  Returns them, the caller's to free with pages_free;
 * never NULL. */
struct pages *pages_new(const struct region *region, const struct recent *recent,
                        const struct pages_access *access);

/* The answer to REQUEST, which asks for the page NAME, while requests are decided by LIMITS:
 *
 *   health    200: the process answers
 *   ready     200: the process can decide, with Redis, or without it as the limits say; 503: it has
 *             no connection to Redis, and a limit denies then
 *   metrics   the numbers of the host for Prometheus (metrics_page.h)
 *   status    the state of the host as JSON (status_page.h)
 *   live      a page for a browser that shows status
 *
 * Everyone may ask for the first two.  The others are answered with 403 unless ACCESS allows the
 * client's address.  A request that has passed a proxy (it has Forwarded, X-Forwarded-For or
 * X-Real-IP) is always answered so, because the address is that of the proxy.
 * Another name is answered with 404, another method than GET and HEAD with 405.  *LEN becomes the
 * length of the answer, CGI headers and a body (RFC 3875, 6).  Returns it, the caller's to free;
 * never NULL. */
char *pages_answer(const struct pages *pages, const char *name, const struct request *request,
                   const struct limits *limits, size_t *len);

/* Free PAGES.  NULL is fine. */
void pages_free(struct pages *pages);

#endif
