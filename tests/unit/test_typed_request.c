#include "table.h"
#include "command/typed_request.h"

#include <stdio.h>

#define ROUNDS 20000
#define LIST   4 /* headers or FastCGI parameters of a case */

static size_t count_of(const char *const list[LIST])
{
    size_t count = 0;

    while (count < LIST && list[count])
        count++;
    return count;
}

/* The parameters of REQUEST, each in a line, into OUT. */
static void list_parameters(const struct typed_request *text, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (char *const *parameter = text->request.parameters; *parameter; parameter++)
        len += (size_t)snprintf(out + len, size - len, "%s\n", *parameter);
    assert_true(len < size);
}

static const struct {
    const char *text, *headers[LIST], *env[LIST];
    const char *want; /* behind REQUEST_METHOD and REMOTE_ADDR */
} good_cases[] = {
    {"GET /x", {NULL}, {NULL}, "REQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET  /x", {NULL}, {NULL}, "REQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET /", {NULL}, {NULL}, "REQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /x?a=1&b", {NULL}, {NULL}, "REQUEST_URI=/x?a=1&b\nQUERY_STRING=a=1&b\n"},
    {"GET /x?", {NULL}, {NULL}, "REQUEST_URI=/x?\nQUERY_STRING=\n"},
    {"GET /x?a?b", {NULL}, {NULL}, "REQUEST_URI=/x?a?b\nQUERY_STRING=a?b\n"},
    {"GET /%61/../x", {NULL}, {NULL}, "REQUEST_URI=/%61/../x\nQUERY_STRING=\n"},
    {"GET //x", {NULL}, {NULL}, "REQUEST_URI=//x\nQUERY_STRING=\n"},
    {"GET //a://b", {NULL}, {NULL}, "REQUEST_URI=//a://b\nQUERY_STRING=\n"},
    {"GET /x?u=http://h/",
     {NULL},
     {NULL},
     "REQUEST_URI=/x?u=http://h/\nQUERY_STRING=u=http://h/\n"},
    /* a fragment is not sent */
    {"GET /x#y", {NULL}, {NULL}, "REQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET /x?a#y?b", {NULL}, {NULL}, "REQUEST_URI=/x?a\nQUERY_STRING=a\n"},
    {"GET /#/?a", {NULL}, {NULL}, "REQUEST_URI=/\nQUERY_STRING=\n"},
    /* the host of a URL */
    {"GET https://api.example.com/x?user=alice",
     {NULL},
     {NULL},
     "HTTP_HOST=api.example.com\nREQUEST_URI=/x?user=alice\nQUERY_STRING=user=alice\n"},
    {"GET http://h", {NULL}, {NULL}, "HTTP_HOST=h\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET http://h:80/", {NULL}, {NULL}, "HTTP_HOST=h:80\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET http://h?a", {NULL}, {NULL}, "HTTP_HOST=h\nREQUEST_URI=/?a\nQUERY_STRING=a\n"},
    {"GET http://h#a", {NULL}, {NULL}, "HTTP_HOST=h\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET http://[::1]:80/x",
     {NULL},
     {NULL},
     "HTTP_HOST=[::1]:80\nREQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET http://ann:pw@h/x", {NULL}, {NULL}, "HTTP_HOST=h\nREQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET http://h/a@b", {NULL}, {NULL}, "HTTP_HOST=h\nREQUEST_URI=/a@b\nQUERY_STRING=\n"},
    {"GET http://h?a@b", {NULL}, {NULL}, "HTTP_HOST=h\nREQUEST_URI=/?a@b\nQUERY_STRING=a@b\n"},
    /* headers */
    {"GET /", {"X-A: 1"}, {NULL}, "HTTP_X_A=1\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /", {"x-a:1"}, {NULL}, "HTTP_X_A=1\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /", {"X: \t a b \t "}, {NULL}, "HTTP_X=a b\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /", {"X:"}, {NULL}, "HTTP_X=\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /", {"X:  \t"}, {NULL}, "HTTP_X=\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /", {"X: a: b"}, {NULL}, "HTTP_X=a: b\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /",
     {"Content-Type: a/b", "Content-Length: 5", "Cookie: a=1; b=2"},
     {NULL},
     "CONTENT_TYPE=a/b\nCONTENT_LENGTH=5\nHTTP_COOKIE=a=1; b=2\nREQUEST_URI=/\n"
     "QUERY_STRING=\n"},
    /* a header Host wins */
    {"GET http://h/", {"Host: other"}, {NULL}, "HTTP_HOST=other\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /", {"hOsT: other:80"}, {NULL}, "HTTP_HOST=other:80\nREQUEST_URI=/\nQUERY_STRING=\n"},
    /* FastCGI parameters */
    {"GET /",
     {"X: 1"},
     {"REMOTE_USER=ann", "B=", "C=a=b"},
     "HTTP_X=1\nREMOTE_USER=ann\nB=\nC=a=b\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /", {NULL}, {"A= b "}, "A= b \nREQUEST_URI=/\nQUERY_STRING=\n"},
};

