/* test_key.c - tests of limits/key: keys in a limits file, and the Redis keys of requests. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "limits/key.h"
#include "base/address.h"
#include "request/path.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/span.h"

#define ROUNDS   40000
#define IP       "192.0.2.7"
#define NAME_16  "n123456789abcdef"
#define NAME_64  NAME_16 NAME_16 NAME_16 NAME_16
#define UPPER_16 "N123456789ABCDEF"
#define UPPER_64 UPPER_16 UPPER_16 UPPER_16 UPPER_16

/* The parameters of a request without FastCGI parameters. */
static char *const nothing[] = {NULL};

static struct key_spec spec_of(const char *text)
{
    struct key_spec spec;

    want_no_error(text, key_parse(text, &spec));
    return spec;
}

/* The key of the limit LIMIT for REQUEST.  An IPv6 client is a prefix of PREFIX_BITS. */
static size_t key_with_prefix(const struct key_spec *spec, const char *limit,
                              const struct request *request, unsigned prefix_bits,
                              char out[KEY_SIZE])
{
    struct view view;
    struct key_values values;

    view_begin(&view, request, prefix_bits);
    key_find(spec, &view, &values);
    return key_build(&values, limit, out);
}

static size_t key_of(const struct key_spec *spec, const char *limit, const struct request *request,
                     char out[KEY_SIZE])
{
    return key_with_prefix(spec, limit, request, 64, out);
}

/* The hash tag of KEY as a Redis Cluster finds it (cluster specification, "Hash tags"): the bytes
 * between the first '{' and the first '}' after it. */
static struct span hash_tag(const char *key)
{
    const char *open = strchr(key, '{');
    const char *close = open ? strchr(open, '}') : NULL;

    return close ? (struct span){open + 1, (size_t)(close - open - 1)} : (struct span){NULL, 0};
}

/* KEY, of LEN bytes, is rl:{IDENTITY}:LIMIT, with one pair of braces and printable bytes. */
static void want_well_formed(const char *input, const char *key, size_t len, const char *limit)
{
    struct span tag = hash_tag(key);

    want_number(input, (int64_t)strlen(key), (int64_t)len);
    if (len >= KEY_SIZE || strncmp(key, "rl:{", 4) != 0 || tag.text != key + 4 || tag.len == 0 ||
        tag.len > KEY_IDENTITY_MAX || strncmp(tag.text + tag.len, "}:", 2) != 0 ||
        strcmp(tag.text + tag.len + 2, limit) != 0 || strpbrk(tag.text + tag.len + 1, "{}"))
        fail_msg("\"%s\": \"%s\" is not rl:{IDENTITY}:%s", input, key, limit);
    if (memchr(tag.text, '{', tag.len))
        fail_msg("\"%s\": a second '{' in \"%s\"", input, key);
    for (size_t i = 0; i < len; i++)
        if (key[i] <= ' ' || key[i] >= 0x7f)
            fail_msg("\"%s\": byte %zu of \"%s\" is not printable", input, i, key);
}

static char *build(const struct key_spec *spec, const char *uri, const char *remote_addr,
                   char out[KEY_SIZE])
{
    struct request request = {
        .method = "GET", .uri = uri, .remote_addr = remote_addr, .parameters = nothing};
    size_t len = key_of(spec, "per-user", &request, out);

    want_well_formed(uri, out, len, "per-user");
    return out;
}

/* The identity in a key of the limit "per-user" is WANT. */
static void want_identity(const char *input, const char *key, const char *want)
{
    char whole[2 * KEY_SIZE];

    snprintf(whole, sizeof whole, "rl:{%s}:per-user", want);
    want_text(input, key, whole);
}

/* "/?user=" and COUNT times PIECE.  The caller frees it. */
static char *uri_of(const char *piece, size_t count)
{
    size_t len = strlen(piece);
    char *uri = malloc(strlen("/?user=") + len * count + 1);

    assert_non_null(uri);
    strcpy(uri, "/?user=");
    for (size_t i = 0; i < count; i++)
        memcpy(uri + strlen("/?user=") + i * len, piece, len + 1);
    return uri;
}

