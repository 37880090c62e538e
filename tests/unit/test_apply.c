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

static void a_limit_asks_of_a_request_what_its_file_says(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char host[] = "HTTP_HOST=api.example.com", cost[32], *parameters[] = {host, cost, NULL};
        const struct request request = {"GET", cases[i].uri, cases[i].ip, parameters};
        struct applied applied;
        struct view view;
        struct charge charge;

        snprintf(cost, sizeof cost, "%s", cases[i].cost ? cases[i].cost : "");
        view_begin(&view, &request, 64);
        enum apply_result got = apply_limit(&limits->limit[0], &view, &charge, &applied);
        want_text(cases[i].uri, name_of(got), name_of(cases[i].want));
        if (got == APPLY_NOT)
            continue;
        want_number(cases[i].uri, applied.override ? applied.override->line : 0, cases[i].line);
        want_text(cases[i].uri, charge.key, cases[i].key);
        want_number(cases[i].uri, (int64_t)charge.key_len, (int64_t)strlen(cases[i].key));
        want_number(cases[i].uri, charge.cost, cases[i].tokens);
        if (cases[i].capacity < 0)
            continue;
        want_number(cases[i].uri, charge.capacity, cases[i].capacity);
        want_number(cases[i].uri, charge.interval_us, cases[i].interval_us);
    }
    limits_unref(limits);
}

static void every_condition_of_a_match_must_be_met(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char host[32], *parameters[] = {host, NULL};
        const struct request request = {cases[i].method, cases[i].uri, "192.0.2.7", parameters};
        struct applied applied;
        struct view view;
        struct charge charge;

        snprintf(host, sizeof host, "%s", cases[i].host);
        view_begin(&view, &request, 64);
        want_text(host, name_of(apply_limit(&limits->limit[0], &view, &charge, &applied)),
                  name_of(cases[i].want));
    }
    limits_unref(limits);
}

/* Exact overrides are looked up by a key in which the limit's name stands. */
static void the_overrides_of_two_limits_do_not_mix(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (size_t j = 0; j < limits->count; j++) {
            const struct request request = {"GET", cases[i].uri, "192.0.2.7", (char *[]){NULL}};
            struct applied applied;
            struct view view;
            struct charge charge;

            view_begin(&view, &request, 64);
            want_number(cases[i].uri, apply_limit(&limits->limit[j], &view, &charge, &applied),
                        APPLY_CHARGE);
            want_number(cases[i].uri, charge.capacity, cases[i].capacity[j]);
        }
    limits_unref(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_asks_of_a_request_what_its_file_says),
        cmocka_unit_test(every_condition_of_a_match_must_be_met),
        cmocka_unit_test(the_overrides_of_two_limits_do_not_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
