/* test_limits.c - tests of config: limits files, and every mistake in them with its place. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "store/tls.h"
#include "config/limits_file.h"

#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "limits/apply.h"
#include "config/yaml_tree.h"

#define ROUNDS  4000
#define NAME_16 "n123456789abcdef"
#define NAME_64 NAME_16 NAME_16 NAME_16 NAME_16

/* A file with one limit: its values are at 2:11, 3:10, 4:15 and 5:13. */
#define ONE_LIMIT(name, key, capacity, refill)                                                     \
    "limits:\n"                                                                                    \
    "  - name: " name "\n"                                                                         \
    "    key: " key "\n"                                                                           \
    "    capacity: " capacity "\n"                                                                 \
    "    refill: " refill "\n"
#define GOOD_LIMIT ONE_LIMIT("a", "ip", "5", "1/s")

/* The result of reading a file. */
struct reading {
    struct limits *limits; /* NULL: there were mistakes */
    struct findings findings;
    unsigned mistakes;
    char *errors; /* the lines that were written */
};

/* Write the errors that were found into READING. */
static struct reading *reading_end(struct reading *reading)
{
    size_t size;
    FILE *errors = open_memstream(&reading->errors, &size);

    assert_non_null(errors);
    reading->mistakes = reading->findings.error_count;
    assert_int_equal(reading->limits == NULL, reading->mistakes > 0);
    findings_write(&reading->findings, FINDINGS_ERRORS, errors);
    fclose(errors);
    return reading;
}

static struct reading *read_bytes(const char *text, size_t len)
{
    struct reading *reading = calloc(1, sizeof *reading);
    /* A copy of exactly its size, so that a sanitizer sees a byte read beyond it. */
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(reading);
    assert_non_null(copy);
    memcpy(copy, text, len);
    reading->findings.file = "test.yaml";
    reading->limits = limits_parse(copy, len, &reading->findings);
    free(copy);
    return reading_end(reading);
}

static struct reading *read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static struct reading *read_file(const char *path)
{
    struct reading *reading = calloc(1, sizeof *reading);

    assert_non_null(reading);
    reading->findings.file = path ? path : "the built-in limits";
    reading->limits = limits_load(path, &reading->findings);
    return reading_end(reading);
}

static void reading_free(struct reading *reading)
{
    limits_unref(reading->limits);
    findings_free(&reading->findings);
    free(reading->errors);
    free(reading);
}

/* Every line of the errors is "FILE:LINE:COLUMN: wrong; right" or "FILE: wrong; right", or has
 * ": write" or the like before what is right.  There are as many lines as mistakes. */
static void want_lines(const char *input, const struct reading *reading, const char *file)
{
    regex_t form;
    char pattern[300];
    unsigned count = 0;

    snprintf(pattern, sizeof pattern,
             "^%s:([1-9][0-9]*:[1-9][0-9]*:)? [^[:cntrl:]]+(; |: write |: remove |: percent-encode "
             ")[^[:cntrl:]]+$",
             file);
    assert_int_equal(regcomp(&form, pattern, REG_EXTENDED | REG_NOSUB), 0);
    for (const char *line = reading->errors; *line != '\0'; line = strchr(line, '\n') + 1) {
        char copy[1024];

        assert_non_null(strchr(line, '\n'));
        snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line, "\n"), line);
        if (regexec(&form, copy, 0, NULL, 0) != 0)
            fail_msg("\"%s\": a mistake that reads \"%s\"", input, copy);
        count++;
    }
    regfree(&form);
    want_number(input, count, reading->mistakes);
}

/* The one mistake in TEXT is at PLACE, "LINE:COLUMN" or "" for the file, and says FRAGMENT. */
static void want_one_mistake(const char *input, const char *text, size_t len, const char *place,
                             const char *fragment)
{
    struct reading *reading = read_bytes(text, len);
    char start[64];

    snprintf(start, sizeof start, "test.yaml:%s%s ", place, place[0] != '\0' ? ":" : "");
    want_lines(input, reading, "test.yaml");
    if (reading->mistakes != 1 || strncmp(reading->errors, start, strlen(start)) != 0 ||
        !strstr(reading->errors, fragment))
        fail_msg("\"%s\": %u mistakes, \"%s\", want one at \"%s\" that says \"%s\"", input,
                 reading->mistakes, reading->errors, place, fragment);
    reading_free(reading);
}

static void want_mistake(const char *text, const char *place, const char *fragment)
{
    want_one_mistake(text, text, strlen(text), place, fragment);
}

struct mistake {
    const char *text, *place, *error; /* as in want_mistake */
};

static void want_mistakes(const struct mistake *cases, size_t count)
{
    for (const struct mistake *c = cases; c < cases + count; c++)
        want_mistake(c->text, c->place, c->error);
}

/* LIMITS are within all the bounds that limits.h gives. */
static void want_valid(const char *input, const struct limits *limits)
{
    bool valid =
        limits->redis.timeout_ms >= 1 && limits->redis.timeout_ms <= REDIS_TIMEOUT_MS_MAX &&
        limits->count >= 1 && limits->count <= LIMITS_MAX &&
        (limits->redis.topology == REDIS_SINGLE
             ? (limits->redis.address.path[0] != '\0') != (limits->redis.address.host[0] != '\0')
             : limits->redis.server_count >= 1);

    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *limit = &limits->limit[i];

        valid = valid && limit->name[0] != '\0' && !strpbrk(limit->name, "\"\\{}: ,;\n") &&
                limit->key.count >= 1 && limit->key.count <= KEY_PARTS_MAX &&
                limit->capacity >= 1 && limit->capacity <= LIMIT_CAPACITY_MAX &&
                limit->interval_us >= 1 &&
                limit->interval_us <= LIMIT_WINDOW_US_MAX / limit->capacity;
        for (size_t j = 0; j < i; j++)
            valid = valid && strcmp(limits->limit[j].name, limit->name) != 0;
    }
    if (!valid)
        fail_msg("\"%s\": accepted, and out of its bounds", input);
}

/* TEXT is accepted.  The caller calls reading_free. */
static struct reading *want_accepted(const char *text)
{
    struct reading *reading = read_text(text);

    if (reading->mistakes > 0)
        fail_msg("\"%s\": refused: %s", text, reading->errors);
    assert_string_equal(reading->errors, "");
    want_valid(text, reading->limits);
    return reading;
}

static void want_documented_limits(const struct limits *limits)
{
    const struct limit *limit = &limits->limit[0];

    assert_int_equal(limits->count, 1);
    assert_string_equal(limit->name, "per-user");
    assert_int_equal(limit->key.count, 2);
    assert_int_equal(limit->key.part[0].source.kind, KEY_SOURCE_QUERY);
    assert_string_equal(limit->key.part[0].source.name, "user");
    assert_int_equal(limit->key.part[1].source.kind, KEY_SOURCE_IP);
    assert_int_equal(limit->capacity, 5);
    assert_int_equal(limit->interval_us, 12000000);
    assert_int_equal(limit->on_redis_failure, WHEN_DOWN_LOCAL);
    assert_string_equal(limits->redis.address.host, "127.0.0.1");
    assert_int_equal(limits->redis.address.port, 6379);
    assert_string_equal(limits->redis.address.path, "");
    assert_string_equal(limits->redis.address.user, "");
    assert_string_equal(limits->redis.address.password, "");
    assert_int_equal(limits->redis.address.db, 0);
    assert_int_equal(limits->redis.timeout_ms, 50);
}

TEST(the_built_in_limits_are_those_that_the_documentation_names)
{
    struct reading *reading = read_file(NULL);

    assert_string_equal(reading->errors, "");
    assert_int_equal(reading->mistakes, 0);
    want_valid("the built-in limits", reading->limits);
    want_documented_limits(reading->limits);
    reading_free(reading);
}

TEST(the_documented_file_says_the_same)
{
    struct reading *reading =
        want_accepted("redis: { address: 127.0.0.1:6379, timeout: 50ms }\n"
                      "limits:\n"
                      "  - name: per-user\n"
                      "    key: query:user | ip        # the first that the request has\n"
                      "    capacity: 5                 # tokens: the largest burst\n"
                      "    refill: 1/12s               # COUNT/PERIOD\n"
                      "    on_redis_failure: local     # or allow, or deny\n");

    want_documented_limits(reading->limits);
    reading_free(reading);
}

TEST(what_a_file_leaves_out_has_its_default)
{
    struct reading *reading = want_accepted(ONE_LIMIT("per-user", "query:user | ip", "5", "1/12s"));

    want_documented_limits(reading->limits);
    reading_free(reading);
}

TEST(every_field_is_read)
{
    struct reading *reading = want_accepted("limits:\n"
                                            "- refill: 1000/min\n"
                                            "  on_redis_failure: deny\n"
                                            "  capacity: 1000000000\n"
                                            "  key: ip\n"
                                            "  name: A.b_c-9\n"
                                            "  match: { host: '*.Example.com', path: /api/**,"
                                            " methods: [GET, M-SEARCH] }\n"
                                            "- { name: b, key: 'query:id', capacity: 1,"
                                            " refill: \"3/s\", on_redis_failure: allow }\n"
                                            "ipv6_prefix: 56\n"
                                            "redis:\n"
                                            "  timeout: 10s\n"
                                            "  address: redis://ann:secret@db.example:7000/3\n");
    const struct limits *limits = reading->limits;

    assert_int_equal(limits->count, 2);
    assert_string_equal(limits->limit[0].name, "A.b_c-9");
    assert_int_equal(limits->limit[0].key.part[0].source.kind, KEY_SOURCE_IP);
    assert_int_equal(limits->ipv6_prefix_bits, 56);
    assert_string_equal(limits->limit[0].match.host, "*.example.com");
    assert_string_equal(limits->limit[0].match.path, "/api/**");
    assert_int_equal(limits->limit[0].match.method_count, 2);
    assert_string_equal(limits->limit[0].match.method[0], "GET");
    assert_string_equal(limits->limit[0].match.method[1], "M-SEARCH");
    assert_int_equal(limits->limit[1].match.method_count, 0);
    assert_int_equal(limits->limit[0].capacity, 1000000000);
    assert_int_equal(limits->limit[0].interval_us, 60000);
    assert_int_equal(limits->limit[0].on_redis_failure, WHEN_DOWN_DENY);
    assert_string_equal(limits->limit[1].name, "b");
    assert_string_equal(limits->limit[1].key.part[0].source.name, "id");
    assert_int_equal(limits->limit[1].capacity, 1);
    assert_int_equal(limits->limit[1].interval_us, 333334);
    assert_int_equal(limits->limit[1].on_redis_failure, WHEN_DOWN_ALLOW);
    assert_int_equal(limits->redis.timeout_ms, 10000);
    assert_string_equal(limits->redis.address.host, "db.example");
    assert_int_equal(limits->redis.address.port, 7000);
    assert_string_equal(limits->redis.address.user, "ann");
    assert_string_equal(limits->redis.address.password, "secret");
    assert_int_equal(limits->redis.address.db, 3);
    reading_free(reading);
}

