/* test_forward_auth.c - tests of request/forward_auth: the request that a proxy asks about. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "request/forward_auth.h"

#include <stdbool.h>
#include <stdio.h>

#include "request/path.h"

#define ROUNDS 40000

/* The networks that the tests trust. */
static const char *const trusted_texts[] = {"127.0.0.1", "10.0.0.0/8", "2001:db8:ffff::/48"};
static struct network trusted[LENGTH(trusted_texts)];

static const struct forward_auth_rules rules = {trusted, LENGTH(trusted), FORWARD_ANY};
static const struct forward_auth_rules no_rules = {trusted, 0, FORWARD_ANY};

static int read_trusted(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(trusted); i++)
        want_no_error(trusted_texts[i], network_parse(trusted_texts[i], &trusted[i]));
    return 0;
}

#define TEST_WITH_TRUSTED(name) TEST_WITH(name, read_trusted, NULL)

static struct request ask(const char *uri, const char *peer, char *const *parameters)
{
    return (struct request){
        .method = "GET", .uri = uri, .remote_addr = peer, .parameters = parameters};
}

/* Read a question about URI from 127.0.0.1 with one header, HEADER (may be NULL). */
static const struct request *read_one(const char *uri, char *header, struct forward_auth *out)
{
    static struct request request;
    static char *parameters[2];

    parameters[0] = header;
    request = ask(uri, "127.0.0.1", parameters);
    return forward_auth_read(&request, &rules, out);
}

TEST_WITH_TRUSTED(only_a_trusted_peer_is_believed)
{
    static const struct {
        const char *peer;
        bool believed;
    } cases[] = {
        {"127.0.0.1", true},
        {"127.0.0.1:4711", true},
        {"::ffff:127.0.0.1", true},
        {"10.255.255.255", true},
        {"2001:db8:ffff:1::1", true},
        {"127.0.0.2", false},
        {"11.0.0.0", false},
        {"2001:db8:fffe::1", false},
        {"::7f00:1", false}, /* 127.0.0.1 in the low bits is not that address */
        {"", false},         /* a unix socket */
        {"/run/socket", false},
        {"localhost", false},
        {"127.0.0.1, 10.0.0.1", false},
    };
    char *const parameters[] = {"HTTP_X_FORWARDED_FOR=203.0.113.1",
                                "HTTP_X_FORWARDED_URI=/other?user=x", NULL};

    FOR_EACH(c, cases) {
        const struct request request = ask("/check", c->peer, parameters);
        struct forward_auth forward;
        const struct request *got = forward_auth_read(&request, &rules, &forward);

        want_number(c->peer, got != &request, c->believed);
        want_text(c->peer, got->remote_addr, c->believed ? "203.0.113.1" : c->peer);
        want_text(c->peer, got->uri, c->believed ? "/other?user=x" : "/check");
    }
    const struct request request = ask("/check", "127.0.0.1", parameters);
    struct forward_auth forward;
    assert_ptr_equal(forward_auth_read(&request, &no_rules, &forward), &request);
}

TEST_WITH_TRUSTED(only_check_and_the_paths_below_it_ask_about_a_request)
{
    static const struct {
        const char *uri;
        const char *target; /* NULL: an ordinary request */
    } cases[] = {
        {"/check", "/"},
        {"/check/", "/"},
        {"/check?user=a", "?user=a"}, /* its path is "/" */
        {"/check/?user=a", "/?user=a"},
        {"/check/api/x?user=a&b", "/api/x?user=a&b"},
        {"/check//api", "//api"},
        {"/check/check", "/check"},
        {"/checks", NULL},
        {"/check.php", NULL},
        {"/Check", NULL},
        {"//check", NULL},
        {"/x/check", NULL},
        {"/%63heck", NULL},
        {"/chec", NULL},
        {"", NULL},
        {"http://host/check", NULL},
    };

    FOR_EACH(c, cases) {
        struct forward_auth forward;
        const struct request *got = read_one(c->uri, NULL, &forward);

        want_text(c->uri, got->uri, c->target ? c->target : c->uri);
        want_number(c->uri, got == &forward.request, c->target != NULL);
    }
    char path[PATH_SIZE];
    assert_int_equal(path_normalise("?user=a", path), 1);
}

