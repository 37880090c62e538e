/* test_typed_request.c - tests of command/typed_request: requests from a command line. */
/* SPDX-License-Identifier: MIT */
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

/* Write the parameters of TEXT to OUT, one on each line. */
static void list_parameters(const struct typed_request *text, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (char *const *parameter = text->request.parameters; *parameter; parameter++)
        len += (size_t)snprintf(out + len, size - len, "%s\n", *parameter);
    assert_true(len < size);
}

static const struct {
    const char *text;
    const char *want; /* after REQUEST_METHOD and REMOTE_ADDR */
    const char *headers[LIST], *env[LIST];
} good_cases[] = {
    {"GET /x", "REQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET  /x", "REQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET /", "REQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET /x?a=1&b", "REQUEST_URI=/x?a=1&b\nQUERY_STRING=a=1&b\n"},
    {"GET /x?", "REQUEST_URI=/x?\nQUERY_STRING=\n"},
    {"GET /x?a?b", "REQUEST_URI=/x?a?b\nQUERY_STRING=a?b\n"},
    {"GET /%61/../x", "REQUEST_URI=/%61/../x\nQUERY_STRING=\n"},
    {"GET //x", "REQUEST_URI=//x\nQUERY_STRING=\n"},
    {"GET //a://b", "REQUEST_URI=//a://b\nQUERY_STRING=\n"},
    {"GET /x?u=http://h/", "REQUEST_URI=/x?u=http://h/\nQUERY_STRING=u=http://h/\n"},
    /* a fragment is not sent */
    {"GET /x#y", "REQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET /x?a#y?b", "REQUEST_URI=/x?a\nQUERY_STRING=a\n"},
    {"GET /#/?a", "REQUEST_URI=/\nQUERY_STRING=\n"},
    /* the host of a URL */
    {"GET https://api.example.com/x?user=alice",
     "HTTP_HOST=api.example.com\nREQUEST_URI=/x?user=alice\nQUERY_STRING=user=alice\n"},
    {"GET http://h", "HTTP_HOST=h\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET http://h:80/", "HTTP_HOST=h:80\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET http://h?a", "HTTP_HOST=h\nREQUEST_URI=/?a\nQUERY_STRING=a\n"},
    {"GET http://h#a", "HTTP_HOST=h\nREQUEST_URI=/\nQUERY_STRING=\n"},
    {"GET http://[::1]:80/x", "HTTP_HOST=[::1]:80\nREQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET http://ann:pw@h/x", "HTTP_HOST=h\nREQUEST_URI=/x\nQUERY_STRING=\n"},
    {"GET http://h/a@b", "HTTP_HOST=h\nREQUEST_URI=/a@b\nQUERY_STRING=\n"},
    {"GET http://h?a@b", "HTTP_HOST=h\nREQUEST_URI=/?a@b\nQUERY_STRING=a@b\n"},
    /* headers */
    {"GET /", "HTTP_X_A=1\nREQUEST_URI=/\nQUERY_STRING=\n", {"X-A: 1"}},
    {"GET /", "HTTP_X_A=1\nREQUEST_URI=/\nQUERY_STRING=\n", {"x-a:1"}},
    {"GET /", "HTTP_X=a b\nREQUEST_URI=/\nQUERY_STRING=\n", {"X: \t a b \t "}},
    {"GET /", "HTTP_X=\nREQUEST_URI=/\nQUERY_STRING=\n", {"X:"}},
    {"GET /", "HTTP_X=\nREQUEST_URI=/\nQUERY_STRING=\n", {"X:  \t"}},
    {"GET /", "HTTP_X=a: b\nREQUEST_URI=/\nQUERY_STRING=\n", {"X: a: b"}},
    {"GET /",
     "CONTENT_TYPE=a/b\nCONTENT_LENGTH=5\nHTTP_COOKIE=a=1; b=2\nREQUEST_URI=/\n"
     "QUERY_STRING=\n",
     {"Content-Type: a/b", "Content-Length: 5", "Cookie: a=1; b=2"}},
    /* a header Host wins */
    {"GET http://h/", "HTTP_HOST=other\nREQUEST_URI=/\nQUERY_STRING=\n", {"Host: other"}},
    {"GET /", "HTTP_HOST=other:80\nREQUEST_URI=/\nQUERY_STRING=\n", {"hOsT: other:80"}},
    /* FastCGI parameters */
    {"GET /",
     "HTTP_X=1\nREMOTE_USER=ann\nB=\nC=a=b\nREQUEST_URI=/\nQUERY_STRING=\n",
     {"X: 1"},
     {"REMOTE_USER=ann", "B=", "C=a=b"}},
    {"GET /", "A= b \nREQUEST_URI=/\nQUERY_STRING=\n", {NULL}, {"A= b "}},
};

