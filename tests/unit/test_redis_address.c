#include "table.h"
#include "store/redis_address.h"

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

static void an_address_is_read_into_its_parts(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_address(cases[i].text, &cases[i].want);
}

static void a_wrong_host_or_port_is_an_error_that_says_the_right_form(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_refusal(cases[i].text, cases[i].error);
}

static void a_wrong_scheme_or_path_is_an_error_that_says_the_right_form(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"rediss://host", "TLS is not supported"},
        {"redis-sentinel://host", "Sentinel is not supported"},
        {"redis+sentinel://host", "Sentinel is not supported"},
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_refusal(cases[i].text, cases[i].error);
}

static void a_wrong_user_or_password_is_an_error_that_says_the_right_form(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_refusal(cases[i].text, cases[i].error);
}

static void a_part_that_does_not_fit_is_an_error_and_never_cut(void **state)
{
    static const struct {
        const char *before, *after;
        size_t most; /* 'a's between the two that still fit */
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

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct redis_address got;
        char many[600], text[700];

        memset(many, 'a', sizeof many);
        snprintf(text, sizeof text, "%s%.*s%s", cases[i].before, (int)cases[i].most, many,
                 cases[i].after);
        want_no_error(text, redis_address_parse(text, &got));
        snprintf(text, sizeof text, "%s%.*s%s", cases[i].before, (int)cases[i].most + 1, many,
                 cases[i].after);
        want_refusal(text, cases[i].error);
    }
}

static void an_address_is_shown_without_user_and_password(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1:6379"},
        {"redis://ann:secret@host:7000", "host:7000"},
        {"redis://:secret@host:7000/2", "host:7000/2"},
        {"[::1]", "[::1]:6379"},
        {"redis://[::1]:7000/1", "[::1]:7000/1"},
        {"redis://host/0", "host:6379"},
        {"unix:///run/redis.sock", "unix:/run/redis.sock"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct redis_address address;
        char shown[REDIS_ADDRESS_SHOWN_SIZE];

        want_no_error(cases[i].text, redis_address_parse(cases[i].text, &address));
        assert_ptr_equal(redis_address_show(&address, shown), shown);
        want_text(cases[i].text, shown, cases[i].want);
    }
}

static void the_longest_address_is_shown_whole(void **state)
{
    struct redis_address address = {.port = 65535, .db = 65535};
    char shown[REDIS_ADDRESS_SHOWN_SIZE];

    (void)state;
    memset(address.host, 'a', sizeof address.host - 1);
    redis_address_show(&address, shown);
    assert_int_equal(strlen(shown), 255 + strlen(":65535/65535"));
    assert_string_equal(shown + 255, ":65535/65535");
}

/* LEN random bytes but NUL into OUT, and percent-encoded into ENCODED, all of them. */
static void random_secret(uint64_t *seed, size_t len, char *out, char *encoded)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)random_between(seed, 1, 255);

        out[i] = (char)byte;
        sprintf(encoded + 3 * i, "%%%02X", byte);
    }
    out[len] = '\0';
}

static void whatever_user_and_password_are_encoded_come_back(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct redis_address want = {.host = "host", .port = 6379};
        char user[64] = "", password[64] = "", text[160];

        random_secret(&seed, random_number(&seed) % 20, want.user, user);
        random_secret(&seed, 1 + random_number(&seed) % 20, want.password, password);
        snprintf(text, sizeof text, "redis://%s:%s@host", user, password);
        want_address(text, &want);
    }
}

/* What was read is shown in a form that reads the same, the login left aside. */
static void want_shown_form_reads_the_same(const char *text, struct redis_address address)
{
    struct redis_address again;
    char shown[REDIS_ADDRESS_SHOWN_SIZE], uri[REDIS_ADDRESS_SHOWN_SIZE + 16];

    redis_address_show(&address, shown);
    snprintf(uri, sizeof uri, "%s%s", address.path[0] ? "" : "redis://", shown);
    want_no_error(text, redis_address_parse(uri, &again));
    memset(address.user, 0, sizeof address.user);
    memset(address.password, 0, sizeof address.password);
    want_same(text, &again, &address);
}

static void whatever_text_is_accepted_its_shown_form_reads_the_same(void **state)
{
    static const char *const starts[] = {"", "redis://", "redis://:", "unix:", "["};
    uint64_t seed = 2;
    int accepted = 0;

    (void)state;
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

static void no_error_repeats_what_may_be_a_password(void **state)
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

    (void)state;
    for (size_t i = 0; i < LENGTH(forms); i++) {
        struct redis_address address;
        const char *error = redis_address_parse(forms[i], &address);

        if (error && strstr(error, "hunter2"))
            fail_msg("\"%s\": the error repeats it", forms[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_read_into_its_parts),
        cmocka_unit_test(a_wrong_host_or_port_is_an_error_that_says_the_right_form),
        cmocka_unit_test(a_wrong_scheme_or_path_is_an_error_that_says_the_right_form),
        cmocka_unit_test(a_wrong_user_or_password_is_an_error_that_says_the_right_form),
        cmocka_unit_test(a_part_that_does_not_fit_is_an_error_and_never_cut),
        cmocka_unit_test(an_address_is_shown_without_user_and_password),
        cmocka_unit_test(the_longest_address_is_shown_whole),
        cmocka_unit_test(whatever_user_and_password_are_encoded_come_back),
        cmocka_unit_test(whatever_text_is_accepted_its_shown_form_reads_the_same),
        cmocka_unit_test(no_error_repeats_what_may_be_a_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
