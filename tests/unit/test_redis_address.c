/* test_redis_address.c - tests of store/redis_address: parsing addresses and showing them. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "store/redis_address.h"
#include "store/tls.h"

#include <stdio.h>

#define ROUNDS 20000

static void want_same(const char *input, const struct redis_address *got,
                      const struct redis_address *want)
{
    want_text(input, got->path, want->path);
    want_text(input, got->host, want->host);
    want_number(input, got->port, want->port);
    want_text(input, got->user, want->user);
    want_text(input, got->password, want->password);
    want_number(input, got->db, want->db);
    want_number(input, got->tls, want->tls);
}

static void want_address(const char *text, const struct redis_address *want)
{
    struct redis_address got;

    memset(&got, 0xaa, sizeof got);
    want_no_error(text, redis_address_parse(text, &got));
    want_same(text, &got, want);
}

static void want_refusal(const char *text, const char *fragment)
{
    struct redis_address got, before;

    memset(&got, 0xaa, sizeof got);
    memcpy(&before, &got, sizeof got);
    want_error(text, redis_address_parse(text, &got), fragment);
    if (memcmp(&got, &before, sizeof got) != 0)
        fail_msg("\"%s\": refused, and yet the result was written to", text);
}

TEST(an_address_is_read_into_its_parts)
{
    static const struct {
        const char *text;
        struct redis_address want;
    } cases[] = {
        {"127.0.0.1", {.host = "127.0.0.1", .port = 6379}},
        {"127.0.0.1:7000", {.host = "127.0.0.1", .port = 7000}},
        {"redis", {.host = "redis", .port = 6379}},
        {"redis:6379", {.host = "redis", .port = 6379}},
        {"my_redis-1.example.org:1", {.host = "my_redis-1.example.org", .port = 1}},
        {"host:65535", {.host = "host", .port = 65535}},
        {"[::1]", {.host = "::1", .port = 6379}},
        {"[::1]:7000", {.host = "::1", .port = 7000}},
        {"[2001:db8::192.0.2.7]", {.host = "2001:db8::192.0.2.7", .port = 6379}},
        {"unix:/run/redis.sock", {.path = "/run/redis.sock"}},
        {"unix:///run/redis.sock", {.path = "/run/redis.sock"}},
        {"unix:/a b:@%41", {.path = "/a b:@%41"}},
        {"redis://host", {.host = "host", .port = 6379}},
        {"REDIS://host", {.host = "host", .port = 6379}},
        {"redis://host/", {.host = "host", .port = 6379}},
        {"redis://host/0", {.host = "host", .port = 6379}},
        {"redis://host/3", {.host = "host", .port = 6379, .db = 3}},
        {"redis://host:7000/65535", {.host = "host", .port = 7000, .db = 65535}},
        {"redis://[::1]", {.host = "::1", .port = 6379}},
        {"redis://[::1]:7000/1", {.host = "::1", .port = 7000, .db = 1}},
        {"redis://:secret@host", {.host = "host", .port = 6379, .password = "secret"}},
        {"redis://:p%40ss@host", {.host = "host", .port = 6379, .password = "p@ss"}},
        {"redis://:p@ss@host", {.host = "host", .port = 6379, .password = "p@ss"}},
        {"redis://:a:b@host", {.host = "host", .port = 6379, .password = "a:b"}},
        {"redis://:a+b%2B@host", {.host = "host", .port = 6379, .password = "a+b+"}},
        {"redis://:%2f%2F%3f%23%25@host", {.host = "host", .port = 6379, .password = "//?#%"}},
        {"redis://ann:secret@[::1]:7000/2",
         {.host = "::1", .port = 7000, .user = "ann", .password = "secret", .db = 2}},
        {"redis://a%3Ab:c@host", {.host = "host", .port = 6379, .user = "a:b", .password = "c"}},
    };

    FOR_EACH(c, cases)
        want_address(c->text, &c->want);
}

TEST(an_address_over_tls_is_read_if_this_build_has_tls)
{
    static const struct {
        const char *text;
        struct redis_address want;
    } cases[] = {
        {"rediss://host", {.host = "host", .port = 6379, .tls = 1}},
        {"REDISS://:secret@[::1]:7000/2",
         {.host = "::1", .port = 7000, .password = "secret", .db = 2, .tls = 1}},
    };

    FOR_EACH(c, cases)
        if (tls_missing())
            want_refusal(c->text, "this build has no TLS");
        else
            want_address(c->text, &c->want);
}

TEST(a_wrong_host_or_port_is_an_error_that_says_the_right_form)
{
    static const struct error_case cases[] = {
        {"", "empty: write host:port"},
        {":6379", "no host"},
        {"redis://", "no host"},
        {"redis://:6379", "no host"},
        {"redis:///3", "no host"},
        {"redis://:secret@", "no host"},
        {"::1", "in brackets"},
        {"2001:db8::1:6379", "in brackets"},
        {"redis://::1/3", "in brackets"},
        {"host:1:2", "in brackets"},
        {"[::1", "a ']' is missing"},
        {"[::1]6379", "only a port can follow"},
        {"[]", "not an IPv6 address"},
        {"[127.0.0.1]", "not an IPv6 address"},
        {"[host]:6379", "not an IPv6 address"},
        {"[fe80::1%eth0]", "not an IPv6 address"},
        {"host:", "1 to 65535"},
        {"[::1]:", "1 to 65535"},
        {"redis://host:/3", "1 to 65535"},
        {"host:0", "1 to 65535"},
        {"host:65536", "1 to 65535"},
        {"host:4294973675", "1 to 65535"},
        {"host:06379", "1 to 65535"},
        {"host:+1", "1 to 65535"},
        {"host:-1", "1 to 65535"},
        {"host:6379x", "1 to 65535"},
        {"host:redis", "1 to 65535"},
        {"host one", "a space or control character"},
        {" host", "a space or control character"},
        {"host\n", "a space or control character"},
        {"host\x7f", "a space or control character"},
        {"redis://ho\tst", "a space or control character"},
        {"redis://ho%20st", "letters, digits"},
        {"host1,host2", "letters, digits"},
        {"host?db=1", "letters, digits"},
        {"h\xc3\xb6st", "letters, digits"},
        {"6379", "four numbers"},
        {"127.0.0", "four numbers"},
        {"256.0.0.1", "four numbers"},
        {"redis://010.0.0.1", "four numbers"},
    };

    FOR_EACH(c, cases)
        want_refusal(c->text, c->error);
}

TEST(a_wrong_scheme_or_path_is_an_error_that_says_the_right_form)
{
    static const struct error_case cases[] = {
        {"redis-sentinel://host", "Sentinels are named in the limits file"},
        {"redis+sentinel://host", "Sentinels are named in the limits file"},
        {"http://host", "unknown scheme: write host:port, unix:/path or redis://"},
        {"redis+unix:///run/redis.sock", "unknown scheme"},
        {"://host", "unknown scheme"},
        {"redis:/host", "a '/' needs another form"},
        {"host/3", "redis://host/3 for a database"},
        {"host:6379/3", "redis://host/3 for a database"},
        {"/run/redis.sock", "unix:/path for a socket"},
        {"ann:secret@host", "needs the redis:// form"},
        {"redis://host/x", "0 to 65535"},
        {"redis://host/-1", "0 to 65535"},
        {"redis://host/01", "0 to 65535"},
        {"redis://host/65536", "0 to 65535"},
        {"redis://host/4294967297", "0 to 65535"},
        {"redis://host/3/", "0 to 65535"},
        {"redis://host//", "0 to 65535"},
        {"redis://host/3?timeout=1", "options after '?'"},
        {"redis://host?db=3", "options after '?'"},
        {"redis://host#3", "options after '?'"},
        {"unix:", "not absolute"},
        {"unix:/", "not absolute"},
        {"unix:run/redis.sock", "not absolute"},
        {"unix:./redis.sock", "not absolute"},
        {"unix://run/redis.sock", "not absolute"},
        {"unix:///", "not absolute"},
        {"unix:@redis", "not absolute"},
        {"unix:/run/redis.sock\n", "a control character"},
        {"unix:/run/redis.sock?password=secret", "options after '?'"},
    };

    FOR_EACH(c, cases)
        want_refusal(c->text, c->error);
}

TEST(a_wrong_user_or_password_is_an_error_that_says_the_right_form)
{
    static const struct error_case cases[] = {
        {"redis://ann@host", "a user without a password"},
        {"redis://ann:@host", "the password is empty"},
        {"redis://:@host", "the password is empty"},
        {"redis://@host", "nothing before the '@'"},
        {"redis://:a/b@host", "must be percent-encoded"},
        {"redis://:1/2@host", "must be percent-encoded"},
        {"redis://a/b:c@host/3", "must be percent-encoded"},
        {"redis://:a?b@host", "must be percent-encoded"},
        {"redis://:a#b@host", "must be percent-encoded"},
        {"redis://:a@b/c@host", "must be percent-encoded"},
        {"redis://:a b@host", "percent-encode it in a password"},
        {"redis://:a%00b@host", "a NUL byte"},
        {"redis://a%00b:c@host", "a NUL byte"},
        {"redis://:a%@host", "write %25"},
        {"redis://:a%4@host", "write %25"},
        {"redis://:a%4g@host", "write %25"},
        {"redis://:100%!@host", "write %25"},
        {"redis://a%zz:c@host", "write %25"},
    };

    FOR_EACH(c, cases)
        want_refusal(c->text, c->error);
}

TEST(a_part_that_does_not_fit_is_an_error_and_never_cut)
{
    static const struct {
        const char *before, *after;
        size_t most; /* the most 'a's that fit between the two */
        const char *error;
    } cases[] = {
        {"", ":6379", 255, "the host is too long"},
        {"redis://", "/3", 255, "the host is too long"},
        {"redis://", ":x@host", 255, "the user is too long"},
        {"redis://:", "@host", 511, "the password is too long"},
        {"redis://:%61", "@host", 510, "the password is too long"},
        {"unix:/", "", 106, "the unix path is too long"},
        {"unix:///", "", 106, "the unix path is too long"},
    };

    FOR_EACH(c, cases) {
        struct redis_address got;
        char many[600], text[700];

        memset(many, 'a', sizeof many);
        snprintf(text, sizeof text, "%s%.*s%s", c->before, (int)c->most, many, c->after);
        want_no_error(text, redis_address_parse(text, &got));
        snprintf(text, sizeof text, "%s%.*s%s", c->before, (int)c->most + 1, many, c->after);
        want_refusal(text, c->error);
    }
}

