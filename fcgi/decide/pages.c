/* pages.c - which page is asked for, whether the client may see it, and the short ones. */
/* SPDX-License-Identifier: MIT */
#include "decide/pages.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/memory.h"
#include "decide/live_page.h"
#include "decide/metrics_page.h"
#include "decide/status_page.h"
#include "shared/totals.h"

struct pages {
    const struct region *region;
    const struct recent *recent;
    struct pages_access access;
};

/* What a page is made of. */
struct page_request {
    const struct pages *pages;
    const struct request *request;
    const struct limits *limits;
    FILE *body;
};

/* What is in front of a body. */
struct page_head {
    int status;
    const char *reason, *type, *fields; /* FIELDS: whole lines, or "" */
};

/* ---- The pages: each writes its body, and returns its head ---- */

static struct page_head health(const struct page_request *page)
{
    fputs("{\"status\":\"pass\"}\n", page->body);
    return (struct page_head){200, "OK", "application/json", ""};
}

/* The first enforced limit that denies requests without Redis; NULL: there is none. */
static const struct limit *denying(const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        if (!limits->limit[i].shadow && limits->limit[i].on_redis_failure == WHEN_DOWN_DENY)
            return &limits->limit[i];
    return NULL;
}

static struct page_head ready(const struct page_request *page)
{
    const struct limit *limit = denying(page->limits);
    bool redis = counter_get(&region_own(page->pages->region)->gauges.redis_ready);

    if (redis)
        fputs("{\"status\":\"pass\",\"decides\":\"with Redis\"}\n", page->body);
    else if (!limit)
        fputs(
            "{\"status\":\"warn\",\"decides\":\"without Redis: as on_redis_failure says, local or "
            "allow\"}\n",
            page->body);
    else
        fprintf(page->body,
                "{\"status\":\"fail\",\"decides\":\"nothing: there is no connection to Redis, and "
                "limit %s says on_redis_failure: deny\"}\n",
                limit->name);
    if (redis || !limit)
        return (struct page_head){200, "OK", "application/json", ""};
    return (struct page_head){503, "Service Unavailable", "application/json", "Retry-After: 1\r\n"};
}

static struct page_head metrics(const struct page_request *page)
{
    const char *accept = request_parameter(page->request, "HTTP_ACCEPT");
    bool openmetrics = accept && strstr(accept, "application/openmetrics-text");
    struct totals *totals = totals_read(page->pages->region);

    metrics_page_write(page->body, totals, openmetrics);
    totals_free(totals);
    return (struct page_head){200, "OK", openmetrics ? METRICS_TYPE_OPENMETRICS : METRICS_TYPE, ""};
}

static struct page_head status(const struct page_request *page)
{
    status_page_write(page->body, page->pages->region, page->pages->recent);
    return (struct page_head){200, "OK", "application/json", ""};
}

static struct page_head live(const struct page_request *page)
{
    fwrite(live_page, 1, live_page_len, page->body);
    return (struct page_head){200, "OK", "text/html; charset=utf-8",
                              "Content-Security-Policy: " LIVE_PAGE_POLICY "\r\n"
                              "X-Content-Type-Options: nosniff\r\n"};
}

static const struct kind {
    const char *name;
    bool open; /* everyone may see it */
    struct page_head (*write)(const struct page_request *page);
} kinds[] = {
    {"health", true, health},  {"ready", true, ready}, {"metrics", false, metrics},
    {"status", false, status}, {"live", false, live},
};

/* ---- Who may see them ---- */

static bool is_loopback(const struct address *address)
{
    struct network network;

    return (!network_parse("127.0.0.0/8", &network) && network_contains(&network, address)) ||
           (!network_parse("::1", &network) && network_contains(&network, address));
}

static bool is_allowed(const struct pages_access *access, const struct request *request)
{
    static const char *const of_proxies[] = {"HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR",
                                             "HTTP_X_REAL_IP"};
    struct address address;

    if (!request->remote_addr || !address_parse(request->remote_addr, &address))
        return false;
    for (size_t i = 0; i < sizeof of_proxies / sizeof *of_proxies; i++)
        if (request_parameter(request, of_proxies[i]))
            return false;
    for (size_t i = 0; i < access->count; i++)
        if (network_contains(&access->network[i], &address))
            return true;
    return access->count == 0 && is_loopback(&address);
}

const char *pages_access_parse(const char *text, struct pages_access *out, const char **place)
{
    *out = (struct pages_access){0};
    for (;;) {
        char word[64];

        text += strspn(text, " ,");
        *place = text;
        size_t len = strcspn(text, " ,");
        if (len == 0)
            return NULL;
        if (out->count == PAGES_NETWORKS_MAX)
            return "is one network too many: the most is 64";
        if (len >= sizeof word)
            return "is too long for a network";
        memcpy(word, text, len);
        word[len] = '\0';
        const char *error = network_parse(word, &out->network[out->count++]);
        if (error)
            return error;
        text += len;
    }
}

/* ---- Answers ---- */

static struct page_head problem(FILE *body, int status, const char *reason, const char *detail,
                                const char *fields)
{
    fprintf(body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}\n",
            reason, status, detail);
    return (struct page_head){status, reason, "application/problem+json", fields};
}

static struct page_head write_page(const struct page_request *page, const char *name)
{
    const char *method = page->request->method;
    const struct kind *kind = NULL;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !kind; i++)
        if (strcmp(kinds[i].name, name) == 0)
            kind = &kinds[i];
    if (!kind)
        return problem(page->body, 404, "Not Found",
                       "The web server asks for an endpoint (" PAGES_PARAMETER
                       ") that there is not; there are health, ready, metrics, status and live.",
                       "");
    if (!method || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0))
        return problem(page->body, 405, "Method Not Allowed", "This page can only be read.",
                       "Allow: GET, HEAD\r\n");
    if (!kind->open && !is_allowed(&page->pages->access, page->request))
        return problem(page->body, 403, "Forbidden",
                       "Clients on this host alone may see this page, unless RATELIMIT_ALLOW "
                       "of the rate limiter names their network.",
                       "");
    return kind->write(page);
}

char *pages_answer(const struct pages *pages, const char *name, const struct request *request,
                   const struct limits *limits, size_t *len)
{
    struct page_request page = {pages, request, limits, NULL};
    char *body = NULL, *answer = NULL;
    size_t body_len = 0;
    FILE *out;

    page.body = open_memstream(&body, &body_len);
    assert(page.body);
    const struct page_head head = write_page(&page, name);
    fclose(page.body);
    out = open_memstream(&answer, len);
    assert(out);
    fprintf(out,
            "Status: %d %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\n%sContent-Length: "
            "%zu\r\n\r\n",
            head.status, head.reason, head.type, head.fields, body_len);
    fwrite(body, 1, body_len, out);
    fclose(out);
    free(body);
    return answer;
}

struct pages *pages_new(const struct region *region, const struct recent *recent,
                        const struct pages_access *access)
{
    struct pages *pages = memory_new(sizeof *pages);

    *pages = (struct pages){region, recent, *access};
    return pages;
}

void pages_free(struct pages *pages)
{
    free(pages);
}
