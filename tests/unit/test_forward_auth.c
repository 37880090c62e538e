#include "table.h"
#include "request/forward_auth.h"

#include <stdbool.h>
#include <stdio.h>

#include "request/path.h"

#define ROUNDS 40000

/* Whom the tests trust. */
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

static struct request ask(const char *uri, const char *peer, char *const *parameters)
{
    return (struct request){
        .method = "GET", .uri = uri, .remote_addr = peer, .parameters = parameters};
}

/* A question for URI from 127.0.0.1 with one header, HEADER (may be NULL). */
static const struct request *read_one(const char *uri, char *header, struct forward_auth *out)
{
    static struct request request;
    static char *parameters[2];

    parameters[0] = header;
    request = ask(uri, "127.0.0.1", parameters);
    return forward_auth_read(&request, &rules, out);
}

static void only_a_trusted_peer_is_believed(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const struct request request = ask("/check", cases[i].peer, parameters);
        struct forward_auth forward;
        const struct request *got = forward_auth_read(&request, &rules, &forward);

        want_number(cases[i].peer, got != &request, cases[i].believed);
        want_text(cases[i].peer, got->remote_addr,
                  cases[i].believed ? "203.0.113.1" : cases[i].peer);
        want_text(cases[i].peer, got->uri, cases[i].believed ? "/other?user=x" : "/check");
    }
    const struct request request = ask("/check", "127.0.0.1", parameters);
    struct forward_auth forward;
    assert_ptr_equal(forward_auth_read(&request, &no_rules, &forward), &request);
}

static void only_the_path_and_what_is_below_it_asks(void **state)
{
    static const struct {
        const char *uri;
        const char *target; /* NULL: it is a request like any other */
    } cases[] = {
        {"/check", "/"},
        {"/check/", "/"},
        {"/check?user=a", "?user=a"}, /* the path of which is "/" */
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct forward_auth forward;
        const struct request *got = read_one(cases[i].uri, NULL, &forward);

        want_text(cases[i].uri, got->uri, cases[i].target ? cases[i].target : cases[i].uri);
        want_number(cases[i].uri, got == &forward.request, cases[i].target != NULL);
    }
    char path[PATH_SIZE];
    assert_int_equal(path_normalise("?user=a", path), 1);
}

static void the_client_is_the_right_most_address_that_is_not_trusted(void **state)
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
        {"2001:DB8:0::1", "2001:db8::1"}, /* whole: the limits cut it */
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char header[200];
        struct forward_auth forward;

        snprintf(header, sizeof header, "HTTP_X_FORWARDED_FOR=%s", cases[i].header);
        const struct request *got = read_one("/check", header, &forward);
        want_text(cases[i].header, got->remote_addr, cases[i].client);
        want_text(cases[i].header, request_parameter(got, "REMOTE_ADDR"), cases[i].client);
    }
    struct forward_auth forward;
    assert_string_equal(read_one("/check", NULL, &forward)->remote_addr, "127.0.0.1");
}

static void each_property_is_its_first_header_that_is_not_empty(void **state)
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
        /* What only begins or ends like one of them is another. */
        {{"HTTP_X_FORWARDED_URIS=/x", "X_FORWARDED_URI=/x", "HTTP_X_FORWARDED_METHODS=X"},
         "GET",
         "/",
         "",
         "",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const struct request request =
            ask("/check", "10.0.0.1", (char *const *)cases[i].parameters);
        const char *name = cases[i].parameters[0];
        struct forward_auth forward;
        const struct request *got = forward_auth_read(&request, &rules, &forward);

        want_text(name, got->method, cases[i].method);
        want_text(name, request_parameter(got, "REQUEST_METHOD"), cases[i].method);
        want_text(name, got->uri, cases[i].target);
        want_text(name, request_parameter(got, "REQUEST_URI"), cases[i].target);
        want_text(name, request_parameter(got, "QUERY_STRING"), cases[i].query);
        want_text(name, request_parameter(got, "HTTP_HOST"), cases[i].host);
        want_text(name, request_parameter(got, "REQUEST_SCHEME"), cases[i].scheme);
        assert_true(got->replaced_count <= FORWARD_PARAMETERS_MAX);
    }
}