TEST_WITH_TRUSTED(the_client_is_the_right_most_address_that_is_not_trusted)
{
    static const struct {
        const char *header, *client;
    } cases[] = {
        {"203.0.113.1", "203.0.113.1"},
        {" \t203.0.113.1\t ", "203.0.113.1"},
        {"198.51.100.1, 203.0.113.1", "203.0.113.1"},
        {"198.51.100.1,203.0.113.1", "203.0.113.1"},
        {"198.51.100.1, 203.0.113.1, 10.0.0.1, 127.0.0.1", "203.0.113.1"},
        {"10.0.0.9, 203.0.113.1, 10.0.0.1", "203.0.113.1"},
        {"10.0.0.9, 10.0.0.1", "10.0.0.9"}, /* all are trusted: the left-most */
        {"127.0.0.1", "127.0.0.1"},
        {"203.0.113.1:80", "203.0.113.1"},
        {"[2001:db8::1]:80", "2001:db8::1"},
        {"2001:DB8:0::1", "2001:db8::1"}, /* not cut: the limits do that */
        {"::ffff:203.0.113.1", "203.0.113.1"},
        {"2001:db8:fffe::1, 2001:db8:ffff::2", "2001:db8:fffe::1"},
        {"", "127.0.0.1"},
        {",", "127.0.0.1"},
        {"203.0.113.1,", "127.0.0.1"},
        {"unknown", "127.0.0.1"},
        {"203.0.113.1, unknown", "127.0.0.1"},
        {"203.0.113.1, unknown, 10.0.0.1", "10.0.0.1"},
        {"203.0.113.1, , 10.0.0.1", "10.0.0.1"},
        {"203.0.113.1 10.0.0.1", "127.0.0.1"},
        {"203.0.113.1;10.0.0.1", "127.0.0.1"},
        {"for=203.0.113.1", "127.0.0.1"},
        {"0203.0.113.1", "127.0.0.1"},
        {"203.0.113.256", "127.0.0.1"},
        {"203.0.113", "127.0.0.1"},
        {"203.0.113.1/32", "127.0.0.1"},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001", "127.0.0.1"},
        {"2001:0db8:0000:0000:0000:0000:0000:0001%a-zone-that-makes-it-longer-than-any-address",
         "127.0.0.1"},
    };

    FOR_EACH(c, cases) {
        char header[200];
        struct forward_auth forward;

        snprintf(header, sizeof header, "HTTP_X_FORWARDED_FOR=%s", c->header);
        const struct request *got = read_one("/check", header, &forward);
        want_text(c->header, got->remote_addr, c->client);
        want_text(c->header, request_parameter(got, "REMOTE_ADDR"), c->client);
    }
    struct forward_auth forward;
    assert_string_equal(read_one("/check", NULL, &forward)->remote_addr, "127.0.0.1");
}

TEST_WITH_TRUSTED(each_property_is_its_first_header_that_is_not_empty)
{
    static const struct {
        const char *parameters[6];
        const char *method, *target, *query, *host, *scheme;
    } cases[] = {
        {{"HTTP_HOST=limiter"}, "GET", "/", "", "limiter", ""},
        {{"HTTP_HOST=limiter", "HTTP_X_FORWARDED_METHOD=POST", "HTTP_X_FORWARDED_HOST=a.com:80",
          "HTTP_X_FORWARDED_URI=/x?user=1?2", "HTTP_X_FORWARDED_PROTO=https"},
         "POST",
         "/x?user=1?2",
         "user=1?2",
         "a.com:80",
         "https"},
        {{"HTTP_X_ORIGINAL_METHOD=PUT", "HTTP_X_ORIGINAL_URI=/o?u", "HTTP_X_ORIGINAL_HOST=o.com",
          "HTTP_HOST=limiter"},
         "PUT",
         "/o?u",
         "u",
         "o.com",
         ""},
        {{"HTTP_X_ORIGINAL_URL=/url?"}, "GET", "/url?", "", "", ""},
        {{"HTTP_X_FORWARDED_URI=", "HTTP_X_ORIGINAL_URI=/o", "HTTP_X_FORWARDED_METHOD="},
         "GET",
         "/o",
         "",
         "",
         ""},
        {{"HTTP_X_FORWARDED_URI=http://evil/x?user=a"},
         "GET",
         "http://evil/x?user=a",
         "user=a",
         "evil",
         "http"},
        /* A name that only begins or ends like one of them is a different header. */
        {{"HTTP_X_FORWARDED_URIS=/x", "X_FORWARDED_URI=/x", "HTTP_X_FORWARDED_METHODS=X"},
         "GET",
         "/",
         "",
         "",
         ""},
    };

    FOR_EACH(c, cases) {
        const struct request request = ask("/check", "10.0.0.1", (char *const *)c->parameters);
        const char *name = c->parameters[0];
        struct forward_auth forward;
        const struct request *got = forward_auth_read(&request, &rules, &forward);

        want_text(name, got->method, c->method);
        want_text(name, request_parameter(got, "REQUEST_METHOD"), c->method);
        want_text(name, got->uri, c->target);
        want_text(name, request_parameter(got, "REQUEST_URI"), c->target);
        want_text(name, request_parameter(got, "QUERY_STRING"), c->query);
        want_text(name, request_parameter(got, "HTTP_HOST"), c->host);
        want_text(name, request_parameter(got, "REQUEST_SCHEME"), c->scheme);
        assert_true(got->replaced_count <= FORWARD_PARAMETERS_MAX);
    }
}