static void a_request_is_what_a_web_server_would_have_made_of_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(good_cases); i++) {
        struct typed_request text;
        char got[1024], want[1024];

        want_no_error(good_cases[i].text,
                      typed_request_read(good_cases[i].text, "192.0.2.7", good_cases[i].headers,
                                         count_of(good_cases[i].headers), good_cases[i].env,
                                         count_of(good_cases[i].env), &text));
        snprintf(want, sizeof want, "REQUEST_METHOD=GET\nREMOTE_ADDR=192.0.2.7\n%s",
                 good_cases[i].want);
        list_parameters(&text, got, sizeof got);
        want_text(good_cases[i].text, got, want);
        want_text(good_cases[i].text, text.request.method, "GET");
        want_text(good_cases[i].text, text.request.remote_addr, "192.0.2.7");
        want_text(good_cases[i].text, text.request.uri,
                  request_parameter(&text.request, "REQUEST_URI"));
        typed_request_free(&text);
    }
}

static void any_method_in_capital_letters_will_do(void **state)
{
    static const char *const methods[] = {"GET", "M-SEARCH", "A", "PROPFIND"};

    (void)state;
    for (size_t i = 0; i < LENGTH(methods); i++) {
        struct typed_request text;
        char line[64];

        snprintf(line, sizeof line, "%s /", methods[i]);
        want_no_error(line, typed_request_read(line, "::1", NULL, 0, NULL, 0, &text));
        want_text(line, text.request.method, methods[i]);
        want_text(line, text.request.remote_addr, "::1");
        typed_request_free(&text);
    }
}

static void a_wrong_request_is_an_error_that_says_what_would_be_right(void **state)
{
    static const char method[] = "no method; write 'METHOD URL', such as 'GET https://api",
                      url[] = "neither a URL nor a path; write 'GET https://api.example.com/x?",
                      host[] = "a URL without a host; write https://api.example.com/x, or /x alone",
                      space[] = "a space in the URL; write it percent-encoded, as %20";
    static const struct {
        const char *text, *headers[LIST], *env[LIST], *error;
    } cases[] = {
        {"", {NULL}, {NULL}, method},
        {" ", {NULL}, {NULL}, method},
        {"GET", {NULL}, {NULL}, method},
        {"/x", {NULL}, {NULL}, method},
        {"https://api.example.com/x", {NULL}, {NULL}, method},
        {"get /x", {NULL}, {NULL}, method},
        {"Get /x", {NULL}, {NULL}, method},
        {"GET\t/x", {NULL}, {NULL}, method},
        {"GET/x", {NULL}, {NULL}, method},
        {" GET /x", {NULL}, {NULL}, method},
        {"G\xc3\x89T /x", {NULL}, {NULL}, method},
        {"GET ", {NULL}, {NULL}, url},
        {"GET x", {NULL}, {NULL}, url},
        {"GET ?a", {NULL}, {NULL}, url},
        {"GET #a", {NULL}, {NULL}, url},
        {"GET api.example.com/x", {NULL}, {NULL}, url},
        {"GET x?http://h/", {NULL}, {NULL}, url},
        {"GET http:/h", {NULL}, {NULL}, url},
        {"GET *", {NULL}, {NULL}, url},
        {"GET http://", {NULL}, {NULL}, host},
        {"GET http:///x", {NULL}, {NULL}, host},
        {"GET http://?a", {NULL}, {NULL}, host},
        {"GET http://#a", {NULL}, {NULL}, host},
        {"GET http://ann@/x", {NULL}, {NULL}, host},
        {"GET /x y", {NULL}, {NULL}, space},
        {"GET /x ", {NULL}, {NULL}, space},
        {"GET /x HTTP/1.1", {NULL}, {NULL}, space},
        {"GET /x\ty", {NULL}, {NULL}, space},
        {"GET /x\r\nHost: h", {NULL}, {NULL}, space},
        {"GET /", {": x"}, {NULL}, "a source without the name it needs"},
        {"GET /", {"X Y: x"}, {NULL}, "a space or a control character"},
        {"GET /", {" X: x"}, {NULL}, "a space or a control character"},
        {"GET /", {"X : x"}, {NULL}, "a space or a control character"},
        {"GET /", {"X_Y: x"}, {NULL}, "letters, digits and '-'"},
        {"GET /", {"X\r\n: x"}, {NULL}, "a space or a control character"},
        {"GET /", {"X: 1", "x: 2"}, {NULL}, "a duplicate header; write one, its values"},
        {"GET /", {"Host: a", "host: b"}, {NULL}, "a duplicate header"},
        {"GET /", {"X: 1", "X Y: 2", "X: 1"}, {NULL}, "a space or a control character"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct typed_request text;

        want_error(cases[i].text,
                   typed_request_read(cases[i].text, "192.0.2.7", cases[i].headers,
                                      count_of(cases[i].headers), cases[i].env,
                                      count_of(cases[i].env), &text),
                   cases[i].error);
        typed_request_free(&text);
    }
}

static void a_name_has_a_longest(void **state)
{
    static const struct {
        size_t len;
        const char *error;
    } cases[] = {{64, NULL}, {65, "is too long; the most is 64 bytes"}, {3000, "is too long"}};

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char header[3100], env[3100];
        const char *const headers[] = {header}, *const envs[] = {env};

        memset(header, 'X', cases[i].len);
        memset(env, 'X', cases[i].len);
        strcpy(header + cases[i].len, ": 1");
        strcpy(env + cases[i].len, "=1");
        for (int kind = 0; kind < 2; kind++) {
            struct typed_request text;
            const char *error =
                typed_request_read("GET /", "::1", headers, kind == 0, envs, kind == 1, &text);

            if (cases[i].error)
                want_error(kind ? env : header, error, cases[i].error);
            else
                want_no_error(kind ? env : header, error);
            typed_request_free(&text);
        }
    }
}