static void the_rest_of_the_question_stays(void **state)
{
    char *const parameters[] = {"HTTP_X_API_KEY=secret", "HTTP_COOKIE=a=b", "REQUEST_METHOD=GET",
                                NULL};
    struct request request = ask("/check", "127.0.0.1", parameters);
    struct forward_auth forward;

    (void)state;
    request.authorizer = true;
    const struct request *got = forward_auth_read(&request, &rules, &forward);
    assert_true(got->authorizer);
    assert_string_equal(request_parameter(got, "HTTP_X_API_KEY"), "secret");
    assert_string_equal(request_parameter(got, "HTTP_COOKIE"), "a=b");
    assert_null(request_parameter(got, "HTTP_X_FORWARDED_FOR"));
}

/* A client who sends X!Forwarded-For behind Caddy, which sorts headers: '!' comes before '-'. */
static void a_header_that_stands_twice_is_no_question(void **state)
{
    static const char *const names[] = {
        "HTTP_X_FORWARDED_FOR",  "HTTP_X_FORWARDED_METHOD", "HTTP_X_ORIGINAL_METHOD",
        "HTTP_X_FORWARDED_URI",  "HTTP_X_ORIGINAL_URI",     "HTTP_X_ORIGINAL_URL",
        "HTTP_X_FORWARDED_HOST", "HTTP_X_ORIGINAL_HOST",    "HTTP_X_FORWARDED_PROTO"};

    (void)state;
    for (size_t i = 0; i < LENGTH(names); i++) {
        char first[100], second[100];
        char *const parameters[] = {first, "HTTP_X_TEST=1", second, NULL};
        struct forward_auth forward;

        snprintf(first, sizeof first, "%s=203.0.113.1", names[i]);
        snprintf(second, sizeof second, "%s=", names[i]);
        const struct request trusting = ask("/check", "127.0.0.1", parameters);
        if (forward_auth_read(&trusting, &rules, &forward))
            fail_msg("%s stands twice, and one was taken", names[i]);
        const struct request other = ask("/check", "192.0.2.1", parameters);
        assert_ptr_equal(forward_auth_read(&other, &rules, &forward), &other);
    }
    char *const parameters[] = {"HTTP_X_TEST=1", "HTTP_X_TEST=2", NULL};
    const struct request request = ask("/check", "127.0.0.1", parameters);
    struct forward_auth forward;
    assert_non_null(forward_auth_read(&request, &rules, &forward));
}

/* Whatever stands left of what a trusted proxy added: the client is the one that it added. */
static void nothing_to_the_left_moves_the_client(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        char left[64], header[200];
        struct forward_auth forward;

        random_text(&seed, "0123456789.:abcdef[]%/, \t\"=-", left, sizeof left);
        snprintf(header, sizeof header, "HTTP_X_FORWARDED_FOR=%s, 203.0.113.1, 10.0.0.1", left);
        want_text(header, read_one("/check", header, &forward)->remote_addr, "203.0.113.1");

        /* And anything at all is somebody, written as an address. */
        struct address address;
        snprintf(header, sizeof header, "HTTP_X_FORWARDED_FOR=%s", left);
        const struct request *got = read_one("/check", header, &forward);
        if (!address_parse(got->remote_addr, &address))
            fail_msg("\"%s\": the client is \"%s\"", header, got->remote_addr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_trusted_peer_is_believed),
        cmocka_unit_test(only_the_path_and_what_is_below_it_asks),
        cmocka_unit_test(the_client_is_the_right_most_address_that_is_not_trusted),
        cmocka_unit_test(each_property_is_its_first_header_that_is_not_empty),
        cmocka_unit_test(the_rest_of_the_question_stays),
        cmocka_unit_test(a_header_that_stands_twice_is_no_question),
        cmocka_unit_test(nothing_to_the_left_moves_the_client),
    };

    return cmocka_run_group_tests(tests, read_trusted, NULL);
}
