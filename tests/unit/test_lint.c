/* test_lint.c - tests of config/lint: warnings about valid limits that are probably a mistake. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "config/lint.h"
#include "config/limits_file.h"

#include <stdbool.h>
#include <stdio.h>

/* A limit on one line of a list; a warning about it is at column 3. */
#define LIMIT(name, key, capacity, refill, more)                                                   \
    "- { name: " name ", key: " key ", capacity: " capacity ", refill: " refill more " }\n"

#define NEVER(name) "'" name "' can never refuse, "
#define LIFTED                                                                                     \
    "its first override makes every client unlimited; leave the limit out, or write that "         \
    "override last\n"
#define NO_PATH                                                                                    \
    "its path fits no request: paths are matched decoded and normalised; write it "                \
    "without %XX, //, /./ and /../\n"
#define FIRST(name, line)                                                                          \
    "'" name "' in line " line " always refuses first; leave it out, or make its capacity or "     \
    "refill the smaller one\n"
#define TWIN(name, other, line)                                                                    \
    "'" name "' has the same key and match as '" other "' in line " line "; leave one of them "    \
    "out, unless they are for two spans of time, such as 10/s and 1000/day\n"
#define DEAR(name)                                                                                 \
    "'" name "' refuses every request, because its cost is above its capacity; lower the cost or " \
    "raise the capacity\n"
#define MISSING(name, source)                                                                      \
    "the key of '" name "' can be missing, and all requests without " source " share a bucket; "   \
    "end it in | ip, or in | global if that is meant\n"
#define SHADOWS                                                                                    \
    "no limit is enforced, every one is a shadow; write shadow: false for one that should "        \
    "refuse\n"
#define AT(line) "f:" line ":3: warning: "

/* The warnings about a file of LIMITS, which has no mistake.  The caller frees them. */
static char *warnings_of(const char *limits)
{
    struct findings findings = {.file = "f"};
    char file[4096], *got;
    size_t size;
    FILE *out = open_memstream(&got, &size);

    assert_non_null(out);
    snprintf(file, sizeof file, "limits:\n%s", limits);
    struct limits *read = limits_parse(file, strlen(file), &findings);
    findings_write(&findings, FINDINGS_ALL, out);
    fclose(out);
    if (!read)
        fail_msg("\"%s\": refused: %s", file, got);
    findings_free(&findings);
    limits_unref(read);
    return got;
}

static void want_warnings(const char *limits, const char *want)
{
    char *got = warnings_of(limits);

    want_text(limits, got, want);
    free(got);
}

struct warned {
    const char *limits, *want;
};

static void want_all_warnings(const struct warned *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        want_warnings(cases[i].limits, cases[i].want);
}

TEST(a_file_that_means_what_it_says_has_no_warnings)
{
    static const struct warned cases[] = {
        {LIMIT("a", "query:user | ip", "5", "1/12s", ""), ""},
        {LIMIT("a", "ip", "5", "1/s", ", cost: 5"), ""},
        {LIMIT("a", "ip", "5", "1/s", ", cost: header:X-Cost"), ""},
        {LIMIT("a", "ip", "5", "1/s", ", match: { path: /api/** }"), ""},
        {LIMIT("a", "ip", "5", "1/s", "") LIMIT("b", "ip + path", "5", "1/s", ""), ""},
        {LIMIT("a", "ip", "5", "1/s", "") LIMIT("b", "path", "5", "1/s", ""), ""},
        {LIMIT("a", "ip", "5", "1/s", ", overrides: [{ key: 10.0.0.0/8, unlimited: true }]"), ""},
    };

    want_all_warnings(cases, LENGTH(cases));
}

