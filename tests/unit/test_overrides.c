/* test_overrides.c - tests of limits/overrides: adding overrides, and finding the right one. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "limits/override_text.h"
#include "limits/overrides.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "base/glob.h"

#define LIMIT    "per-user"
#define OURS_MAX 4 /* overrides in a case */
#define NONE     (-1)
#define MANY     10000
#define U        OVERRIDE_UNLIMITED
#define L        OVERRIDE_LIMITED
#define B        OVERRIDE_BLOCKED

#define ROUNDS 30000

#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* Overrides for the limit LIMIT, which counts by SPEC. */
struct fixture {
    struct key_spec spec;
    unsigned ipv6_prefix_bits;
    struct overrides *overrides;
};

static struct fixture fixture_of(const char *key, unsigned ipv6_prefix_bits)
{
    struct fixture fixture = {.ipv6_prefix_bits = ipv6_prefix_bits};

    want_no_error(key, key_parse(key, &fixture.spec));
    fixture.overrides = overrides_new();
    return fixture;
}

static size_t count_of(const char *const text[], size_t most)
{
    size_t count = 0;

    while (count < most && text[count])
        count++;
    return count;
}

/* Add an override for TEXT, of KIND, from line LINE of a file. */
static const char *add_kind(struct fixture *fixture, const char *const text[], size_t count,
                            unsigned line, enum override_kind kind, unsigned *earlier)
{
    const struct override override = {kind, (int64_t)line, 1000000, line};

    return overrides_add(fixture->overrides, &fixture->spec, LIMIT, fixture->ipv6_prefix_bits, text,
                         count, &override, earlier);
}

static const char *add(struct fixture *fixture, const char *const text[], size_t count,
                       unsigned line, unsigned *earlier)
{
    return add_kind(fixture, text, count, line, OVERRIDE_LIMITED, earlier);
}

static void add_one(struct fixture *fixture, const char *text, unsigned line)
{
    unsigned earlier;

    want_no_error(text, add(fixture, &text, 1, line, &earlier));
    want_number(text, earlier, 0);
}

/* The line of the override that fits REQUEST, or 0. */
static unsigned line_for(const struct fixture *fixture, const struct request *request)
{
    struct view view;
    struct key_values values;
    char key[KEY_SIZE];

    view_begin(&view, request, fixture->ipv6_prefix_bits);
    key_find(&fixture->spec, &view, &values);
    size_t len = key_build(&values, LIMIT, key);
    const struct override *override = overrides_find(fixture->overrides, key, len, &values, &view);
    return override ? override->line : 0;
}

/* A request, overrides, and the one that applies to the request. */
struct fit {
    const char *key;
    const char *text[OURS_MAX][3];
    const char *uri, *ip;
    const char *parameter; /* FastCGI's, or NULL */
    int want;              /* index of the override, or NONE */
};

static void want_fit_at(const struct fit *fit, unsigned ipv6_prefix_bits)
{
    struct fixture fixture = fixture_of(fit->key, ipv6_prefix_bits);
    char parameter[600], *parameters[] = {fit->parameter ? parameter : NULL, NULL};
    const struct request request = {"GET", fit->uri, fit->ip ? fit->ip : "192.0.2.7", parameters};
    char input[2048];
    int len;

    snprintf(parameter, sizeof parameter, "%s", fit->parameter ? fit->parameter : "");
    len = snprintf(input, sizeof input, "%s, %s from %s with %s:", fit->key, fit->uri,
                   request.remote_addr, parameter);
    for (unsigned i = 0; i < OURS_MAX && fit->text[i][0]; i++) {
        unsigned earlier;
        size_t count = count_of(fit->text[i], 3);

        for (size_t j = 0; j < count; j++)
            len += snprintf(input + len, sizeof input - (size_t)len, " %s", fit->text[i][j]);
        want_no_error(input, add(&fixture, fit->text[i], count, i + 1, &earlier));
    }
    want_number(input, (int)line_for(&fixture, &request) - 1, fit->want);
    overrides_free(fixture.overrides);
}

static void want_fits(const struct fit *fits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        want_fit_at(&fits[i], 64);
}

TEST(an_exact_override_applies_to_one_client)
{
    static const struct fit fits[] = {
        {"query:user", {{"alice"}}, "/?user=alice", .want = 0},
        {"query:user", {{"alice"}}, "/?user=bob", .want = NONE},
        {"query:user", {{"alice"}}, "/?user=Alice", .want = NONE},
        {"query:user", {{"alice"}}, "/?user=alic", .want = NONE},
        {"query:user", {{"alice"}}, "/?user=alicee", .want = NONE},
        {"query:user", {{"alice"}}, "/?user=alice%00", .want = NONE},
        {"query:user", {{"alice"}}, "/?user=", .want = NONE},
        {"query:user", {{"alice"}}, "/", .want = NONE},
        {"query:user", {{"alice"}}, "/?user=bob&user=alice", .want = NONE},
        {"query:user", {{"bob"}, {"alice"}}, "/?user=alice", .want = 1},
        /* the query is percent-decoded, the override is not */
        {"query:user", {{"alice"}}, "/?user=%61lice", .want = 0},
        {"query:user", {{"a b"}}, "/?user=a+b", .want = 0},
        {"query:user", {{"a b"}}, "/?user=a%20b", .want = 0},
        {"query:user", {{"a+b"}}, "/?user=a%2Bb", .want = 0},
        {"query:user", {{"a+b"}}, "/?user=a%2bb", .want = 0},
        {"query:user", {{"a+b"}}, "/?user=a+b", .want = NONE},
        {"query:user", {{"a%20b"}}, "/?user=a%20b", .want = NONE},
        {"query:user", {{"a%20b"}}, "/?user=a%2520b", .want = 0},
        {"query:user", {{"caf\xc3\xa9"}}, "/?user=caf%C3%A9", .want = 0},
        {"query:user", {{"caf\xc3\xa9"}}, "/?user=caf\xc3\xa9", .want = 0},
        {"query:user", {{"a}:per-user"}}, "/?user=a%7D:per-user", .want = 0},
        {"query:user", {{"a\nb"}}, "/?user=a%0Ab", .want = 0},
        /* the other sources are not decoded */
        {"header:X-User", {{"alice"}}, "/", NULL, "HTTP_X_USER=alice", 0},
        {"header:X-User", {{"alice"}}, "/", NULL, "HTTP_X_USER=Alice", NONE},
        {"lower(header:X-User)", {{"Alice"}}, "/", NULL, "HTTP_X_USER=aLICE", 0},
        {"lower(cookie:s)", {{"Alice"}}, "/", NULL, "HTTP_COOKIE=s=aLICE", 0},
        {"header:X-User + ip", {{"alice", "192.0.2.7"}}, "/", NULL, "HTTP_X_USER=alice", 0},
        {"header:X-User | query:u", {{"alice"}}, "/?u=alice", NULL, NULL, 0},
        {"header:X-User | query:u", {{"alice"}}, "/?u=bob", NULL, "HTTP_X_USER=alice", 0},
        {"header:X-User", {{"a%20b"}}, "/", NULL, "HTTP_X_USER=a%20b", 0},
        {"header:X-User", {{"a b"}}, "/", NULL, "HTTP_X_USER=a%20b", NONE},
        {"header:X-User", {{"a b"}}, "/", NULL, "HTTP_X_USER=a+b", NONE},
        {"cookie:s", {{"\"1\""}}, "/", NULL, "HTTP_COOKIE=s=\"1\"", 0},
        {"env:REMOTE_USER", {{"ann"}}, "/", NULL, "REMOTE_USER=ann", 0},
        {"method", {{"GET"}}, "/", .want = 0},
        {"method", {{"POST"}}, "/", .want = NONE},
        {"path", {{"/api/x"}}, "/api/x", .want = 0},
        {"path", {{"/api/x"}}, "//api/./x?y", .want = NONE},
        {"path", {{"/api/x"}}, "/%61pi/x", .want = 0},
        {"path", {{"/api/x"}}, "/api/x/", .want = NONE},
        {"path", {{"/"}}, "/", .want = 0},
        /* a host has one spelling */
        {"host", {{"example.com"}}, "/", NULL, "HTTP_HOST=Example.COM:80", 0},
        {"host", {{"Example.Com"}}, "/", NULL, "HTTP_HOST=example.com", 0},
        {"host", {{"Example.Com"}}, "/", NULL, "HTTP_HOST=EXAMPLE.com.", 0},
        {"host", {{"example.com"}}, "/", NULL, "HTTP_HOST=www.example.com", NONE},
        {"header:Host", {{"Example.Com"}}, "/", NULL, "HTTP_HOST=example.com", NONE},
        {"header:Host", {{"Example.Com"}}, "/", NULL, "HTTP_HOST=Example.Com", 0},
    };

    want_fits(fits, LENGTH(fits));
}