/* A source of a key: the first of an alternative, or one that is joined to it. */
#define OR(kind, name, parameter)                                                                  \
    {                                                                                              \
        {KEY_SOURCE_##kind, name, parameter}, true                                                 \
    }
#define AND(kind, name, parameter)                                                                 \
    {                                                                                              \
        {KEY_SOURCE_##kind, name, parameter}, false                                                \
    }

TEST(every_source_and_alternative_is_read)
{
    static const struct {
        const char *text;
        size_t count;
        struct key_part want[4];
    } cases[] = {
        {"ip", 1, {OR(IP, "", "")}},
        {"query:user", 1, {OR(QUERY, "user", "")}},
        {"query:user | ip", 2, {OR(QUERY, "user", ""), OR(IP, "", "")}},
        {"query:user|ip", 2, {OR(QUERY, "user", ""), OR(IP, "", "")}},
        {"   query:user   |   ip   ", 2, {OR(QUERY, "user", ""), OR(IP, "", "")}},
        {"ip | query:a | query:b", 3, {OR(IP, "", ""), OR(QUERY, "a", ""), OR(QUERY, "b", "")}},
        {"query:ip", 1, {OR(QUERY, "ip", "")}},
        {"query:query:user", 1, {OR(QUERY, "query:user", "")}},
        {"query:a=b&c%", 1, {OR(QUERY, "a=b&c%", "")}},
        {"query:\xc3\xa9", 1, {OR(QUERY, "\xc3\xa9", "")}},
        {"query:" NAME_64, 1, {OR(QUERY, NAME_64, "")}},
        {"header:X-API-Key", 1, {OR(HEADER, "x-api-key", "HTTP_X_API_KEY")}},
        {"header:x-api-key", 1, {OR(HEADER, "x-api-key", "HTTP_X_API_KEY")}},
        {"header:DNT2", 1, {OR(HEADER, "dnt2", "HTTP_DNT2")}},
        {"header:Content-Type", 1, {OR(HEADER, "content-type", "CONTENT_TYPE")}},
        {"header:content-LENGTH", 1, {OR(HEADER, "content-length", "CONTENT_LENGTH")}},
        {"header:Content-Types", 1, {OR(HEADER, "content-types", "HTTP_CONTENT_TYPES")}},
        {"header:" NAME_64, 1, {OR(HEADER, NAME_64, "HTTP_" UPPER_64)}},
        {"cookie:Session.id", 1, {OR(COOKIE, "Session.id", "")}},
        {"path", 1, {OR(PATH, "", "")}},
        {"method", 1, {OR(METHOD, "", "")}},
        {"host", 1, {OR(HOST, "", "")}},
        {"env:REMOTE_USER", 1, {OR(ENV, "REMOTE_USER", "REMOTE_USER")}},
        {"env:remote_User2", 1, {OR(ENV, "remote_User2", "remote_User2")}},
        {"env:" NAME_64, 1, {OR(ENV, NAME_64, NAME_64)}},
        {"global", 1, {OR(GLOBAL, "", "")}},
        {"ip + path", 2, {OR(IP, "", ""), AND(PATH, "", "")}},
        {"ip+path", 2, {OR(IP, "", ""), AND(PATH, "", "")}},
        {"query:a + ip | path + method",
         4,
         {OR(QUERY, "a", ""), AND(IP, "", ""), OR(PATH, "", ""), AND(METHOD, "", "")}},
        {"path | ip + method | global",
         4,
         {OR(PATH, "", ""), OR(IP, "", ""), AND(METHOD, "", ""), OR(GLOBAL, "", "")}},
    };

    FOR_EACH(c, cases) {
        struct key_spec got = spec_of(c->text);

        want_number(c->text, (int64_t)got.count, (int64_t)c->count);
        for (size_t j = 0; j < got.count; j++) {
            const struct key_source *source = &got.part[j].source, *want = &c->want[j].source;

            want_number(c->text, source->kind, want->kind);
            want_number(c->text, got.part[j].alternative, c->want[j].alternative);
            want_text(c->text, source->name, want->name);
            want_text(c->text, source->parameter, want->parameter);
        }
    }
}

TEST(as_many_sources_as_are_allowed_are_read)
{
    static const char *const cases[] = {
        "query:1|query:2|query:3|query:4|query:5|query:6|query:7|ip",
        "query:1+query:2+query:3+query:4+query:5+query:6+query:7+ip",
        "query:1+query:2|query:3+query:4|query:5+query:6|query:7+ip",
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(*c);

        want_number(*c, (int64_t)spec.count, KEY_PARTS_MAX);
        want_number(*c, spec.part[KEY_PARTS_MAX - 1].source.kind, KEY_SOURCE_IP);
    }
}

TEST(a_wrong_key_is_an_error_that_says_what_would_be_right)
{
    struct key_spec spec;
    static const struct error_case cases[] = {
        {"", "empty source in a key; write SOURCE"},
        {"   ", "empty source"},
        {"|", "empty source"},
        {"ip |", "empty source"},
        {"| ip", "empty source"},
        {"ip || query:user", "empty source"},
        {"IP", "the sources are ip, query:NAME, header:NAME, cookie:NAME, path, method"},
        {"ip4", "unknown source"},
        {"i", "unknown source"},
        {"ip:", "this source takes no name"},
        {"ip\t", "unknown source"},
        {"user", "unknown source"},
        {"query", "this source needs a name"},
        {"query user", "unknown source"},
        {"Query:user", "unknown source"},
        {"query:user, ip", "join alternatives with |"},
        {"query:user and ip", "join alternatives with |"},
        {"query:or x", "a space or a control character"},
        {"query:", "such as query:user"},
        {"query: ", "this source needs a name"},
        {"query: user", "a space or a control character"},
        {"query:a b", "a space or a control character"},
        {"query:a\tb", "a space or a control character"},
        {"query:a\nb", "a space or a control character"},
        {"query:a\x7f", "write it decoded and without them"},
        {"query:" NAME_64 "x", "the most is 64 bytes"},
        {"ip|ip|ip|ip|ip|ip|ip|ip|ip", "the most is 8"},
        {"ip|ip|ip|ip|ip|ip|ip|ip|", "the most is 8"},
        {"ip | nonsense", "unknown source"},
        {"+", "empty source"},
        {"ip +", "empty source"},
        {"+ ip", "empty source"},
        {"ip ++ path", "empty source"},
        {"ip +| path", "empty source"},
        {"ip + | path", "empty source"},
        {"query:a+b", "unknown source"},
        {"ip + nonsense", "unknown source"},
        {"ip path", "unknown source"},
        {"paths", "unknown source"},
        {"ip+ip+ip+ip+ip+ip+ip+ip+ip", "the most is 8"},
        {"ip+ip|ip+ip|ip+ip|ip+ip|ip", "the most is 8"},
    };

    WANT_ERRORS(key_parse, &spec, cases);
}

TEST(a_name_that_its_source_cannot_have_is_an_error)
{
    struct key_spec spec;
    static const struct error_case cases[] = {
        {"header", "this source needs a name; write query:NAME, header:NAME"},
        {"header:", "this source needs a name"},
        {"header: | ip", "this source needs a name"},
        {"cookie", "this source needs a name"},
        {"cookie:", "this source needs a name"},
        {"env", "this source needs a name"},
        {"env:", "this source needs a name"},
        {"ip:x", "this source takes no name; the sources are ip"},
        {"path:/api", "this source takes no name"},
        {"method:GET", "this source takes no name"},
        {"host:example.org", "this source takes no name"},
        {"global:", "this source takes no name"},
        {"global:x", "this source takes no name"},
        {"header:X_API_Key", "letters, digits and '-' only; write it as in header:X-API-Key"},
        {"header:X:Y", "letters, digits and '-'"},
        {"header:\xc3\xa9", "letters, digits and '-'"},
        {"header:X Y", "a space or a control character"},
        {"header:" NAME_64 "x", "the most is 64 bytes"},
        {"cookie:a=b", "holds none of = ; , and \"; write it as in cookie:session"},
        {"cookie:a;b", "a cookie's name"},
        {"cookie:a,b", "a cookie's name"},
        {"cookie:\"a\"", "a cookie's name"},
        {"cookie:a b", "a space or a control character"},
        {"cookie:" NAME_64 "x", "the most is 64 bytes"},
        {"env:REMOTE-USER", "letters, digits and '_' only; write it as in env:REMOTE_USER"},
        {"env:A=B", "letters, digits and '_'"},
        {"env:A.B", "letters, digits and '_'"},
        {"env:" NAME_64 "x", "the most is 64 bytes"},
    };

    WANT_ERRORS(key_parse, &spec, cases);
}

TEST(the_first_source_that_a_request_has_is_its_identity)
{
    static const struct {
        const char *spec, *uri, *remote_addr, *want;
    } cases[] = {
        {"ip", "/?user=ann", IP, "ip=192.0.2.7"},
        {"query:user", "/?user=ann", IP, "query:user=ann"},
        {"query:user | ip", "/?user=ann", IP, "query:user=ann"},
        {"query:user | ip", "/path?a=1&user=ann&b=2", IP, "query:user=ann"},
        {"query:user | ip", "/", IP, "ip=192.0.2.7"},
        {"query:user | ip", "/?", IP, "ip=192.0.2.7"},
        {"query:user | ip", "/?user", IP, "ip=192.0.2.7"},
        {"query:user | ip", "/?user=", IP, "ip=192.0.2.7"},
        {"query:user | ip", "/?user[]=ann", IP, "query:user=ann"},
        {"query:user | ip", "/?a=1;user=ann;b=2", IP, "query:user=ann"},
        {"query:user | ip", "/?+user=ann", IP, "query:user=ann"},
        {"query:user_id | ip", "/?user.id=ann", IP, "query:user_id=ann"},
        {"query:user | ip", "/?users=ann", IP, "ip=192.0.2.7"},
        {"query:user | ip", "/?%75ser=ann", IP, "query:user=ann"},
        {"ip | query:user", "/?user=ann", IP, "ip=192.0.2.7"},
        {"ip | query:user", "/?user=ann", "", "query:user=ann"},
        {"query:a | query:b | ip", "/?b=2", IP, "query:b=2"},
        {"query:a | query:b | ip", "/?b=2&a=1", IP, "query:a=1"},
        {"query:user | ip", "/?user=%00", IP, "query:user=%00"},
        /* None of them: one bucket for all such requests. */
        {"query:user", "/", IP, "query:user="},
        {"query:user", "/?user=", IP, "query:user="},
        {"query:user | ip", "/", "", "ip="},
        {"ip | query:user", "/", "", "query:user="},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(c->spec);
        char key[KEY_SIZE];

        build(&spec, c->uri, c->remote_addr, key);
        want_identity(c->uri, key, c->want);
    }
}

/* Requests that differ in their FastCGI parameters. */
struct parameters_case {
    const char *spec;
    char *parameters[4];
    const char *want;
};

/* A request METHOD URI that has PARAMETERS. */
static char *build_from(const struct key_spec *spec, const char *method, const char *uri,
                        char *const *parameters, char out[KEY_SIZE])
{
    struct request request = {
        .method = method, .uri = uri, .remote_addr = IP, .parameters = parameters};
    size_t len = key_of(spec, "per-user", &request, out);

    want_well_formed(parameters[0] ? parameters[0] : uri, out, len, "per-user");
    return out;
}

/* The identity of each of CASES, with every value shown: what is in a digest is seen by what the
 * same request has in clear. */
static void want_identities(const struct parameters_case *cases, size_t count)
{
    for (const struct parameters_case *c = cases; c < cases + count; c++) {
        struct key_spec spec = spec_of(c->spec);
        char input[2 * KEY_SIZE], key[KEY_SIZE];
        size_t len = (size_t)snprintf(input, sizeof input, "%s", c->spec);

        key_show(&spec, true);

        for (char *const *parameter = c->parameters; *parameter; parameter++)
            len += (size_t)snprintf(input + len, sizeof input - len, ", %s", *parameter);
        want_identity(input, build_from(&spec, "GET", "/", c->parameters, key), c->want);
    }
}

TEST(a_header_is_found_whatever_case_its_name_is_in)
{
    static const struct parameters_case cases[] = {
        {"header:X-API-Key", {"HTTP_X_API_KEY=k1"}, "header:x-api-key=k1"},
        {"header:x-api-key", {"HTTP_X_API_KEY=k1"}, "header:x-api-key=k1"},
        {"header:X-Api-Key", {"A=1", "HTTP_X_API_KEY=k1", "B=2"}, "header:x-api-key=k1"},
        {"header:X-A", {"HTTP_X_A=K b+c"}, "header:x-a=K%20b%2Bc"},
        {"header:X-A", {"HTTP_X_A=%41"}, "header:x-a=%2541"},
        {"header:X-A", {"HTTP_X_A=a=b"}, "header:x-a=a%3Db"},
        {"header:X-A", {"HTTP_X_A=a}:b{"}, "header:x-a=a%7D:b%7B"},
        {"header:X-A", {"HTTP_X_AB=1", "HTTP_X=2", "HTTP_XX_A=3"}, "header:x-a="},
        {"header:X-A", {"X_A=1", "X-A=2", "http_x_a=3"}, "header:x-a="},
        {"header:Content-Type", {"HTTP_CONTENT_TYPE=a", "CONTENT_TYPE=b"}, "header:content-type=b"},
        {"header:content-type", {"HTTP_CONTENT_TYPE=a"}, "header:content-type="},
        {"header:Content-Length", {"CONTENT_LENGTH=17"}, "header:content-length=17"},
        {"header:Content-Encoding", {"HTTP_CONTENT_ENCODING=br"}, "header:content-encoding=br"},
        {"header:Cookie", {"HTTP_COOKIE=a=1; b=2"}, "header:cookie=a%3D1%3B%20b%3D2"},
        /* Empty is absent. */
        {"header:X-A | ip", {"HTTP_X_A="}, "ip=192.0.2.7"},
        {"header:X-A | ip", {NULL}, "ip=192.0.2.7"},
        {"header:X-A | ip", {"HTTP_X_A=0"}, "header:x-a=0"},
        {"header:X-A", {"HTTP_X_A="}, "header:x-a="},
    };

    want_identities(cases, LENGTH(cases));
}

TEST(a_cookie_is_found_among_others)
{
    static const struct parameters_case cases[] = {
        {"cookie:s", {"HTTP_COOKIE=s=1"}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=a=0; s=1; b=2"}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=a=0;s=1;b=2"}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=;; ;s=1;"}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=  s=1 \t; b=2"}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=a=0; \ts=1  "}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=s=1 2"}, "cookie:s=1%202"},
        {"cookie:s", {"HTTP_COOKIE=ss=0; xs=0; s=1"}, "cookie:s=1"},
        {"cookie:ss", {"HTTP_COOKIE=s=0; ss=1"}, "cookie:ss=1"},
        {"cookie:s", {"HTTP_COOKIE=s; s=1"}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=s=a=b"}, "cookie:s=a%3Db"},
        {"cookie:s", {"HTTP_COOKIE=a=s=0; s=1"}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=s=\"1\""}, "cookie:s=1"},
        {"cookie:s", {"HTTP_COOKIE=s=%41+"}, "cookie:s=A%2B"},
        {"cookie:S", {"HTTP_COOKIE=s=0; S=1"}, "cookie:S=1"},
        {"cookie:s | ip", {"HTTP_COOKIE=s"}, "ip=192.0.2.7"},
        {"cookie:s | ip", {"HTTP_COOKIE=s="}, "ip=192.0.2.7"},
        {"cookie:s | ip", {"HTTP_COOKIE=s=  ; a=1"}, "ip=192.0.2.7"},
        {"cookie:s | ip", {"HTTP_COOKIE=s =1"}, "cookie:s=1"},
        {"cookie:s | ip", {"HTTP_COOKIE=s=  1"}, "cookie:s=1"},
        {"cookie:s | ip", {"HTTP_COOKIE=s=\"\\061\""}, "cookie:s=1"},
        {"cookie:s | ip", {"HTTP_COOKIE=ss=1; xs=2; a=s"}, "ip=192.0.2.7"},
        {"cookie:s | ip", {"HTTP_COOKIE=S=1"}, "ip=192.0.2.7"},
        {"cookie:s | ip", {"HTTP_COOKIE="}, "ip=192.0.2.7"},
        {"cookie:s | ip", {"HTTP_COOKIE=; "}, "ip=192.0.2.7"},
        {"cookie:s | ip", {"COOKIE=s=1"}, "ip=192.0.2.7"},
        {"cookie:s", {NULL}, "cookie:s="},
    };

    want_identities(cases, LENGTH(cases));
}