TEST(a_limit_that_exempts_every_client_is_warned_about)
{
#define A(key, overrides) LIMIT("a", key, "5", "1/s", ", overrides: [" overrides "]")
    static const struct warned cases[] = {
        {A("ip", "{ key: '*', unlimited: true }"), AT("2") NEVER("a") LIFTED},
        {A("ip", "{ key: '**', unlimited: true }"), AT("2") NEVER("a") LIFTED},
        {A("path", "{ key: '**', unlimited: true }"), AT("2") NEVER("a") LIFTED},
        {A("query:a | ip", "{ key: '**', unlimited: true }"), AT("2") NEVER("a") LIFTED},
        {A("ip + path", "{ key: ['*', '**'], unlimited: true }"), AT("2") NEVER("a") LIFTED},
        {A("path", "{ key: '*', unlimited: true }"), ""},
        {A("ip", "{ key: '*', capacity: 9 }"), ""},
        {A("ip", "{ key: '*', blocked: true }"), ""},
        {A("ip", "{ key: 0.0.0.0/0, unlimited: true }"), ""},
        {A("ip", "{ key: 10.0.0.1, blocked: true }, { key: '*', unlimited: true }"), ""},
        {A("ip", "{ key: 10.0.0.1, unlimited: true }, { key: '*', blocked: true }"), ""},
        {A("query:a + path | ip", "{ key: ['**', '**'], unlimited: true }"), ""},
    };
#undef A

    want_all_warnings(cases, LENGTH(cases));
}

TEST(a_path_that_no_request_has_is_warned_about)
{
    static const struct {
        const char *path;
        bool warned;
    } cases[] = {
        {"/api//x", true},
        {"//api", true},
        {"/api/./x", true},
        {"/api/../x", true},
        {"/api/.", true},
        {"/api/..", true},
        {"/%61pi", true},
        {"/%2F", true},
        {"/a%c3%a9", true},
        {"/**//x", true},
        {"/.", true},
        {"/..", true},
        {"/api/x", false},
        {"/api/", false},
        {"/", false},
        {"/**", false},
        {"**", false},
        {"/a.b", false},
        {"/.well-known/x", false},
        {"/a./x", false},
        {"/..a", false},
        {"/.../x", false},
        {"/100%", false},
        {"/%zz", false},
        {"/%4", false},
        {"/a%*", false},
        {"*/x", false},
        {"/*/*", false},
    };

    FOR_EACH(c, cases) {
        char limits[256];

        snprintf(limits, sizeof limits, LIMIT("a", "ip", "5", "1/s", ", match: { path: '%s' }"),
                 c->path);
        want_warnings(limits, c->warned ? AT("2") NEVER("a") NO_PATH : "");
    }
}

TEST(a_limit_that_can_never_refuse_first_is_warned_about)
{
#define A(capacity, refill, more) LIMIT("a", "ip", capacity, refill, more)
#define B(capacity, refill, more) LIMIT("b", "ip", capacity, refill, more)
#define ALSO_TWIN                 AT("3") TWIN("b", "a", "2")
    static const struct warned cases[] = {
        {A("5", "1/s", "") B("9", "1/s", ""), AT("3") NEVER("b") FIRST("a", "2") ALSO_TWIN},
        {A("5", "1/s", "") B("5", "2/s", ""), AT("3") NEVER("b") FIRST("a", "2") ALSO_TWIN},
        {A("5", "1/s", "") B("9", "2/s", ""), AT("3") NEVER("b") FIRST("a", "2") ALSO_TWIN},
        {A("9", "2/s", "") B("5", "1/s", ""), AT("2") NEVER("a") FIRST("b", "3") ALSO_TWIN},
        /* of two equal limits, the second is superfluous */
        {A("5", "1/s", "") B("5", "1/s", ""), AT("3") NEVER("b") FIRST("a", "2") ALSO_TWIN},
        {A("5", "1/s", "") B("5", "60/min", ""), AT("3") NEVER("b") FIRST("a", "2") ALSO_TWIN},
        /* two spans of time: each can refuse */
        {A("10", "10/s", "") B("1000", "1000/day", ""), ALSO_TWIN},
        {A("5", "2/s", "") B("9", "1/s", ""), ALSO_TWIN},
        /* a wider match, the same cost */
        {A("5", "1/s", "") B("9", "1/s", ", match: { path: /x }"),
         AT("3") NEVER("b") FIRST("a", "2")},
        {A("5", "1/s", ", match: { path: /x }") B("9", "1/s", ""), ""},
        {A("5", "1/s", ", match: { methods: [GET, PUT] }")
             B("9", "1/s", ", match: { methods: [GET] }"),
         AT("3") NEVER("b") FIRST("a", "2")},
        {A("5", "1/s", ", match: { methods: [GET] }")
             B("9", "1/s", ", match: { methods: [GET, PUT] }"),
         ""},
        {A("5", "1/s", ", match: { methods: [GET] }") B("9", "1/s", ""), ""},
        {A("5", "1/s", ", match: { host: a.com }")
             B("9", "1/s", ", match: { host: A.com, path: /x }"),
         AT("3") NEVER("b") FIRST("a", "2")},
        {A("5", "1/s", ", cost: 2") B("9", "1/s", ", cost: 2"),
         AT("3") NEVER("b") FIRST("a", "2") ALSO_TWIN},
        {A("5", "1/s", "") B("9", "1/s", ", cost: 2"), ALSO_TWIN},
        {A("5", "1/s", ", cost: header:X") B("9", "1/s", ", cost: header:x"),
         AT("3") NEVER("b") FIRST("a", "2") ALSO_TWIN},
        {A("5", "1/s", ", cost: header:X") B("9", "1/s", ", cost: header:Y"), ALSO_TWIN},
        /* a shadow refuses nothing; overrides change which clients are refused */
        {A("5", "1/s", ", shadow: true") B("9", "1/s", ""), ""},
        {A("5", "1/s", "") B("9", "1/s", ", shadow: true"), AT("3") NEVER("b") FIRST("a", "2")},
        {A("5", "1/s", ", overrides: [{ key: 10.0.0.1, unlimited: true }]") B("9", "1/s", ""),
         ALSO_TWIN},
        {A("5", "1/s", "") B("9", "1/s", ", overrides: [{ key: 10.0.0.1, capacity: 1 }]"),
         ALSO_TWIN},
        /* the first of several is named */
        {A("9", "1/s", "") B("5", "1/s", "") LIMIT("c", "ip", "10", "1/s", ""),
         AT("2") NEVER("a") FIRST("b", "3") ALSO_TWIN AT("4") NEVER("c") FIRST("a", "2") AT("4")
             TWIN("c", "a", "2")},
    };
#undef A
#undef B
#undef ALSO_TWIN

    want_all_warnings(cases, LENGTH(cases));
}