TEST(a_glob_applies_to_the_clients_that_fit_it)
{
    static const struct fit fits[] = {
        {"query:user", {{"premium-*"}}, "/?user=premium-1", .want = 0},
        {"query:user", {{"premium-*"}}, "/?user=premium-", .want = 0},
        {"query:user", {{"premium-*"}}, "/?user=premium", .want = NONE},
        {"query:user", {{"premium-*"}}, "/?user=xpremium-1", .want = NONE},
        {"query:user", {{"premium-*"}}, "/?user=premium-a/b", .want = NONE},
        {"query:user", {{"premium-**"}}, "/?user=premium-a/b", .want = 0},
        {"query:user", {{"*-x"}}, "/?user=a-x", .want = 0},
        {"query:user", {{"a*z"}}, "/?user=a%00z", .want = 0},
        {"query:user", {{"*"}}, "/?user=alice", .want = 0},
        {"query:user", {{"*"}}, "/?user=a/b", .want = NONE},
        {"query:user", {{"**"}}, "/?user=a/b", .want = 0},
        {"query:user", {{"*"}}, "/?user=", .want = 0},
        {"query:user", {{"*"}}, "/", .want = 0},
        {"query:user", {{"premium-*"}}, "/", .want = NONE},
        /* only a query is decoded */
        {"query:user", {{"a b*"}}, "/?user=a+b1", .want = 0},
        {"query:user", {{"premium-*"}}, "/?user=%70remium-1", .want = 0},
        {"query:user", {{"premium-*"}}, "/?user=premium-a%2Fb", .want = NONE},
        {"query:user", {{"*%20*"}}, "/?user=a%20b", .want = NONE},
        {"header:X-User", {{"%61*"}}, "/", NULL, "HTTP_X_USER=%61lice", 0},
        {"header:X-User", {{"a*"}}, "/", NULL, "HTTP_X_USER=%61lice", NONE},
        {"path", {{"/api/**"}}, "/api/x/y", .want = 0},
        {"path", {{"/api/**"}}, "/api", .want = 0},
        {"path", {{"/api/**"}}, "/api/", .want = 0},
        {"path", {{"/api/"}}, "/api", .want = NONE},
        {"path", {{"/api/"}}, "/api/", .want = 0},
        /* Another reading of these is not below /api: the limit itself applies. */
        {"path", {{"/api/**"}}, "/x/../api", .want = NONE},
        {"path", {{"/api/**"}}, "/y%2f../api/x", .want = NONE},
        {"path", {{"/api/x"}}, "/y%2f..%2fapi/x", .want = NONE},
        {"path", {{"/api/**"}}, "/apix", .want = NONE},
        {"path", {{"**/x"}}, "/a/b/x", .want = 0},
        {"host", {{"*.Example.com"}}, "/", NULL, "HTTP_HOST=API.example.COM:8080", 0},
        {"host", {{"*.example.com"}}, "/", NULL, "HTTP_HOST=example.com", NONE},
        {"method", {{"*"}}, "/", .want = 0},
        {"global", {{"*"}}, "/", .want = 0},
        {"global", {{"**"}}, "/", .want = 0},
        {"cookie:s", {{"v1.*"}}, "/", NULL, "HTTP_COOKIE=s=v1.abc", 0},
    };

    want_fits(fits, LENGTH(fits));
}

TEST(an_address_applies_only_to_the_source_ip)
{
    static const struct fit fits[] = {
        {"ip", {{"192.0.2.7"}}, "/", "192.0.2.7", NULL, 0},
        {"ip", {{"192.0.2.7"}}, "/", "192.0.2.7:41952", NULL, 0},
        {"ip", {{"192.0.2.7"}}, "/", "::ffff:192.0.2.7", NULL, 0},
        {"ip", {{"::ffff:192.0.2.7"}}, "/", "192.0.2.7", NULL, 0},
        {"ip", {{"192.0.2.7/32"}}, "/", "192.0.2.7", NULL, 0},
        {"ip", {{"192.0.2.7"}}, "/", "192.0.2.8", NULL, NONE},
        {"ip", {{"10.0.0.0/8"}}, "/", "10.255.0.1", NULL, 0},
        {"ip", {{"10.0.0.0/8"}}, "/", "11.0.0.1", NULL, NONE},
        {"ip", {{"0.0.0.0/0"}}, "/", "192.0.2.7", NULL, 0},
        {"ip", {{"0.0.0.0/0"}}, "/", "2001:db8::1", NULL, NONE},
        {"ip", {{"::/0"}}, "/", "192.0.2.7", NULL, NONE},
        {"ip", {{"::/0"}}, "/", "2001:db8::1", NULL, 0},
        {"ip", {{"0.0.0.0/0"}, {"::/0"}}, "/", "unix:", NULL, NONE},
        {"ip", {{"0.0.0.0/0"}, {"::/0"}}, "/", "", NULL, NONE},
        {"ip", {{"*"}}, "/", "192.0.2.7", NULL, 0},
        {"ip", {{"*"}}, "/", "2001:db8::1", NULL, 0},
        {"ip", {{"**"}}, "/", "2001:db8::1", NULL, 0},
        {"ip", {{"*"}}, "/", "unix:/run/x", NULL, 0},
        /* a client that sends an address as its name is not at that address */
        {"query:user | ip", {{"10.0.0.0/8"}}, "/?user=10.0.0.1", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"10.0.0.0/8"}}, "/?user=10.0.0.0/8", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"10.0.0.0/8"}}, "/?user=10.0.0.0%2F8", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"10.0.0.0/8"}}, "/", "10.0.0.1", NULL, 0},
        {"query:user | ip", {{"10.0.0.0/8"}}, "/?user=", "10.0.0.1", NULL, 0},
        {"query:user | ip", {{"10.0.0.0/8"}}, "/?user=a", "10.0.0.1", NULL, NONE},
        {"query:user | ip", {{"10.0.0.1"}}, "/?user=10.0.0.1", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"10.0.0.1"}}, "/?user=10.0.0.1", "10.0.0.1", NULL, NONE},
        {"query:user | ip", {{"10.0.0.1"}}, "/", "10.0.0.1", NULL, 0},
        {"query:user | ip", {{"2001:db8::/64"}}, "/?user=2001:db8::/64", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"2001:db8::/64"}}, "/", "2001:db8::1", NULL, 0},
        {"header:X-Forwarded-For | ip",
         {{"10.0.0.0/8"}},
         "/",
         "192.0.2.7",
         "HTTP_X_FORWARDED_FOR=10.0.0.1",
         NONE},
        /* and an exact key or a glob does not name the client at an address */
        {"query:user | ip", {{"alice"}}, "/?user=alice", "192.0.2.7", NULL, 0},
        {"query:user | ip", {{"unix:"}}, "/", "unix:", NULL, NONE},
        {"query:user | ip", {{"unix*"}}, "/", "unix:", NULL, NONE},
        {"query:user | ip", {{"192.*"}}, "/", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"192.*"}}, "/?user=192.x", "192.0.2.7", NULL, 0},
        {"query:user | ip", {{"*.0.2.7"}}, "/", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"***"}}, "/", "192.0.2.7", NULL, NONE},
        {"query:user | ip", {{"*"}}, "/", "192.0.2.7", NULL, 0},
        {"query:user | ip", {{"*"}}, "/?user=alice", "192.0.2.7", NULL, 0},
        {"query:user | ip", {{"**"}}, "/?user=a/b", "192.0.2.7", NULL, 0},
        {"query:user | ip", {{"**"}}, "/", "2001:db8::1", NULL, 0},
        /* in a key without ip, an address is a name like any other */
        {"query:user", {{"10.0.0.1"}}, "/?user=10.0.0.1", "192.0.2.7", NULL, 0},
        {"query:user", {{"10.0.0.1"}}, "/?user=x", "10.0.0.1", NULL, NONE},
        {"query:user", {{"::1"}}, "/?user=::1", "192.0.2.7", NULL, 0},
        {"query:user | ip + path", {{"10.0.0.1"}}, "/?user=10.0.0.1", "192.0.2.7", NULL, 0},
    };

    want_fits(fits, LENGTH(fits));
}