TEST(a_host_is_in_lower_case_without_port_and_final_dot)
{
    static const struct parameters_case cases[] = {
        {"host", {"HTTP_HOST=example.org"}, "host=example.org"},
        {"host", {"HTTP_HOST=EXAMPLE.Org"}, "host=example.org"},
        {"host", {"HTTP_HOST=example.org:80"}, "host=example.org"},
        {"host", {"HTTP_HOST=example.org:"}, "host=example.org"},
        {"host", {"HTTP_HOST=example.org."}, "host=example.org"},
        {"host", {"HTTP_HOST=Example.org.:8080"}, "host=example.org"},
        {"host", {"HTTP_HOST=192.0.2.1:80"}, "host=192.0.2.1"},
        {"host", {"HTTP_HOST=[::1]"}, "host=%5B::1%5D"},
        {"host", {"HTTP_HOST=[::1]:80"}, "host=%5B::1%5D"},
        {"host", {"HTTP_HOST=[2001:DB8::A]:80"}, "host=%5B2001:db8::a%5D"},
        {"host", {"HTTP_HOST=[0:0::1]"}, "host=%5B::1%5D"},
        {"host", {"HTTP_HOST=user@example.org"}, "host=example.org"},
        {"host", {"HTTP_HOST=ex%61mple.org.."}, "host=example.org"},
        {"host", {"HTTP_HOST=\xc3\x89.org"}, "host=%C3%89.org"},
        {"host | ip", {"HTTP_HOST="}, "ip=192.0.2.7"},
        {"host | ip", {"HTTP_HOST=."}, "ip=192.0.2.7"},
        {"host | ip", {"HTTP_HOST=:80"}, "ip=192.0.2.7"},
        {"host | ip", {"SERVER_NAME=example.org"}, "ip=192.0.2.7"},
        {"host", {NULL}, "host="},
    };

    want_identities(cases, LENGTH(cases));
}

