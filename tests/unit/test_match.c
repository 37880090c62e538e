/* test_match.c - tests of limits/match: globs, hosts, and the conditions of a limit. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "limits/match.h"

#include <stdio.h>

#define ROUNDS 200000

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void want_fits(const char *pattern, const char *text, bool want)
{
    if (glob_fits(pattern, span_of(text), NULL) != want)
        fail_msg("\"%s\" %s \"%s\"", pattern, want ? "does not fit" : "fits", text);
}

TEST(a_glob_fits_what_it_says)
{
    static const struct {
        const char *pattern, *text;
        bool fits;
    } cases[] = {
        {"/", "/", true},
        {"/", "/a", false},
        {"/api", "/api", true},
        {"/api", "/API", false},
        {"/api", "/api/", false},
        {"/api/*", "/api/x", true},
        {"/api/*", "/api/", true},
        {"/api/*", "/api/x/y", false},
        {"/api/*", "/api", false},
        {"/api/*/edit", "/api/x/edit", true},
        {"/api/*/edit", "/api/x/y/edit", false},
        {"/api/**", "/api/x", true},
        {"/api/**", "/api/x/y", true},
        {"/api/**", "/api/", true},
        {"/api/**", "/api", true},
        {"/api/**", "/apix", false},
        {"/api/**", "/ap", false},
        {"/**", "/", true},
        {"/**", "/a/b", true},
        {"**", "/a/b", true},
        {"**/edit", "/a/b/edit", true},
        {"/a/**/z", "/a/b/c/z", true},
        {"/a/**/z", "/a/z", false},
        {"/a**z", "/a/b/z", true},
        {"/v*/x", "/v1/x", true},
        {"/v*/x", "/v/x", true},
        {"*.png", "x.png", true},
        {"*.png", "x.pngx", false},
        {"*a*b*", "xxaxxbxx", true},
        {"*a*b*", "xxbxxaxx", false},
        {"***", "a/b", true},
        {"*.example.com", "api.example.com", true},
        {"*.example.com", "a.b.example.com", true},
        {"*.example.com", "example.com", false},
        {"[a]?", "[a]?", true},
    };

    FOR_EACH(c, cases)
        want_fits(c->pattern, c->text, c->fits);
}

/* What match.h documents, implemented slowly. */
static bool reference(const char *pattern, const char *text)
{
    if (strcmp(pattern, "/**") == 0 && text[0] == '\0')
        return true;
    if (pattern[0] == '\0')
        return text[0] == '\0';
    if (strncmp(pattern, "**", 2) == 0)
        return reference(pattern + 2, text) || (text[0] && reference(pattern, text + 1));
    if (pattern[0] == '*')
        return reference(pattern + 1, text) ||
               (text[0] && text[0] != '/' && reference(pattern, text + 1));
    return text[0] == pattern[0] && reference(pattern + 1, text + 1);
}

TEST(a_glob_agrees_with_a_slow_reference)
{
    uint64_t random = 20261123;
    char pattern[8], text[10];

    for (int i = 0; i < ROUNDS; i++) {
        random_text(&random, "*/a*/b", pattern, sizeof pattern);
        random_text(&random, "/ab", text, sizeof text);
        want_fits(pattern, text, reference(pattern, text));
    }
}

TEST(the_longest_pattern_and_an_absent_text_are_matched)
{
    char pattern[GLOB_MAX + 1], text[PATH_SIZE];

    /* A value that the request does not have. */
    assert_true(glob_fits("**", (struct span){NULL, 0}, NULL));
    assert_true(glob_fits("*", (struct span){NULL, 0}, NULL));
    assert_true(glob_fits("", (struct span){NULL, 0}, NULL));
    assert_false(glob_fits("a", (struct span){NULL, 0}, NULL));
    assert_false(glob_fits("*a", (struct span){NULL, 0}, NULL));
    memset(pattern, 'a', GLOB_MAX);
    pattern[GLOB_MAX] = '\0';
    want_fits(pattern, pattern, true);
    memset(text, 'a', sizeof text);
    text[GLOB_MAX + 1] = '\0';
    want_fits(pattern, text, false);
    pattern[GLOB_MAX - 1] = '*';
    want_fits(pattern, text, true);
    memset(pattern, '*', GLOB_MAX);
    text[GLOB_MAX + 1] = 'a';
    text[sizeof text - 1] = '\0';
    want_fits(pattern, text, true);
    memset(pattern, 'a', GLOB_MAX - 3);
    strcpy(pattern + GLOB_MAX - 3, "/**");
    text[GLOB_MAX - 3] = '\0';
    want_fits(pattern, text, true);
    text[GLOB_MAX - 3] = 'a';
    text[GLOB_MAX - 2] = '\0';
    want_fits(pattern, text, false);
}

