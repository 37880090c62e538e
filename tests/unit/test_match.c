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

static void a_glob_fits_what_it_says(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_fits(cases[i].pattern, cases[i].text, cases[i].fits);
}

/* What the header says, the slow way. */
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

static void a_glob_agrees_with_a_slow_reference(void **state)
{
    uint64_t random = 20261123;
    char pattern[8], text[10];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        random_text(&random, "*/a*/b", pattern, sizeof pattern);
        random_text(&random, "/ab", text, sizeof text);
        want_fits(pattern, text, reference(pattern, text));
    }
}

static void the_longest_pattern_and_no_text_at_all_are_matched(void **state)
{
    char pattern[GLOB_MAX + 1], text[PATH_SIZE];

    (void)state;
    /* What a request does not have at all. */
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

static void no_client_can_make_a_glob_slow(void **state)
{
    static char text[PATH_SIZE];

    (void)state;
    memset(text, 'a', sizeof text - 1);
    want_fits("**a**a**a**a**a**a**a**a**a**a**a**a**b", text, false);
    want_fits("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text, false);
}

/* What limits cost a request of an honest client, beside what begins and ends otherwise: 64 limits
 * with 256 globs, a value of 60 bytes that has all but the last piece of each. */
static void a_short_value_stays_within_the_bound(void **state)
{
    static struct glob_work work;
    static const char *const patterns[] = {"*@domain#.example", "premium-#*", "**/adm#/**", "*x#*",
                                           "*-#-*-z"};
    static const struct span value = {"someone.with.a-long-name/at/work@department.company.example",
                                      58};
    char pattern[64];

    (void)state;
    for (size_t i = 0; i < LENGTH(patterns); i++) {
        glob_work_begin(&work);
        for (unsigned limit = 0; limit < 64; limit++)
            for (unsigned j = 0; j < 256; j++) {
                snprintf(pattern, sizeof pattern, "%.*s%u%s", (int)strcspn(patterns[i], "#"),
                         patterns[i], j, strchr(patterns[i], '#') + 1);
                glob_fits(pattern, value, &work);
            }
        want_number(patterns[i], work.exhausted, false);
    }
}

static void what_takes_too_long_fits_nothing_and_says_so(void **state)
{
    static struct glob_work work;
    static char text[PATH_SIZE];
    size_t fits = 0;

    (void)state;
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

static void long_patterns_and_many_of_them_are_bounded(void **state)
{
    static struct glob_work work;
    static char text[64 + 1], pattern[GLOB_MAX + 1] = "*";
    unsigned calls = 0;

    (void)state;
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

static void a_host_has_one_spelling(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        size_t len = host_normalise(cases[i].header ? span_of(cases[i].header) : none, host);
        want_text(cases[i].header ? cases[i].header : "(none)", host, cases[i].want);
        want_number(host, (int64_t)len, (int64_t)strlen(host));
    }
    memset(longest, 'a', sizeof longest);
    longest[HOST_SIZE] = '\0';
    assert_int_equal(host_normalise(span_of(longest), host), 0);
    assert_int_equal(host_normalise(span_of(longest + 1), host), HOST_SIZE - 1);
}

static void a_limit_is_for_the_requests_that_meet_all_its_conditions(void **state)
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

    (void)state;
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

static void a_path_too_long_to_be_read_slips_past_no_limit(void **state)
{
    static const struct match api = {.path = "/api/**"};
    static char uri[2 * PATH_SIZE];
    struct request request = {
        .method = "GET", .uri = uri, .remote_addr = "192.0.2.7", .parameters = (char *[]){NULL}};
    struct view view;

    (void)state;
    memset(uri, 'x', sizeof uri - 1);
    uri[0] = '/';
    view_begin(&view, &request, 64);
    assert_int_equal(match_request(&api, &view), MATCH_FITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_glob_fits_what_it_says),
        cmocka_unit_test(a_glob_agrees_with_a_slow_reference),
        cmocka_unit_test(the_longest_pattern_and_no_text_at_all_are_matched),
        cmocka_unit_test(no_client_can_make_a_glob_slow),
        cmocka_unit_test(a_short_value_stays_within_the_bound),
        cmocka_unit_test(long_patterns_and_many_of_them_are_bounded),
        cmocka_unit_test(what_takes_too_long_fits_nothing_and_says_so),
        cmocka_unit_test(a_host_has_one_spelling),
        cmocka_unit_test(a_limit_is_for_the_requests_that_meet_all_its_conditions),
        cmocka_unit_test(a_path_too_long_to_be_read_slips_past_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