TEST(two_limits_with_the_same_key_and_match_are_warned_about)
{
#define A(key, more) LIMIT("a", key, "10", "10/s", more)
#define B(key, more) LIMIT("b", key, "100", "1/s", more)
    static const struct warned cases[] = {
        {A("ip", "") B("ip", ""), AT("3") TWIN("b", "a", "2")},
        {A("query:u | ip", "") B("query:u|ip", ""), AT("3") TWIN("b", "a", "2")},
        {A("header:X | ip", "") B("header:x | ip", ""), AT("3") TWIN("b", "a", "2")},
        {A("query:u | ip", "") B("query:U | ip", ""), ""},
        {A("query:u | ip", "") B("query:u + ip | ip", ""), ""},
        {A("path + ip", "") B("ip + path", ""), ""},
        {A("path + ip", "") B("query:q | ip", ""), ""},
        {A("ip", ", match: { path: /x }") B("ip", ", match: { path: /x }"),
         AT("3") TWIN("b", "a", "2")},
        {A("ip", ", match: { path: /x }") B("ip", ", match: { path: /y }"), ""},
        {A("ip", ", match: { path: /x }") B("ip", ""), ""},
        {A("ip", ", match: { methods: [GET, PUT] }") B("ip", ", match: { methods: [PUT, GET] }"),
         AT("3") TWIN("b", "a", "2")},
        {A("ip", ", match: { methods: [GET] }") B("ip", ", match: { methods: [PUT] }"), ""},
        {A("ip", ", shadow: true") B("ip", ", shadow: true"),
         AT("2") SHADOWS AT("3") TWIN("b", "a", "2")},
        {A("ip", ", shadow: true") B("ip", ""), ""},
        {A("ip", "") B("path", "") LIMIT("c", "path", "1000", "1000/day", ""),
         AT("4") TWIN("c", "b", "3")},
    };
#undef A
#undef B

    want_all_warnings(cases, LENGTH(cases));
}

TEST(a_cost_above_the_capacity_is_warned_about)
{
    static const struct warned cases[] = {
        {LIMIT("a", "ip", "5", "1/s", ", cost: 6"), AT("2") DEAR("a")},
        {LIMIT("a", "ip", "5", "1/s", ", cost: 5"), ""},
        {LIMIT("a", "ip", "1", "1/s", ", cost: 1000000"), AT("2") DEAR("a")},
        {LIMIT("a", "ip", "1", "1/s", ""), ""},
        {LIMIT("a", "ip", "1", "1/s", ", cost: env:COST"), ""},
    };

    want_all_warnings(cases, LENGTH(cases));
}