TEST(a_key_of_several_sources_has_a_text_for_each)
{
    static const struct fit fits[] = {
        {"ip + path", {{"10.0.0.0/8", "/api/**"}}, "/api/x", "10.1.2.3", NULL, 0},
        {"ip + path", {{"10.0.0.0/8", "/api/**"}}, "/%61pi", "10.1.2.3", NULL, 0},
        {"ip + path", {{"10.0.0.0/8", "/api/**"}}, "/x", "10.1.2.3", NULL, NONE},
        {"ip + path", {{"10.0.0.0/8", "/api/**"}}, "/api/x", "11.1.2.3", NULL, NONE},
        {"ip + path", {{"10.0.0.0/8", "/x"}}, "/x", "10.1.2.3", NULL, 0},
        {"ip + path", {{"10.0.0.0/8", "/x"}}, "/x/y", "10.1.2.3", NULL, NONE},
        {"ip + path", {{"10.0.0.1", "/x"}}, "/x", "10.0.0.1", NULL, 0},
        {"ip + path", {{"10.0.0.1", "/x"}}, "/y", "10.0.0.1", NULL, NONE},
        {"ip + path", {{"10.0.0.1", "/x"}}, "/x", "10.0.0.2", NULL, NONE},
        {"ip + path", {{"10.0.0.1", "/**"}}, "/y/z", "10.0.0.1", NULL, 0},
        {"ip + path", {{"*", "/x"}}, "/x", "2001:db8::1", NULL, 0},
        {"ip + path", {{"*", "/x"}}, "/y", "2001:db8::1", NULL, NONE},
        {"path + ip", {{"/x", "10.0.0.0/8"}}, "/x", "10.0.0.1", NULL, 0},
        {"query:a + query:b", {{"1", "2"}}, "/?b=2&a=1", .want = 0},
        {"query:a + query:b", {{"1", "2"}}, "/?a=2&b=1", .want = NONE},
        {"query:a + query:b", {{"1", "*"}}, "/?a=1&b=2", .want = 0},
        {"query:a + query:b", {{"1", "*"}}, "/?a=1", .want = 0},
        {"query:a + query:b", {{"1", "2"}}, "/?a=1", .want = NONE},
        {"query:a + query:b", {{"1+query:b=2", "3"}}, "/?a=1&b=2", .want = NONE},
        {"query:a + global", {{"1", "*"}}, "/?a=1", .want = 0},
        {"ip + method + path", {{"10.0.0.0/8", "GET", "/**"}}, "/x", "10.0.0.1", NULL, 0},
        {"ip + method + path", {{"10.0.0.0/8", "POST", "/**"}}, "/x", "10.0.0.1", NULL, NONE},
    };

    want_fits(fits, LENGTH(fits));
}

TEST(an_override_applies_to_the_alternatives_of_its_size)
{
#define KEY "header:A + query:b | query:c | ip"
    static const struct fit fits[] = {
        {KEY, {{"1", "2"}}, "/?b=2", NULL, "HTTP_A=1", 0},
        {KEY, {{"1", "2"}}, "/?b=2&c=1", NULL, "HTTP_A=1", 0},
        {KEY, {{"1", "2"}}, "/?c=1", NULL, "HTTP_A=1", NONE},
        {KEY, {{"1"}}, "/?c=1", NULL, "HTTP_A=1", 0},
        {KEY, {{"1"}}, "/?b=2&c=1", NULL, "HTTP_A=1", NONE},
        {KEY, {{"*"}}, "/?c=1", NULL, NULL, 0},
        {KEY, {{"*"}}, "/", NULL, NULL, 0},
        {KEY, {{"*"}}, "/?b=2&c=1", NULL, "HTTP_A=1", NONE},
        {KEY, {{"*", "*"}}, "/?b=2", NULL, "HTTP_A=1", 0},
        {KEY, {{"*", "*"}}, "/?c=1", NULL, NULL, NONE},
        {KEY, {{"*", "*"}, {"*"}}, "/?c=1", NULL, NULL, 1},
        {KEY, {{"192.0.2.0/24"}}, "/", NULL, NULL, 0},
        {KEY, {{"192.0.2.0/24"}}, "/?c=192.0.2.7", NULL, NULL, NONE},
        {"query:a + ip | ip + path", {{"10.0.0.0/8", "/x"}}, "/x", "10.0.0.1", NULL, 0},
        {"query:a + ip | ip + path", {{"1", "10.0.0.0/8"}}, "/x?a=1", "10.0.0.1", NULL, 0},
        {"query:a + ip | ip + path", {{"1", "10.0.0.0/8"}}, "/x?a=2", "10.0.0.1", NULL, NONE},
        /* if no alternative is complete, the last one is used with empty values */
        {"ip + query:a", {{"10.0.0.0/8", "*"}}, "/", "10.0.0.1", NULL, 0},
        {"ip + query:a", {{"10.0.0.0/8", "1"}}, "/", "10.0.0.1", NULL, NONE},
    };
#undef KEY

    want_fits(fits, LENGTH(fits));
}

/* A repeated alternative is useless, but it must not crash the program. */
TEST(the_same_alternative_twice_is_one)
{
    static const struct fit fits[] = {
        {"query:a | query:a", {{"1"}}, "/?a=1", .want = 0},
        {"query:a | query:a", {{"1"}, {"2"}}, "/?a=2", .want = 1},
        {"query:a | query:a", {{"1"}, {"2"}}, "/?a=3", .want = NONE},
        {"query:a | query:a | query:a", {{"1*"}, {"12"}}, "/?a=12", .want = 0},
        {"ip | ip", {{"10.0.0.1"}}, "/", "10.0.0.1", NULL, 0},
        {"ip + path | ip + path", {{"10.0.0.1", "/x"}}, "/x", "10.0.0.1", NULL, 0},
        {"global | global", {{"*"}}, "/", .want = 0},
    };
    static const char *const one[] = {"1"};
    struct fixture fixture = fixture_of("query:a | query:a", 64);
    unsigned earlier;

    want_fits(fits, LENGTH(fits));
    want_no_error("first", add(&fixture, one, 1, 5, &earlier));
    assert_int_equal(earlier, 0);
    want_no_error("second", add(&fixture, one, 1, 6, &earlier));
    assert_int_equal(earlier, 5);
    overrides_free(fixture.overrides);
}