TEST(a_request_is_what_a_web_server_would_make_of_it)
{
    FOR_EACH(c, good_cases) {
        struct typed_request text;
        char got[1024], want[1024];

        want_no_error(c->text,
                      typed_request_read(c->text, "192.0.2.7", c->headers, count_of(c->headers),
                                         c->env, count_of(c->env), &text));
        snprintf(want, sizeof want, "REQUEST_METHOD=GET\nREMOTE_ADDR=192.0.2.7\n%s", c->want);
        list_parameters(&text, got, sizeof got);
        want_text(c->text, got, want);
        want_text(c->text, text.request.method, "GET");
        want_text(c->text, text.request.remote_addr, "192.0.2.7");
        want_text(c->text, text.request.uri, request_parameter(&text.request, "REQUEST_URI"));
        typed_request_free(&text);
    }
}

TEST(any_method_in_capital_letters_is_accepted)
{
    static const char *const methods[] = {"GET", "M-SEARCH", "A", "PROPFIND"};

    FOR_EACH(method, methods) {
        struct typed_request text;
        char line[64];

        snprintf(line, sizeof line, "%s /", *method);
        want_no_error(line, typed_request_read(line, "::1", NULL, 0, NULL, 0, &text));
        want_text(line, text.request.method, *method);
        want_text(line, text.request.remote_addr, "::1");
        typed_request_free(&text);
    }
}

TEST(a_wrong_request_is_an_error_that_says_what_would_be_right)
{
    static const char method[] = "no method; write 'METHOD URL', such as 'GET https://api",
                      url[] = "neither a URL nor a path; write 'GET https://api.example.com/x?",
                      host[] = "a URL without a host; write https://api.example.com/x, or /x alone",
                      space[] = "a space in the URL; write it percent-encoded, as %20";
    static const struct {
        const char *text, *error, *headers[LIST];
    } cases[] = {
        {"", method},
        {" ", method},
        {"GET", method},
        {"/x", method},
        {"https://api.example.com/x", method},
        {"get /x", method},
        {"Get /x", method},
        {"GET\t/x", method},
        {"GET/x", method},
        {" GET /x", method},
        {"G\xc3\x89T /x", method},
        {"GET ", url},
        {"GET x", url},
        {"GET ?a", url},
        {"GET #a", url},
        {"GET api.example.com/x", url},
        {"GET x?http://h/", url},
        {"GET http:/h", url},
        {"GET *", url},
        {"GET http://", host},
        {"GET http:///x", host},
        {"GET http://?a", host},
        {"GET http://#a", host},
        {"GET http://ann@/x", host},
        {"GET /x y", space},
        {"GET /x ", space},
        {"GET /x HTTP/1.1", space},
        {"GET /x\ty", space},
        {"GET /x\r\nHost: h", space},
        {"GET /", "this source needs a name", {": x"}},
        {"GET /", "a space or a control character", {"X Y: x"}},
        {"GET /", "a space or a control character", {" X: x"}},
        {"GET /", "a space or a control character", {"X : x"}},
        {"GET /", "letters, digits and '-'", {"X_Y: x"}},
        {"GET /", "a space or a control character", {"X\r\n: x"}},
        {"GET /", "a duplicate header; write one, its values", {"X: 1", "x: 2"}},
        {"GET /", "a duplicate header", {"Host: a", "host: b"}},
        {"GET /", "a space or a control character", {"X: 1", "X Y: 2", "X: 1"}},
    };

    FOR_EACH(c, cases) {
        struct typed_request text;

        want_error(c->text,
                   typed_request_read(c->text, "192.0.2.7", c->headers, count_of(c->headers), NULL,
                                      0, &text),
                   c->error);
        typed_request_free(&text);
    }
}

TEST(a_name_has_a_maximum_length)
{
    static const struct {
        size_t len;
        const char *error;
    } cases[] = {{64, NULL}, {65, "is too long; the most is 64 bytes"}, {3000, "is too long"}};

    FOR_EACH(c, cases) {
        char header[3100], env[3100];
        const char *const headers[] = {header}, *const envs[] = {env};

        memset(header, 'X', c->len);
        memset(env, 'X', c->len);
        strcpy(header + c->len, ": 1");
        strcpy(env + c->len, "=1");
        for (int kind = 0; kind < 2; kind++) {
            struct typed_request text;
            const char *error =
                typed_request_read("GET /", "::1", headers, kind == 0, envs, kind == 1, &text);

            want_error_or_none(kind ? env : header, error, c->error);
            typed_request_free(&text);
        }
    }
}

TEST(the_most_headers_and_parameters_that_options_hold_fit)
{
    enum { MOST = 64 };
    char header[MOST][16], env[MOST][16];
    const char *headers[MOST], *envs[MOST];
    struct typed_request text;

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

TEST(any_text_is_read_as_a_request_or_refused)
{
    uint64_t random = 23;
    unsigned accepted = 0;

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

TESTS_MAIN