TEST(a_key_that_a_request_can_lack_is_warned_about)
{
    static const struct {
        const char *key, *missing; /* MISSING: NULL if nothing is */
    } cases[] = {
        {"query:u", "query:u"},
        {"header:X-Key", "header:x-key"},
        {"cookie:s", "cookie:s"},
        {"env:USER", "env:USER"},
        {"host", "host"},
        {"header:X | query:u", "query:u"},
        {"header:X + path", "header:x"},
        {"path + header:X", "header:x"},
        {"header:X | path + query:u", "query:u"},
        {"header:X + query:u", "header:x"},
        {"ip", NULL},
        {"path", NULL},
        {"method", NULL},
        {"global", NULL},
        {"query:u | ip", NULL},
        {"query:u | global", NULL},
        {"query:u + path | ip + path", NULL},
        {"ip + query:v | query:u", "query:u"},
        /* requests that lack it have a bucket for each client */
        {"header:X + ip", NULL},
        {"ip + header:X", NULL},
        {"header:X | ip + query:u", NULL},
    };

    FOR_EACH(c, cases) {
        char limits[256], want[256] = "";

        snprintf(limits, sizeof limits, LIMIT("a", "%s", "5", "1/s", ""), c->key);
        if (c->missing)
            snprintf(want, sizeof want, AT("2") MISSING("a", "%s"), c->missing);
        want_warnings(limits, want);
    }
}

TEST(alternatives_that_no_request_uses_are_warned_about)
{
    static const struct {
        const char *key, *first; /* FIRST: the source that every request has; NULL: no warning */
    } cases[] = {
        {"ip | query:u", "ip"},
        {"header:X | ip | query:u", "ip"},
        {"ip + path | query:u", "ip"},
        {"global | ip", "global"},
        {"path | ip", "path"},
        {"method | query:u | ip", "method"},
        {"lower(path) | query:u", "path"},
        {"query:u | ip", NULL},
        {"host | ip", NULL},
        {"query:u + ip | ip", NULL},
    };

    FOR_EACH(c, cases) {
        char limits[256], want[400] = "";

        snprintf(limits, sizeof limits, LIMIT("a", "%s", "5", "1/s", ""), c->key);
        if (c->first)
            snprintf(want, sizeof want,
                     AT("2") "the key of 'a' has alternatives that are never used, because every "
                             "request has the source %s before them; write that one last, or leave "
                             "the others out\n",
                     c->first);
        want_warnings(limits, want);
    }
}

/* A limit with MATCH gives a warning that contains FRAGMENT; if that is NULL, no warning. */
static void want_match_warning(const char *match, const char *fragment)
{
    char limits[512], *got;

    snprintf(limits, sizeof limits, LIMIT("a", "ip", "5", "1/s", ", match: { %s }"), match);
    got = warnings_of(limits);
    if (fragment)
        want_error(match, got, fragment);
    else
        want_text(match, got, "");
    free(got);
}

TEST(a_path_or_host_that_no_request_has_is_warned_about)
{
    static const struct {
        const char *match, *fragment;
    } cases[] = {
        {"path: '/api?x=1'", "holds a '?', and what follows one is not part of a path"},
        {"path: '/api#top'", "holds a '#'"},
        {"path: '/users/{id}'", "holds '{', which means only itself"},
        {"path: '/users/:id'", "holds ':'"},
        {"path: '/v[12]/**'", "holds '['"},
        {"path: '/{a,b}'", "holds '{'"},
        {"path: '/(a|b)'", "holds '('"},
        {"path: '/api/.*'", "holds '.*'"},
        {"path: '/api/x$'", "holds '$'"},
        {"path: /a:b", NULL},
        {"path: /api/**/x.json", NULL},
        {"path: /login/", NULL},
        {"host: 'example.com.'", NULL},
        {"host: EXAMPLE.com", NULL},
        {"host: '*.example.com'", NULL},
        {"host: '\xc3\xbcr.example'", "write that, xn--..."},
        {"host: 'a b.example'", "holds a ' ', which no host has"},
        {"host: '{a,b}.example'", "holds a '{'"},
    };

    FOR_EACH(c, cases)
        want_match_warning(c->match, c->fragment);
}