TEST(the_first_override_that_fits_wins)
{
    static const struct fit fits[] = {
        {"query:user", {{"a*"}, {"alice"}}, "/?user=alice", .want = 0},
        {"query:user", {{"alice"}, {"a*"}}, "/?user=alice", .want = 0},
        {"query:user", {{"alice"}, {"a*"}}, "/?user=ann", .want = 1},
        {"query:user", {{"b*"}, {"alice"}, {"a*"}}, "/?user=alice", .want = 1},
        {"query:user", {{"a*"}, {"*e"}}, "/?user=alice", .want = 0},
        {"query:user", {{"*e"}, {"a*"}}, "/?user=alice", .want = 0},
        {"query:user", {{"alice"}, {"alice"}}, "/?user=alice", .want = 0},
        {"query:user", {{"bob"}, {"*e"}, {"alice"}, {"**"}}, "/?user=alice", .want = 1},
        {"query:user", {{"bob"}, {"*e"}, {"alice"}, {"**"}}, "/?user=bob", .want = 0},
        {"query:user", {{"bob"}, {"*e"}, {"alice"}, {"**"}}, "/?user=x", .want = 3},
        {"ip", {{"10.0.0.0/8"}, {"10.0.0.1"}}, "/", "10.0.0.1", NULL, 0},
        {"ip", {{"10.0.0.1"}, {"10.0.0.0/8"}}, "/", "10.0.0.1", NULL, 0},
        {"ip", {{"10.0.0.1"}, {"10.0.0.0/8"}}, "/", "10.0.0.2", NULL, 1},
        {"ip", {{"10.0.0.0/16"}, {"10.0.0.0/8"}}, "/", "10.0.0.2", NULL, 0},
        {"ip", {{"10.0.0.0/16"}, {"10.0.0.0/8"}}, "/", "10.1.0.2", NULL, 1},
        {"ip", {{"10.0.0.0/8"}, {"10.0.0.0/16"}}, "/", "10.0.0.2", NULL, 0},
        {"ip", {{"*"}, {"10.0.0.0/8"}, {"10.0.0.1"}}, "/", "10.0.0.1", NULL, 0},
        {"ip", {{"10.0.0.0/8"}, {"*"}, {"11.0.0.1"}}, "/", "11.0.0.1", NULL, 1},
        /* across the alternatives, in any order of the three kinds */
        {"query:user | ip", {{"a*"}, {"10.0.0.0/8"}, {"alice"}, {"*"}}, "/?user=alice", .want = 0},
        {"query:user | ip", {{"10.0.0.0/8"}, {"alice"}, {"a*"}, {"*"}}, "/?user=alice", .want = 1},
        {"query:user | ip", {{"alice"}, {"a*"}, {"10.0.0.0/8"}, {"*"}}, "/", "10.0.0.1", NULL, 2},
        {"query:user | ip", {{"alice"}, {"*"}, {"10.0.0.0/8"}, {"b"}}, "/", "10.0.0.1", NULL, 1},
        {"query:user | ip", {{"alice"}, {"10.0.0.1"}, {"10.0.0.0/8"}}, "/", "10.0.0.1", NULL, 1},
    };

    want_fits(fits, LENGTH(fits));
}

TEST(an_ipv6_client_is_its_prefix)
{
    static const struct {
        unsigned bits;
        struct fit fit;
    } cases[] = {
        {64, {"ip", {{"2001:db8:1:2::/64"}}, "/", "2001:db8:1:2::1", NULL, 0}},
        {64, {"ip", {{"2001:db8:1:2::/64"}}, "/", "2001:db8:1:2:ffff::1", NULL, 0}},
        {64, {"ip", {{"2001:db8:1:2::/64"}}, "/", "2001:db8:1:3::1", NULL, NONE}},
        {64, {"ip", {{"2001:db8:1:2::/63"}}, "/", "2001:db8:1:3::1", NULL, 0}},
        {64, {"ip", {{"2001:db8:1:2::/63"}}, "/", "2001:db8:1:4::1", NULL, NONE}},
        {64, {"ip", {{"2001:db8::/32"}}, "/", "2001:db8:1:3::1", NULL, 0}},
        {64, {"ip", {{"2001:db8::/32"}}, "/", "2001:db9::1", NULL, NONE}},
        {64, {"ip", {{"2001:db8:1:2::/64"}}, "/", "[2001:db8:1:2::1]:80", NULL, 0}},
        {64, {"ip", {{"2001:db8:1:2::/64"}}, "/", "2001:db8:1:2::/64", NULL, NONE}},
        {64, {"ip", {{"fe80::/64"}}, "/", "fe80::1%eth0", NULL, 0}},
        {64, {"ip", {{"::/64"}}, "/", "192.0.2.7", NULL, NONE}},
        {56, {"ip", {{"2001:db8:1:200::/56"}}, "/", "2001:db8:1:2ff::1", NULL, 0}},
        {56, {"ip", {{"2001:db8:1:200::/56"}}, "/", "2001:db8:1:300::1", NULL, NONE}},
        {128, {"ip", {{"2001:db8::1"}}, "/", "2001:db8::1", NULL, 0}},
        {128, {"ip", {{"2001:db8::1/128"}}, "/", "2001:db8::1", NULL, 0}},
        {128, {"ip", {{"2001:DB8:0::1"}}, "/", "2001:db8::1", NULL, 0}},
        {128, {"ip", {{"2001:db8::1"}}, "/", "2001:db8::2", NULL, NONE}},
        {128, {"ip", {{"2001:db8::/64"}}, "/", "2001:db8::2", NULL, 0}},
        {1, {"ip", {{"8000::/1"}}, "/", "ffff::", NULL, 0}},
        {1, {"ip", {{"8000::/1"}}, "/", "7fff::", NULL, NONE}},
        {1, {"ip", {{"::/0"}}, "/", "7fff::", NULL, 0}},
        {1, {"ip", {{"192.0.2.7"}}, "/", "192.0.2.7", NULL, 0}},
        {1, {"ip", {{"192.0.2.7"}}, "/", "192.0.2.8", NULL, NONE}},
        {1, {"ip", {{"192.0.2.0/31"}}, "/", "192.0.2.1", NULL, 0}},
    };

    FOR_EACH(c, cases)
        want_fit_at(&c->fit, c->bits);
}

/* Such identities are digests: key.h. */
TEST(a_value_of_any_length_is_found)
{
    static const struct fit fits[] = {
        {"query:user", {{HUNDRED TEN TEN}}, "/?user=" HUNDRED TEN TEN, .want = 0},
        {"query:user", {{HUNDRED HUNDRED}}, "/?user=" HUNDRED HUNDRED, .want = 0},
        {"query:user", {{HUNDRED HUNDRED}}, "/?user=" HUNDRED HUNDRED "x", .want = NONE},
        {"query:user", {{HUNDRED HUNDRED "x"}}, "/?user=" HUNDRED HUNDRED, .want = NONE},
        {"query:user",
         {{HUNDRED HUNDRED}},
         "/?user=%30"
         "123456789" HUNDRED HUNDRED,
         .want = NONE},
        {"query:user", {{HUNDRED HUNDRED "*"}}, "/?user=" HUNDRED HUNDRED "x", .want = 0},
        {"query:user", {{HUNDRED HUNDRED "*"}}, "/?user=" HUNDRED "x" HUNDRED, .want = NONE},
        {"query:user", {{"*x"}, {HUNDRED HUNDRED "x"}}, "/?user=" HUNDRED HUNDRED "x", .want = 0},
        {"header:A",
         {{HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED}},
         "/",
         NULL,
         "HTTP_A=" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED,
         0},
        {"ip + path",
         {{"10.0.0.1", "/" HUNDRED HUNDRED}},
         "/" HUNDRED HUNDRED,
         "10.0.0.1",
         NULL,
         0},
        {"ip + path",
         {{"10.0.0.0/8", "/" HUNDRED HUNDRED}},
         "/" HUNDRED HUNDRED,
         "10.0.0.1",
         NULL,
         0},
        {"ip + path", {{"10.0.0.0/8", "/" HUNDRED HUNDRED}}, "/" HUNDRED, "10.0.0.1", NULL, NONE},
    };

    want_fits(fits, LENGTH(fits));
}