TEST_WITH_TRUSTED(the_other_parameters_of_a_question_are_kept)
{
    char *const parameters[] = {"HTTP_X_API_KEY=secret", "HTTP_COOKIE=a=b", "REQUEST_METHOD=GET",
                                NULL};
    struct request request = ask("/check", "127.0.0.1", parameters);
    struct forward_auth forward;

    request.authorizer = true;
    const struct request *got = forward_auth_read(&request, &rules, &forward);
    assert_true(got->authorizer);
    assert_string_equal(request_parameter(got, "HTTP_X_API_KEY"), "secret");
    assert_string_equal(request_parameter(got, "HTTP_COOKIE"), "a=b");
    assert_null(request_parameter(got, "HTTP_X_FORWARDED_FOR"));
}

/* A client behind Caddy can send X!Forwarded-For, which becomes the same FastCGI parameter.  Caddy
 * sorts headers, so it comes first: '!' is before '-'. */
TEST_WITH_TRUSTED(a_question_with_a_duplicate_header_is_refused)
{
    static const char *const names[] = {
        "HTTP_X_FORWARDED_FOR",  "HTTP_X_FORWARDED_METHOD", "HTTP_X_ORIGINAL_METHOD",
        "HTTP_X_FORWARDED_URI",  "HTTP_X_ORIGINAL_URI",     "HTTP_X_ORIGINAL_URL",
        "HTTP_X_FORWARDED_HOST", "HTTP_X_ORIGINAL_HOST",    "HTTP_X_FORWARDED_PROTO"};

    FOR_EACH(name, names) {
        char first[100], second[100];
        char *const parameters[] = {first, "HTTP_X_TEST=1", second, NULL};
        struct forward_auth forward;

        snprintf(first, sizeof first, "%s=203.0.113.1", *name);
        snprintf(second, sizeof second, "%s=", *name);
        const struct request trusting = ask("/check", "127.0.0.1", parameters);
        if (forward_auth_read(&trusting, &rules, &forward))
            fail_msg("%s was sent twice, and one was used", *name);
        const struct request other = ask("/check", "192.0.2.1", parameters);
        assert_ptr_equal(forward_auth_read(&other, &rules, &forward), &other);
    }
    char *const parameters[] = {"HTTP_X_TEST=1", "HTTP_X_TEST=2", NULL};
    const struct request request = ask("/check", "127.0.0.1", parameters);
    struct forward_auth forward;
    assert_non_null(forward_auth_read(&request, &rules, &forward));
}

/* The client is the address that a trusted proxy added, whatever is to the left of it. */
TEST_WITH_TRUSTED(nothing_to_the_left_changes_the_client)
{
    uint64_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        char left[64], header[200];
        struct forward_auth forward;

        random_text(&seed, "0123456789.:abcdef[]%/, \t\"=-", left, sizeof left);
        snprintf(header, sizeof header, "HTTP_X_FORWARDED_FOR=%s, 203.0.113.1, 10.0.0.1", left);
        want_text(header, read_one("/check", header, &forward)->remote_addr, "203.0.113.1");

        /* Any text at all gives a client that is written as an address. */
        struct address address;
        snprintf(header, sizeof header, "HTTP_X_FORWARDED_FOR=%s", left);
        const struct request *got = read_one("/check", header, &forward);
        if (!address_parse(got->remote_addr, &address))
            fail_msg("\"%s\": the client is \"%s\"", header, got->remote_addr);
    }
}

TESTS_MAIN