TEST(proxies_that_could_be_clients_are_warned_about)
{
    static const struct {
        const char *proxies;
        unsigned bits; /* in the warning; 99: none */
    } cases[] = {
        {"[0.0.0.0/0]", 0}, {"['::/0']", 0},           {"[10.0.0.0/8]", 99},
        {"[0.0.0.0/1]", 1}, {"['2001:db8::/32']", 99}, {"['2000::/3']", 3},
    };

    FOR_EACH(c, cases) {
        char limits[256], want[300] = "";

        snprintf(limits, sizeof limits, LIMIT("a", "ip", "5", "1/s", "") "trusted_proxies: %s\n",
                 c->proxies);
        if (c->bits < 99)
            snprintf(want, sizeof want,
                     "f:3:18: warning: trusted_proxies has a network of /%u, whose every address "
                     "could ask on behalf of any client; name the addresses of your proxies\n",
                     c->bits);
        want_warnings(limits, want);
    }
}

TEST(a_file_without_an_enforced_limit_is_warned_about)
{
    static const struct warned cases[] = {
        {LIMIT("a", "ip", "5", "1/s", ", shadow: true"), AT("2") SHADOWS},
        {LIMIT("a", "ip", "5", "1/s", ", shadow: true")
             LIMIT("b", "path", "5", "1/s", ", shadow: true"),
         AT("2") SHADOWS},
        {LIMIT("a", "ip", "5", "1/s", ", shadow: true") LIMIT("b", "path", "5", "1/s", ""), ""},
        {LIMIT("a", "ip", "5", "1/s", ", shadow: false"), ""},
    };

    want_all_warnings(cases, LENGTH(cases));
}

TEST(an_override_that_is_never_used_is_warned_about)
{
    want_warnings(
        "- name: a\n"
        "  key: ip\n"
        "  capacity: 5\n"
        "  refill: 1/s\n"
        "  overrides:\n"
        "    - { key: 10.0.0.0/8, capacity: 9 }\n"
        "    - { key: 10.1.0.0/16, unlimited: true }\n"
        "    - { key: 11.0.0.1, blocked: true }\n"
        "    - key: 11.0.0.1\n"
        "      unlimited: true\n",
        "f:8:14: warning: this override is never used, the one in line 7 is for the same "
        "clients; leave one of them out, or write this one before it\n"
        "f:10:12: warning: this override is never used, the one in line 9 is for the same "
        "clients; leave one of them out, or write this one before it\n");
}

#define HIDES_NOTHING                                                                              \
    "show: false hides nothing here, because the limit's key has no header, cookie, query or "     \
    "env, and the values of other sources are always shown; leave it out\n"

TEST(hiding_values_that_are_always_shown_is_warned_about)
{
    static const struct warned cases[] = {
        {"- name: a\n  key: ip + path\n  capacity: 5\n  refill: 1/s\n  show: false\n",
         "f:6:9: warning: " HIDES_NOTHING},
        {LIMIT("a", "ip + path", "5", "1/s", ", show: true"), ""},
        {LIMIT("a", "query:a | ip", "5", "1/s", ", show: false"), ""},
        {LIMIT("a", "header:A | ip", "5", "1/s", ", show: false"), ""},
        {LIMIT("a", "header:A | ip", "5", "1/s", ", show: true"), ""},
    };

    want_all_warnings(cases, LENGTH(cases));
}

TEST(all_warnings_about_a_file_are_in_the_order_of_its_lines)
{
    want_warnings(LIMIT("a", "query:u", "5", "1/s", ", cost: 9, match: { path: //x }")
                      LIMIT("b", "path", "9", "1/s", ", shadow: true")
                          LIMIT("c", "query:u", "9", "1/s", ", match: { path: //x }"),
                  AT("2") NEVER("a") NO_PATH AT("2") DEAR("a") AT("2") MISSING("a", "query:u")
                      AT("4") NEVER("c") NO_PATH AT("4") MISSING("c", "query:u") AT("4")
                          TWIN("c", "a", "2"));
}

/* Warnings about a file with a mistake would only be noise. */
TEST(a_file_with_a_mistake_has_no_warnings)
{
    static const char file[] =
        "limits:\n" LIMIT("a", "query:u", "5", "1/s", ", cost: 9") LIMIT("b", "ip", "0", "1/s", "");
    struct findings findings = {.file = "f"};

    assert_null(limits_parse(file, strlen(file), &findings));
    assert_int_equal(findings.error_count, 1);
    assert_int_equal(findings.warning_count, 0);
    findings_free(&findings);
}

TESTS_MAIN