TEST(any_form_of_yaml_is_accepted)
{
    static const char *const cases[] = {
        "\xef\xbb\xbf" GOOD_LIMIT,
        "# a comment\n\n" GOOD_LIMIT "\n# the end",
        "---\n" GOOD_LIMIT "...\n",
        "%YAML 1.1\n---\n" GOOD_LIMIT,
        "limits:\r\n  - name: a\r\n    key: ip\r\n    capacity: 5\r\n    refill: 1/s\r\n",
        "{limits: [{name: a, key: ip, capacity: 5, refill: 1/s}]}",
        "{\"limits\":[{\"name\":\"a\",\"key\":\"ip\",\"capacity\":5,\"refill\":\"1/s\"}]}",
        "limits: [{name: a, key: query:user | ip, capacity: 5, refill: 1/s}]",
        "limits:\n  - name:\ta\n    key:\tip\n    capacity:\t5\n    refill:\t1/s\t\n",
        "redis: {}\n" GOOD_LIMIT,
        "redis: { timeout: 1ms }\n" GOOD_LIMIT,
        "redis:\n  address: '[::1]:6379'\n" GOOD_LIMIT,
        "redis:\n  address: unix:/run/redis.sock\n" GOOD_LIMIT,
        "\"redis\":\n  \"timeout\": \"5\\x6ds\"\n" GOOD_LIMIT,
        ONE_LIMIT(NAME_64, "query:\xc3\xa9", "1", "1/366day"),
        ONE_LIMIT("a", ">-\n      ip", "5", "1/s"),
        ONE_LIMIT("a", "ip", "1000000000", "1000/ms"),
        ONE_LIMIT("a", "ip", "3650", "1/day"),
    };

    FOR_EACH(c, cases)
        reading_free(want_accepted(*c));
}

TEST(overrides_of_a_key_with_a_repeated_source_are_not_duplicates)
{
    static const char text[] =
        "limits:\n"
        "  - { name: a, key: query:user | query:user | ip, capacity: 5, refill: 1/s,\n"
        "      overrides: [{ key: alice, capacity: 7 }, { key: bob, blocked: true }] }\n";
    struct reading *reading = want_accepted(text);
    static char *const nothing[] = {NULL};
    struct request request = {"GET", "/?user=bob", "192.0.2.7", nothing};
    struct view view;
    struct applied applied;
    struct charge charge;

    want_number("warnings", reading->findings.warning_count, 0);
    view_begin(&view, &request, 64);
    want_number("bob", apply_limit(&reading->limits->limit[0], &view, &charge, &applied),
                APPLY_BLOCKED);
    want_number("bob", applied.override->kind, OVERRIDE_BLOCKED);
    reading_free(reading);
}

