/* test_pages.c - which page is answered to whom. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "decide/pages.h"

#include <stdio.h>

#include "config/limits_file.h"
#include "shared/counters.h"
#include "unit_slot.h"

#define ALLOW "limits: [{ name: a, key: ip, capacity: 5, refill: 1/s }]\n"
#define DENY                                                                                       \
    "limits: [{ name: s, key: ip, capacity: 5, refill: 1/s, shadow: true, on_redis_failure: "      \
    "deny },\n  { name: d, key: ip, capacity: 5, refill: 1/s, on_redis_failure: deny }]\n"
#define SHADOW_DENIES                                                                              \
    "limits: [{ name: s, key: ip, capacity: 5, refill: 1/s, shadow: true, on_redis_failure: "      \
    "deny }]\n"

/* The answer to REQUEST for the page NAME; owned. */
static char *answer(const char *name, const struct request *request, const char *networks,
                    const char *file)
{
    struct findings findings = {.file = "f"};
    struct limits *limits = limits_parse(file, strlen(file), &findings);
    struct pages_access access = {0};
    const char *place;
    size_t len;

    findings_free(&findings);
    assert_non_null(limits);
    if (networks)
        assert_null(pages_access_parse(networks, &access, &place));
    struct recent *recent = recent_new(unit_region());
    struct pages *pages = pages_new(unit_region(), recent, &access);
    char *text = pages_answer(pages, name, request, limits, &len);
    assert_int_equal(strlen(text), len);
    pages_free(pages);
    recent_free(recent);
    limits_unref(limits);
    return text;
}

static void want_answer(const char *what, const char *got, const char *status, const char *part)
{
    char start[64];

    sprintf(start, "Status: %s\r\n", status);
    if (strncmp(got, start, strlen(start)) != 0 || !strstr(got, part))
        fail_msg("%s: got \"%s\", want %s and \"%s\"", what, got, status, part);
}

TEST(a_page_is_for_clients_of_this_host_or_of_the_networks_that_are_allowed)
{
    static const struct {
        const char *networks, *address, *header, *status; /* HEADER: a parameter; NULL: none */
    } cases[] = {
        {NULL, "127.0.0.1", NULL, "200 OK"},
        {NULL, "127.8.9.10", NULL, "200 OK"},
        {NULL, "::1", NULL, "200 OK"},
        {NULL, "::ffff:127.0.0.1", NULL, "200 OK"},
        {NULL, "192.0.2.1", NULL, "403 Forbidden"},
        {NULL, "::", NULL, "403 Forbidden"},
        {NULL, "2001:db8::1", NULL, "403 Forbidden"},
        {NULL, "", NULL, "403 Forbidden"},
        {NULL, "localhost", NULL, "403 Forbidden"},
        {NULL, NULL, NULL, "403 Forbidden"},
        {NULL, "127.0.0.1", "HTTP_X_FORWARDED_FOR=192.0.2.1", "403 Forbidden"},
        {NULL, "127.0.0.1", "HTTP_X_FORWARDED_FOR=", "403 Forbidden"},
        {NULL, "127.0.0.1", "HTTP_FORWARDED=for=192.0.2.1", "403 Forbidden"},
        {NULL, "127.0.0.1", "HTTP_X_REAL_IP=192.0.2.1", "403 Forbidden"},
        {"192.0.2.0/24", "192.0.2.77", NULL, "200 OK"},
        {"192.0.2.0/24", "192.0.3.77", NULL, "403 Forbidden"},
        {"192.0.2.0/24", "127.0.0.1", NULL, "403 Forbidden"},
        {"192.0.2.0/24,127.0.0.1", "127.0.0.1", NULL, "200 OK"},
        {"10.0.0.0/8, 2001:db8::/32", "2001:db8::1", NULL, "200 OK"},
        {"127.0.0.1", "127.0.0.1", "HTTP_X_FORWARDED_FOR=192.0.2.1", "403 Forbidden"},
        {"127.0.0.1", "127.0.0.1", "HTTP_X_FORWARDED_FOR=127.0.0.1", "403 Forbidden"},
    };
    static const char *const closed[] = {"metrics", "status", "live"};
    static const char *const open[] = {"health", "ready"};

    FOR_EACH(c, cases) {
        char *parameters[] = {(char *)c->header, NULL};
        const struct request request = {
            .method = "GET", .uri = "/", .remote_addr = c->address, .parameters = parameters};
        char what[128];

        sprintf(what, "%s from %s with %s", c->networks ? c->networks : "loopback",
                c->address ? c->address : "nowhere", c->header ? c->header : "nothing");
        FOR_EACH(name, closed) {
            char *got = answer(*name, &request, c->networks, ALLOW);
            want_answer(what, got, c->status, "Cache-Control: no-store\r\n");
            free(got);
        }
        FOR_EACH(name, open) {
            char *got = answer(*name, &request, c->networks, ALLOW);
            want_answer(what, got, "200 OK", "{\"status\":");
            free(got);
        }
    }
}