TEST(env_reads_any_parameter_and_global_reads_none)
{
    static const struct parameters_case cases[] = {
        {"env:REMOTE_USER", {"REMOTE_USER=ann"}, "env:REMOTE_USER=ann"},
        {"env:REMOTE_USER", {"REMOTE_USER=a b"}, "env:REMOTE_USER=a%20b"},
        {"env:REMOTE_USER", {"REMOTE_USERS=x", "REMOTE_USER=ann"}, "env:REMOTE_USER=ann"},
        {"env:HTTP_X_A", {"HTTP_X_A=1"}, "env:HTTP_X_A=1"},
        {"env:remote_user | ip", {"REMOTE_USER=ann"}, "ip=192.0.2.7"},
        {"env:REMOTE_USER | ip", {"REMOTE_USER="}, "ip=192.0.2.7"},
        {"env:REMOTE_USER | ip", {"REMOTE_USER"}, "ip=192.0.2.7"},
        {"env:REMOTE_USER", {NULL}, "env:REMOTE_USER="},
        {"global", {NULL}, "global="},
        {"global | ip", {NULL}, "global="},
        {"global + ip", {NULL}, "global=+ip=192.0.2.7"},
        {"env:REMOTE_USER | global", {NULL}, "global="},
    };

    want_identities(cases, LENGTH(cases));
}

TEST(the_path_and_the_method_are_sources)
{
    static const struct {
        const char *spec, *method, *uri, *want;
    } cases[] = {
        {"path", "GET", "/api/x", "path=/api/x"},
        {"path", "GET", "//api/./y/../x?user=ann", "path=/api/x"},
        {"path", "GET", "/%61pi%2Fx#top", "path=/api/x"},
        {"path", "GET", "/api/x/", "path=/api/x"},
        {"path", "GET", "/a%00b+c d", "path=/a%00b%2Bc%20d"},
        {"path", "GET", "/%7D:{", "path=/%7D:%7B"},
        {"path", "GET", "", "path=/"},
        {"path", "OPTIONS", "*", "path="},
        {"path | ip", "GET", "?user=ann", "path=/"},
        {"method", "GET", "/", "method=GET"},
        {"method", "get", "/", "method=get"},
        {"method", "HEAD", "/", "method=GET"},
        {"lower(method)", "PUT", "/", "lower:method=put"},
        {"lower(path)", "GET", "/Api/X", "lower:path=/api/x"},
        {"method", "M-SEARCH", "/", "method=M-SEARCH"},
        {"method", "A+B", "/", "method=A%2BB"},
        {"method | ip", "", "/", "ip=192.0.2.7"},
        {"method + path", "GET", "//x", "method=GET+path=/x"},
        {"path + method", "GET", "//x", "path=/x+method=GET"},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(c->spec);
        char key[KEY_SIZE];

        want_identity(c->uri, build_from(&spec, c->method, c->uri, nothing, key), c->want);
    }
}

TEST(a_path_that_is_too_long_is_absent)
{
    struct key_spec shared = spec_of("path"), other = spec_of("path | ip");
    char uri[2 * PATH_SIZE] = "/", key[KEY_SIZE];

    memset(uri + 1, 'a', sizeof uri - 2);
    want_identity("/aaa", build(&shared, uri, IP, key), "path=");
    want_identity("/aaa", build(&other, uri, IP, key), "ip=192.0.2.7");
}