TEST(a_wrong_key_is_an_error_that_says_what_would_be_right)
{
    static const char elsewhere[] = "an address is for the source ip; write it in the place of ip",
                      size[] = "the limit's key has no alternative of so many sources; write one",
                      none[] = "neither an address nor a CIDR; write 192.0.2.7",
                      nowhere[] =
                          "a CIDR is for the source ip, which the limit's key does not have there",
                      narrow[] = "an IPv6 client is its whole prefix, of ipv6_prefix bits; write";
    static const struct {
        const char *key, *text[4], *error;
    } cases[] = {
        {"query:a", {""}, "an empty key; write a value, an address, a CIDR or a glob"},
        {"query:a + path", {"1", ""}, "an empty key"},
        {"query:a", {"1", "2"}, size},
        {"query:a + path", {"1"}, size},
        {"query:a + path", {"1", "/x", "2"}, size},
        {"query:a + path | ip", {"1", "/x", "2"}, size},
        {"ip", {"alice"}, none},
        {"ip", {"10.0.0.*"}, none},
        {"ip", {"10.0.0"}, none},
        {"ip", {"***"}, none},
        {"ip", {"[::1]"}, none},
        {"ip", {"192.0.2.7:80"}, none},
        {"ip", {"10.0.0.0/33"}, "the prefix of an IPv4 address is 0 to 32"},
        {"ip", {"10.0.0.1/8"}, "bits are set behind the prefix"},
        {"ip", {"2001:db8::/129"}, "the prefix of an IPv6 address is 0 to 128"},
        {"ip", {"2001:db8::1"}, narrow},
        {"ip", {"2001:db8::/65"}, narrow},
        {"ip", {"::1"}, narrow},
        {"query:a | ip", {"2001:db8::1"}, narrow},
        {"query:a | ip", {"10.0.0.0/33"}, "the prefix of an IPv4 address is 0 to 32"},
        {"query:a | ip", {"10.0.0.1/8"}, "bits are set behind the prefix"},
        {"ip | query:a", {"10.0.0.1/8"}, "bits are set behind the prefix"},
        /* written like an address, so not a user's name in a key with ip */
        {"query:a | ip", {"10.0.0.*"}, none},
        {"query:a | ip", {"10.0.0/8"}, none},
        {"query:a | ip", {"10.*.*"}, none},
        {"ip | query:a", {"10.0.0.256"}, none},
        {"ip + path", {"10.0.0.0/8", "api"}, "a path begins with a slash; write /api/x"},
        {"path", {"api/**"}, "a path begins with a slash"},
        {"path", {"api"}, "a path begins with a slash"},
        {"path + ip", {"10.0.0.0/8", "/x"}, nowhere},
        {"ip + path | path + ip", {"/x", "/x"}, none},
        {"ip + path | path + ip", {"10.0.0.0/8", "10.0.0.0/8"}, elsewhere},
        {"query:a", {"10.0.0.0/8"}, nowhere},
        {"query:a", {"2001:db8::/32"}, nowhere},
        {"query:a | ip + path", {"10.0.0.0/8"}, nowhere},
        {"host", {"10.0.0.0/8"}, nowhere},
        {"global", {"x"}, "the source global has no value; write * there"},
        {"global", {"***"}, "the source global has no value"},
        {"global", {"10.0.0.1"}, "the source global has no value"},
        {"ip + global", {"10.0.0.1", "x"}, "the source global has no value"},
    };

    FOR_EACH(c, cases) {
        struct fixture fixture = fixture_of(c->key, 64);
        unsigned earlier;
        char input[128];

        snprintf(input, sizeof input, "%s: %s %s", c->key, c->text[0],
                 c->text[1] ? c->text[1] : "");
        want_error(input, add(&fixture, c->text, count_of(c->text, 4), 1, &earlier), c->error);
        overrides_free(fixture.overrides);
    }
}

TEST(a_text_has_a_maximum_length)
{
    static const struct {
        const char *key;
        size_t len;
        char last;
        const char *beside; /* the second text, or NULL */
        const char *error;  /* NULL: accepted */
    } cases[] = {
        {"query:a", OVERRIDE_TEXT_MAX, 'x', NULL, NULL},
        {"query:a", OVERRIDE_TEXT_MAX + 1, 'x', NULL, "the most is 1024 bytes"},
        {"query:a", 2000, 'x', NULL, "the most is 1024 bytes"},
        {"query:a", GLOB_MAX, '*', NULL, NULL},
        {"query:a", GLOB_MAX + 1, '*', NULL, "this glob is too long; the most is 256 bytes"},
        {"query:a", 2000, '*', NULL, "the most is 256 bytes"},
        {"query:a + path", OVERRIDE_TEXT_MAX, 'x', "/x", NULL},
        /* next to a glob or a network it is matched as a glob */
        {"query:a + path", GLOB_MAX, 'x', "/**", NULL},
        {"query:a + path", GLOB_MAX + 1, 'x', "/**", "the most is 256 bytes"},
        {"query:a + path", OVERRIDE_TEXT_MAX, 'x', "/**", "the most is 256 bytes"},
        {"query:a + ip", GLOB_MAX, 'x', "10.0.0.0/8", NULL},
        {"query:a + ip", GLOB_MAX + 1, 'x', "10.0.0.0/8", "the most is 256 bytes"},
        {"query:a + ip", OVERRIDE_TEXT_MAX, 'x', "10.0.0.1", NULL},
    };

    FOR_EACH(c, cases) {
        struct fixture fixture = fixture_of(c->key, 64);
        char uri[2100] = "/x?a=", *text = uri + 5, input[64];
        const char *texts[] = {text, c->beside};
        const struct request request = {"GET", uri, "10.0.0.1", (char *[]){NULL}};
        unsigned earlier;

        memset(text, 'a', c->len);
        text[c->len - 1] = c->last;
        text[c->len] = '\0';
        snprintf(input, sizeof input, "%s: %zu bytes, %c", c->key, c->len, c->last);
        const char *error = add(&fixture, texts, count_of(texts, 2), 1, &earlier);
        want_error_or_none(input, error, c->error);
        want_number(input, line_for(&fixture, &request), c->error ? 0 : 1);
        overrides_free(fixture.overrides);
    }
}

TEST(as_many_patterns_as_are_allowed_are_added_and_no_more)
{
    static const char error[] = "too many globs and CIDRs in the overrides of one limit; the most "
                                "is 256, and exact keys are not bounded";
    struct fixture fixture = fixture_of("query:user | ip", 64);
    unsigned earlier;
    char text[32];
    const char *const texts[] = {text};

    for (unsigned i = 0; i < OVERRIDES_PATTERNS_MAX; i++) {
        if (i == 0) /* counts once, although it is for both alternatives */
            strcpy(text, "nobody-*");
        else if (i % 2)
            sprintf(text, "10.%u.0.0/16", i - 1);
        else
            sprintf(text, "user-%u-*", i);
        add_one(&fixture, text, i + 1);
    }
    strcpy(text, "one-more-*");
    want_error(text, add(&fixture, texts, 1, 1000, &earlier), error);
    strcpy(text, "192.0.2.0/24");
    want_error(text, add(&fixture, texts, 1, 1000, &earlier), error);
    strcpy(text, "**");
    want_error(text, add(&fixture, texts, 1, 1000, &earlier), error);
    strcpy(text, "alice");
    add_one(&fixture, text, 1001);
    strcpy(text, "192.0.2.7");
    add_one(&fixture, text, 1002);

    const struct request last = {"GET", "/", "10.254.1.1", (char *[]){NULL}},
                         added = {"GET", "/?user=user-254-x", "192.0.2.8", (char *[]){NULL}},
                         refused = {"GET", "/?user=one-more-x", "192.0.2.8", (char *[]){NULL}},
                         alice = {"GET", "/?user=alice", "192.0.2.8", (char *[]){NULL}};
    assert_int_equal(line_for(&fixture, &last), 256);
    assert_int_equal(line_for(&fixture, &added), 255);
    assert_int_equal(line_for(&fixture, &refused), 0);
    assert_int_equal(line_for(&fixture, &alice), 1001);
    overrides_free(fixture.overrides);
}