static void as_many_headers_and_parameters_as_options_hold_fit(void **state)
{
    enum { MOST = 64 };
    char header[MOST][16], env[MOST][16];
    const char *headers[MOST], *envs[MOST];
    struct typed_request text;

    (void)state;
    for (int i = 0; i < MOST; i++) {
        headers[i] = header[i];
        envs[i] = env[i];
        sprintf(header[i], "X-%d: h%d", i, i);
        sprintf(env[i], "E_%d=e%d", i, i);
    }
    want_no_error("64 and 64",
                  typed_request_read("GET http://h/?a", "::1", headers, MOST, envs, MOST, &text));
    assert_string_equal(request_parameter(&text.request, "HTTP_X_63"), "h63");
    assert_string_equal(request_parameter(&text.request, "E_63"), "e63");
    assert_string_equal(request_parameter(&text.request, "HTTP_HOST"), "h");
    assert_string_equal(request_parameter(&text.request, "QUERY_STRING"), "a");
    typed_request_free(&text);
}

static void whatever_the_text_a_request_is_read_or_refused(void **state)
{
    uint64_t random = 23;
    unsigned accepted = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        char text[24] = "GET ", header[12], env[8];
        const char *const headers[] = {header}, *const envs[] = {env};
        struct typed_request request;

        random_text(&random, "G /:?#@ahttp", round % 2 ? text + 4 : text, 16);
        strcat(random_text(&random, "aX:-\t \n", header, 8), ":");
        strcat(random_text(&random, "aX=", env, 6), "=");
        const char *error = typed_request_read(text, "::1", headers, 1, envs, 1, &request);
        if (error && !strstr(error, "; ") && !strstr(error, "write "))
            fail_msg("\"%s\": \"%s\" does not say what would be right", text, error);
        if (!error && request.request.uri[0] != '/')
            fail_msg("\"%s\": the URI is \"%s\"", text, request.request.uri);
        accepted += !error;
        typed_request_free(&request);
        typed_request_free(&request); /* nothing is left */
    }
    assert_in_range(accepted, 50, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_what_a_web_server_would_have_made_of_it),
        cmocka_unit_test(any_method_in_capital_letters_will_do),
        cmocka_unit_test(a_wrong_request_is_an_error_that_says_what_would_be_right),
        cmocka_unit_test(a_name_has_a_longest),
        cmocka_unit_test(as_many_headers_and_parameters_as_options_hold_fit),
        cmocka_unit_test(whatever_the_text_a_request_is_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