TEST(the_first_complete_alternative_is_the_identity)
{
    static const char abc[] = "header:A + header:B | header:C";
    static const char or_and[] = "header:A | header:B + header:C";
    static const struct parameters_case cases[] = {
        {abc, {"HTTP_A=1", "HTTP_B=2", "HTTP_C=3"}, "header:a=1+header:b=2"},
        {abc, {"HTTP_B=2", "HTTP_A=1"}, "header:a=1+header:b=2"},
        {abc, {"HTTP_A=1", "HTTP_C=3"}, "header:c=3"},
        {abc, {"HTTP_B=2", "HTTP_C=3"}, "header:c=3"},
        {abc, {"HTTP_A=1", "HTTP_B=", "HTTP_C=3"}, "header:c=3"},
        {abc, {"HTTP_C=3"}, "header:c=3"},
        /* None is complete: the last one is used, with empty values for what is absent. */
        {abc, {"HTTP_A=1"}, "header:c="},
        {abc, {"HTTP_B=2"}, "header:c="},
        {abc, {"HTTP_A=1", "HTTP_B="}, "header:c="},
        {abc, {NULL}, "header:c="},
        {or_and, {"HTTP_A=1", "HTTP_B=2", "HTTP_C=3"}, "header:a=1"},
        {or_and, {"HTTP_B=2", "HTTP_C=3"}, "header:b=2+header:c=3"},
        {or_and, {"HTTP_B=2"}, "header:b=2+header:c="},
        {or_and, {"HTTP_B=2", "HTTP_C="}, "header:b=2+header:c="},
        {or_and, {"HTTP_C=3"}, "header:b=+header:c=3"},
        {or_and, {NULL}, "header:b=+header:c="},
        {"header:A + ip | header:B + path | global", {"HTTP_B=2"}, "header:b=2+path=/"},
        {"header:A + ip | header:B + path | global", {"HTTP_X=1"}, "global="},
        {"header:A + ip + cookie:s", {"HTTP_A=1"}, "header:a=1+ip=192.0.2.7+cookie:s="},
        {"ip + ip", {NULL}, "ip=192.0.2.7+ip=192.0.2.7"},
        /* A value cannot imitate another source. */
        {abc, {"HTTP_A=1+header:b=2", "HTTP_B=3"}, "header:a=1%2Bheader:b%3D2+header:b=3"},
    };

    want_identities(cases, LENGTH(cases));
}

TEST(an_ipv6_client_is_as_wide_as_its_prefix)
{
    static const struct {
        unsigned bits;
        const char *remote_addr, *want;
    } cases[] = {
        {48, "2001:db8:1:2:3:4:5:6", "ip=2001:db8:1::/48"},
        {64, "2001:db8:1:2:3:4:5:6", "ip=2001:db8:1:2::/64"},
        {56, "2001:db8:1:234:3:4:5:6", "ip=2001:db8:1:200::/56"},
        {128, "2001:db8:1:2:3:4:5:6", "ip=2001:db8:1:2:3:4:5:6"},
        {128, "[2001:DB8::1]:443", "ip=2001:db8::1"},
        {1, "2001:db8::1", "ip=::/1"},
        {48, "192.0.2.7", "ip=192.0.2.7"},
        {48, "::ffff:192.0.2.7", "ip=192.0.2.7"},
        {48, "/run/client.sock", "ip=/run/client.sock"},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of("ip");
        struct request request = {
            .method = "GET", .uri = "/", .remote_addr = c->remote_addr, .parameters = nothing};
        char key[KEY_SIZE];

        key_with_prefix(&spec, "per-user", &request, c->bits, key);
        want_identity(c->remote_addr, key, c->want);
    }
}

TEST(a_value_is_decoded_then_encoded_in_one_way)
{
    static const struct {
        const char *value, *want; /* after user= */
    } cases[] = {
        {"ann", "ann"},
        {"%61nn", "ann"},
        {"%61%6e%6E", "ann"},
        {"Ann.b_c~d:e/f@g-h", "Ann.b_c~d:e/f@g-h"},
        {"a+b", "a%20b"},
        {"a%20b", "a%20b"},
        {"a b", "a%20b"},
        {"a%2Bb", "a%2Bb"},
        {"a%2bb", "a%2Bb"},
        {"%00", "%00"},
        {"a%00", "a%00"},
        {"a%00b", "a%00b"},
        {"%0D%0A", "%0D%0A"},
        {"\r\n", "%0D%0A"},
        {"{}", "%7B%7D"},
        {"%7b%7d", "%7B%7D"},
        {"a}:per-ip", "a%7D:per-ip"},
        {"a%7D%3Aper-ip", "a%7D:per-ip"},
        {"a=b", "a%3Db"},
        {"%", "%25"},
        {"%4", "%254"},
        {"%zz", "%25zz"},
        {"%%34%31", "%2541"},
        {"%2541", "%2541"},
        {"100%25", "100%25"},
        {"100%", "100%25"},
        {"%23", "%23"},
        {"a*b?c[d]\\", "a%2Ab%3Fc%5Bd%5D%5C"},
        {"\"'`$|<>,!()%3B", "%22%27%60%24%7C%3C%3E%2C%21%28%29%3B"},
        {"\xc3\xa9", "%C3%A9"},
        {"%C3%A9", "%C3%A9"},
        {"%c3%a9", "%C3%A9"},
        {"e%CC%81", "e%CC%81"}, /* the same letter in another normal form is another name */
        {"%FF%FE", "%FF%FE"},
        {"\x01\x7f\x80", "%01%7F%80"},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of("query:user");
        char uri[128], want[128], key[KEY_SIZE];

        snprintf(uri, sizeof uri, "/?user=%s&x=1", c->value);
        snprintf(want, sizeof want, "query:user=%s", c->want);
        want_identity(uri, build(&spec, uri, IP, key), want);
    }
}

TEST(every_byte_is_itself_or_percent_encoded)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~:/@-";
    struct key_spec spec = spec_of("query:user");

    for (int byte = 0; byte <= 0xff; byte++) {
        char uri[32], want[32], key[KEY_SIZE];
        bool is_plain = byte != 0 && strchr(plain, byte);

        snprintf(uri, sizeof uri, "/?user=%%%02x", (unsigned)byte);
        snprintf(want, sizeof want, is_plain ? "query:user=%c" : "query:user=%%%02X", byte);
        want_identity(uri, build(&spec, uri, IP, key), want);
    }
}

TEST(an_address_is_one_client_in_every_form)
{
    static const struct {
        const char *remote_addr, *want;
    } cases[] = {
        {"192.0.2.7", "ip=192.0.2.7"},
        {"192.0.2.7:41952", "ip=192.0.2.7"},
        {"::ffff:192.0.2.7", "ip=192.0.2.7"},
        {"[::ffff:192.0.2.7]:41952", "ip=192.0.2.7"},
        {"2001:db8:1:2:3:4:5:6", "ip=2001:db8:1:2::/64"},
        {"2001:DB8:1:2::", "ip=2001:db8:1:2::/64"},
        {"[2001:db8:1:2::1]:41952", "ip=2001:db8:1:2::/64"},
        {"fe80::1%eth0", "ip=fe80::/64"},
        {"::1", "ip=::/64"},
        /* Not an address: still one client. */
        {"/run/client.sock", "ip=/run/client.sock"},
        {"unix:", "ip=unix:"},
        {"a{b}", "ip=a%7Bb%7D"},
        {"192.0.2.256", "ip=192.0.2.256"},
        /* An address written like the client of a prefix is not that client: it is absent. */
        {"2001:db8:1:2::/64", "ip="},
        {"2001:DB8:1:2::/64", "ip="},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of("ip");
        char key[KEY_SIZE];

        want_identity(c->remote_addr, build(&spec, "/", c->remote_addr, key), c->want);
    }
}