TEST(each_of_ten_thousand_exact_overrides_is_found_and_no_other)
{
    struct fixture fixture = fixture_of("query:user | ip", 64);
    char text[64], uri[64];

    for (unsigned i = 0; i < MANY; i++) {
        sprintf(text, i % 2 ? "user-%u" : "10.1.%u.%u", i % 2 ? i : i / 256, i % 256);
        add_one(&fixture, text, i + 1);
    }
    for (unsigned i = 0; i < MANY; i++) {
        char ip[32];
        const struct request user = {"GET", uri, "192.0.2.7", (char *[]){NULL}},
                             client = {"GET", "/", ip, (char *[]){NULL}};

        sprintf(uri, "/?user=user-%u", i);
        want_number(uri, line_for(&fixture, &user), i % 2 ? i + 1 : 0);
        sprintf(uri, "/?user=user-%u", i + MANY);
        want_number(uri, line_for(&fixture, &user), 0);
        sprintf(ip, "10.1.%u.%u", i / 256, i % 256);
        want_number(ip, line_for(&fixture, &client), i % 2 ? 0 : i + 1);
        sprintf(uri, "/?user=10.1.%u.%u", i / 256, i % 256);
        want_number(uri, line_for(&fixture, &user), 0);
    }
    overrides_free(fixture.overrides);
}