TEST(a_page_can_be_read_and_nothing_else)
{
    static const struct {
        const char *name, *method, *status, *part;
    } cases[] = {
        {"health", "GET", "200 OK", "{\"status\":\"pass\"}\n"},
        {"health", "HEAD", "200 OK", "Content-Length: 18\r\n"},
        {"health", "POST", "405 Method Not Allowed", "Allow: GET, HEAD\r\n"},
        {"metrics", "get", "405 Method Not Allowed", "Allow: GET, HEAD\r\n"},
        {"status", NULL, "405 Method Not Allowed", "Allow: GET, HEAD\r\n"},
        {"metrics", "GET", "200 OK", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"},
        {"status", "GET", "200 OK", "Content-Type: application/json\r\n"},
        {"live", "GET", "200 OK", "Content-Security-Policy: default-src 'none';"},
        {"", "GET", "404 Not Found", "health, ready, metrics, status and live"},
        {"Health", "GET", "404 Not Found", "health, ready, metrics, status and live"},
        {"metrics/", "POST", "404 Not Found", "health, ready, metrics, status and live"},
    };
    char *none[] = {NULL};

    FOR_EACH(c, cases) {
        const struct request request = {
            .method = c->method, .uri = "/", .remote_addr = "127.0.0.1", .parameters = none};
        char *got = answer(c->name, &request, NULL, ALLOW);
        want_answer(c->name, got, c->status, c->part);
        free(got);
    }
}

TEST(the_metrics_are_openmetrics_if_the_client_accepts_them)
{
    char accept[] = "HTTP_ACCEPT=application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    char *parameters[] = {accept, NULL};
    const struct request request = {
        .method = "GET", .uri = "/", .remote_addr = "127.0.0.1", .parameters = parameters};
    char *got = answer("metrics", &request, NULL, ALLOW);

    want_answer("openmetrics", got, "200 OK", "Content-Type: application/openmetrics-text;");
    want_text("the end", got + strlen(got) - 6, "# EOF\n");
    free(got);
}

TEST(a_process_is_ready_if_it_can_decide)
{
    static const struct {
        bool redis;
        const char *file, *status, *part;
    } cases[] = {
        {true, ALLOW, "200 OK", "\"with Redis\""},
        {true, DENY, "200 OK", "\"with Redis\""},
        {false, ALLOW, "200 OK", "\"status\":\"warn\",\"decides\":\"without Redis"},
        {false, SHADOW_DENIES, "200 OK", "\"status\":\"warn\",\"decides\":\"without Redis"},
        {false, DENY, "503 Service Unavailable", "limit d says on_redis_failure: deny"},
    };
    char *none[] = {NULL};
    const struct request request = {
        .method = "GET", .uri = "/", .remote_addr = "192.0.2.1", .parameters = none};

    FOR_EACH(c, cases) {
        counter_set(&unit_slot()->gauges.redis_ready, c->redis);
        char *got = answer("ready", &request, NULL, c->file);
        want_answer(c->file, got, c->status, c->part);
        free(got);
    }
}

TEST(the_networks_that_are_allowed_are_checked)
{
    static const struct {
        const char *text, *place, *error; /* ERROR NULL: the text is right */
        size_t count;
    } cases[] = {
        {"", "", NULL, 0},
        {" , ", "", NULL, 0},
        {"10.0.0.0/8", "", NULL, 1},
        {" 10.0.0.0/8,::1  192.0.2.1 ", "", NULL, 3},
        {"10.0.0.0/8 10.0.0.0/33", "10.0.0.0/33", "", 0},
        {"any", "any", "", 0},
        {"10.0.0.0/8;10.1.0.0/16", "10.0.0.0/8;10.1.0.0/16", "", 0},
    };

    FOR_EACH(c, cases) {
        struct pages_access access;
        const char *place, *error = pages_access_parse(c->text, &access, &place);
        if (!c->error) {
            assert_null(error);
            assert_int_equal(access.count, c->count);
        } else {
            assert_non_null(error);
            want_text(c->text, place, c->place);
        }
    }
}

TESTS_MAIN