TEST(a_user_named_like_an_address_is_not_that_client)
{
    struct key_spec spec = spec_of("query:user | ip");
    char user[KEY_SIZE], client[KEY_SIZE];

    build(&spec, "/?user=" IP, IP, user);
    build(&spec, "/", IP, client);
    assert_string_equal(user, "rl:{query:user=192.0.2.7}:per-user");
    assert_string_equal(client, "rl:{ip=192.0.2.7}:per-user");
}

/* The digests are those of sha256sum(1). */
TEST(an_identity_that_is_too_long_is_its_digest)
{
    static const struct {
        const char *piece;
        size_t count;
        const char *want;
    } cases[] = {
        {"a", 118, "query:user=#879dc4f05b19ebc3b037f4683633df1332b054cf52fa372d323c421cb893a2aa"},
        {"a", 8192, "query:user=#dd4e6730520932767ec0a9e33fe19c4ce24399d6eba4ff62f13013c9ed30ef87"},
        {"%00", 40, "query:user=#2c34ce1df23b838c5abf2a7f6437cca3d3067ed509ff25f11df6b11b582b51eb"},
        {"%FF", 2730,
         "query:user=#5db1ab1273a072c7771b86781e53ec2e5b17abab8b6836193d3d9efefa8d8721"},
        {"%ff", 2730,
         "query:user=#5db1ab1273a072c7771b86781e53ec2e5b17abab8b6836193d3d9efefa8d8721"},
        {"\xff", 2730,
         "query:user=#5db1ab1273a072c7771b86781e53ec2e5b17abab8b6836193d3d9efefa8d8721"},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of("query:user");
        char *uri = uri_of(c->piece, c->count);
        char key[KEY_SIZE];

        want_identity(uri, build(&spec, uri, IP, key), c->want);
        free(uri);
    }
}

TEST(an_identity_is_digested_from_the_first_byte_that_does_not_fit)
{
    static const struct {
        const char *piece;
        size_t width; /* bytes of PIECE in an identity */
    } cases[] = {{"a", 1}, {"%00", 3}, {"%", 3}};

    FOR_EACH(c, cases) {
        for (size_t count = 1; count < 200; count++) {
            struct key_spec spec = spec_of("query:user");
            char *uri = uri_of(c->piece, count), key[KEY_SIZE];
            size_t len = strlen("query:user=") + count * c->width;
            struct span tag = hash_tag(build(&spec, uri, IP, key));

            want_number(uri, tag.text[11] == '#', len > KEY_IDENTITY_MAX);
            want_number(uri, (int64_t)tag.len, len > KEY_IDENTITY_MAX ? 11 + 1 + 64 : (int64_t)len);
            free(uri);
        }
    }
}

TEST(an_address_that_is_too_long_is_digested_as_well)
{
    struct key_spec spec = spec_of("ip");
    char remote_addr[201], key[KEY_SIZE];

    memset(remote_addr, 'x', 200);
    remote_addr[200] = '\0';
    want_identity(remote_addr, build(&spec, "/", remote_addr, key),
                  "ip=#aa20c23e3201834050679e1d88941b9a6fed0557c9a705cb2c315e2e63fd486d");
}

/* A name is never cut, even if it alone is too long. */
TEST(the_longest_name_of_a_parameter_is_part_of_the_identity)
{
    struct key_spec spec = spec_of("query:x");
    char key[KEY_SIZE];

    memset(spec.part[0].source.name, '%', KEY_SOURCE_NAME_MAX);
    want_identity("64 times %", build(&spec, "/", IP, key),
                  "#136c66a596e3b02c52fe2620e2daeb4ac42b67a27ff7c02d00653cad7afc6942");
}

TEST(a_source_that_is_passed_over_leaves_nothing_behind)
{
    struct key_spec spec = spec_of("query:" NAME_64 " | query:user | ip");
    char key[KEY_SIZE];

    want_identity("/", build(&spec, "/?" NAME_64 "=", IP, key), "ip=192.0.2.7");
    memset(spec.part[0].source.name, '%', KEY_SOURCE_NAME_MAX); /* digested, then passed over */
    want_identity("/", build(&spec, "/", IP, key), "ip=192.0.2.7");
    want_identity("/", build(&spec, "/?user=ann", IP, key), "query:user=ann");
    spec = spec_of("query:" NAME_64 " + query:" NAME_64
                   " | query:user + ip"); /* digested by its "+" */
    want_identity("/", build(&spec, "/?user=ann", IP, key), "query:user=ann+ip=192.0.2.7");
}

TEST(a_user_named_like_a_digest_does_not_share_its_key)
{
    struct key_spec spec = spec_of("query:user");
    char *uri = uri_of("a", 118), digested[KEY_SIZE], written[KEY_SIZE], forged[KEY_SIZE];

    build(&spec, uri, IP, digested);
    snprintf(forged, sizeof forged, "/?user=%.*s", (int)hash_tag(digested).len - 11,
             hash_tag(digested).text + 11);
    build(&spec, forged, IP, written);
    assert_string_not_equal(digested, written);
    snprintf(forged, sizeof forged, "/?user=%%23%.*s", (int)hash_tag(digested).len - 12,
             hash_tag(digested).text + 12);
    build(&spec, forged, IP, written);
    assert_string_not_equal(digested, written);
    free(uri);
}

TEST(the_longest_limit_and_identity_fit)
{
    struct key_spec spec = spec_of("query:user");
    char *uri = uri_of("a", KEY_IDENTITY_MAX - strlen("query:user=")), key[KEY_SIZE];
    struct request request = {
        .method = "GET", .uri = uri, .remote_addr = IP, .parameters = nothing};
    size_t len = key_of(&spec, NAME_64, &request, key);

    want_well_formed(uri, key, len, NAME_64);
    assert_int_equal(hash_tag(key).len, KEY_IDENTITY_MAX);
    assert_true(len < KEY_SIZE);
    free(uri);
}

TEST(all_limits_of_a_client_share_a_hash_tag_but_no_key)
{
    struct key_spec spec = spec_of("query:user | ip");
    struct request request = {
        .method = "GET", .uri = "/?user=a%7Db", .remote_addr = IP, .parameters = nothing};
    char one[KEY_SIZE], other[KEY_SIZE];

    key_of(&spec, "per-second", &request, one);
    key_of(&spec, "per-day", &request, other);
    assert_string_equal(one, "rl:{query:user=a%7Db}:per-second");
    assert_string_equal(other, "rl:{query:user=a%7Db}:per-day");
}

/* ---- Secrets ---- */