TEST(an_address_is_shown_without_user_and_password)
{
    static const struct text_case cases[] = {
        {"127.0.0.1", "127.0.0.1:6379"},
        {"redis://ann:secret@host:7000", "host:7000"},
        {"redis://:secret@host:7000/2", "redis://host:7000/2"},
        {"[::1]", "[::1]:6379"},
        {"redis://[::1]:7000/1", "redis://[::1]:7000/1"},
        {"redis://host/0", "host:6379"},
        {"unix", "redis://unix:6379"},
        {"redis://UNIX:7000", "redis://UNIX:7000"},
        {"unix:///run/redis.sock", "unix:/run/redis.sock"},
    };

    FOR_EACH(c, cases) {
        struct redis_address address;
        char shown[REDIS_ADDRESS_SHOWN_SIZE];

        want_no_error(c->text, redis_address_parse(c->text, &address));
        assert_ptr_equal(redis_address_show(&address, shown), shown);
        want_text(c->text, shown, c->want);
    }
}

TEST(the_longest_address_is_shown_whole)
{
    struct redis_address address = {.port = 65535, .db = 65535};
    char shown[REDIS_ADDRESS_SHOWN_SIZE];

    memset(address.host, 'a', sizeof address.host - 1);
    redis_address_show(&address, shown);
    assert_int_equal(strlen(shown), strlen("redis://") + 255 + strlen(":65535/65535"));
    assert_string_equal(shown + strlen("redis://") + 255, ":65535/65535");
}