TEST(no_client_can_make_a_glob_slow)
{
    static char text[PATH_SIZE];

    memset(text, 'a', sizeof text - 1);
    want_fits("**a**a**a**a**a**a**a**a**a**a**a**a**b", text, false);
    want_fits("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text, false);
}

/* The most work that limits take for an honest client: 64 limits with 256 globs each, and a value
 * of some 60 bytes that contains all but the last piece of each glob. */
TEST(a_short_value_stays_within_the_bound)
{
    static struct glob_work work;
    static const char *const patterns[] = {"*@domain#.example", "premium-#*", "**/adm#/**", "*x#*",
                                           "*-#-*-z"};
    static const struct span value = {"someone.with.a-long-name/at/work@department.company.example",
                                      58};
    char pattern[64];

    FOR_EACH(c, patterns) {
        glob_work_begin(&work);
        for (unsigned limit = 0; limit < 64; limit++)
            for (unsigned j = 0; j < 256; j++) {
                snprintf(pattern, sizeof pattern, "%.*s%u%s", (int)strcspn(*c, "#"), *c, j,
                         strchr(*c, '#') + 1);
                glob_fits(pattern, value, &work);
            }
        want_number(*c, work.exhausted, false);
    }
}

TEST(a_match_that_takes_too_long_fits_nothing_and_says_so)
{
    static struct glob_work work;
    static char text[PATH_SIZE];
    size_t fits = 0;

    for (size_t i = 0; i + 1 < sizeof text; i++)
        text[i] = "ab/"[i % 3];
    text[sizeof text - 2] = 'b';
    glob_work_begin(&work);
    for (unsigned i = 0; i < 256; i++)
        fits += glob_fits("**a*b**b*a*a*b*b", span_of(text), &work);
    assert_true(work.exhausted);
    assert_int_equal(fits, 0);
    assert_false(glob_fits("*b*", span_of("abc"), &work) && work.left > 0);
}

TEST(long_patterns_and_many_of_them_are_bounded)
{
    static struct glob_work work;
    static char text[64 + 1], pattern[GLOB_MAX + 1] = "*";
    unsigned calls = 0;

    for (size_t i = 0; i < 240; i++)
        pattern[1 + i] = "ab"[i % 2];
    strcpy(pattern + 241, "ac*");
    for (size_t i = 0; i < 64; i++)
        text[i] = "ab"[i % 2];
    glob_work_begin(&work);
    while (!work.exhausted && calls++ < 16384)
        assert_false(glob_fits(pattern, span_of(text), &work));
    assert_in_range(calls, 256, 2000);
    glob_work_begin(&work);
    for (calls = 0; !work.exhausted && calls < 100000; calls++)
        assert_false(glob_fits("x", span_of(text), &work));
    assert_in_range(calls, 16384, 99999);
}

TEST(a_host_has_one_spelling)
{
    static const struct {
        const char *header, *want;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {"example.com", "example.com"},
        {"Example.COM", "example.com"},
        {"example.com:8080", "example.com"},
        {"example.com.", "example.com"},
        {"example.com.:80", "example.com"},
        {":80", ""},
        {".", ""},
        {"[2001:DB8::1]:80", "[2001:db8::1]"},
        {"[2001:db8::1]", "[2001:db8::1]"},
        {"[broken", ""},
        {"[0:0:0::1]", "[::1]"},
        {"[::ffff:192.0.2.7]", "[::ffff:192.0.2.7]"},
        {"example.com..", "example.com"},
        {"user:pass@example.com:80", "example.com"},
        {"ex%61mple.com", "example.com"},
        {"a.com, b.com", ""},
        {"a com", ""},
        {"a.com/x", ""},
        {"192.0.2.7:80", "192.0.2.7"},
    };
    const struct span none = {NULL, 0};
    char host[HOST_SIZE], longest[HOST_SIZE + 1];

    FOR_EACH(c, cases) {
        size_t len = host_normalise(c->header ? span_of(c->header) : none, host);
        want_text(c->header ? c->header : "(none)", host, c->want);
        want_number(host, (int64_t)len, (int64_t)strlen(host));
    }
    memset(longest, 'a', sizeof longest);
    longest[HOST_SIZE] = '\0';
    assert_int_equal(host_normalise(span_of(longest), host), 0);
    assert_int_equal(host_normalise(span_of(longest + 1), host), HOST_SIZE - 1);
}

TEST(a_limit_applies_to_requests_that_meet_all_its_conditions)
{
    static const struct match any = {.path = ""}, api = {.path = "/api/**"},
                              reads = {.method_count = 2, .method = {"GET", "HEAD"}},
                              ours = {.host = "*.example.com"},
                              all = {.path = "/api/**",
                                     .host = "*.example.com",
                                     .method_count = 1,
                                     .method = {"POST"}};
    static const struct {
        const struct match *match;
        const char *method, *uri, *host;
        bool fits;
    } cases[] = {
        {&any, "GET", "/", NULL, true},
        {&api, "GET", "/api/x?q=1", NULL, true},
        {&api, "GET", "//api/x", NULL, true},
        {&api, "GET", "/api/./x", NULL, true},
        {&api, "GET", "/%61pi/x", NULL, true},
        {&api, "GET", "/a/../api", NULL, true},
        {&api, "GET", "/other", NULL, false},
        {&reads, "GET", "/", NULL, true},
        {&reads, "HEAD", "/", NULL, true},
        {&reads, "POST", "/", NULL, false},
        {&reads, "get", "/", NULL, false},
        {&ours, "GET", "/", "HOST=api.example.com", false},
        {&ours, "GET", "/", "HTTP_HOST=API.Example.com:80", true},
        {&ours, "GET", "/", "HTTP_HOST=example.org", false},
        {&ours, "GET", "/", NULL, false},
        {&all, "POST", "/api/x", "HTTP_HOST=api.example.com", true},
        {&all, "GET", "/api/x", "HTTP_HOST=api.example.com", false},
        {&all, "POST", "/x", "HTTP_HOST=api.example.com", false},
        {&all, "POST", "/api/x", "HTTP_HOST=api.example.org", false},
    };

    for (size_t i = 0; i < LENGTH(cases); i++) {
        char host[64], *parameters[] = {cases[i].host ? host : NULL, NULL};
        struct request request = {.method = cases[i].method,
                                  .uri = cases[i].uri,
                                  .remote_addr = "192.0.2.7",
                                  .parameters = parameters};
        struct view view;

        snprintf(host, sizeof host, "%s", cases[i].host ? cases[i].host : "");
        view_begin(&view, &request, 64);
        if ((match_request(cases[i].match, &view) == MATCH_FITS) != cases[i].fits)
            fail_msg("case %zu, %s %s: want %d", i, cases[i].method, cases[i].uri, cases[i].fits);
    }
}

TEST(a_path_that_is_too_long_to_read_escapes_no_limit)
{
    static const struct match api = {.path = "/api/**"};
    static char uri[2 * PATH_SIZE];
    struct request request = {
        .method = "GET", .uri = uri, .remote_addr = "192.0.2.7", .parameters = (char *[]){NULL}};
    struct view view;

    memset(uri, 'x', sizeof uri - 1);
    uri[0] = '/';
    view_begin(&view, &request, 64);
    assert_int_equal(match_request(&api, &view), MATCH_FITS);
}

TESTS_MAIN