TEST(a_common_mistake_is_reported_with_what_was_meant)
{
    static const struct mistake cases[] = {
        {ONE_LIMIT("a", "[ip, path]", "5", "1/s"), "3:10", "join alternatives with |"},
        {ONE_LIMIT("a", "|\n      ip\n      path", "5", "1/s"), "3:10", "several lines in a key"},
        {ONE_LIMIT("a", "querry:user", "5", "1/s"), "3:10",
         "unknown source 'querry' in a key; did you mean 'query'?"},
        {ONE_LIMIT("a", "IP", "5", "1/s"), "3:10", "did you mean 'ip'?"},
        {ONE_LIMIT("a", "user", "5", "1/s"), "3:10", "did you mean query:user or header:user?"},
        {ONE_LIMIT("a", "header:X-API-Key, ip", "5", "1/s"), "3:10", "join alternatives with |"},
        {ONE_LIMIT("a", "query:user or ip", "5", "1/s"), "3:10", "join alternatives with |"},
        {GOOD_LIMIT "    match: { path: [/a, /b] }\n", "6:20",
         "'path' takes one value, and not a list"},
        {GOOD_LIMIT "    shadow: yes\n", "6:13", "'yes' is neither; did you mean 'true'?"},
        {GOOD_LIMIT "    rate: 5/s\n", "6:5", "did you mean 'refill'?"},
        {GOOD_LIMIT "    burst: 5\n", "6:5", "did you mean 'capacity'?"},
        {GOOD_LIMIT "    window: 5s\n", "6:5", "did you mean 'refill'?"},
        {GOOD_LIMIT "    key query:user\n", "6:5", "no ':' behind a name"},
        {GOOD_LIMIT "    match: { host: \"a.example }\n", "6:20", "this quote is never closed"},
        {GOOD_LIMIT "\tshadow: true\n", "6:1", "a tab in front of a line"},
        {GOOD_LIMIT "      shadow: true\n", "6:7", "begin its line in the same column"},
        {"limits:\n  - name:api\n    capacity: 5\n", "2:10", "no space behind the ':'"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(a_wrong_value_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {ONE_LIMIT("", "ip", "5", "1/s"), "2:10", "'name' needs a value; write name: VALUE"},
        {ONE_LIMIT("''", "ip", "5", "1/s"), "2:11", "'name' needs a value"},
        {ONE_LIMIT("[a]", "ip", "5", "1/s"), "2:11", "'name' takes one value, and not a list"},
        {ONE_LIMIT("per user", "ip", "5", "1/s"), "2:11", "write 1 to 64 of A-Z a-z 0-9 _ . -"},
        {ONE_LIMIT("'a\"b'", "ip", "5", "1/s"), "2:11", "write 1 to 64 of"},
        {ONE_LIMIT("\"a\\nb\"", "ip", "5", "1/s"), "2:11", "write 1 to 64 of"},
        {ONE_LIMIT("\"a\\r\\nSet-Cookie: b\"", "ip", "5", "1/s"), "2:11", "write 1 to 64 of"},
        {ONE_LIMIT("a{b}", "ip", "5", "1/s"), "2:11", "write 1 to 64 of"},
        {ONE_LIMIT("caf\xc3\xa9", "ip", "5", "1/s"), "2:11", "write 1 to 64 of"},
        {ONE_LIMIT(NAME_64 "x", "ip", "5", "1/s"), "2:11", "write 1 to 64 of"},
        {ONE_LIMIT("a", "", "5", "1/s"), "3:9", "'key' needs a value"},
        {ONE_LIMIT("a", "{}", "5", "1/s"), "3:10", "'key' takes a value, and not fields"},
        {ONE_LIMIT("a", "user", "5", "1/s"), "3:10", "the sources are ip, query:NAME"},
        {ONE_LIMIT("a", "ip |", "5", "1/s"), "3:10", "empty source"},
        {ONE_LIMIT("a", "ip", "", "1/s"), "4:14", "'capacity' needs a value"},
        {ONE_LIMIT("a", "ip", "-5", "1/s"), "4:15", "capacity: a sign"},
        {ONE_LIMIT("a", "ip", "0", "1/s"), "4:15", "a capacity is 1 to 1000000000 tokens"},
        {ONE_LIMIT("a", "ip", "1000000001", "1/s"), "4:15", "capacity: the number is too large"},
        {ONE_LIMIT("a", "ip", "99999999999999999999999", "1/s"), "4:15", "too large"},
        {ONE_LIMIT("a", "ip", "5.5", "1/s"), "4:15", "capacity: a fraction"},
        {ONE_LIMIT("a", "ip", "1e3", "1/s"), "4:15", "capacity: an exponent"},
        {ONE_LIMIT("a", "ip", "0x5", "1/s"), "4:15", "capacity: not a whole number"},
        {ONE_LIMIT("a", "ip", "1_000", "1/s"), "4:15", "capacity: a separator"},
        {ONE_LIMIT("a", "ip", "~", "1/s"), "4:15", "capacity: not a whole number"},
        {ONE_LIMIT("a", "ip", "many", "1/s"), "4:15", "capacity: not a whole number"},
        {ONE_LIMIT("a", "ip", "5", ""), "5:12", "'refill' needs a value"},
        {ONE_LIMIT("a", "ip", "5", "5"), "5:13", "refill: no period"},
        {ONE_LIMIT("a", "ip", "5", "5/"), "5:13", "refill: no period"},
        {ONE_LIMIT("a", "ip", "5", "/s"), "5:13", "refill: no count"},
        {ONE_LIMIT("a", "ip", "5", "0/s"), "5:13", "refill: the count is 0"},
        {ONE_LIMIT("a", "ip", "5", "-1/s"), "5:13", "refill: a sign"},
        {ONE_LIMIT("a", "ip", "5", "5/0s"), "5:13", "refill: the duration is 0"},
        {ONE_LIMIT("a", "ip", "5", "1/-1s"), "5:13", "refill: a sign"},
        {ONE_LIMIT("a", "ip", "5", "5/m"), "5:13", "refill: 'm' is ambiguous"},
        {ONE_LIMIT("a", "ip", "5", "5/fortnight"), "5:13", "refill: unknown unit"},
        {ONE_LIMIT("a", "ip", "5", "5/sec"), "5:13", "refill: unknown unit"},
        {ONE_LIMIT("a", "ip", "5", "600000/s"), "5:13", "write 1000/2ms or 1000/1ms"},
        {ONE_LIMIT("a", "ip", "5", "11111/s"), "5:13", "write 1000/91ms or 1000/90ms"},
        {ONE_LIMIT("a", "ip", "5", "1001/ms"), "5:13", "refill: the rate is too high"},
        {ONE_LIMIT("a", "ip", "5", "1/367day"), "5:13", "refill: the duration is too long"},
        {ONE_LIMIT("a", "ip", "3651", "1/day"), "2:5", "more than ten years"},
        {ONE_LIMIT("a", "ip", "1000000000", "1/s"), "2:5", "lower capacity or raise refill"},
        {ONE_LIMIT("a", "ip", "1000000000", "1/366day"), "2:5", "more than ten years"},
        {GOOD_LIMIT "    on_redis_failure: maybe\n", "6:23",
         "on_redis_failure: 'maybe' is none of these; write allow, deny or local"},
        {GOOD_LIMIT "    on_redis_failure: Allow\n", "6:23", "write allow, deny or local"},
        {GOOD_LIMIT "    on_redis_failure:\n", "6:22", "'on_redis_failure' needs a value"},
        {GOOD_LIMIT "redis: 127.0.0.1\n", "6:8", "redis must be a mapping"},
        {GOOD_LIMIT "redis:\n", "6:7",
         "its fields are password_file, address, sentinel, cluster, user, database, tls,"},
        {GOOD_LIMIT "redis: [ { timeout: 1s } ]\n", "6:8", "redis must be a mapping"},
        {GOOD_LIMIT "redis:\n  address:\n", "7:11", "'address' needs a value"},
        {GOOD_LIMIT "redis:\n  address: host:0\n", "7:12", "6379; an address is such as"},
        {GOOD_LIMIT "redis:\n  timeout: 0ms\n", "7:12", "timeout: the duration is 0"},
        {GOOD_LIMIT "redis:\n  timeout: 50\n", "7:12", "timeout: no unit"},
        {GOOD_LIMIT "redis:\n  timeout: -1s\n", "7:12", "timeout: a sign"},
        {GOOD_LIMIT "redis:\n  timeout: 10001ms\n", "7:12", "a timeout is 1ms to 10s"},
        {GOOD_LIMIT "redis:\n  timeout: 11s\n", "7:12", "a timeout is 1ms to 10s"},
        {GOOD_LIMIT "redis:\n  timeout: 1day\n", "7:12", "a timeout is 1ms to 10s"},
        {GOOD_LIMIT "redis:\n  timeout: 99999999999999999999s\n", "7:12", "too large"},
    };

    want_mistakes(cases, LENGTH(cases));
}

#define SENTINEL "redis:\n  sentinel: { master: m, addresses: [a:1] }\n"

TEST(a_wrong_way_to_reach_redis_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {"redis:\n  address: a\n  cluster: [b]\n" GOOD_LIMIT, "3:3",
         "'address' and 'cluster' are two ways to reach Redis; remove one of them"},
        {SENTINEL "  address: a\n" GOOD_LIMIT, "2:3", "'address' and 'sentinel' are two ways"},
        {SENTINEL "  cluster: [a]\n" GOOD_LIMIT, "3:3", "'sentinel' and 'cluster' are two ways"},
        {"redis: { sentinel: { addresses: [a] } }\n" GOOD_LIMIT, "1:20",
         "the field 'master' is missing in sentinel"},
        {"redis: { sentinel: { master: m } }\n" GOOD_LIMIT, "1:20",
         "the field 'addresses' is missing in sentinel"},
        {"redis: { sentinel: { master: a b, addresses: [a] } }\n" GOOD_LIMIT, "1:30",
         "master: no Sentinel has such a name"},
        {"redis: { sentinel: { master: m, addresses: a } }\n" GOOD_LIMIT, "1:44",
         "'addresses' must be a list of addresses; write [10.0.0.1:26379, 10.0.0.2:26379]"},
        {"redis: { sentinel: { master: m, addresses: [] } }\n" GOOD_LIMIT, "1:44",
         "must be a list of addresses"},
        {"redis: { sentinel: { master: m, addresses: [a:0] } }\n" GOOD_LIMIT, "1:45",
         "an address in this list is such as 10.0.0.1:26379"},
        {"redis: { sentinel: { master: m, addresses: ['redis://a'] } }\n" GOOD_LIMIT, "1:45",
         "write the host and the port alone"},
        {"redis: { sentinel: { master: m, addresses: [unix:/a] } }\n" GOOD_LIMIT, "1:45",
         "write the host and the port alone"},
        {"redis: { sentinel: { master: m, addresses: [a], user: ann } }\n" GOOD_LIMIT, "1:20",
         "a user without a password cannot log in; add password_file: /PATH"},
        {"redis: { sentinel: { master: m, addresses: [a], password_file: /no } }\n" GOOD_LIMIT,
         "1:64", "password_file: No such file or directory"},
        {"redis: { sentinel: { master: m, addresses: [a], tls: no } }\n" GOOD_LIMIT, "1:54",
         "'no' is neither; did you mean 'false'?"},
        {"redis: { sentinel: { masters: m, master: m, addresses: [a] } }\n" GOOD_LIMIT, "1:22",
         "unknown field 'masters' in sentinel; did you mean 'master'?"},
        {"redis: { cluster: a:1 }\n" GOOD_LIMIT, "1:19",
         "'cluster' must be a list of addresses; write [10.0.0.1:6379, 10.0.0.2:6379]"},
        {"redis: { cluster: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a] }\n" GOOD_LIMIT, "1:52",
         "too many addresses; the most is 16"},
        {"redis: { cluster: [[a]] }\n" GOOD_LIMIT, "1:20", "this entry takes one value"},
        {"redis: { cluster: [a], database: 0 }\n" GOOD_LIMIT, "1:34",
         "database: only with 'sentinel'"},
        {"redis: { address: a, database: 3 }\n" GOOD_LIMIT, "1:32", "redis://HOST:PORT/3"},
        {SENTINEL "  database: 65536\n" GOOD_LIMIT, "3:13", "a database is 0 to 65535"},
        {"redis: { address: a, user: ann }\n" GOOD_LIMIT, "1:28",
         "user: an address says it itself; write redis://USER@HOST:PORT"},
        {"redis: { cluster: [a], user: ann }\n" GOOD_LIMIT, "1:30",
         "user: a user without a password cannot log in; add password_file: /PATH"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(a_wrong_setting_of_tls_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {"redis: { cluster: [a], tls: yes }\n" GOOD_LIMIT, "1:29", "tls must be a mapping"},
        {"redis: { address: a, tls: {} }\n" GOOD_LIMIT, "1:27",
         "tls: the address is without TLS; write address: rediss://HOST:PORT"},
        {"redis: { cluster: [a], tls: { ca: ca.pem } }\n" GOOD_LIMIT, "1:35",
         "ca: the path is not absolute; write one such as /etc/ssl/redis.pem"},
        {"redis: { cluster: [a], tls: { ca: /no } }\n" GOOD_LIMIT, "1:35",
         "ca: No such file or directory; name a file in PEM that can be read"},
        {"redis: { cluster: [a], tls: { cert: /dev/null } }\n" GOOD_LIMIT, "1:29",
         "tls: a certificate and its private key belong together"},
        {"redis: { cluster: [a], tls: { key: /dev/null } }\n" GOOD_LIMIT, "1:29",
         "tls: a certificate and its private key belong together"},
        {"redis: { cluster: [a], tls: { verify: false } }\n" GOOD_LIMIT, "1:31",
         "its fields are ca, cert, key, server_name, insecure"},
    };
    static const struct mistake without[] = {
        {"redis: { cluster: [a], tls: {} }\n" GOOD_LIMIT, "1:29", "tls: this build has no TLS"},
        {"redis: { address: 'rediss://a' }\n" GOOD_LIMIT, "1:19", "address: this build has no TLS"},
    };

    if (tls_missing())
        want_mistakes(without, LENGTH(without));
    else
        want_mistakes(cases, LENGTH(cases));
}

TEST(a_wrong_prefix_or_number_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {"redis: { key_prefix: 'a{b}' }\n" GOOD_LIMIT, "1:22", "write 1 to 63 of A-Z a-z 0-9"},
        {"redis: { key_prefix: '*' }\n" GOOD_LIMIT, "1:22", "such as \"staging:\""},
        {"redis: { key_prefix: '' }\n" GOOD_LIMIT, "1:22", "'key_prefix' needs a value"},
        {"redis: { key_prefix: " NAME_64 "x }\n" GOOD_LIMIT, "1:22",
         "'key_prefix' is too long; the most is 63 bytes"},
        {"redis: { hosts: 0 }\n" GOOD_LIMIT, "1:17", "the number of hosts is 1 to 1000"},
        {"redis: { hosts: auto }\n" GOOD_LIMIT, "1:17", "the number of hosts is 1 to 1000"},
        {"redis: { mirror: 1023 }\n" GOOD_LIMIT, "1:18", "1024 to 1048576 buckets"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(every_way_to_reach_redis_is_read)
{
    static const char sentinels[] =
        "redis:\n"
        "  sentinel: { master: mymaster, addresses: [10.0.0.1, 10.0.0.2:6379, '[::1]:5'] }\n"
        "  database: 3\n"
        "  key_prefix: 'staging:'\n"
        "  hosts: 4\n"
        "  mirror: 65536\n" GOOD_LIMIT;
    static const char cluster[] = "redis: { cluster: [a, b:7001] }\n" GOOD_LIMIT;
    struct reading *reading = want_accepted(sentinels);
    const struct redis_config *redis = &reading->limits->redis;
    char shown[REDIS_CONFIG_SHOWN_SIZE];

    assert_int_equal(redis->topology, REDIS_SENTINEL);
    assert_string_equal(redis_config_show(redis, shown),
                        "mymaster of the Sentinels 10.0.0.1:26379 10.0.0.2:6379 [::1]:5");
    assert_int_equal(redis->address.db, 3);
    assert_string_equal(redis->address.host, "");
    assert_string_equal(redis->key_prefix, "staging:");
    assert_int_equal(redis->hosts, 4);
    assert_int_equal(redis->mirror_rows, 65536);
    reading_free(reading);

    reading = want_accepted(cluster);
    redis = &reading->limits->redis;
    assert_int_equal(redis->topology, REDIS_CLUSTER);
    assert_string_equal(redis_config_show(redis, shown), "cluster a:6379 b:7001");
    assert_false(redis->address.tls || redis->server[0].tls);
    reading_free(reading);
}

TEST(tls_is_for_redis_and_for_the_sentinels)
{
    static const char text[] = "redis:\n"
                               "  sentinel: { master: m, addresses: [a, b] }\n"
                               "  tls: { ca: /dev/null, cert: /dev/null, key: /dev/null, "
                               "server_name: r.example }\n" GOOD_LIMIT;
    static const char plain[] =
        "redis: { sentinel: { master: m, addresses: [a], tls: false }, tls: {} }\n" GOOD_LIMIT;

    if (tls_missing())
        skip();
    struct reading *reading = want_accepted(text);
    const struct redis_config *redis = &reading->limits->redis;
    assert_true(redis->address.tls && redis->server[0].tls && redis->server[1].tls);
    assert_string_equal(redis->tls.server_name, "r.example");
    assert_string_equal(redis->tls.key, "/dev/null");
    reading_free(reading);
    reading = want_accepted(plain);
    redis = &reading->limits->redis;
    assert_true(redis->address.tls && !redis->server[0].tls);
    reading_free(reading);
}

TEST(a_wrong_match_or_prefix_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {GOOD_LIMIT "ipv6_prefix: 0\n", "6:14", "a prefix is 1 to 128 bits"},
        {GOOD_LIMIT "ipv6_prefix: 129\n", "6:14", "a prefix is 1 to 128 bits"},
        {GOOD_LIMIT "ipv6_prefix: /64\n", "6:14", "a prefix is 1 to 128 bits"},
        {GOOD_LIMIT "    match: x\n", "6:12", "its fields are ignore_case, path, methods, host"},
        {GOOD_LIMIT "    match: { paths: /x }\n", "6:14", "unknown field 'paths' in match"},
        {GOOD_LIMIT "    match: { path: api }\n", "6:20", "a path begins with a slash"},
        {GOOD_LIMIT "    match: { path: '' }\n", "6:20", "'path' needs a value"},
        {GOOD_LIMIT "    match: { path: /" NAME_64 NAME_64 NAME_64 NAME_64 " }\n", "6:20",
         "the most is 256 bytes"},
        {GOOD_LIMIT "    match: { host: 'a.com:80' }\n", "6:20", "a name without a port"},
        {GOOD_LIMIT "    match: { host: 'http://a.com' }\n", "6:20", "a name without a port"},
        {GOOD_LIMIT "    match: { methods: GET }\n", "6:23", "write [GET, POST]"},
        {GOOD_LIMIT "    match: { methods: [] }\n", "6:23", "write [GET, POST]"},
        {GOOD_LIMIT "    match: { methods: [get] }\n", "6:24", "capital letters"},
        {GOOD_LIMIT "    match: { methods: [[GET]] }\n", "6:24", "capital letters"},
        {GOOD_LIMIT "    match: { methods: [A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q] }\n", "6:56",
         "the most is 16"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(a_wrong_trusted_proxy_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {GOOD_LIMIT "trusted_proxies: 127.0.0.1\n", "6:18",
         "'trusted_proxies' must be a list of addresses and CIDRs; write [127.0.0.1, 10.0.0.0/8]"},
        {GOOD_LIMIT "trusted_proxies: {}\n", "6:18", "must be a list"},
        {GOOD_LIMIT "trusted_proxies:\n", "6:17", "must be a list"},
        {GOOD_LIMIT "trusted_proxies: [localhost]\n", "6:19", "'localhost': neither an address"},
        {GOOD_LIMIT "trusted_proxies: [10.0.0.0/8, 10.0.0.1/8]\n", "6:31",
         "'10.0.0.1/8': bits are set behind the prefix"},
        {GOOD_LIMIT "trusted_proxies: [10.0.0.0/33]\n", "6:19", "the prefix of an IPv4 address"},
        {GOOD_LIMIT "trusted_proxies: ['::/129']\n", "6:19", "the prefix of an IPv6 address"},
        {GOOD_LIMIT "trusted_proxies: ['10.0.0.1:80']\n", "6:19", "neither an address"},
        {GOOD_LIMIT "trusted_proxies: ['*']\n", "6:19", "neither an address"},
        {GOOD_LIMIT "trusted_proxies: ['']\n", "6:19", "needs a value"},
        {GOOD_LIMIT "trusted_proxies: [[10.0.0.1]]\n", "6:19",
         "this entry takes one value, and not a list"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(as_many_trusted_proxies_as_are_allowed_are_read_and_no_more)
{
    char text[8192];
    size_t len = (size_t)sprintf(text, GOOD_LIMIT "trusted_proxies:\n");

    for (int i = 0; i < LIMITS_PROXIES_MAX; i++)
        len += (size_t)sprintf(text + len, "- 10.0.%d.0/24\n", i);
    struct reading *reading = want_accepted(text);
    assert_int_equal(reading->limits->proxy_count, 64);
    assert_int_equal(reading->limits->trusted_proxy[63].address.bytes[14], 63);
    assert_int_equal(reading->limits->trusted_proxy[63].bits, 96 + 24);
    reading_free(reading);
    sprintf(text + len, "- 10.1.0.0/24\n");
    want_one_mistake("65 proxies", text, strlen(text), "71:3",
                     "too many trusted proxies; the most is 64");
    reading = want_accepted(GOOD_LIMIT "trusted_proxies: []\n");
    assert_int_equal(reading->limits->proxy_count, 0);
    reading_free(reading);
}

TEST(a_field_that_is_unknown_missing_or_duplicate_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {GOOD_LIMIT "colour: red\n", "6:1",
         "unknown field 'colour' in the file; its fields are "
         "redis, ipv6_prefix, headers, log, trusted_proxies, forward_auth, limits"},
        {GOOD_LIMIT "    colour: red\n", "6:5",
         "unknown field 'colour' in a limit; its fields are "
         "name, match, key, capacity, refill, cost, on_redis_failure, shadow, show, overrides"},
        {GOOD_LIMIT "redis:\n  colour: red\n", "7:3", "unknown field 'colour' in redis"},
        {GOOD_LIMIT "Limits: []\n", "6:1", "unknown field 'Limits'"},
        {GOOD_LIMIT "\"a\\nb\": 1\n", "6:1", "unknown field 'a?b'"},
        {GOOD_LIMIT "'': 1\n", "6:1", "unknown field ''"},
        {"redis: {}\n", "1:1", "the field 'limits' is missing in the file; add limits: VALUE"},
        {"{}\n", "1:1", "'limits' is missing"},
        {"limits:\n  - key: ip\n    capacity: 5\n    refill: 1/s\n", "2:5", "'name' is missing"},
        {"limits:\n  - name: a\n    capacity: 5\n    refill: 1/s\n", "2:5", "'key' is missing"},
        {"limits:\n  - name: a\n    key: ip\n    refill: 1/s\n", "2:5", "'capacity' is missing"},
        {"limits:\n  - name: a\n    key: ip\n    capacity: 5\n", "2:5", "'refill' is missing"},
        {GOOD_LIMIT "    name: b\n", "6:5", "duplicate field; keep one"},
        {GOOD_LIMIT "    capacity: 5\n", "6:5", "duplicate field"},
        {"redis: {}\n" GOOD_LIMIT "redis: {}\n", "7:1", "duplicate field"},
        {GOOD_LIMIT "redis:\n  timeout: 1s\n  timeout: 1s\n", "8:3", "duplicate field"},
        {GOOD_LIMIT "  - { name: a, key: ip, capacity: 1, refill: 1/s }\n", "6:5",
         "duplicate limit name 'a'; give each limit its own"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(a_file_of_another_shape_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {"", "", "the file is empty; it needs limits:"},
        {"\n\n", "", "the file is empty"},
        {"# only\n# comments\n", "", "the file is empty"},
        {"\xef\xbb\xbf", "", "the file is empty"},
        {"---\n", "2:1", "the file must be a mapping"},
        {"hello\n", "1:1",
         "the file must be a mapping, FIELD: VALUE; its fields are "
         "redis, ipv6_prefix, headers, log, trusted_proxies, forward_auth, limits"},
        {"- a\n", "1:1", "the file must be a mapping"},
        {"42", "1:1", "the file must be a mapping"},
        {"limits:\n", "1:8", "'limits' must be a list of at least one limit; write - name: NAME"},
        {"limits: []\n", "1:9", "'limits' must be a list"},
        {"limits: {}\n", "1:9", "'limits' must be a list"},
        {"limits: a\n", "1:9", "'limits' must be a list"},
        {"limits:\n  name: a\n", "2:3", "'limits' must be a list"},
        {"limits: [ a ]\n", "1:11", "a limit must be a mapping"},
        {"limits: [ [] ]\n", "1:11", "a limit must be a mapping"},
        {"limits:\n  -\n", "2:4", "a limit must be a mapping"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(yaml_that_is_not_plain_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {ONE_LIMIT("&x a", "ip", "5", "1/s"), "2:11", "an anchor (&name); leave it out"},
        {"limits: &x\n- { name: a, key: ip, capacity: 5, refill: 1/s }\n", "1:9", "an anchor"},
        {"limits:\n- &x { name: a, key: ip, capacity: 5, refill: 1/s }\n", "2:3", "an anchor"},
        {ONE_LIMIT("*x", "ip", "5", "1/s"), "2:11", "an alias (*name); write the value out"},
        {GOOD_LIMIT "<<: *x\n", "6:5", "an alias"},
        {"*x : 1\n", "1:1", "a mapping's key must be plain text; write NAME: VALUE"},
        {ONE_LIMIT("a", "ip", "!!int 5", "1/s"), "4:15", "a tag (!name); leave it out"},
        {ONE_LIMIT("!x a", "ip", "5", "1/s"), "2:11", "a tag"},
        {"--- !!map\n" GOOD_LIMIT, "1:5", "a tag"},
        {"limits: !!seq\n- { name: a, key: ip, capacity: 5, refill: 1/s }\n", "1:9", "a tag"},
        {"? [a]\n: b\n", "1:3", "a mapping's key must be plain text"},
        {"? {a: b}\n: b\n", "1:3", "a mapping's key must be plain text"},
        {GOOD_LIMIT "---\n" GOOD_LIMIT, "6:1", "a second document; put everything in the first"},
        {GOOD_LIMIT "...\n---\nlimits: 1\n", "7:1", "a second document"},
        {"limits:\n\t- name: a\n", "2:1", "a tab in front of a line; indent with spaces"},
        {"limits:\n  - name: a\n\tkey: ip\n", "3:1", "indent with spaces"},
        {"limits:\n  - name: a\n   key: ip\n", "3:4", "this is not YAML"},
        {"limits: [\n", "2:1", "this is not YAML"},
        {"limits: \"a\n", "1:9", "this quote is never closed"},
        {"redis:\n  address: [::1]:6379\n", "2:13", "quote a value that holds any of [ ] { }"},
        {"redis:\n  address: @host\n", "2:12", "this is not YAML"},
        {"limits: `a`\n", "1:9", "this is not YAML"},
        {"a: 1\n]\n", "2:1", "this is not YAML"},
        {"%YAML 2.0\n---\na: 1\n", "1:1", "this is not YAML: found incompatible YAML document"},
        {"limits: \"\\x00\"\n", "1:9", "a NUL character in a value; leave it out"},
        {"\"li\\x00mits\": a\n", "1:1", "a NUL character"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(a_byte_that_is_not_text_is_a_mistake_with_its_place)
{
    static const struct {
        const char *text;
        size_t len;
        const char *place, *error;
    } cases[] = {
        {GOOD_LIMIT "#\0", sizeof GOOD_LIMIT + 1, "6:2", "a control character; leave it out"},
        {"\0", 1, "1:1", "a control character"},
        {"# a\r\n# b\x01\r\n", 11, "2:4", "a control character"},
        {"a: \x1b[31m", 8, "1:4", "a control character"},
        {"a: \x7f", 4, "1:4", "a control character"},
        {"# caf\xc3\xa9\n# caf\xe9\n", 15, "2:6", "this is not UTF-8 text; write it as UTF-8"},
        {"# \xc3\xa9\xc3\xa9\xff\n", 8, "1:5", "not UTF-8"},
        {"\xef\xbb\xbf# \xff\n", 7, "1:3", "not UTF-8"},
        {"# \xc3", 3, "1:3", "not UTF-8"},
        {"# \xc0\xaf\n", 5, "1:3", "not UTF-8"},
        {"# \xed\xa0\x80\n", 6, "1:3", "not UTF-8"},
        {"\xff\xfe"
         "a\0",
         4, "1:1", "not UTF-8"},
        {"\xfe\xff\0a", 4, "1:1", "not UTF-8"},
    };

    FOR_EACH(c, cases)
        want_one_mistake(c->text, c->text, c->len, c->place, c->error);
}

/* The parser reads ahead in blocks: the place must not depend on where they end. */
TEST(a_bad_byte_far_into_the_file_has_its_place)
{
    enum { LINES = 4000, WIDTH = 20 };
    char *text = malloc(LINES * WIDTH + 1);

    assert_non_null(text);
    for (size_t bad = 1; bad < LINES; bad += 333) {
        char place[32];

        for (size_t i = 0; i < LINES; i++)
            sprintf(text + i * WIDTH, "# %04zu %.12s\n", i, "abcdefghijklmnop");
        text[(bad - 1) * WIDTH + 7] = '\xff';
        snprintf(place, sizeof place, "%zu:8", bad);
        want_one_mistake(place, text, LINES * WIDTH, place, "not UTF-8");
    }
    free(text);
}

TEST(a_file_that_is_too_large_is_a_mistake)
{
    size_t len = YAML_TREE_BYTES_MAX + 1;
    char *text = malloc(len);

    assert_non_null(text);
    memset(text, '#', len);
    memcpy(text, GOOD_LIMIT, strlen(GOOD_LIMIT));
    want_one_mistake("4 MiB + 1", text, len, "", "larger than 4 MiB");

    struct reading *reading = read_bytes(text, len - 1);
    want_lines("4 MiB", reading, "test.yaml");
    assert_int_equal(reading->mistakes, 0);
    reading_free(reading);
    free(text);
}

TEST(nesting_that_is_too_deep_is_a_mistake)
{
    static const struct {
        const char *piece, *place;
    } cases[] = {{"[", "1:17"}, {"{a: ", "1:65"}, {"- ", "1:33"}, {"? ", "1:3"}, {"[{a: ", "1:41"}};

    FOR_EACH(c, cases) {
        size_t width = strlen(c->piece), len = 10000 * width;
        char *text = malloc(len + 1);

        assert_non_null(text);
        for (size_t j = 0; j < 10000; j++)
            memcpy(text + j * width, c->piece, width + 1);
        want_one_mistake(c->piece, text, len, c->place,
                         c->piece[0] == '?' ? "must be plain text" : "nested too deeply");
        free(text);
    }
}

/* Otherwise the time to read a file would grow with the square of its size. */
TEST(a_mapping_with_too_many_fields_is_a_mistake)
{
    char *text = malloc(YAML_TREE_BYTES_MAX);
    size_t len = 0;

    assert_non_null(text);
    for (int i = 0; len < YAML_TREE_BYTES_MAX - 16; i++)
        len += (size_t)sprintf(text + len, "k%d:\n", i);
    want_one_mistake("100,000 fields", text, len, "65:1", "too many fields");
    free(text);
}

/* COUNT limits, each on its line after the first, with MATCH.  The caller's to free. */
static char *file_of(size_t count, const char *match)
{
    char *text = malloc(16 + count * 120);
    size_t len = (size_t)sprintf(text, "limits:\n");

    for (size_t i = 1; i <= count; i++)
        len += (size_t)sprintf(text + len,
                               "- { name: limit-%zu, %skey: ip, capacity: %zu, refill: 1/s }\n", i,
                               match, i);
    return text;
}

TEST(as_many_limits_as_are_allowed_are_read_and_no_more)
{
    static const char match[] = "match: { path: /a }, ";
    char *most = file_of(LIMITS_MAX, match), *one_more = file_of(LIMITS_MAX + 1, match),
         *many = file_of(2000, match);
    struct reading *reading = want_accepted(most);

    assert_int_equal(reading->limits->count, LIMITS_MAX);
    assert_string_equal(reading->limits->limit[LIMITS_MAX - 1].name, "limit-1000");
    assert_int_equal(reading->limits->limit[LIMITS_MAX - 1].capacity, 1000);
    want_one_mistake("1001 limits", one_more, strlen(one_more), "1002:3", "the most is 1000");
    want_one_mistake("2000 limits", many, strlen(many), "1002:3", "the most is 1000");
    reading_free(reading);
    free(most);
    free(one_more);
    free(many);
}

TEST(as_many_limits_as_may_apply_to_a_request_need_no_match)
{
    char *most = file_of(STORE_CHARGES_MAX, ""), *one_more = file_of(STORE_CHARGES_MAX + 1, ""),
         *many = file_of(LIMITS_MAX, "");
    struct reading *reading = want_accepted(most);

    assert_int_equal(reading->limits->count, STORE_CHARGES_MAX);
    want_one_mistake("65 limits", one_more, strlen(one_more), "66:3", "64 are the most");
    want_one_mistake("1000 limits", many, strlen(many), "66:3", "64 are the most");
    reading_free(reading);
    free(most);
    free(one_more);
    free(many);
}

TEST(all_the_mistakes_in_a_file_are_reported)
{
    static const char text[] = "redis:\n"
                               "  adress: host\n"
                               "  timeout: 0ms\n"
                               "limits:\n"
                               "  - name: &anchor per user\n"
                               "    key: headers:X\n"
                               "    capacity: !!int -1\n"
                               "    refill: 1/sec\n"
                               "    on_redis_failure: panic\n"
                               "    on_redis_failure: allow\n"
                               "  - name: a\n"
                               "    capacity: 1000000000\n"
                               "    refill: 1/day\n"
                               "  - 5\n"
                               "  - { name: a, key: ip, capacity: 5, refill: 1/s, burst: 2 }\n"
                               "limit: 5\n"
                               "---\n"
                               "limits:\n";
    static const char *const places[] = {"2:3",  "3:12", "5:11",  "5:11", "6:10", "7:15",
                                         "7:15", "8:13", "9:23",  "10:5", "11:5", "11:5",
                                         "14:5", "15:5", "15:51", "16:1", "17:1"};
    struct reading *reading = read_text(text);

    want_lines(text, reading, "test.yaml");
    FOR_EACH(place, places) {
        char start[32];

        snprintf(start, sizeof start, "test.yaml:%s: ", *place);
        if (!strstr(reading->errors, start))
            fail_msg("no mistake at %s: %s", *place, reading->errors);
    }
    assert_int_equal(reading->mistakes, LENGTH(places));
    reading_free(reading);
}

TEST(a_mistake_cannot_forge_a_line_or_lose_its_end)
{
    char text[4000];
    struct reading *reading;

    snprintf(text, sizeof text, "%s\"%0900d\\r\\ntest.yaml:1:1: all is fine; go on\": 1\n",
             GOOD_LIMIT, 0);
    reading = read_text(text);
    want_lines(text, reading, "test.yaml");
    assert_int_equal(reading->mistakes, 1);
    assert_non_null(strstr(reading->errors, "'; its fields are redis, ipv6_prefix, headers, log, "
                                            "trusted_proxies, forward_auth, limits\n"));
    reading_free(reading);
}

TEST(no_mistake_repeats_a_password)
{
    static const char *const cases[] = {
        "redis: redis://:hunter2@host\n",
        "redis: { address: redis://:hunter2@host:0 }\n",
        "redis: { address:redis://:hunter2@host, timeout: 5ms }\n",
        "redis: { redis://:hunter2@host }\n",
        "redis:\n  address:redis://:hunter2@host\n",
        "redis:\n  address:redis://:hunter2@host\n  timeout: 5ms\n",
        "redis:\n  address: redis://:hunter2@host: 1\n",
        "redis:\n  address: redis://:hunter2@host #\t\n  address: redis://:hunter2@host\n",
        "redis: [ redis://:hunter2@host ]\n",
        "redis: { address: redis://:hunter2@host, redis://:hunter2@host: 1 }\n",
        "redis: { redis://:hunter2@host: 1, redis://:hunter2@host: 1 }\n",
        "redis: { address: rediss://:hunter2@host }\n",
        "address: redis://:hunter2@host\n",
        "redis://:hunter2@host: 1\n",
        "redis://:hunter2@host\n",
        "redis:\n\taddress: redis://:hunter2@host\n",
        "redis: { timeout: redis://:hunter2@host }\n",
        "redis: \"redis://:hunter2@host\n",
    };

    FOR_EACH(c, cases) {
        struct reading *reading = read_text(*c);

        want_lines(*c, reading, "test.yaml");
        if (reading->mistakes == 0 || strstr(reading->errors, "hunter2"))
            fail_msg("\"%s\": \"%s\"", *c, reading->errors);
        reading_free(reading);
    }
}

TEST(a_file_that_cannot_be_read_is_a_mistake)
{
    static const struct {
        const char *path, *error;
    } cases[] = {
        {"/nonexistent/limits.yaml", "No such file or directory; name a file that can be read"},
        {"/", "Is a directory; name a file that can be read"},
        {"/dev/null/x", "Not a directory; name a file that can be read"},
        {"", "No such file or directory"},
        {"/dev/null", "the file is empty"},
        {"/dev/zero", "larger than 4 MiB"},
    };

    FOR_EACH(c, cases) {
        struct reading *reading = read_file(c->path);

        want_lines(c->path, reading, c->path);
        want_number(c->path, reading->mistakes, 1);
        want_error(c->path, reading->errors, c->error);
        reading_free(reading);
    }
}

TEST(a_file_is_read_from_its_path)
{
    char path[] = "/tmp/limits.XXXXXX";
    int fd = mkstemp(path);
    const char text[] = GOOD_LIMIT "colour: red\n";

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(GOOD_LIMIT)), strlen(GOOD_LIMIT));
    struct reading *reading = read_file(path);
    assert_int_equal(reading->mistakes, 0);
    assert_string_equal(reading->limits->limit[0].name, "a");
    reading_free(reading);

    assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
    close(fd);
    reading = read_file(path);
    unlink(path);
    want_lines(path, reading, path);
    assert_int_equal(reading->mistakes, 1);
    assert_non_null(strstr(reading->errors, ":6:1: unknown field 'colour'"));
    reading_free(reading);
}

/* Copy FILE to OUT, of SIZE bytes, with VALUE in place of its '@'. */
static void put(char *out, size_t size, const char *file, const char *value)
{
    size_t before = strcspn(file, "@");

    snprintf(out, size, "%.*s%s%s", (int)before, file, value, file + before + 1);
}

TEST(headers_cost_and_shadow_are_read)
{
    static const struct {
        const char *more;
        int64_t headers, cost;
        bool shadow;
    } cases[] = {
        {"", HEADER_IETF, 1, false},
        {"headers: [ietf]\n", HEADER_IETF, 1, false},
        {"headers: []\n", 0, 1, false},
        {"headers: [x-ratelimit]\n", HEADER_X_RATELIMIT, 1, false},
        {"headers: [x-ratelimit, ietf]\n", HEADER_IETF | HEADER_X_RATELIMIT, 1, false},
        {"headers:\n- ietf\n- x-ratelimit\n", HEADER_IETF | HEADER_X_RATELIMIT, 1, false},
        {"headers: [ietf, ietf]\n", HEADER_IETF, 1, false},
        {"    cost: 1\n", HEADER_IETF, 1, false},
        {"    cost: 5\n", HEADER_IETF, 5, false},
        {"    cost: 1000000\n", HEADER_IETF, COST_MAX, false},
        {"    cost: \"3\"\n", HEADER_IETF, 3, false},
        {"    cost: header:X-Cost\n", HEADER_IETF, 0, false},
        {"    shadow: true\n", HEADER_IETF, 1, true},
        {"    shadow: false\n", HEADER_IETF, 1, false},
        {"    shadow: 'true'\n", HEADER_IETF, 1, true},
    };

    FOR_EACH(c, cases) {
        char text[256];

        snprintf(text, sizeof text, "%s%s", GOOD_LIMIT, c->more);
        struct reading *reading = want_accepted(text);
        want_number(text, reading->limits->headers, c->headers);
        want_number(text, reading->limits->limit[0].cost.tokens, c->cost);
        want_number(text, reading->limits->limit[0].shadow, c->shadow);
        want_number(text, reading->limits->limit[0].overrides != NULL, false);
        want_number(text, reading->limits->limit[0].line, 2);
        want_number(text, reading->limits->limit[0].column, 5);
        reading_free(reading);
    }
}

/* The override of the limit LIMIT of LIMITS for REQUEST; or NULL. */
static const struct override *override_for(const struct limits *limits, size_t limit,
                                           const struct request *request)
{
    const struct limit *of = &limits->limit[limit];
    struct view view;
    struct key_values values;
    char key[KEY_SIZE];

    view_begin(&view, request, (unsigned)limits->ipv6_prefix_bits);
    key_find(&of->key, &view, &values);
    size_t len = key_build(&values, of->name, key);
    return overrides_find(of->overrides, key, len, &values, &view);
}

/* The same for the client at IP. */
static const struct override *override_of(const struct limits *limits, size_t limit, const char *ip)
{
    const struct request request = {"GET", "/", ip, (char *[]){NULL}};

    return override_for(limits, limit, &request);
}

TEST(overrides_are_read_in_any_order_of_fields)
{
    struct reading *reading =
        want_accepted("limits:\n"
                      "  - overrides:\n"
                      "      - { capacity: 9, key: 10.0.0.1 }\n"
                      "      - refill: 1000/s\n"
                      "        key: [10.0.0.2]\n"
                      "      - { key: 10.0.0.3, capacity: 7, refill: 2/s }\n"
                      "      - { key: 10.0.0.4, unlimited: true }\n"
                      "      - { key: 10.0.0.5, blocked: true,"
                      " unlimited: false }\n"
                      "      - { key: \"2001:db8:1:200::/56\", capacity: 8 }\n"
                      "    name: a\n"
                      "    key: ip\n"
                      "    capacity: 5\n"
                      "    refill: 1/s\n"
                      "ipv6_prefix: 56\n");
    static const struct {
        const char *ip;
        unsigned line;
        enum override_kind kind;
        int64_t capacity, interval_us;
    } cases[] = {
        {"10.0.0.1", 3, OVERRIDE_LIMITED, 9, 1000000},
        {"10.0.0.2", 4, OVERRIDE_LIMITED, 5, 1000},
        {"10.0.0.3", 6, OVERRIDE_LIMITED, 7, 500000},
        {"10.0.0.4", 7, OVERRIDE_UNLIMITED, 5, 1000000},
        {"10.0.0.5", 8, OVERRIDE_BLOCKED, 5, 1000000},
        {"2001:db8:1:2ff::1", 9, OVERRIDE_LIMITED, 8, 1000000},
    };

    FOR_EACH(c, cases) {
        const struct override *got = override_of(reading->limits, 0, c->ip);

        assert_non_null(got);
        want_number(c->ip, got->line, c->line);
        want_number(c->ip, got->kind, c->kind);
        want_number(c->ip, got->capacity, c->capacity);
        want_number(c->ip, got->interval_us, c->interval_us);
    }
    assert_null(override_of(reading->limits, 0, "10.0.0.6"));
    reading_free(reading);
}

/* A limit that counts by KEY, with the fields MORE. */
#define SECRET_LIMIT(key, more)                                                                    \
    "limits:\n"                                                                                    \
    "  - name: a\n" more "    key: " key "\n"                                                      \
    "    capacity: 5\n"                                                                            \
    "    refill: 1/s\n"

TEST(show_says_which_values_are_secret)
{
    static const struct {
        const char *text;
        bool secret;
    } cases[] = {
        {SECRET_LIMIT("header:X-A", ""), true},
        {SECRET_LIMIT("header:X-A", "    show: true\n"), false},
        {SECRET_LIMIT("header:X-A", "    show: false\n"), true},
        {SECRET_LIMIT("cookie:s | ip", ""), true},
        {SECRET_LIMIT("cookie:s | ip", "    show: 'true'\n"), false},
        {SECRET_LIMIT("query:key", ""), false},
        {SECRET_LIMIT("query:key", "    show: true\n"), false},
        {SECRET_LIMIT("query:key", "    show: false\n"), true},
        {SECRET_LIMIT("env:REMOTE_USER", "    show: false\n"), true},
        {SECRET_LIMIT("ip", "    show: true\n"), false},
    };

    FOR_EACH(c, cases) {
        struct reading *reading = want_accepted(c->text);

        want_number(c->text, key_has_secret(&reading->limits->limit[0].key), c->secret);
        reading_free(reading);
    }
}

/* The keys of overrides are digests as the keys of clients are, wherever `show` is written. */
TEST(overrides_in_clear_fit_clients_whose_values_are_secret)
{
#define OVERRIDES "    overrides:\n      - { key: k1, capacity: 9 }\n"
    static const char *const cases[] = {
        SECRET_LIMIT("header:X-A", OVERRIDES),
        SECRET_LIMIT("header:X-A", OVERRIDES "    show: true\n"),
        SECRET_LIMIT("header:X-A | query:a", "    show: true\n" OVERRIDES),
        SECRET_LIMIT("header:X-A | ip", OVERRIDES "    show: false\n"),
        SECRET_LIMIT("cookie:s", OVERRIDES),
        SECRET_LIMIT("lower(cookie:s)", "    overrides: [{ key: K1, capacity: 9 }]\n"),
        SECRET_LIMIT("header:X-A", "    overrides: [{ key: k*, capacity: 9 }]\n"),
        SECRET_LIMIT("query:a", OVERRIDES "    show: false\n"),
        SECRET_LIMIT("env:E", "    show: false\n" OVERRIDES),
    };
#undef OVERRIDES
    char *const k1[] = {"HTTP_X_A=k1", "HTTP_COOKIE=s=k1", "E=k1", NULL};
    char *const k2[] = {"HTTP_X_A=2", "HTTP_COOKIE=s=2", "E=2", NULL};

    FOR_EACH(c, cases) {
        struct reading *reading = want_accepted(*c);
        const struct request one = {"GET", "/?a=k1", "192.0.2.7", k1};
        const struct request other = {"GET", "/?a=2", "192.0.2.7", k2};

        want_number(*c, override_for(reading->limits, 0, &one) != NULL, true);
        want_number(*c, override_for(reading->limits, 0, &other) != NULL, false);
        reading_free(reading);
    }
}

TEST(a_mistake_in_an_override_does_not_quote_a_secret)
{
#define CIDR(show)                                                                                 \
    SECRET_LIMIT("header:X-A", show "    overrides: [{ key: 10.0.0.0/8, capacity: 9 }]\n")
    static const struct mistake cases[] = {
        {CIDR(""), "3:24", "key: a CIDR is for the source ip"},
        {CIDR("    show: false\n"), "4:24", "key: a CIDR is for the source ip"},
        {CIDR("    show: true\n"), "4:24", "key '10.0.0.0/8': a CIDR is for the source ip"},
    };
#undef CIDR

    want_mistakes(cases, LENGTH(cases));
}

TEST(a_wrong_header_cost_shadow_or_show_is_a_mistake_with_its_place)
{
    static const struct mistake cases[] = {
        {GOOD_LIMIT "headers: ietf\n", "6:10",
         "'headers' must be a list; write [ietf], [ietf, x-ratelimit] or [] for none"},
        {GOOD_LIMIT "headers:\n", "6:9", "'headers' must be a list"},
        {GOOD_LIMIT "headers: {}\n", "6:10", "'headers' must be a list"},
        {GOOD_LIMIT "headers: [retry]\n", "6:11", "'retry' is neither; write ietf or x-ratelimit"},
        {GOOD_LIMIT "headers: [ietf, IETF]\n", "6:17", "'IETF' is neither; write ietf"},
        {GOOD_LIMIT "headers: [X-RateLimit]\n", "6:11",
         "'X-RateLimit' is neither; did you mean 'x-ratelimit'? write ietf or x-ratelimit"},
        {GOOD_LIMIT "headers: [ietf, []]\n", "6:17", "this entry takes one value, and not a list"},
        {GOOD_LIMIT "headers: ['']\n", "6:11", "needs a value"},
        {GOOD_LIMIT "    headers: []\n", "6:5", "unknown field 'headers' in a limit"},
        {GOOD_LIMIT "    cost:\n", "6:10", "'cost' needs a value; write cost: VALUE"},
        {GOOD_LIMIT "    cost: 0\n", "6:11",
         "cost: neither a whole number from 1 to 1000000 nor a source; write 1, env:NAME"},
        {GOOD_LIMIT "    cost: -1\n", "6:11", "cost: neither a whole number"},
        {GOOD_LIMIT "    cost: 1000001\n", "6:11", "cost: neither a whole number"},
        {GOOD_LIMIT "    cost: 1.5\n", "6:11", "cost: neither a whole number"},
        {GOOD_LIMIT "    cost: path\n", "6:11", "cost: neither a whole number"},
        {GOOD_LIMIT "    cost: header:\n", "6:17",
         "quote a value that holds ': ' or ends with ':'"},
        {GOOD_LIMIT "    cost: 'header:'\n", "6:11", "cost: this source needs a name"},
        {GOOD_LIMIT "    cost: headers:X\n", "6:11", "cost: unknown source"},
        {GOOD_LIMIT "    cost: [1]\n", "6:11", "'cost' takes one value, and not a list"},
        {GOOD_LIMIT "cost: 1\n", "6:1", "unknown field 'cost' in the file"},
        {GOOD_LIMIT "    shadow:\n", "6:12", "'shadow' needs a value"},
        {GOOD_LIMIT "    shadow: yes\n", "6:13",
         "shadow: 'yes' is neither; did you mean 'true'? write false or true"},
        {GOOD_LIMIT "    shadow: 1\n", "6:13", "shadow: '1' is neither"},
        {GOOD_LIMIT "    shadow: True\n", "6:13", "did you mean 'true'? write false or true"},
        {GOOD_LIMIT "    shadow: {}\n", "6:13", "'shadow' takes a value, and not fields"},
        {GOOD_LIMIT "    show:\n", "6:10", "'show' needs a value"},
        {GOOD_LIMIT "    show: yes\n", "6:11",
         "show: 'yes' is neither; did you mean 'true'? write false or true"},
        {GOOD_LIMIT "    show: 1\n", "6:11", "show: '1' is neither"},
        {GOOD_LIMIT "    show: no\n", "6:11", "did you mean 'false'? write false or true"},
        {GOOD_LIMIT "    show: [ip]\n", "6:11", "'show' takes one value, and not a list"},
        {GOOD_LIMIT "show: true\n", "6:1", "unknown field 'show' in the file"},
    };

    want_mistakes(cases, LENGTH(cases));
}

/* An override in line 7, which begins in column 9. */
#define OVERRIDE(override) GOOD_LIMIT "    overrides:\n      - " override "\n"

TEST(a_wrong_override_is_a_mistake_with_its_place)
{
    static const char one[] = "an override says one thing of its clients; write capacity and "
                              "refill (one of them leaves the other as it is), or unlimited: true, "
                              "or blocked: true",
                      list[] = "'overrides' must be a list of at least one; write - { key: alice, ",
                      key[] = "'key' of an override must be a value, or a list of one for each "
                              "source of the limit's key; write alice or [10.0.0.0/8, /api/**]";
    static const struct mistake cases[] = {
        {GOOD_LIMIT "    overrides:\n", "6:15", list},
        {GOOD_LIMIT "    overrides: []\n", "6:16", list},
        {GOOD_LIMIT "    overrides: {}\n", "6:16", list},
        {GOOD_LIMIT "    overrides: alice\n", "6:16", list},
        {GOOD_LIMIT "    overrides: { key: 10.0.0.1 }\n", "6:16", list},
        {GOOD_LIMIT "overrides: []\n", "6:1", "unknown field 'overrides' in the file"},
        {OVERRIDE("alice"), "7:9",
         "an override must be a mapping, FIELD: VALUE; its fields are key, capacity, refill, "
         "unlimited, blocked"},
        {OVERRIDE("[]"), "7:9", "an override must be a mapping"},
        {OVERRIDE("{}"), "7:9", "the field 'key' is missing in an override; add key: VALUE"},
        {OVERRIDE("{ capacity: 9 }"), "7:9", "the field 'key' is missing"},
        {OVERRIDE("{ key: 10.0.0.1 }"), "7:9", one},
        {OVERRIDE("{ key: 10.0.0.1, unlimited: false }"), "7:9", one},
        {OVERRIDE("{ key: 10.0.0.1, blocked: false }"), "7:9", one},
        {OVERRIDE("{ key: 10.0.0.1, unlimited: true, blocked: true }"), "7:9", one},
        {OVERRIDE("{ key: 10.0.0.1, unlimited: true, capacity: 9 }"), "7:9", one},
        {OVERRIDE("{ key: 10.0.0.1, blocked: true, refill: 9/s }"), "7:9", one},
        {OVERRIDE("{ key: 10.0.0.1, burst: 9 }"), "7:26",
         "unknown field 'burst' in an override; did you mean 'capacity'? its fields are key, "
         "capacity, refill, unlimited, "
         "blocked"},
        {OVERRIDE("{ key: 10.0.0.1, blocked: true, cost: 9 }"), "7:41", "unknown field 'cost'"},
        {OVERRIDE("{ key: 10.0.0.1, blocked: true, shadow: true }"), "7:41", "unknown field"},
        {OVERRIDE("{ key: {}, capacity: 9 }"), "7:16", key},
        {OVERRIDE("{ key: [], capacity: 9 }"), "7:16", key},
        {OVERRIDE("{ key: , capacity: 9 }"), "7:16", "'key' needs a value"},
        {OVERRIDE("{ key: '', capacity: 9 }"), "7:16", "'key' needs a value"},
        {OVERRIDE("{ key: [''], capacity: 9 }"), "7:17", "needs a value"},
        {OVERRIDE("{ key: [[a]], capacity: 9 }"), "7:17",
         "this entry takes one value, and not a list"},
        {OVERRIDE("{ key: [1,2,3,4,5,6,7,8,9], capacity: 9 }"), "7:33",
         "too many entries; a key has at most 8 sources"},
        {OVERRIDE("{ key: [10.0.0.1, x], capacity: 9 }"), "7:16",
         "key '10.0.0.1': the limit's key has no alternative of so many sources; write one entry"},
        {OVERRIDE("{ key: alice, capacity: 9 }"), "7:16",
         "key 'alice': neither an address nor a CIDR; write 192.0.2.7, 10.0.0.0/8"},
        {OVERRIDE("{ key: 10.0.0.1/8, capacity: 9 }"), "7:16", "bits are set behind the prefix"},
        {OVERRIDE("{ key: 10.0.0.0/33, capacity: 9 }"), "7:16", "is 0 to 32; write 10.0.0.0/8"},
        {OVERRIDE("{ key: '2001:db8::1', capacity: 9 }"), "7:16",
         "an IPv6 client is its whole prefix, of ipv6_prefix bits; write that prefix, such as "
         "2001:db8:1:2::/64, or set ipv6_prefix"},
        {OVERRIDE("{ key: \"a\\nb\", capacity: 9 }"), "7:16", "key 'a?b': neither an address"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(an_override_that_is_not_plain_or_within_bounds_is_a_mistake_with_its_place)
{
    static const char years[] = "this bucket takes more than ten years to fill; lower capacity or";
    static const struct mistake cases[] = {
        {OVERRIDE("{ key: *, capacity: 9 }"), "7:17", "this is not YAML"},
        {OVERRIDE("{ key: *a, capacity: 9 }"), "7:16", "an alias (*name); write the value out"},
        {OVERRIDE("&x { key: 10.0.0.1, capacity: 9 }"), "7:9", "an anchor"},
        {OVERRIDE("{ key: &x 10.0.0.1, capacity: 9 }"), "7:16", "an anchor"},
        {OVERRIDE("{ key: !!str 10.0.0.1, capacity: 9 }"), "7:16", "a tag"},
        {OVERRIDE("{ <<: *x, key: 10.0.0.1, capacity: 9 }"), "7:15", "an alias"},
        {OVERRIDE("{ key: 10.0.0.1, key: 10.0.0.1, capacity: 9 }"), "7:26", "duplicate field"},
        {OVERRIDE("{ key: 10.0.0.1, capacity: 9, capacity: 8 }"), "7:39", "duplicate field"},
        {OVERRIDE("{ key: 10.0.0.1, blocked: true, blocked: true }"), "7:41", "duplicate field"},
        {GOOD_LIMIT "    overrides:\n\t- { key: 10.0.0.1 }\n", "7:1", "indent with spaces"},
        {GOOD_LIMIT "    overrides: [{ key: 10.0.0.1, capacity: 9 }]\n    overrides: []\n", "7:5",
         "duplicate field"},
        {OVERRIDE("{ key: 10.0.0.1, capacity: }"), "7:36", "'capacity' needs a value"},
        {OVERRIDE("{ key: 10.0.0.1, capacity: 0 }"), "7:36", "a capacity is 1 to 1000000000"},
        {OVERRIDE("{ key: 10.0.0.1, capacity: 1000000001 }"), "7:36", "capacity: the number is"},
        {OVERRIDE("{ key: 10.0.0.1, refill: 9 }"), "7:34", "refill: no period"},
        {OVERRIDE("{ key: 10.0.0.1, refill: 11111/s }"), "7:34", "write 1000/91ms or 1000/90ms"},
        {OVERRIDE("{ key: 10.0.0.1, unlimited: yes }"), "7:37",
         "unlimited: 'yes' is neither; did you mean 'true'? write false or true"},
        {OVERRIDE("{ key: 10.0.0.1, blocked: 1 }"), "7:35", "blocked: '1' is neither"},
        {OVERRIDE("{ key: 10.0.0.1, capacity: 315360001 }"), "7:9", years},
        {OVERRIDE("{ key: 10.0.0.1, refill: 1/366day, capacity: 10 }"), "7:9", years},
        {OVERRIDE("{ key: 10.0.0.1, capacity: 1000000000, refill: 1/s }"), "7:9", years},
    };

    want_mistakes(cases, LENGTH(cases));
    reading_free(want_accepted(OVERRIDE("{ key: 10.0.0.1, capacity: 315360000 }")));
}

/* Fewer tokens or a faster refill do not make a window of more than ten years. */
TEST(an_override_is_held_to_the_same_bounds_as_a_limit)
{
    static const char *const cases[] = {
        "{ key: 10.0.0.1, capacity: 1 }",
        "{ key: 10.0.0.1, capacity: 1000000000, refill: 1000/ms }",
        "{ key: 10.0.0.1, capacity: 1, refill: 1/366day }",
        "{ key: '*', refill: 1000/ms }",
        "{ key: '**', unlimited: true, blocked: false }",
        "{ key: '::/0', blocked: true }",
        "{ key: 0.0.0.0/0, blocked: true }",
    };

    FOR_EACH(c, cases) {
        char text[512];

        snprintf(text, sizeof text, OVERRIDE("%s"), *c);
        reading_free(want_accepted(text));
    }
}

TEST(a_number_in_another_form_is_a_mistake_in_every_field)
{
    static const struct {
        const char *file, *place;   /* FILE: an '@' in place of the number */
        const char *before, *after; /* complete a number to a valid value */
    } fields[] = {
        {ONE_LIMIT("a", "ip", "@", "1/s"), "4:15", "", ""},
        {ONE_LIMIT("a", "ip", "5", "@"), "5:13", "", "/s"},
        {ONE_LIMIT("a", "ip", "5", "@"), "5:13", "1/", "s"},
        {GOOD_LIMIT "    cost: @\n", "6:11", "", ""},
        {GOOD_LIMIT "ipv6_prefix: @\n", "6:14", "", ""},
        {GOOD_LIMIT "redis: { timeout: @ }\n", "6:19", "", "ms"},
        {OVERRIDE("{ key: 10.0.0.1, capacity: @ }"), "7:36", "", ""},
        {OVERRIDE("{ key: 10.0.0.1, refill: @ }"), "7:34", "", "/s"},
        {OVERRIDE("{ key: 10.0.0.1, refill: @ }"), "7:34", "1/", "s"},
    };
    static const char *const numbers[] = {
        "1e309",
        "1e3",
        "-0",
        "-1",
        "+1",
        "007",
        "00",
        "0",
        "1.5",
        ".5",
        "0x10",
        "1_0",
        "1'0",
        "NaN",
        ".inf",
        "Infinity",
        "1 0",
        "99999999999",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551617",
        "340282366920938463463374607431768211457",
        "\xef\xbc\x95",
        "x%n",
    };

    FOR_EACH(field, fields)
        FOR_EACH(number, numbers) {
            char text[512], value[64];

            snprintf(value, sizeof value, "%s%s%s", field->before, *number, field->after);
            put(text, sizeof text, field->file, value);
            want_mistake(text, field->place, "");
        }
}

TEST(nonsensical_rates_are_mistakes_in_limits_and_overrides)
{
    static const struct {
        const char *rate, *error;
    } cases[] = {
        {"5/0s", "refill: the duration is 0: write 1ms or more"},
        {"0/5s", "refill: the count is 0, so the bucket would never refill"},
        {"0/0s", "refill: the count is 0"},
        {"1/999999999day", "refill: the duration is too long: write 366day or less"},
        {"1/99999999999999999999day", "refill: the number is too large"},
        {"1/367day", "refill: the duration is too long"},
        {"1/31622401s", "refill: the duration is too long"},
        {"1e309/s", "refill: an exponent is not allowed"},
        {"1/1e309s", "refill: an exponent is not allowed"},
        {"-0/s", "refill: a sign is not allowed"},
        {"007/s", "refill: a leading zero is not allowed: write 7 for 007"},
        {"1/07s", "refill: a leading zero is not allowed"},
        {"1000000001/day", "refill: the count is too large"},
        {"1//s", "refill: more than one '/'"},
        {"1/s/s", "refill: more than one '/'"},
        {"1/ s", "refill: a space is not allowed"},
        {"1 /s", "refill: a space is not allowed"},
    };

    FOR_EACH(c, cases) {
        char text[512];

        snprintf(text, sizeof text, ONE_LIMIT("a", "ip", "5", "%s"), c->rate);
        want_mistake(text, "5:13", c->error);
        snprintf(text, sizeof text, OVERRIDE("{ key: 10.0.0.1, refill: %s }"), c->rate);
        want_mistake(text, "7:34", c->error);
    }
}

TEST(a_typo_is_reported_with_what_was_meant)
{
    static const struct mistake cases[] = {
        {GOOD_LIMIT "header: [ietf]\n", "6:1",
         "unknown field 'header' in the file; did you mean "
         "'headers'? its fields are redis, ipv6_prefix,"},
        {GOOD_LIMIT "ipv6-prefix: 64\n", "6:1", "did you mean 'ipv6_prefix'? "},
        {GOOD_LIMIT "reddis: {}\n", "6:1", "did you mean 'redis'? "},
        {GOOD_LIMIT "redis: { adress: h }\n", "6:10", "did you mean 'address'? "},
        {GOOD_LIMIT "redis: { tiemout: 5ms }\n", "6:10", "did you mean 'timeout'? "},
        {GOOD_LIMIT "    macth: {}\n", "6:5", "did you mean 'match'? "},
        {GOOD_LIMIT "    costs: 1\n", "6:5", "did you mean 'cost'? "},
        {GOOD_LIMIT "    shaddow: true\n", "6:5", "did you mean 'shadow'? "},
        {GOOD_LIMIT "    shwo: true\n", "6:5", "did you mean 'show'? "},
        {GOOD_LIMIT "    shows: true\n", "6:5", "did you mean 'show'? "},
        {GOOD_LIMIT "    override: []\n", "6:5", "did you mean 'overrides'? "},
        {GOOD_LIMIT "    on_redis_fail: deny\n", "6:5", "did you mean 'on_redis_failure'? "},
        {GOOD_LIMIT "    match: { pathe: /x }\n", "6:14", "did you mean 'path'? "},
        {GOOD_LIMIT "    match: { method: [GET] }\n", "6:14", "did you mean 'methods'? "},
        {GOOD_LIMIT "    match: { hosts: a.com }\n", "6:14", "did you mean 'host'? "},
        {GOOD_LIMIT "    on_redis_failure: alow\n", "6:23",
         "on_redis_failure: 'alow' is none of these; did you mean 'allow'? write allow, deny or "
         "local"},
        {GOOD_LIMIT "    shadow: treu\n", "6:13", "did you mean 'true'? "},
        {GOOD_LIMIT "    shadow: fales\n", "6:13", "did you mean 'false'? "},
        {GOOD_LIMIT "headers: [ieft]\n", "6:11", "did you mean 'ietf'? "},
        {OVERRIDE("{ key: 10.0.0.1, unlimitted: true, blocked: true }"), "7:26",
         "did you mean 'unlimited'? "},
        {OVERRIDE("{ key: 10.0.0.1, block: true, blocked: true }"), "7:26",
         "did you mean 'blocked'? "},
        {ONE_LIMIT("a", "ip", "5", "1/12sec"), "5:13", "write s for seconds"},
        {ONE_LIMIT("a", "ip", "5", "1/minute"), "5:13", "write min for minutes"},
        {ONE_LIMIT("a", "ip", "5", "1/minuet"), "5:13", "refill: unknown unit: write"},
        {ONE_LIMIT("a", "ip", "5", "1/days"), "5:13", "write day for days"},
        {ONE_LIMIT("a", "ip", "5", "1/dya"), "5:13", "write day for days"},
        {ONE_LIMIT("a", "ip", "5", "1/Hours"), "5:13", "write h for hours"},
        {GOOD_LIMIT "redis: { timeout: 50msec }\n", "6:19", "write ms for milliseconds"},
        {GOOD_LIMIT "    color: red\n", "6:5", "unknown field 'color' in a limit; its fields are"},
    };

    want_mistakes(cases, LENGTH(cases));
}

TEST(mistakes_are_reported_in_the_order_of_their_places)
{
    static const char text[] = "limits:\n"
                               "  - overrides:\n"
                               "      - { capacity: 0, key: '' }\n"
                               "      - { key: x, blocked: maybe }\n"
                               "    shadow: maybe\n"
                               "    cost: 0\n"
                               "    refill: 0\n"
                               "    capacity: 0\n"
                               "    key: nothing\n"
                               "    name: a b\n"
                               "    unknown: 1\n"
                               "headers: [a, b]\n"
                               "ipv6_prefix: 0\n"
                               "redis: { timeout: 0, address: ':' }\n"
                               "also: unknown\n";
    struct reading *reading = read_text(text);
    unsigned last_line = 0, last_column = 0;

    want_lines(text, reading, "test.yaml");
    for (const char *at = reading->errors; *at; at = strchr(at, '\n') + 1) {
        unsigned line, column;

        assert_int_equal(sscanf(at, "test.yaml:%u:%u:", &line, &column), 2);
        if (line < last_line || (line == last_line && column < last_column))
            fail_msg("out of order: %s", reading->errors);
        last_line = line;
        last_column = column;
    }
    assert_int_equal(reading->mistakes, 16);
    reading_free(reading);
}

TEST(a_text_of_two_thousand_characters_is_a_mistake_with_its_place)
{
    static const struct {
        const char *file, *place, *error;
        bool glob;
    } cases[] = {
        {ONE_LIMIT("@", "ip", "5", "1/s"), "2:11", "1 to 64 of", false},
        {ONE_LIMIT("a", "query:@", "5", "1/s"), "3:10", "the most is 64 bytes", false},
        {ONE_LIMIT("a", "@", "5", "1/s"), "3:10", "unknown source", false},
        {ONE_LIMIT("a", "ip", "@", "1/s"), "4:15", "capacity: not a whole number", false},
        {ONE_LIMIT("a", "ip", "5", "1/@"), "5:13", "refill: unknown unit", false},
        {GOOD_LIMIT "    match: { path: /@ }\n", "6:20", "the most is 256 bytes", false},
        {GOOD_LIMIT "    match: { host: '@' }\n", "6:20", "the most is 256 bytes", true},
        {GOOD_LIMIT "    match: { methods: [@] }\n", "6:24", "1 to 16 capital letters", false},
        {GOOD_LIMIT "    cost: header:@\n", "6:11", "the most is 64 bytes", false},
        {GOOD_LIMIT "    shadow: @\n", "6:13", "is neither; write false or true", false},
        {GOOD_LIMIT "headers: [@]\n", "6:11", "is neither; write ietf", false},
        {OVERRIDE("{ key: @, capacity: 9 }"), "7:16", "the most is 1024 bytes", false},
        {OVERRIDE("{ key: '@', capacity: 9 }"), "7:16", "the most is 256 bytes", true},
    };
    char text[4096], piece[2001];

    FOR_EACH(c, cases) {
        memset(piece, 'x', 2000);
        piece[2000] = '\0';
        if (c->glob)
            piece[1000] = '*';
        put(text, sizeof text, c->file, piece);
        want_mistake(text, c->place, c->error);
    }
    memset(piece, 'x', 2000);
    snprintf(text, sizeof text, "%s    %s: 1\n", GOOD_LIMIT, piece);
    struct reading *reading = read_text(text);
    want_lines("a field of 2000 characters", reading, "test.yaml");
    assert_int_equal(reading->mistakes, 1);
    reading_free(reading);
}

TEST(ten_megabytes_are_a_mistake)
{
    size_t len = (size_t)10 * 1024 * 1024;
    char *text = malloc(len);

    assert_non_null(text);
    memset(text, '\n', len);
    memcpy(text, GOOD_LIMIT, strlen(GOOD_LIMIT));
    want_one_mistake("10 MiB", text, len, "", "the file is larger than 4 MiB; write fewer");
    free(text);
}

/* A file with COUNT overrides, for addresses or for NETWORKS.  The caller frees it. */
static char *overrides_of(unsigned count, bool networks)
{
    char *text = malloc(200 + count * 80U);
    size_t len = (size_t)sprintf(text, "%s    overrides:\n", GOOD_LIMIT);

    for (unsigned i = 0; i < count; i++) {
        len += (size_t)sprintf(text + len, "      - { key: 10.%u.%u.%s, capacity: %u }\n", i / 256,
                               i % 256, networks ? "0/24" : "7", i + 1);
    }
    return text;
}

TEST(ten_thousand_exact_overrides_are_read)
{
    enum { MANY = 10000 };
    char *text = overrides_of(MANY, false);
    struct reading *reading = want_accepted(text);

    for (unsigned i = 0; i < MANY; i++) {
        char ip[32];

        sprintf(ip, "10.%u.%u.7", i / 256, i % 256);
        const struct override *got = override_of(reading->limits, 0, ip);
        assert_non_null(got);
        want_number(ip, got->capacity, i + 1);
        want_number(ip, got->line, i + 7);
    }
    assert_null(override_of(reading->limits, 0, "10.39.16.7"));
    assert_int_equal(reading->findings.warning_count, 0);
    reading_free(reading);
    free(text);
}

TEST(as_many_patterns_as_are_allowed_are_read_and_no_more)
{
    char *most = overrides_of(OVERRIDES_PATTERNS_MAX, true),
         *one_more = overrides_of(OVERRIDES_PATTERNS_MAX + 1, true);

    reading_free(want_accepted(most));
    want_one_mistake("257 networks", one_more, strlen(one_more), "263:16",
                     "key '10.1.0.0/24': too many globs and CIDRs in the overrides of one limit; "
                     "the most is 256, and exact keys are not bounded");
    free(most);
    free(one_more);
}

TEST(a_name_that_would_break_a_header_is_a_mistake)
{
    static const char *const names[] = {
        "'a\"'",       "\"a\\nb\"", "\"a\\rb\"", "\"a\\tb\"", "'a b'",       "'a,b'",
        "'a;q=1'",     "'a:b'",     "'a}b'",     "'{a'",      "'a\\b'",      "\"\\x7f\"",
        "\"\\u00e9\"", "'%0a'",     "\"\\x01\"", "'<a>'",     "\"\\u2028\"", "' '",
    };

    FOR_EACH(name, names) {
        char text[256];

        snprintf(text, sizeof text, ONE_LIMIT("%s", "ip", "5", "1/s"), *name);
        want_mistake(text, "2:11", "a limit's name is used in headers and keys; write 1 to 64 of");
    }
}

TEST(limits_are_freed_by_their_last_holder)
{
    struct reading *reading = want_accepted(OVERRIDE("{ key: 10.0.0.1, capacity: 9 }"));
    struct limits *limits = reading->limits;

    assert_int_equal(limits->ref_count, 1);
    assert_ptr_equal(limits_ref(limits), limits);
    assert_int_equal(limits->ref_count, 2);
    reading_free(reading);
    assert_int_equal(limits->ref_count, 1);
    assert_non_null(override_of(limits, 0, "10.0.0.1"));
    limits_unref(limits);
    limits_unref(NULL);
}

/* Whatever is changed in a valid file, it is read or refused with a reason, without a crash. */
TEST(a_damaged_file_is_read_or_refused)
{
    static const char good[] = "redis: { address: 127.0.0.1:6379, timeout: 50ms }\n"
                               "limits:\n"
                               "  - name: per-user\n"
                               "    key: query:user | ip  # the first\n"
                               "    capacity: 5\n"
                               "    refill: 1/12s\n"
                               "    on_redis_failure: allow\n"
                               "  - { name: 'b', key: ip, capacity: 50, refill: \"3/s\" }\n"
                               "  - name: c\n"
                               "    key: ip + path | ip\n"
                               "    capacity: 20\n"
                               "    refill: 5/s\n"
                               "    cost: header:X-Cost\n"
                               "    shadow: true\n"
                               "    match: { path: /a/**, methods: [GET], host: a.com }\n"
                               "    overrides:\n"
                               "      - { key: 10.0.0.0/8, capacity: 9, refill: 9/s }\n"
                               "      - { key: [10.0.0.1, /a/b*], unlimited: true }\n"
                               "      - { key: \"2001:db8::/64\", blocked: true }\n"
                               "headers: [ietf, x-ratelimit]\n"
                               "ipv6_prefix: 64\n";
    static const char bytes[] = "[]{}&*!|>'\"%@`#:-?,\n \t\\0159azAZ\xff\xc3\xa9\x01";
    uint64_t seed = 1;
    unsigned accepted = 0;

    for (int round = 0; round < ROUNDS; round++) {
        char text[sizeof good];
        size_t len = strlen(good) - (round % 4 == 0 ? random_number(&seed) % strlen(good) : 0);

        memcpy(text, good, sizeof good);
        text[len] = '\0';
        for (uint64_t i = random_number(&seed) % 4; len > 0 && i > 0; i--)
            text[random_number(&seed) % len] = bytes[random_number(&seed) % (sizeof bytes - 1)];
        struct reading *reading = read_text(text);
        want_lines(text, reading, "test.yaml");
        if (reading->mistakes == 0) {
            want_valid(text, reading->limits);
            accepted++;
        }
        reading_free(reading);
    }
    assert_in_range(accepted, 1, ROUNDS - 1);
}

static struct yaml_tree *tree_of(const char *text)
{
    struct findings findings = {.file = "tree"};
    struct yaml_tree *root = yaml_tree_parse(text, strlen(text), &findings);

    assert_non_null(root);
    assert_int_equal(findings.error_count, 0);
    return root;
}

static void want_node(const struct yaml_tree *node, enum yaml_tree_kind kind, unsigned line,
                      unsigned column, const char *key, const char *text)
{
    assert_non_null(node);
    assert_int_equal(node->kind, kind);
    assert_int_equal(node->line, line);
    assert_int_equal(node->column, column);
    if (key)
        assert_string_equal(node->key->text, key);
    else
        assert_null(node->key);
    if (text)
        assert_string_equal(node->text, text);
    else
        assert_null(node->text);
}

TEST(every_value_in_a_tree_knows_its_place)
{
    struct yaml_tree *root = tree_of("\xef\xbb\xbf# comment\r\n"
                                     "one: 1\r\n"
                                     "\"\xc3\xa9\": \"a\\tb\"   # two bytes, one column\r\n"
                                     "list:\r\n"
                                     "  - 'it''s'\r\n"
                                     "  - { a: b c , d: }\r\n"
                                     "  - []\r\n"
                                     "text: |\r\n"
                                     "  x\r\n"
                                     "  y\r\n");
    const struct yaml_tree *one = root->first, *two = one->next, *list = two->next;
    const struct yaml_tree *quoted = list->first, *flow = quoted->next, *empty = flow->next;

    want_node(root, TREE_MAPPING, 2, 1, NULL, NULL);
    want_node(one, TREE_SCALAR, 2, 6, "one", "1");
    want_node(one->key, TREE_SCALAR, 2, 1, NULL, "one");
    want_node(two, TREE_SCALAR, 3, 6, "\xc3\xa9", "a\tb");
    want_node(list, TREE_SEQUENCE, 5, 3, "list", NULL);
    want_node(quoted, TREE_SCALAR, 5, 5, NULL, "it's");
    want_node(flow, TREE_MAPPING, 6, 5, NULL, NULL);
    want_node(flow->first, TREE_SCALAR, 6, 10, "a", "b c");
    want_node(flow->first->next, TREE_SCALAR, 6, 19, "d", "");
    assert_null(flow->first->next->next);
    want_node(empty, TREE_SEQUENCE, 7, 5, NULL, NULL);
    assert_null(empty->first);
    assert_null(empty->next);
    want_node(list->next, TREE_SCALAR, 8, 7, "text", "x\ny\n");
    assert_null(list->next->next);
    yaml_tree_free(root);
}

TEST(freeing_a_null_tree_does_nothing)
{
    yaml_tree_free(NULL);
}

TESTS_MAIN