/* The least processor time, in ns, that a thousand look-ups among COUNT overrides take. */
static int64_t look_up_ns(unsigned count)
{
    struct fixture fixture = fixture_of("query:user", 64);
    int64_t fastest = INT64_MAX;
    char text[32], uri[64];
    const struct request request = {"GET", uri, "192.0.2.7", (char *[]){NULL}};

    for (unsigned i = 0; i < count; i++) {
        sprintf(text, "user-%u", i);
        add_one(&fixture, text, i + 1);
    }
    for (int round = 0; round < 5; round++) {
        struct timespec start, end;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        for (unsigned i = 0; i < 1000; i++) {
            sprintf(uri, "/?user=user-%u", i * 13);
            line_for(&fixture, &request);
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        int64_t ns =
            (int64_t)(end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec;
        fastest = ns < fastest ? ns : fastest;
    }
    overrides_free(fixture.overrides);
    return fastest;
}

/* Comparing each override would take about 100 times as long: the bound is far from either. */
TEST(ten_thousand_exact_overrides_cost_a_request_what_ten_do)
{
    int64_t ten = look_up_ns(10), many = look_up_ns(MANY);

    if (many > 10 * ten)
        fail_msg("a thousand look-ups took %lld ns among 10, and %lld ns among 10000",
                 (long long)ten, (long long)many);
}

/* Neither a client's values nor its address are read if no pattern comes before its exact key. */
TEST(no_pattern_after_an_exact_override_is_tried)
{
    static const char *const texts[] = {"alice", "a*", "b*"};
    struct fixture fixture = fixture_of("query:user", 64);
    static const char key[] = "rl:{query:user=alice}:" LIMIT;

    for (unsigned i = 0; i < LENGTH(texts); i++)
        add_one(&fixture, texts[i], i + 1);
    const struct override *override =
        overrides_find(fixture.overrides, key, strlen(key), NULL, NULL);
    assert_non_null(override);
    assert_int_equal(override->line, 1);
    overrides_free(fixture.overrides);
}

TEST(an_override_that_is_never_used_is_reported_with_the_earlier_one)
{
    static const struct {
        const char *key, *text[OURS_MAX][3];
        unsigned want; /* for the last one */
    } cases[] = {
        {"query:a", {{"1"}, {"2"}}, 0},
        {"query:a", {{"1"}, {"1"}}, 1},
        {"query:a", {{"2"}, {"1"}, {"1"}}, 2},
        {"query:a", {{"1*"}, {"12"}}, 1},
        {"query:a", {{"12"}, {"1*"}}, 0},
        {"query:a", {{"1*"}, {"2"}}, 0},
        {"query:a", {{"1*"}, {"1*"}}, 1},
        {"query:a", {{"**"}, {"1*"}}, 1},
        {"query:a", {{"**"}, {"**"}}, 1},
        {"query:a", {{"*"}, {"**"}}, 0},
        {"query:a", {{"*"}, {"a/b"}}, 0},
        {"query:a", {{"*"}, {"ab"}}, 1},
        {"query:a", {{"*1"}, {"1*"}, {"11"}}, 1},
        {"query:a", {{"x"}, {"y"}, {"**"}, {"z"}}, 3},
        {"path", {{"/api/**"}, {"/api"}}, 1},
        {"path", {{"/api/**"}, {"/api/x"}}, 1},
        {"path", {{"/api/*"}, {"/api/x/y"}}, 0},
        {"host", {{"example.com"}, {"Example.COM"}}, 1},
        {"host", {{"*.Example.com"}, {"a.example.com"}}, 1},
        {"ip", {{"10.0.0.0/8"}, {"10.0.0.1"}}, 1},
        {"ip", {{"10.0.0.1"}, {"10.0.0.0/8"}}, 0},
        {"ip", {{"10.0.0.0/8"}, {"10.0.0.0/8"}}, 1},
        {"ip", {{"10.0.0.0/8"}, {"10.1.0.0/16"}}, 1},
        {"ip", {{"10.1.0.0/16"}, {"10.0.0.0/8"}}, 0},
        {"ip", {{"10.0.0.1"}, {"10.0.0.1/32"}}, 1},
        {"ip", {{"10.0.0.1"}, {"::ffff:10.0.0.1"}}, 1},
        {"ip", {{"::/0"}, {"10.0.0.1"}}, 0},
        {"ip", {{"0.0.0.0/0"}, {"2001:db8::/32"}}, 0},
        {"ip", {{"2001:db8::/32"}, {"2001:db8:1:2::/64"}}, 1},
        {"ip", {{"*"}, {"10.0.0.1"}}, 1},
        {"ip", {{"*"}, {"**"}}, 1},
        {"ip", {{"10.0.0.0/8"}, {"*"}}, 0},
        {"ip + path", {{"10.0.0.0/8", "/**"}, {"10.0.0.1", "/x"}}, 1},
        {"ip + path", {{"10.0.0.0/8", "/**"}, {"10.0.0.0/16", "/x"}}, 1},
        {"ip + path", {{"10.0.0.0/8", "/x"}, {"10.0.0.1", "/y"}}, 0},
        {"ip + path", {{"10.0.0.1", "/**"}, {"10.0.0.0/8", "/x"}}, 0},
        {"ip + path", {{"*", "**"}, {"10.0.0.0/8", "/x"}}, 1},
        /* only if that is so for each alternative */
        {"query:a | query:b", {{"1"}, {"1"}}, 1},
        {"query:a | ip", {{"10.0.0.0/8"}, {"*"}}, 0},
        {"query:a | ip", {{"**"}, {"1"}}, 1},
        {"query:a | ip", {{"**"}, {"10.0.0.1"}}, 1},
        {"query:a | ip", {{"1*"}, {"1*"}}, 1},
        {"query:a | ip", {{"10.0.0.0/8"}, {"10.0.0.1"}}, 1},
        {"query:a | query:b + ip", {{"*", "*"}, {"1"}}, 0},
        {"ip + query:a | query:a + ip", {{"10.0.0.0/8", "1"}, {"1", "10.0.0.1"}}, 0},
        {"ip + query:a | query:a + ip", {{"*", "1"}, {"*", "*"}}, 0},
    };

    FOR_EACH(c, cases) {
        struct fixture fixture = fixture_of(c->key, 64);
        unsigned earlier = 99, line = 0;
        char input[128];
        int len = snprintf(input, sizeof input, "%s:", c->key);

        while (line < OURS_MAX && c->text[line][0]) {
            const char *const *text = c->text[line];
            for (size_t j = 0; text[j]; j++)
                len += snprintf(input + len, sizeof input - (size_t)len, " %s", text[j]);
            want_no_error(input, add(&fixture, text, count_of(text, 3), ++line, &earlier));
        }
        want_number(input, earlier, c->want);
        overrides_free(fixture.overrides);
    }
}

TEST(a_first_override_that_is_unlimited_for_all_lifts_the_limit)
{
    static const struct {
        const char *key, *text[OURS_MAX][3];
        enum override_kind kind[OURS_MAX];
        bool want;
    } cases[] = {
        {"query:a", {{NULL}}, {U}, false},
        {"query:a", {{"**"}}, {U}, true},
        {"query:a", {{"**"}}, {L}, false},
        {"query:a", {{"**"}}, {B}, false},
        {"query:a", {{"*"}}, {U}, false},
        {"query:a", {{"1"}}, {U}, false},
        {"query:a", {{"1*"}}, {U}, false},
        {"query:a", {{"1"}, {"**"}}, {L, U}, false},
        {"query:a", {{"1"}, {"**"}}, {B, U}, false},
        {"query:a", {{"1"}, {"**"}}, {U, B}, false},
        {"query:a", {{"1"}, {"**"}}, {U, L}, false},
        {"query:a", {{"1*"}, {"**"}}, {L, U}, false},
        {"query:a", {{"**"}, {"1"}}, {U, B}, true},
        {"ip", {{"*"}}, {U}, true},
        {"ip", {{"**"}}, {U}, true},
        {"ip", {{"0.0.0.0/0"}}, {U}, false},
        {"ip", {{"0.0.0.0/0"}, {"::/0"}}, {U, U}, false}, /* a unix socket has neither */
        {"global", {{"*"}}, {U}, true},
        {"global", {{"**"}}, {U}, true},
        {"ip + path", {{"**", "**"}}, {U}, true},
        {"ip + path", {{"*", "**"}}, {U}, true},
        {"ip + path", {{"**", "/x"}}, {U}, false},
        {"ip + path", {{"10.0.0.0/8", "**"}}, {U}, false},
        {"query:a | ip", {{"**"}}, {U}, true},
        {"query:a | ip", {{"*"}}, {U}, false},
        {"query:a | ip", {{"10.0.0.0/8"}}, {U}, false},
        /* an alternative of another size is not lifted */
        {"query:a + path | ip", {{"**", "**"}}, {U}, false},
        {"query:a + path | ip", {{"**"}}, {U}, false},
        {"query:a | ip + path", {{"**"}}, {U}, false},
    };

    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct fixture fixture = fixture_of(cases[i].key, 64);
        char input[64];

        snprintf(input, sizeof input, "%s: %s, case %zu", cases[i].key,
                 cases[i].text[0][0] ? cases[i].text[0][0] : "none", i);
        for (unsigned j = 0; j < OURS_MAX && cases[i].text[j][0]; j++) {
            const char *const *text = cases[i].text[j];
            unsigned earlier;
            want_no_error(input, add_kind(&fixture, text, count_of(text, 3), j + 1,
                                          cases[i].kind[j], &earlier));
        }
        want_number(input, overrides_lift_all(fixture.overrides, &fixture.spec), cases[i].want);
        overrides_free(fixture.overrides);
    }
}

TEST(a_refused_override_adds_nothing)
{
    static const char *const wrong[] = {"10.0.0.1/8"}, *const right[] = {"10.0.0.1"};
    struct fixture fixture = fixture_of("query:user | ip", 64);
    const struct request client = {"GET", "/", "10.0.0.1", (char *[]){NULL}},
                         user = {"GET", "/?user=10.0.0.1/8", "10.0.0.1", (char *[]){NULL}};
    unsigned earlier;

    want_error("wrong", add(&fixture, wrong, 1, 1, &earlier), "bits are set");
    assert_int_equal(line_for(&fixture, &client), 0);
    assert_int_equal(line_for(&fixture, &user), 0);
    want_no_error("right", add(&fixture, right, 1, 2, &earlier));
    assert_int_equal(earlier, 0);
    assert_int_equal(line_for(&fixture, &client), 2);
    overrides_free(fixture.overrides);
}

TEST(an_override_is_kept_as_it_was_added)
{
    struct fixture fixture = fixture_of("query:user", 64);
    static const char key[] = "rl:{query:user=a}:" LIMIT;
    struct override override = {OVERRIDE_BLOCKED, 12, 34, 56};
    char text[] = "a", glob[] = "b*";
    const char *const texts[] = {text}, *const globs[] = {glob};
    unsigned earlier;

    want_no_error("a", overrides_add(fixture.overrides, &fixture.spec, LIMIT, 64, texts, 1,
                                     &override, &earlier));
    want_no_error("b*", overrides_add(fixture.overrides, &fixture.spec, LIMIT, 64, globs, 1,
                                      &override, &earlier));
    /* All of it was copied. */
    text[0] = glob[0] = 'x';
    memset(&override, 0, sizeof override);
    const struct override *found = overrides_find(fixture.overrides, key, strlen(key), NULL, NULL);
    assert_non_null(found);
    assert_int_equal(found->kind, OVERRIDE_BLOCKED);
    assert_int_equal(found->capacity, 12);
    assert_int_equal(found->interval_us, 34);
    assert_int_equal(found->line, 56);
    const struct request request = {"GET", "/?user=bob", "192.0.2.7", (char *[]){NULL}};
    assert_int_equal(line_for(&fixture, &request), 56);
    overrides_free(fixture.overrides);
    overrides_free(NULL);
}

/* ---- Against a reference that looks at each override in turn ---- */

/* The values of a request for the three sources of the random keys. */
struct client {
    char user[8], path[8], ip[INET6_ADDRSTRLEN];
};

struct rule {
    const char *text[2];
    size_t count;
};

static bool slow_glob(const char *pattern, const char *text)
{
    if (strcmp(pattern, "/**") == 0 && text[0] == '\0')
        return true;
    if (pattern[0] == '\0')
        return text[0] == '\0';
    if (strncmp(pattern, "**", 2) == 0)
        return slow_glob(pattern + 2, text) || (text[0] && slow_glob(pattern, text + 1));
    if (pattern[0] == '*')
        return slow_glob(pattern + 1, text) ||
               (text[0] && text[0] != '/' && slow_glob(pattern, text + 1));
    return text[0] == pattern[0] && slow_glob(pattern + 1, text + 1);
}

/* Whether TEXT is a CIDR or an address; then its FAMILY, BYTES and BITS. */
static bool slow_network(const char *text, int *family, unsigned char bytes[16], int *bits)
{
    char address[64];
    const char *slash = strchr(text, '/');

    snprintf(address, sizeof address, "%.*s", (int)strcspn(text, "/"), text);
    *family = strchr(address, ':') ? AF_INET6 : AF_INET;
    *bits = slash ? atoi(slash + 1) : *family == AF_INET ? 32 : 128;
    return inet_pton(*family, address, bytes) == 1;
}

static bool slow_address_fits(const char *text, const char *ip)
{
    unsigned char network[16], client[16];
    int family, client_family, bits, client_bits;

    if (strcmp(text, "*") == 0 || strcmp(text, "**") == 0)
        return true;
    if (!slow_network(text, &family, network, &bits) ||
        !slow_network(ip, &client_family, client, &client_bits) || family != client_family)
        return false;
    for (int i = 0; i < bits; i++)
        if (((network[i / 8] ^ client[i / 8]) >> (7 - i % 8)) & 1)
            return false;
    return true;
}

static bool slow_part_fits(enum key_source_kind kind, const char *text, bool ip_there,
                           const struct client *client)
{
    unsigned char bytes[16];
    int family, bits;

    if (kind == KEY_SOURCE_IP)
        return slow_address_fits(text, client->ip);
    if (slow_network(text, &family, bytes, &bits) && ip_there)
        return false;
    return slow_glob(text, kind == KEY_SOURCE_PATH ? client->path : client->user);
}

static bool slow_has_ip(const struct key_spec *spec, size_t count, size_t at)
{
    for (size_t first = 0; first < spec->count; first = key_alternative_end(spec, first))
        if (key_alternative_end(spec, first) - first == count &&
            spec->part[first + at].source.kind == KEY_SOURCE_IP)
            return true;
    return false;
}

/* The alternative of SPEC that CLIENT has: only a user can be absent. */
static size_t slow_alternative(const struct key_spec *spec, const struct client *client)
{
    size_t first = 0, end;

    for (;; first = end) {
        bool there = true;
        end = key_alternative_end(spec, first);
        for (size_t i = first; i < end; i++)
            there = there && (spec->part[i].source.kind != KEY_SOURCE_QUERY || client->user[0]);
        if (there || end == spec->count)
            return first;
    }
}

/* The line of the first of COUNT RULES (the first is in line 1) that fits CLIENT; refused ones are
 * skipped. */
static unsigned slow_line(const struct key_spec *spec, const struct rule *rules,
                          const bool *refused, unsigned count, const struct client *client)
{
    size_t first = slow_alternative(spec, client), end = key_alternative_end(spec, first);

    for (unsigned i = 0; i < count; i++) {
        bool fits = !refused[i] && rules[i].count == end - first;
        for (size_t j = 0; fits && j < rules[i].count; j++)
            fits = slow_part_fits(spec->part[first + j].source.kind, rules[i].text[j],
                                  slow_has_ip(spec, rules[i].count, j), client);
        if (fits)
            return i + 1;
    }
    return 0;
}

static const char *pick(uint64_t *random, const char *const *from, size_t count)
{
    return from[random_number(random) % count];
}

static void random_client(uint64_t *random, struct client *client)
{
    static const char *const ips[] = {"10.0.0.1",        "10.0.0.2",        "10.1.0.1",
                                      "11.0.0.1",        "2001:db8::1",     "2001:db8::2",
                                      "2001:db8:0:1::1", "2001:db8:1:0::1", "2001:db9::1"};

    strcpy(client->ip, pick(random, ips, LENGTH(ips)));
    random_text(random, "ab/", client->user, 4);
    if (random_number(random) % 8 == 0)
        strcpy(client->user, "10.0");
    client->path[0] = '/';
    random_text(random, "ab", client->path + 1, 3);
}

/* The user of CLIENT, some bytes of it percent-encoded, into OUT. */
static void encode_user(uint64_t *random, const struct client *client, char out[64])
{
    size_t len = 0;

    for (const char *byte = client->user; *byte; byte++)
        len += (size_t)sprintf(out + len, random_number(random) % 2 ? "%c" : "%%%02x", *byte);
    out[len] = '\0';
}

static const char *const slow_keys[] = {
    "query:user",
    "ip",
    "path",
    "query:user | ip",
    "ip + path",
    "query:user + path | ip",
    "query:user + ip",
    "query:user + path | ip + path",
    "query:user | path",
    "query:user + ip | ip + path | ip",
};

static const char *const slow_texts[] = {
    "a",
    "b",
    "ab",
    "ba",
    "aa",
    "a/b",
    "a*",
    "*a",
    "**",
    "*",
    "a**",
    "*/b",
    "/a",
    "/b",
    "/ab",
    "/",
    "/*",
    "/**",
    "/a*",
    "/*b",
    "10.0.0.1",
    "10.0.0.2",
    "11.0.0.1",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/31",
    "::/0",
    "0.0.0.0/0",
    "128.0.0.0/1",
    "2001:db8::/32",
    "2001:db8::/64",
    "2001:db8::/63",
    "2001:db8:0:1::/64",
    "10.0",
};

TEST(the_override_is_the_one_that_a_slow_reference_finds)
{
    uint64_t random = 17;
    unsigned found = 0;

    for (int round = 0; round < ROUNDS; round++) {
        struct fixture fixture = fixture_of(pick(&random, slow_keys, LENGTH(slow_keys)), 64);
        struct rule rules[12];
        bool refused[12];
        unsigned count = (unsigned)(random_number(&random) % 12), earlier;

        for (unsigned i = 0; i < count; i++) {
            rules[i] = (struct rule){{pick(&random, slow_texts, LENGTH(slow_texts)),
                                      pick(&random, slow_texts, LENGTH(slow_texts))},
                                     1 + random_number(&random) % 2};
            refused[i] = add(&fixture, rules[i].text, rules[i].count, i + 1, &earlier) != NULL;
        }
        for (int i = 0; i < 4; i++) {
            struct client client;
            char uri[96], user[64];
            const struct request request = {"GET", uri, client.ip, (char *[]){NULL}};

            random_client(&random, &client);
            encode_user(&random, &client, user);
            snprintf(uri, sizeof uri, "%s?user=%s", client.path, user);
            unsigned want = slow_line(&fixture.spec, rules, refused, count, &client);
            want_number(uri, line_for(&fixture, &request), want);
            found += want > 0;
        }
        overrides_free(fixture.overrides);
    }
    assert_in_range(found, ROUNDS / 2, 4 * ROUNDS);
}

/* An override that is reported as never used is not found for any request. */
TEST(an_override_that_is_reported_as_never_used_never_is)
{
    static const char *const texts[] = {"a",         "b",        "a*",
                                        "*",         "**",       "*b",
                                        "a**",       "10.0.0.1", "10.0.0.0/8",
                                        "0.0.0.0/0", "::/0",     "2001:db8::/32",
                                        "/a",        "/**",      "2001:db8::/64",
                                        "ab"};
    static const char *const keys[] = {"query:user | ip", "query:user", "ip", "query:user | path"};
    uint64_t random = 19;

    for (int round = 0; round < ROUNDS; round++) {
        struct fixture fixture = fixture_of(pick(&random, keys, LENGTH(keys)), 64);
        unsigned earlier[8] = {0};

        for (unsigned i = 1; i < 8; i++) {
            const char *const text[] = {pick(&random, texts, LENGTH(texts))};
            add(&fixture, text, 1, i, &earlier[i]);
        }
        for (int i = 0; i < 4; i++) {
            struct client client;
            char uri[96], user[64];
            const struct request request = {"GET", uri, client.ip, (char *[]){NULL}};

            random_client(&random, &client);
            encode_user(&random, &client, user);
            snprintf(uri, sizeof uri, "%s?user=%s", client.path, user);
            unsigned line = line_for(&fixture, &request);
            if (earlier[line] > 0)
                fail_msg("%s from %s: line %u is used, and line %u was said to come before it", uri,
                         client.ip, line, earlier[line]);
        }
        overrides_free(fixture.overrides);
    }
}

TESTS_MAIN
