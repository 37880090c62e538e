/* test_router.c - which requests are decided, and in which form they are answered. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "decide/router.h"

#include <stdbool.h>
#include <stdio.h>

#include "config/limits_file.h"
#include "unit_slot.h"

/* A store whose buckets are empty. */
struct fake_store {
    struct store store; /* first */
    char key[STORE_KEY_SIZE];
    unsigned count;
};

static void refuse(struct store *base, struct ask *ask)
{
    struct fake_store *store = (struct fake_store *)base;

    store->count++;
    strcpy(store->key, ask->charges[0].key);
    for (size_t i = 0; i < ask->charge_count; i++)
        ask->charges[i].balance = (struct balance){false, 0, 11000000, 59000000};
    ask->settled_by = SETTLED_BY_REDIS;
    ask->done(ask);
}

static void keep_text(void *exchange, const char *text, size_t len)
{
    memcpy(exchange, text, len + 1);
}

/* What the router answers to REQUEST by limits that trust 192.0.2.80, into OUT.  STORE is then what
 * was asked. */
static void route(const struct request *request, struct fake_store *store, char out[REPLY_SIZE])
{
    static const char file[] = "trusted_proxies: [192.0.2.80]\nforward_auth: x-forwarded\n"
                               "limits: [{ name: a, key: ip, capacity: 5, refill: 1/s }]\n";
    struct findings findings = {.file = "f"};
    struct limits *limits = limits_parse(file, sizeof file - 1, &findings);

    findings_free(&findings);
    assert_non_null(limits);
    *store = (struct fake_store){.store = {refuse}};
    struct limiter *limiter = limiter_new(limits, &store->store, unit_region(), keep_text);
    struct recent *recent = recent_new(unit_region());
    struct pages *pages = pages_new(unit_region(), recent, &(struct pages_access){0});
    struct router *router = router_new(limiter, pages, keep_text);
    limits_unref(limits);
    router_handle(router, out, request);
    router_free(router);
    pages_free(pages);
    recent_free(recent);
    limiter_free(limiter);
}

TEST(an_answer_has_the_form_that_the_web_server_asks_for)
{
    char parameter[] = "RATELIMIT_AUTH_REQUEST=on", header[] = "HTTP_RATELIMIT_AUTH_REQUEST=on";
    char *of_nginx[] = {header, parameter, NULL}, *of_client[] = {header, NULL};
    const struct {
        char **parameters;
        bool authorizer;
        const char *start;
    } cases[] = {
        {of_client, false, "Status: 429 Too Many Requests\r\nContent-Type:"},
        {of_client, true, "Status: 429 Too Many Requests\r\nContent-Type:"},
        {of_nginx, false, "Status: 403 Forbidden\r\nRateLimit-Status: 429\r\n"},
        {of_nginx, true, "Status: 429 Too Many Requests\r\nContent-Type:"},
    };

    FOR_EACH(c, cases) {
        const struct request request = {.method = "GET",
                                        .uri = "/",
                                        .remote_addr = "192.0.2.7",
                                        .parameters = c->parameters,
                                        .authorizer = c->authorizer};
        struct fake_store store;
        char got[REPLY_SIZE];

        route(&request, &store, got);
        want_error("form", got, c->start);
    }
}

TEST(what_cannot_be_decided_is_answered_without_the_store)
{
    char one[] = "HTTP_X_FORWARDED_URI=/a", other[] = "HTTP_X_FORWARDED_URI=/b";
    char *none[] = {NULL}, *twice[] = {one, other, NULL};
    const struct {
        const char *what;
        struct request request;
        const char *start;
    } cases[] = {
        {"too large",
         {"GET", "/", "192.0.2.7", none, .defect = REQUEST_TOO_LARGE},
         "Status: 431 Request Header Fields Too Large\r\n"},
        {"unreadable",
         {"GET", "/", "192.0.2.7", none, .defect = REQUEST_UNREADABLE},
         "Status: 400 Bad Request\r\n"},
        {"no method", {NULL, "/", "192.0.2.7", none}, "Status: 500 Internal Server Error\r\n"},
        {"no address", {"GET", "/", NULL, none}, "Status: 500 Internal Server Error\r\n"},
        {"a proxy's question about two requests",
         {"GET", "/check", "192.0.2.80", twice},
         "Status: 400 Bad Request\r\n"},
    };

    FOR_EACH(c, cases) {
        struct fake_store store;
        char got[REPLY_SIZE];

        route(&c->request, &store, got);
        want_error(c->what, got, c->start);
        want_number(c->what, store.count, 0);
    }
}

TEST(the_question_of_a_proxy_is_about_its_clients_request)
{
    char method[] = "HTTP_X_FORWARDED_METHOD=POST", uri[] = "HTTP_X_FORWARDED_URI=/x",
         address[] = "HTTP_X_FORWARDED_FOR=203.0.113.9";
    char *parameters[] = {method, uri, address, NULL};
    const struct request trusted = {"GET", "/check", "192.0.2.80", parameters},
                         other = {"GET", "/check", "192.0.2.7", parameters};
    struct fake_store store;
    char got[REPLY_SIZE];

    route(&trusted, &store, got);
    want_text("trusted", store.key, "rl:{ip=203.0.113.9}:a");
    route(&other, &store, got);
    want_text("not trusted", store.key, "rl:{ip=192.0.2.7}:a");
}

TESTS_MAIN