/* Write LEN random bytes other than NUL to OUT, and all of them percent-encoded to ENCODED. */
static void random_secret(uint64_t *seed, size_t len, char *out, char *encoded)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)random_between(seed, 1, 255);

        out[i] = (char)byte;
        sprintf(encoded + 3 * i, "%%%02X", byte);
    }
    out[len] = '\0';
}

TEST(any_encoded_user_and_password_come_back)
{
    uint64_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct redis_address want = {.host = "host", .port = 6379};
        char user[64] = "", password[64] = "", text[160];

        random_secret(&seed, random_number(&seed) % 20, want.user, user);
        random_secret(&seed, 1 + random_number(&seed) % 20, want.password, password);
        snprintf(text, sizeof text, "redis://%s:%s@host", user, password);
        want_address(text, &want);
    }
}

/* The shown form of ADDRESS reads the same, except for the user and the password. */
static void want_shown_form_reads_the_same(const char *text, struct redis_address address)
{
    struct redis_address again;
    char shown[REDIS_ADDRESS_SHOWN_SIZE];

    want_no_error(text, redis_address_parse(redis_address_show(&address, shown), &again));
    memset(address.user, 0, sizeof address.user);
    memset(address.password, 0, sizeof address.password);
    want_same(text, &again, &address);
}

TEST(the_shown_form_of_any_accepted_text_reads_the_same)
{
    static const char *const starts[] = {"", "redis://", "redis://:", "rediss://", "unix:", "["};
    uint64_t seed = 2;
    int accepted = 0;

    for (int round = 0; round < 20 * ROUNDS; round++) {
        const char *start = starts[random_number(&seed) % LENGTH(starts)];
        char rest[10], text[32];
        struct redis_address address;

        random_text(&seed, "ab10::/@%.]?", rest, sizeof rest);
        snprintf(text, sizeof text, "%s%s", start, rest);
        if (redis_address_parse(text, &address))
            continue;
        accepted++;
        want_shown_form_reads_the_same(text, address);
    }
    assert_true(accepted > 1000);
}

TEST(no_error_repeats_what_may_be_a_password)
{
    static const char *const forms[] = {
        "hunter2",
        "hunter2@host",
        "redis://hunter2@host",
        "redis://:hunter2/x@host",
        "redis://:hunter2",
        "redis://:hunter2%@h",
        "rediss://:hunter2@host",
        "x://:hunter2@host",
        "unix:hunter2",
        "unix:/a?hunter2",
        "redis://h/hunter2",
        "redis://h?hunter2",
    };

    FOR_EACH(form, forms) {
        struct redis_address address;
        const char *error = redis_address_parse(*form, &address);

        if (error && strstr(error, "hunter2"))
            fail_msg("\"%s\": the error repeats it", *form);
    }
}

TESTS_MAIN
