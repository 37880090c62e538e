/* test_apply.c - tests of limits/apply.h */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "limits/apply.h"
#include "config/limits_file.h"

#include <stdio.h>

/* The limits of FILE, which are the caller's to limits_unref. */
static struct limits *limits_of(const char *file)
{
    struct findings findings = {.file = "test.yaml"};
    struct limits *limits = limits_parse(file, strlen(file), &findings);

    if (!limits)
        findings_write(&findings, FINDINGS_ALL, stderr);
    findings_free(&findings);
    assert_non_null(limits);
    return limits;
}

static const char a_limit[] =
    "limits:\n"
    "  - name: a\n"
    "    match: { path: /api/**, methods: [GET], host: '*.example.com' }\n"
    "    key: query:user | ip\n"
    "    capacity: 20\n"
    "    refill: 5/s\n"
    "    cost: header:X-Cost\n"
    "    overrides:\n"
    "      - { key: 'premium-*', capacity: 200, refill: 50/s }\n"
    "      - { key: 10.0.0.0/8, unlimited: true }\n"
    "      - { key: mallory, blocked: true }\n"
    "      - { key: big, capacity: 100 }\n"
    "      - { key: fast, refill: 100/s }\n";

/* The name of RESULT. */
static const char *name_of(enum apply_result result)
{
    static const char *const names[] = {
        [APPLY_NOT] = "not",
        [APPLY_CHARGE] = "take",
        [APPLY_UNLIMITED] = "unlimited",
        [APPLY_BLOCKED] = "blocked",
    };

    return names[result];
}

TEST(a_limit_asks_of_a_request_what_its_file_says)
{
    static const struct {
        const char *uri, *ip, *cost; /* COST: a parameter, or NULL */
        enum apply_result want;
        unsigned line; /* of the override; 0: none */
        const char *key;
        int64_t capacity, interval_us, tokens;
    } cases[] = {
        {"/x", "192.0.2.7", NULL, APPLY_NOT, 0, NULL, 0, 0, 0},
        {"/api?user=ann", "192.0.2.7", NULL, APPLY_CHARGE, 0, "rl:{query:user=ann}:a", 20, 200000,
         1},
        {"//api/./x?user=ann", "192.0.2.7", "HTTP_X_COST=7", APPLY_CHARGE, 0,
         "rl:{query:user=ann}:a", 20, 200000, 7},
        {"/api", "192.0.2.7", "HTTP_X_COST=0", APPLY_CHARGE, 0, "rl:{ip=192.0.2.7}:a", 20, 200000,
         1},
        {"/api?user=ann", "192.0.2.7", "HTTP_X_COST=1000001", APPLY_CHARGE, 0,
         "rl:{query:user=ann}:a", 20, 200000, COST_MAX},
        {"/api?user=premium-1", "192.0.2.7", "HTTP_X_COST=3", APPLY_CHARGE, 9,
         "rl:{query:user=premium-1}:a", 200, 20000, 3},
        {"/api?user=%70remium-1", "10.0.0.1", NULL, APPLY_CHARGE, 9, "rl:{query:user=premium-1}:a",
         200, 20000, 1},
        {"/api?user=big", "192.0.2.7", NULL, APPLY_CHARGE, 12, "rl:{query:user=big}:a", 100, 200000,
         1},
        {"/api?user=fast", "192.0.2.7", NULL, APPLY_CHARGE, 13, "rl:{query:user=fast}:a", 20, 10000,
         1},
        {"/api", "10.1.2.3", NULL, APPLY_UNLIMITED, 10, "rl:{ip=10.1.2.3}:a", -1, -1, 1},
        {"/api?user=10.1.2.3", "192.0.2.7", NULL, APPLY_CHARGE, 0, "rl:{query:user=10.1.2.3}:a", 20,
         200000, 1},
        {"/api?user=mallory", "10.1.2.3", NULL, APPLY_BLOCKED, 11, "rl:{query:user=mallory}:a", -1,
         -1, 1},
        {"/x?user=mallory", "192.0.2.7", NULL, APPLY_NOT, 0, NULL, 0, 0, 0},
    };
    struct limits *limits = limits_of(a_limit);

    FOR_EACH(c, cases) {
        char host[] = "HTTP_HOST=api.example.com", cost[32], *parameters[] = {host, cost, NULL};
        const struct request request = {"GET", c->uri, c->ip, parameters};
        struct applied applied;
        struct view view;
        struct charge charge;

        snprintf(cost, sizeof cost, "%s", c->cost ? c->cost : "");
        view_begin(&view, &request, 64);
        enum apply_result got = apply_limit(&limits->limit[0], &view, &charge, &applied);
        want_text(c->uri, name_of(got), name_of(c->want));
        if (got == APPLY_NOT)
            continue;
        want_number(c->uri, applied.override ? applied.override->line : 0, c->line);
        want_text(c->uri, charge.key, c->key);
        want_number(c->uri, (int64_t)charge.key_len, (int64_t)strlen(c->key));
        want_number(c->uri, charge.cost, c->tokens);
        if (c->capacity < 0)
            continue;
        want_number(c->uri, charge.capacity, c->capacity);
        want_number(c->uri, charge.interval_us, c->interval_us);
    }
    limits_unref(limits);
}