/* As sha256sum(1) has them. */
#define OF_K1   "#6ab9f1eb8f7d3388f4f9d586f66e99fd54080df2c446f0e58668b09c08a16dd0"
#define OF_KB   "#975424086ccd32e5d90bb8a1113a4a5d7571c0f3aac46f67ebaa5ac6a44c4b06" /* K b+c */
#define OF_BOTH "#95381fdfcbbfa68b551bb318d315780c29c0274a7a7f085cbe8b68327747189e"

TEST(a_header_and_a_cookie_are_secret_unless_show_says_otherwise)
{
    static const struct {
        const char *text;
        bool by_itself, hidden; /* without `show`, and with show: false */
    } cases[] = {
        {"header:X-API-Key", true, true},
        {"header:Host", true, true},
        {"cookie:session", true, true},
        {"lower(header:X-API-Key)", true, true},
        {"lower(cookie:session)", true, true},
        {"query:key", false, true},
        {"lower(query:key)", false, true},
        {"env:REMOTE_USER", false, true},
        {"ip", false, false},
        {"path", false, false},
        {"lower(path)", false, false},
        {"method", false, false},
        {"host", false, false},
        {"global", false, false},
        {"ip + path | header:X-A", true, true},
        {"ip + path | query:a", false, true},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(c->text);

        want_number(c->text, key_has_secret(&spec), c->by_itself);
        key_show(&spec, false);
        want_number(c->text, key_has_secret(&spec), c->hidden);
        key_show(&spec, true);
        want_number(c->text, key_has_secret(&spec), false);
    }
}

TEST(the_value_of_a_secret_source_is_its_digest)
{
    static const struct parameters_case cases[] = {
        {"header:X-A", {"HTTP_X_A=k1"}, "header:x-a=" OF_K1},
        {"header:X-A", {"HTTP_X_A=K b+c"}, "header:x-a=" OF_KB},
        {"cookie:s", {"HTTP_COOKIE=a=0; s=k1"}, "cookie:s=" OF_K1},
        {"cookie:s", {"HTTP_COOKIE=s=%6b1"}, "cookie:s=" OF_K1},
        {"lower(header:X-A)", {"HTTP_X_A=K1"}, "lower:header:x-a=" OF_K1},
        {"header:X-A | ip", {"HTTP_X_A=k1"}, "header:x-a=" OF_K1},
        {"header:X-A + ip", {"HTTP_X_A=k1"}, "header:x-a=" OF_K1 "+ip=192.0.2.7"},
        {"ip + cookie:s", {"HTTP_COOKIE=s=k1"}, "ip=192.0.2.7+cookie:s=" OF_K1},
        {"env:E", {"E=k1"}, "env:E=k1"},
        /* what is missing has no digest */
        {"header:X-A", {NULL}, "header:x-a="},
        {"header:X-A", {"HTTP_X_A="}, "header:x-a="},
        {"header:X-A | ip", {NULL}, "ip=192.0.2.7"},
        {"header:X-A + cookie:s", {"HTTP_X_A=k1"}, "header:x-a=" OF_K1 "+cookie:s="},
        /* two digests are longer than an identity may be */
        {"header:X-A + cookie:s", {"HTTP_X_A=k1", "HTTP_COOKIE=s=k1"}, OF_BOTH},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(c->spec);
        char key[KEY_SIZE];

        want_identity(c->spec, build_from(&spec, "GET", "/", c->parameters, key), c->want);
    }
}

TEST(show_false_hides_the_values_of_query_and_env_too)
{
    static const struct parameters_case cases[] = {
        {"query:a", {"HTTP_X_A=k1"}, "query:a=" OF_K1},
        {"lower(query:a)", {NULL}, "lower:query:a=" OF_K1},
        {"query:b | ip", {NULL}, "ip=192.0.2.7"},
        {"query:a + path", {NULL}, "query:a=" OF_K1 "+path=/"},
        {"env:E", {"E=k1"}, "env:E=" OF_K1},
        {"env:E", {"E="}, "env:E="},
        {"header:X-A", {"HTTP_X_A=k1"}, "header:x-a=" OF_K1},
    };

    FOR_EACH(c, cases) {
        struct key_spec spec = spec_of(c->spec);
        char key[KEY_SIZE];

        key_show(&spec, false);
        want_identity(c->spec, build_from(&spec, "GET", "/?a=k1", c->parameters, key), c->want);
    }
}

TEST(a_long_secret_has_the_digest_that_a_long_value_has)
{
    struct key_spec spec = spec_of("header:X-A");
    char parameter[300] = "HTTP_X_A=", hidden[KEY_SIZE], shown[KEY_SIZE];
    char *const parameters[] = {parameter, NULL};

    memset(parameter + strlen(parameter), 'a', 200);
    build_from(&spec, "GET", "/", parameters, hidden);
    key_show(&spec, true);
    assert_string_equal(hidden, build_from(&spec, "GET", "/", parameters, shown));
}

/* Names of 64 bytes that are all encoded, eight times: nothing of the last value is cut off. */
TEST(the_longest_key_of_secrets_has_room)
{
#define TWO "lower(cookie:" NAME_64 ") + lower(cookie:" NAME_64 ")"
    struct key_spec spec = spec_of(TWO " + " TWO " + " TWO " + " TWO);
#undef TWO
    char one[KEY_SIZE], other[KEY_SIZE];
    struct key_values values = {.count = KEY_PARTS_MAX};

    for (size_t i = 0; i < KEY_PARTS_MAX; i++) {
        memset(spec.part[i].source.name, '%', KEY_SOURCE_NAME_MAX);
        values.source[i] = &spec.part[i].source;
        values.value[i] = (struct span){"k1", 2};
    }
    want_well_formed("k1", one, key_build(&values, "per-user", one), "per-user");
    values.value[KEY_PARTS_MAX - 1] = (struct span){"k2", 2};
    want_well_formed("k2", other, key_build(&values, "per-user", other), "per-user");
    assert_string_not_equal(one, other);
}

TEST(a_secret_that_is_written_like_a_digest_does_not_share_its_key)
{
    struct key_spec spec = spec_of("header:X-A");
    char one[KEY_SIZE], other[KEY_SIZE];
    char *const secret[] = {"HTTP_X_A=k1", NULL}, *const forged[] = {"HTTP_X_A=" OF_K1, NULL};

    build_from(&spec, "GET", "/", secret, one);
    assert_string_not_equal(one, build_from(&spec, "GET", "/", forged, other));
}

TEST(the_key_of_a_client_is_built_from_a_clear_value_without_a_request)
{
    struct key_spec spec = spec_of("header:X-A | ip");
    struct key_values values = {
        .count = 1, .source = {&spec.part[0].source}, .value = {{"k1", 2}}, .memo = NULL};
    char *const parameters[] = {"HTTP_X_A=k1", NULL};
    char typed[KEY_SIZE], served[KEY_SIZE];

    key_build(&values, "per-user", typed);
    assert_string_equal(typed, build_from(&spec, "GET", "/", parameters, served));
}