TEST(every_condition_of_a_match_must_be_met)
{
    static const struct {
        const char *method, *uri, *host;
        enum apply_result want;
    } cases[] = {
        {"GET", "/api/x", "HTTP_HOST=a.example.com", APPLY_CHARGE},
        {"POST", "/api/x", "HTTP_HOST=a.example.com", APPLY_NOT},
        {"GET", "/x", "HTTP_HOST=a.example.com", APPLY_NOT},
        {"GET", "/api/x", "HTTP_HOST=a.example.org", APPLY_NOT},
        {"GET", "/api/x", "NO_HOST=", APPLY_NOT},
    };
    struct limits *limits = limits_of(a_limit);

    FOR_EACH(c, cases) {
        char host[32], *parameters[] = {host, NULL};
        const struct request request = {c->method, c->uri, "192.0.2.7", parameters};
        struct applied applied;
        struct view view;
        struct charge charge;

        snprintf(host, sizeof host, "%s", c->host);
        view_begin(&view, &request, 64);
        want_text(host, name_of(apply_limit(&limits->limit[0], &view, &charge, &applied)),
                  name_of(c->want));
    }
    limits_unref(limits);
}

/* Exact overrides are looked up by a key that holds the limit's name. */
TEST(the_overrides_of_two_limits_do_not_mix)
{
    static const char file[] = "limits:\n"
                               "  - { name: a, key: query:user, capacity: 1, refill: 1/s,"
                               " overrides: [{ key: ann, capacity: 7 }] }\n"
                               "  - { name: b, key: query:user, capacity: 2, refill: 1/s,"
                               " overrides: [{ key: bob, capacity: 8 }] }\n"
                               "  - { name: c, key: query:user, capacity: 3, refill: 1/s }\n";
    static const struct {
        const char *uri;
        int64_t capacity[3];
    } cases[] = {
        {"/?user=ann", {7, 2, 3}},
        {"/?user=bob", {1, 8, 3}},
        {"/?user=eve", {1, 2, 3}},
    };
    struct limits *limits = limits_of(file);

    FOR_EACH(c, cases)
        for (size_t j = 0; j < limits->count; j++) {
            const struct request request = {"GET", c->uri, "192.0.2.7", (char *[]){NULL}};
            struct applied applied;
            struct view view;
            struct charge charge;

            view_begin(&view, &request, 64);
            want_number(c->uri, apply_limit(&limits->limit[j], &view, &charge, &applied),
                        APPLY_CHARGE);
            want_number(c->uri, charge.capacity, c->capacity[j]);
        }
    limits_unref(limits);
}

TESTS_MAIN