/* The client that a key identifies, found by an independent decoder. */
struct client {
    size_t source; /* its index in sources[] */
    size_t len;
    unsigned char value[256];
    char key[KEY_SIZE];
};

static const char *const sources[] = {"query:user", "query:user=",   "query:use", "query:ip",
                                      "query:r",    "query:user%3D", "ip"};

static void decode(const char *encoded, struct client *client)
{
    const char *end = encoded + strcspn(encoded, "&;#");

    for (client->len = 0; encoded < end; client->len++) {
        unsigned value = (unsigned char)*encoded == '+' ? ' ' : (unsigned char)*encoded;
        size_t width = 1;

        if (*encoded == '%' && isxdigit((unsigned char)encoded[1]) &&
            isxdigit((unsigned char)encoded[2])) {
            sscanf(encoded + 1, "%2x", &value);
            width = 3;
        }
        client->value[client->len] = (unsigned char)value;
        encoded += width;
    }
}

/* Make CLIENT the one that sends TEXT, which is not empty, as SOURCE. */
static void send_as(size_t source, const char *text, struct client *client)
{
    struct key_spec spec = spec_of(sources[source]);
    char uri[300] = "/", *at = uri + 1;
    bool is_ip = spec.part[0].source.kind == KEY_SOURCE_IP;

    client->source = source;
    if (is_ip) {
        client->len = strlen(text);
        memcpy(client->value, text, client->len);
    } else {
        *at++ = '?';
        for (const char *name = spec.part[0].source.name; *name != '\0'; name++)
            at += sprintf(at, "%%%02x", (unsigned char)*name);
        sprintf(at, "=%s", text);
        decode(text, client);
    }
    build(&spec, uri, is_ip ? text : IP, client->key);
}

static bool is_same(const struct client *a, const struct client *b)
{
    return a->source == b->source && a->len == b->len && memcmp(a->value, b->value, a->len) == 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct client *)a)->key, ((const struct client *)b)->key);
}

static int by_client(const void *left, const void *right)
{
    const struct client *a = left, *b = right;

    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(a->value, b->value, a->len);
}

/* Make CLIENTS of random texts of ALPHABET, each at most SIZE - 1 bytes long and not empty. */
static void fill(struct client *clients, size_t count, const char *alphabet, size_t size,
                 uint64_t *seed)
{
    for (size_t i = 0; i < count; i++) {
        char text[256];
        struct address address;
        size_t source = random_number(seed) % LENGTH(sources);

        do /* "::" and "0:0::" are two texts and one address */
            random_text(seed, alphabet, text, size);
        while (text[0] == '\0' || address_parse(text, &address));
        send_as(source, text, &clients[i]);
    }
}

/* Sorted by key, two clients with one key are neighbours; sorted by client, two keys of one are. */
static void want_one_key_for_each(struct client *clients, size_t count)
{
    qsort(clients, count, sizeof *clients, by_key);
    for (size_t i = 1; i < count; i++)
        if (by_key(&clients[i - 1], &clients[i]) == 0 && !is_same(&clients[i - 1], &clients[i]))
            fail_msg("two clients, of %zu and %zu bytes, have the key \"%s\"", clients[i - 1].len,
                     clients[i].len, clients[i].key);
    qsort(clients, count, sizeof *clients, by_client);
    for (size_t i = 1; i < count; i++)
        if (is_same(&clients[i - 1], &clients[i]) && by_key(&clients[i - 1], &clients[i]) != 0)
            fail_msg("one client has the keys \"%s\" and \"%s\"", clients[i - 1].key,
                     clients[i].key);
}

TEST(two_clients_never_have_one_key)
{
    static const struct {
        const char *alphabet;
        size_t size;
    } kinds[] = {
        {"%23", 8},
        {"%{}=#:|+ ", 6},
        {"%{}=#:|+ 0123456789abcdefABCDEF", 8},
        {"%{}=#:|+ 0123456789abcdefABCDEF", 250},
        {"%00", 250},
        {"a", 250},
        {"a}:per-use{", 40},
        {"\xc3\xa9%c3A9", 12},
        {"0123456789.:abcdef", 10},
        {"=ipusernqy:", 12},
    };
    uint64_t seed = 1;

    FOR_EACH(kind, kinds) {
        struct client *clients = calloc(ROUNDS, sizeof *clients);

        assert_non_null(clients);
        fill(clients, ROUNDS, kind->alphabet, kind->size, &seed);
        want_one_key_for_each(clients, ROUNDS);
        free(clients);
    }
}

/* Write up to MOST random pieces to OUT, as many as fit in SIZE bytes. */
static void random_pieces(uint64_t *seed, size_t most, char *out, size_t size)
{
    static const char *const pieces[] = {"a", "b",   "+",   "=",  "+query:b=", "header:x-a=", "|",
                                         "%", "%2B", "%3d", "2B", "%00",       "}",           "#"};
    size_t count = random_number(seed) % (most + 1), len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[random_number(seed) % LENGTH(pieces)];

        if (len + strlen(piece) >= size)
            break;
        strcpy(out + len, piece);
        len += strlen(piece);
    }
}

/* A client with both sources is the pair of their values, separated by a NUL, because a header
 * contains none.  SHOW: of the limit.  Every client that lacks one of them is the client at IP. */
static void send_both(const char *header, const char *query, bool show, struct client *client)
{
    struct key_spec spec = spec_of("header:X-A + query:b | ip");
    char parameter[128], uri[128];
    char *const parameters[] = {parameter, NULL};
    size_t header_len = strlen(header);

    snprintf(parameter, sizeof parameter, "HTTP_X_A=%s", header);
    snprintf(uri, sizeof uri, "/?b=%s", query);
    key_show(&spec, show);
    decode(query, client);
    client->source = header_len > 0 && client->len > 0;
    if (client->source) {
        memmove(client->value + header_len + 1, client->value, client->len);
        memcpy(client->value, header, header_len + 1);
        client->len += header_len + 1;
    } else {
        client->len = 0;
    }
    build_from(&spec, "GET", uri, parameters, client->key);
}

TEST(two_pairs_of_values_never_have_one_key)
{
    static const size_t most[] = {2, 3, 5, 20};
    uint64_t seed = 2;

    FOR_EACH(m, most) {
        struct client *clients = calloc(ROUNDS, sizeof *clients);
        bool show = m != &most[1];

        assert_non_null(clients);
        for (size_t j = 0; j < ROUNDS; j++) {
            char header[100], query[100];

            random_pieces(&seed, *m, header, sizeof header);
            random_pieces(&seed, *m, query, sizeof query);
            send_both(header, query, show, &clients[j]);
        }
        want_one_key_for_each(clients, ROUNDS);
        free(clients);
    }
}

TESTS_MAIN
