/* test_reply.c - tests of decide/reply.h */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "decide/reply.h"
#include "base/units.h"

#include <stdbool.h>
#include <stdio.h>

#define ROUNDS  20000
#define NAME_16 "n123456789abcdef"
#define NAME_64 NAME_16 NAME_16 NAME_16 NAME_16

#define HEAD_200 "Status: 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
#define HEAD_429                                                                                   \
    "Status: 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n"                  \
    "Cache-Control: no-store\r\n"
#define PROBLEM_429                                                                                \
    "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","                \
    "\"title\":\"Request cannot be satisfied as assigned quota has been exceeded\","               \
    "\"status\":429,"
#define QUOTA_EXCEEDED PROBLEM_429 "\"violated-policies\":"
#define QUOTA_TOO_DEAR                                                                             \
    PROBLEM_429 "\"detail\":\"This request costs 6 tokens, and a bucket of per-user holds 5: it "  \
                "can never be served.\",\"violated-policies\":"

static const struct limit per_user = {.name = "per-user"};
static const struct limit per_second = {.name = "per-second"};
static const struct limit third = {.name = "a.b_C-3"};
static const struct charge user_charge = {.capacity = 5, .interval_us = 12000000, .cost = 1};
static const struct charge dear_charge = {.capacity = 5, .interval_us = 12000000, .cost = 6};
static const struct charge second_charge = {.capacity = 100, .interval_us = 10000, .cost = 1};
static const struct charge dear_second_charge = {
    .capacity = 100, .interval_us = 10000, .cost = 101};
static const struct charge third_charge = {.capacity = 10, .interval_us = 333334, .cost = 1};

/* What a limit asked, and the balance after that. */
struct row {
    const struct limit *limit;
    const struct charge *charge;
    struct balance balance;
};

/* The COUNT ROWS as reply.h has them; borrowed until the next call. */
static const struct quota *quotas_of(const struct row *rows, size_t count)
{
    static struct charge charges[STORE_CHARGES_MAX];
    static struct quota quotas[STORE_CHARGES_MAX];

    for (size_t i = 0; i < count; i++) {
        charges[i] = *rows[i].charge;
        charges[i].balance = rows[i].balance;
        quotas[i] = (struct quota){rows[i].limit, &charges[i]};
    }
    return quotas;
}

/* Take *AT past EXPECTED.  Returns whether it is there. */
static bool take_text(const char **at, const char *expected)
{
    size_t len = strlen(expected);
    bool found = strncmp(*at, expected, len) == 0;

    *at += found ? len : 0;
    return found;
}

/* An Integer (RFC 9651, 3.3.1) that is not negative: at most 15 digits. */
static bool take_integer(const char **at, long long *out)
{
    size_t digits = strspn(*at, "0123456789");

    if (digits < 1 || digits > 15)
        return false;
    *out = atoll(*at);
    *at += digits;
    return true;
}

/* A String (RFC 9651, 3.3.3) without escapes, the bytes between its quotes into OUT. */
static bool take_string(const char **at, char out[LIMIT_NAME_MAX + 1])
{
    size_t len;

    if (!take_text(at, "\""))
        return false;
    for (len = 0; (*at)[len] >= ' ' && (*at)[len] < 0x7f && !strchr("\"\\", (*at)[len]); len++)
        if (len == LIMIT_NAME_MAX)
            return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len;
    return len > 0 && take_text(at, "\"");
}

/* The value of the header field NAME in TEXT, or NULL.  It ends at the next CR. */
static const char *field_in(const char *text, const char *name)
{
    const char *end = strstr(text, "\r\n\r\n");
    char start[64];

    snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *at = strstr(text, start);
    return at && at < end ? at + strlen(start) : NULL;
}

static long long number_in(const char *text, const char *name)
{
    const char *at = field_in(text, name);
    long long number = -1;

    if (at && (!take_integer(&at, &number) || !take_text(&at, "\r\n")))
        fail_msg("%s is no number: \"%s\"", name, text);
    return number;
}

/* A CGI response (RFC 3875, 6): fields with their line ends, Status first and once, nothing twice,
 * an empty line, and as many bytes of body as Content-Length says. */
static void want_response(const char *text, size_t len)
{
    static const char *const once[] = {
        "Content-Type",      "Cache-Control",   "Retry-After",       "Content-Length",
        "RateLimit-Policy",  "RateLimit",       "X-RateLimit-Limit", "X-RateLimit-Remaining",
        "X-RateLimit-Reset", "RateLimit-Shadow"};
    const char *end = strstr(text, "\r\n\r\n"), *body = end ? end + 4 : NULL;

    if (!body || strlen(text) != len || len >= REPLY_SIZE || strncmp(text, "Status: ", 8) != 0)
        fail_msg("no response: \"%s\"", text);
    for (const char *line = text; line <= end; line = strstr(line, "\r\n") + 2) {
        size_t name_len = strcspn(line, ":"), line_len = strcspn(line, "\r\n");

        if (name_len == 0 || name_len > line_len || strncmp(line + name_len, ": ", 2) != 0 ||
            strncmp(line + line_len, "\r\n", 2) != 0)
            fail_msg("not a header line: \"%.*s\"", (int)line_len, line);
    }
    for (size_t i = 0; i < LENGTH(once); i++) {
        const char *first = field_in(text, once[i]);

        if (first && field_in(first, once[i]))
            fail_msg("%s appears twice: \"%s\"", once[i], text);
    }
    want_number(text, number_in(text, "Content-Length"), (int64_t)strlen(body));
    if (body[0] != '{' || strcmp(body + strlen(body) - 2, "}\n") != 0 || strpbrk(body, "\r"))
        fail_msg("no JSON object: \"%s\"", body);
}

/* The field NAME of TEXT is a List (RFC 9651, 3.1) of a String for each of COUNT QUOTAS, with the
 * Parameters FIRST and SECOND, which are Integers; OPTIONAL: SECOND may be left out. */
static void want_list(const char *text, const char *name, const struct row *quotas, size_t count,
                      const char *first, const char *second, bool optional)
{
    const char *at = field_in(text, name);
    char item[LIMIT_NAME_MAX + 1];
    long long number;

    assert_non_null(at);
    for (size_t i = 0; i < count; i++) {
        bool good = (i == 0 || take_text(&at, ", ")) && take_string(&at, item) &&
                    strcmp(item, quotas[i].limit->name) == 0 && take_text(&at, first) &&
                    take_integer(&at, &number);

        good = good && (take_text(&at, second) ? take_integer(&at, &number) : optional);
        if (!good)
            fail_msg("%s is no list of these: \"%s\"", name, text);
    }
    if (!take_text(&at, "\r\n"))
        fail_msg("%s goes on: \"%s\"", name, text);
}

static void decide(const struct row *quotas, size_t count, char out[REPLY_SIZE])
{
    const struct verdict verdict = {
        .quotas = quotas_of(quotas, count), .count = count, .headers = HEADER_IETF};

    memset(out, 'x', REPLY_SIZE);
    want_response(out, reply_decided(&verdict, REPLY_WHOLE, out));
    want_list(out, "RateLimit-Policy", quotas, count, ";q=", ";w=", false);
    want_list(out, "RateLimit", quotas, count, ";r=", ";t=", true);
}

TEST(one_quota_is_answered_with_all_that_the_client_needs)
{
    static const struct {
        const char *what;
        struct row quota;
        const char *want;
    } cases[] = {
        {"allowed, tokens left",
         {&per_user, &user_charge, {true, 4, 0, 12000000}},
         HEAD_200 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=4;t=48\r\n"
                  "Content-Length: 52\r\n\r\n"
                  "{\"allowed\":true,\"limit\":5,\"remaining\":4,\"reset\":12}\n"},
        {"allowed, and the last one",
         {&per_user, &user_charge, {true, 0, 11999999, 59999999}},
         HEAD_200 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0;t=12\r\n"
                  "Content-Length: 52\r\n\r\n"
                  "{\"allowed\":true,\"limit\":5,\"remaining\":0,\"reset\":60}\n"},
        {"allowed, and it cost nothing",
         {&per_user, &user_charge, {true, 5, 0, 0}},
         HEAD_200 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=5;t=60\r\n"
                  "Content-Length: 51\r\n\r\n"
                  "{\"allowed\":true,\"limit\":5,\"remaining\":5,\"reset\":0}\n"},
        {"a token takes no whole number of microseconds",
         {&third, &third_charge, {true, 3, 0, 2333335}},
         HEAD_200 "RateLimit-Policy: \"a.b_C-3\";q=10;w=4\r\n"
                  "RateLimit: \"a.b_C-3\";r=3;t=2\r\n"
                  "Content-Length: 52\r\n\r\n"
                  "{\"allowed\":true,\"limit\":10,\"remaining\":3,\"reset\":3}\n"},
        {"refused",
         {&per_user, &user_charge, {false, 0, 11999000, 59999000}},
         HEAD_429 "Retry-After: 12\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0;t=12\r\n"
                  "Content-Length: 194\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\"]}\n"},
        {"refused for a moment",
         {&per_user, &user_charge, {false, 0, 1, 48000001}},
         HEAD_429 "Retry-After: 1\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0;t=1\r\n"
                  "Content-Length: 194\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\"]}\n"},
        {"refused with tokens left: it costs more than there are",
         {&per_user, &user_charge, {false, 2, 24000000, 36000000}},
         HEAD_429 "Retry-After: 24\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=2;t=24\r\n"
                  "Content-Length: 194\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\"]}\n"},
        {"refused for ever: it costs more than the capacity",
         {&per_user, &dear_charge, {false, 5, -1, 0}},
         HEAD_429 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=5;t=60\r\n"
                  "Content-Length: 292\r\n\r\n" QUOTA_TOO_DEAR "[\"per-user\"]}\n"},
        {"refused for ever with none left",
         {&per_user, &dear_charge, {false, 0, -1, 60000000}},
         HEAD_429 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0\r\n"
                  "Content-Length: 292\r\n\r\n" QUOTA_TOO_DEAR "[\"per-user\"]}\n"},
    };

    FOR_EACH(c, cases) {
        char got[REPLY_SIZE];

        decide(&c->quota, 1, got);
        want_text(c->what, got, c->want);
    }
}

TEST(several_quotas_are_answered_together)
{
    static const struct {
        const char *what;
        struct row quotas[3];
        const char *want;
    } cases[] = {
        {"all allowed: the body is about the one with the least left",
         {{&per_user, &user_charge, {true, 4, 0, 12000000}},
          {&per_second, &second_charge, {true, 0, 10000, 1000000}},
          {&third, &third_charge, {true, 9, 0, 333334}}},
         HEAD_200
         "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
         "\"a.b_C-3\";q=10;w=4\r\n"
         "RateLimit: \"per-user\";r=4;t=48, \"per-second\";r=0;t=1, \"a.b_C-3\";r=9;t=4\r\n"
         "Content-Length: 53\r\n\r\n"
         "{\"allowed\":true,\"limit\":100,\"remaining\":0,\"reset\":1}\n"},
        {"the last one refuses",
         {{&per_user, &user_charge, {true, 5, 0, 0}},
          {&per_second, &second_charge, {true, 1, 0, 990000}},
          {&third, &third_charge, {false, 0, 300000, 3300000}}},
         HEAD_429
         "Retry-After: 1\r\n"
         "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
         "\"a.b_C-3\";q=10;w=4\r\n"
         "RateLimit: \"per-user\";r=5;t=60, \"per-second\";r=1;t=1, \"a.b_C-3\";r=0;t=1\r\n"
         "Content-Length: 193\r\n\r\n" QUOTA_EXCEEDED "[\"a.b_C-3\"]}\n"},
        {"two refuse: the client waits for both",
         {{&per_user, &user_charge, {false, 0, 30000001, 50000000}},
          {&per_second, &second_charge, {true, 100, 0, 0}},
          {&third, &third_charge, {false, 0, 300000, 3300000}}},
         HEAD_429 "Retry-After: 31\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
                  "\"a.b_C-3\";q=10;w=4\r\n"
                  "RateLimit: \"per-user\";r=0;t=31, \"per-second\";r=100;t=1, "
                  "\"a.b_C-3\";r=0;t=1\r\n"
                  "Content-Length: 204\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\",\"a.b_C-3\"]}\n"},
        {"one of two refuses for ever: no wait helps",
         {{&per_user, &user_charge, {false, 0, 30000001, 50000000}},
          {&per_second, &dear_second_charge, {false, 100, -1, 0}},
          {&third, &third_charge, {true, 10, 0, 0}}},
         HEAD_429
         "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
         "\"a.b_C-3\";q=10;w=4\r\n"
         "RateLimit: \"per-user\";r=0;t=31, \"per-second\";r=100;t=1, "
         "\"a.b_C-3\";r=10;t=4\r\n"
         "Content-Length: 311\r\n\r\n" PROBLEM_429
         "\"detail\":\"This request costs 101 tokens, and a bucket of per-second holds 100: "
         "it can never be served.\",\"violated-policies\":[\"per-user\",\"per-second\"]}\n"},
    };

    FOR_EACH(c, cases) {
        char got[REPLY_SIZE];

        decide(c->quotas, LENGTH(c->quotas), got);
        want_text(c->what, got, c->want);
    }
}

/* X-RateLimit-Limit, -Remaining and -Reset. */
#define X_RATELIMIT(limit, remaining, reset)                                                       \
    "X-RateLimit-Limit: " limit "\r\nX-RateLimit-Remaining: " remaining                            \
    "\r\nX-RateLimit-Reset: " reset "\r\n"

/* What reply_decided makes of VERDICT, a response. */
static void decide_verdict(const struct verdict *verdict, char out[REPLY_SIZE])
{
    memset(out, 'x', REPLY_SIZE);
    want_response(out, reply_decided(verdict, REPLY_WHOLE, out));
}

TEST(the_fields_are_those_that_the_headers_name)
{
    static const struct row quota = {&per_user, &user_charge, {true, 4, 0, 12000000}},
                            none_left = {&per_user, &user_charge, {false, 0, 11999000, 59999000}};
#define IETF_200 "RateLimit-Policy: \"per-user\";q=5;w=60\r\nRateLimit: \"per-user\";r=4;t=48\r\n"
#define IETF_429 "RateLimit-Policy: \"per-user\";q=5;w=60\r\nRateLimit: \"per-user\";r=0;t=12\r\n"
#define REST_200                                                                                   \
    "Content-Length: 52\r\n\r\n{\"allowed\":true,\"limit\":5,\"remaining\":4,\"reset\":12}\n"
#define REST_429 "Content-Length: 194\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\"]}\n"
    static const struct {
        const char *what;
        unsigned headers;
        const struct row *quota;
        const char *want;
    } cases[] = {
        {"none", 0, &quota, HEAD_200 REST_200},
        {"ietf", HEADER_IETF, &quota, HEAD_200 IETF_200 REST_200},
        {"x-ratelimit", HEADER_X_RATELIMIT, &quota, HEAD_200 X_RATELIMIT("5", "4", "12") REST_200},
        {"both", HEADER_IETF | HEADER_X_RATELIMIT, &quota,
         HEAD_200 IETF_200 X_RATELIMIT("5", "4", "12") REST_200},
        /* Retry-After is a field of HTTP, and present with any headers */
        {"none, refused", 0, &none_left, HEAD_429 "Retry-After: 12\r\n" REST_429},
        {"ietf, refused", HEADER_IETF, &none_left,
         HEAD_429 "Retry-After: 12\r\n" IETF_429 REST_429},
        {"x-ratelimit, refused", HEADER_X_RATELIMIT, &none_left,
         HEAD_429 "Retry-After: 12\r\n" X_RATELIMIT("5", "0", "60") REST_429},
        {"both, refused", HEADER_IETF | HEADER_X_RATELIMIT, &none_left,
         HEAD_429 "Retry-After: 12\r\n" IETF_429 X_RATELIMIT("5", "0", "60") REST_429},
    };
#undef IETF_200
#undef IETF_429
#undef REST_200
#undef REST_429

    FOR_EACH(c, cases) {
        const struct verdict verdict = {
            .quotas = quotas_of(c->quota, 1), .count = 1, .headers = c->headers};
        char got[REPLY_SIZE];

        decide_verdict(&verdict, got);
        want_text(c->what, got, c->want);
    }
}

/* Limits are told apart by their capacity here: 100, 200 and 300. */
static const struct {
    const char *what;
    int64_t cost[3];
    struct balance balances[3];
    long long want; /* the capacity of the one */
} closest_cases[] = {
    {"the fewest tokens", {1, 1, 1}, {{true, 5, 0, 1}, {true, 3, 0, 1}, {true, 4, 0, 1}}, 200},
    {"of several, the first", {1, 1, 1}, {{true, 5, 0, 1}, {true, 3, 0, 1}, {true, 3, 0, 1}}, 200},
    {"all alike: the first", {1, 1, 1}, {{true, 3, 0, 1}, {true, 3, 0, 9}, {true, 3, 0, 1}}, 100},
    /* what counts is requests like this one, not tokens */
    {"the dearest", {1, 10, 1}, {{true, 5, 0, 1}, {true, 40, 0, 1}, {true, 6, 0, 1}}, 200},
    {"4 requests of 10 are as many as 4 of 1",
     {1, 10, 1},
     {{true, 4, 0, 1}, {true, 49, 0, 1}, {true, 5, 0, 1}},
     100},
    {"3 of 10 are fewer than 4 of 1",
     {1, 10, 1},
     {{true, 4, 0, 1}, {true, 39, 0, 1}, {true, 5, 0, 1}},
     200},
    {"no request is left of 9 tokens at 10",
     {1, 10, 1},
     {{true, 1, 0, 1}, {true, 9, 1000, 1}, {true, 1, 0, 1}},
     200},
    {"a cost of nothing counts as one",
     {0, 1, 0},
     {{true, 3, 0, 1}, {true, 4, 0, 1}, {true, 2, 0, 1}},
     300},
    /* who refuses is closer than who does not, whatever is left */
    {"the one that refuses",
     {1, 100, 1},
     {{true, 0, 5, 5}, {false, 99, 1, 1}, {true, 0, 9, 9}},
     200},
    {"of two that refuse, the longer one",
     {1, 1, 1},
     {{false, 0, 5, 5}, {true, 0, 99, 1}, {false, 0, 6, 1}},
     300},
    {"of two that refuse, the longer one, in any order",
     {1, 1, 1},
     {{false, 0, 6, 5}, {false, 0, 5, 99}, {true, 0, 99, 1}},
     100},
    {"as long: the first", {1, 1, 1}, {{true, 0, 9, 9}, {false, 0, 5, 5}, {false, 0, 5, 9}}, 200},
    {"for ever is longest",
     {1, 201, 1},
     {{false, 0, 1LL << 50, 5}, {false, 200, -1, 0}, {false, 0, 6, 1}},
     200},
    {"for ever is longest, in any order",
     {1, 1, 301},
     {{false, 0, 1LL << 50, 5}, {true, 200, 0, 0}, {false, 300, -1, 0}},
     300},
    {"two for ever: the first",
     {1, 201, 301},
     {{false, 0, 5, 5}, {false, 200, -1, 0}, {false, 300, -1, 0}},
     200},
};

TEST(the_numbers_are_those_of_the_limit_closest_to_refusing)
{
    for (size_t i = 0; i < LENGTH(closest_cases); i++) {
        static const struct limit limits[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
        struct charge charges[3] = {{.capacity = 100}, {.capacity = 200}, {.capacity = 300}};
        struct row quotas[3];
        char got[REPLY_SIZE], body[64];
        bool allowed = true;
        size_t closest = (size_t)closest_cases[i].want / 100 - 1;

        for (size_t j = 0; j < 3; j++) {
            charges[j].interval_us = 1;
            charges[j].cost = closest_cases[i].cost[j];
            quotas[j] = (struct row){&limits[j], &charges[j], closest_cases[i].balances[j]};
            allowed = allowed && closest_cases[i].balances[j].allowed;
        }
        const struct verdict verdict = {.quotas = quotas_of(quotas, 3),
                                        .count = 3,
                                        .headers = HEADER_IETF | HEADER_X_RATELIMIT};
        decide_verdict(&verdict, got);
        want_number(closest_cases[i].what, number_in(got, "X-RateLimit-Limit"),
                    closest_cases[i].want);
        want_number(closest_cases[i].what, number_in(got, "X-RateLimit-Remaining"),
                    closest_cases[i].balances[closest].remaining);
        want_number(closest_cases[i].what, number_in(got, "X-RateLimit-Reset"),
                    units_seconds_up(closest_cases[i].balances[closest].full_us));
        snprintf(body, sizeof body, "\"limit\":%lld,", closest_cases[i].want);
        if (allowed && !strstr(got, body))
            fail_msg("%s: the body is of another limit: \"%s\"", closest_cases[i].what, got);
    }
}

/* The capacity and refill are the client's own, after overrides. */
TEST(what_a_client_has_by_an_override_is_what_it_is_told)
{
    static const struct limit limit = {.name = "a", .capacity = 5, .interval_us = 12000000};
    static const struct charge charge = {.capacity = 200, .interval_us = 20000, .cost = 1};
    static const struct row quota = {&limit, &charge, {true, 150, 0, 1000000}};
    const struct verdict verdict = {
        .quotas = quotas_of(&quota, 1), .count = 1, .headers = HEADER_IETF | HEADER_X_RATELIMIT};
    char got[REPLY_SIZE];

    decide_verdict(&verdict, got);
    assert_string_equal(
        got, HEAD_200
        "RateLimit-Policy: \"a\";q=200;w=4\r\n"
        "RateLimit: \"a\";r=150;t=3\r\n" X_RATELIMIT(
            "200", "150", "1") "Content-Length: 55\r\n\r\n"
                               "{\"allowed\":true,\"limit\":200,\"remaining\":150,\"reset\":1}\n");
}

/* The field RateLimit-Shadow of HEAD is VALUE, "": there is none; and no other field names a shadow
 * limit.  Changes HEAD. */
static void want_shadow_field(const char *what, char *head, const char *value)
{
    char line[128];

    snprintf(line, sizeof line, *value ? "\r\nRateLimit-Shadow: %s\r\n" : "%s", value);
    char *at = strstr(head, line);
    if (!at)
        fail_msg("%s: no field \"%s\": \"%s\"", what, line, head);
    memset(at, ' ', strlen(line));
    if (strstr(head, third.name) || strstr(head, per_second.name) || strstr(head, "Shadow"))
        fail_msg("%s: another field names a shadow: \"%s\"", what, head);
}

TEST(shadow_limits_that_would_have_refused_are_named_in_the_body_and_in_a_field)
{
    static const struct limit *const shadows[] = {&third, &per_second};
    static const struct row allowed = {&per_user, &user_charge, {true, 4, 0, 12000000}},
                            refused = {&per_user, &user_charge, {false, 0, 12000000, 60000000}},
                            too_dear = {&per_user, &dear_charge, {false, 5, -1, 0}};
    static const struct {
        const char *what;
        const struct row *quota; /* NULL: only shadows applied */
        size_t shadow_count;
        const char *body;
    } cases[] = {
        {"200, none", &allowed, 0, "{\"allowed\":true,\"limit\":5,\"remaining\":4,\"reset\":12}\n"},
        {"200, one", &allowed, 1,
         "{\"allowed\":true,\"limit\":5,\"remaining\":4,\"reset\":12,\"shadow\":[\"a.b_C-3\"]}\n"},
        {"200, two", &allowed, 2,
         "{\"allowed\":true,\"limit\":5,\"remaining\":4,\"reset\":12,"
         "\"shadow\":[\"a.b_C-3\",\"per-second\"]}\n"},
        {"429, none", &refused, 0, QUOTA_EXCEEDED "[\"per-user\"]}\n"},
        {"429, one", &refused, 1, QUOTA_EXCEEDED "[\"per-user\"],\"shadow\":[\"a.b_C-3\"]}\n"},
        {"429, two", &refused, 2,
         QUOTA_EXCEEDED "[\"per-user\"],\"shadow\":[\"a.b_C-3\",\"per-second\"]}\n"},
        {"429 for ever, one", &too_dear, 1,
         QUOTA_TOO_DEAR "[\"per-user\"],\"shadow\":[\"a.b_C-3\"]}\n"},
        {"no limit, none", NULL, 0, "{\"allowed\":true}\n"},
        {"no limit, one", NULL, 1, "{\"allowed\":true,\"shadow\":[\"a.b_C-3\"]}\n"},
        {"no limit, two", NULL, 2, "{\"allowed\":true,\"shadow\":[\"a.b_C-3\",\"per-second\"]}\n"},
    };

    static const char *const fields[] = {"", "\"a.b_C-3\"", "\"a.b_C-3\", \"per-second\""};

    FOR_EACH(c, cases) {
        const struct verdict verdict = {.quotas = quotas_of(c->quota, c->quota != NULL),
                                        .count = c->quota != NULL,
                                        .shadow = shadows,
                                        .shadow_count = c->shadow_count,
                                        .headers = HEADER_IETF | HEADER_X_RATELIMIT};
        char got[REPLY_SIZE], *body;

        decide_verdict(&verdict, got);
        body = strstr(got, "\r\n\r\n") + 4;
        want_text(c->what, body, c->body);
        body[0] = '\0';
        want_shadow_field(c->what, got, fields[c->shadow_count]);
        want_number(c->what, field_in(got, "RateLimit") != NULL, c->quota != NULL);
    }
}

TEST(a_client_that_is_blocked_is_told_by_which_limit)
{
    static const struct limit longest = {.name = NAME_64};
    char got[REPLY_SIZE];

    want_response(got, reply_blocked(&per_user, REPLY_WHOLE, got));
    assert_string_equal(got, "Status: 403 Forbidden\r\n"
                             "Content-Type: application/problem+json\r\n"
                             "Cache-Control: no-store\r\n"
                             "Content-Length: 106\r\n\r\n"
                             "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,"
                             "\"detail\":\"The limit per-user blocks this client.\"}\n");
    want_response(got, reply_blocked(&longest, REPLY_WHOLE, got));
    assert_non_null(strstr(got, "\"The limit " NAME_64 " blocks this client.\"}\n"));
}

TEST(without_redis_the_answer_is_as_the_limit_says)
{
    static const struct {
        enum when_down failure;
        const char *want;
    } cases[] = {
        {WHEN_DOWN_ALLOW, HEAD_200 "Content-Length: 17\r\n\r\n{\"allowed\":true}\n"},
        {WHEN_DOWN_DENY,
         "Status: 503 Service Unavailable\r\n"
         "Content-Type: application/problem+json\r\n"
         "Cache-Control: no-store\r\n"
         "Retry-After: 1\r\n"
         "Content-Length: 118\r\n\r\n"
         "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
         "\"detail\":\"The rate limiter cannot reach its store.\"}\n"},
    };

    FOR_EACH(c, cases) {
        char got[REPLY_SIZE];

        want_response(got, reply_undecided(c->failure, REPLY_WHOLE, got));
        want_text(c->want, got, c->want);
    }
}

TEST(a_request_that_is_incomplete_is_told_what_is_missing)
{
    static const char want[] =
        "Status: 500 Internal Server Error\r\n"
        "Content-Type: application/problem+json\r\n"
        "Cache-Control: no-store\r\n"
        "Content-Length: 154\r\n\r\n"
        "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,"
        "\"detail\":\"The web server sent no REMOTE_ADDR: its FastCGI parameters are "
        "incomplete.\"}\n";
    char got[REPLY_SIZE];

    want_response(got, reply_incomplete("REMOTE_ADDR", got));
    assert_string_equal(got, want);
}

TEST(the_longest_answer_fits)
{
    static const struct limit longest = {.name = NAME_64};
    static const struct charge charge = {.capacity = LIMIT_CAPACITY_MAX,
                                         .interval_us = LIMIT_WINDOW_US_MAX / LIMIT_CAPACITY_MAX,
                                         .cost = COST_MAX};
    static const struct balance cases[] = {
        {true, LIMIT_CAPACITY_MAX, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {true, 0, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {false, LIMIT_CAPACITY_MAX, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {false, 0, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {false, LIMIT_CAPACITY_MAX, -1, LIMIT_WINDOW_US_MAX},
        {false, 0, -1, LIMIT_WINDOW_US_MAX},
    };

    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct row quotas[STORE_CHARGES_MAX];
        char got[REPLY_SIZE];

        for (size_t j = 0; j < STORE_CHARGES_MAX; j++)
            quotas[j] = (struct row){&longest, &charge, cases[i]};
        decide(quotas, STORE_CHARGES_MAX, got);
        assert_non_null(strstr(got, "\";q=1000000000;w=315360000"));

        /* With all that there is to say: x-ratelimit, and the rest of the limits as shadows. */
        const struct limit *shadows[STORE_CHARGES_MAX];
        for (size_t j = 0; j < STORE_CHARGES_MAX; j++)
            shadows[j] = &longest;
        for (size_t enforced = 0; enforced <= STORE_CHARGES_MAX; enforced++) {
            const struct verdict verdict = {.quotas = quotas_of(quotas, enforced),
                                            .count = enforced,
                                            .shadow = shadows,
                                            .shadow_count = STORE_CHARGES_MAX - enforced,
                                            .headers = HEADER_IETF | HEADER_X_RATELIMIT};
            decide_verdict(&verdict, got);
            assert_true(reply_decided(&verdict, REPLY_AUTH_REQUEST, got) < REPLY_SIZE);
            assert_string_equal(got + strlen(got) - 4, "\r\n\r\n");
        }
    }
}

TEST(the_number_of_quotas_does_not_matter)
{
    struct row quotas[STORE_CHARGES_MAX];
    char got[REPLY_SIZE];

    for (size_t count = 1; count <= STORE_CHARGES_MAX; count++) {
        quotas[count - 1] =
            (struct row){&per_user, &user_charge, {count % 2 == 0, 0, 12000000, 60000000}};
        decide(quotas, count, got);
    }
}

static struct balance random_balance(uint64_t *seed, const struct charge *charge)
{
    int64_t window_us = charge->capacity * charge->interval_us;

    return (struct balance){
        .allowed = random_number(seed) % 4 != 0,
        .remaining = random_number(seed) % 2 ? random_between(seed, 0, charge->capacity) : 0,
        .wait_us = random_between(seed, 0, window_us),
        .full_us = random_between(seed, 0, window_us),
    };
}

/* RateLimit's t of a bucket, and the definition of it in reply.h. */
static void want_honest_t(const struct row *quota, const char *text)
{
    const char *at = field_in(text, "RateLimit");
    char name[LIMIT_NAME_MAX + 1];
    long long r = -1, t = -1;
    int64_t remaining = quota->balance.remaining;
    int64_t us = remaining > 0 ? remaining * quota->charge->interval_us : quota->balance.wait_us;

    assert_true(take_string(&at, name) && take_text(&at, ";r=") && take_integer(&at, &r) &&
                take_text(&at, ";t=") && take_integer(&at, &t));
    want_number(text, r, remaining);
    if (t * 1000000 < us || (t > 0 && (t - 1) * 1000000 >= us))
        fail_msg("t=%lld for %lld us: \"%s\"", t, (long long)us, text);
}

TEST(retry_after_is_never_early_and_less_than_a_second_late)
{
    uint64_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct charge charges[3] = {0};
        struct row quotas[3];
        size_t count = 1 + random_number(&seed) % 3;
        int64_t longest_us = -1;
        char got[REPLY_SIZE];

        for (size_t i = 0; i < count; i++) {
            charges[i].cost = 1;
            charges[i].capacity = random_between(&seed, 1, LIMIT_CAPACITY_MAX);
            charges[i].interval_us =
                random_between(&seed, 1, LIMIT_WINDOW_US_MAX / charges[i].capacity);
            quotas[i] = (struct row){&per_user, &charges[i], random_balance(&seed, &charges[i])};
            if (!quotas[i].balance.allowed && quotas[i].balance.wait_us > longest_us)
                longest_us = quotas[i].balance.wait_us;
        }
        decide(quotas, count, got);
        want_honest_t(&quotas[0], got);
        want_number(got, strncmp(got, longest_us < 0 ? HEAD_200 : HEAD_429, 12), 0);

        long long retry_after = number_in(got, "Retry-After");
        want_number(got, retry_after < 0, longest_us < 0);
        if (longest_us >= 0 && (retry_after * 1000000 < longest_us ||
                                (retry_after - 1) * 1000000 >= longest_us + (longest_us == 0)))
            fail_msg("%lld us: \"%s\"", (long long)longest_us, got);
    }
}

/* ---- The form for an authorizer's client ---- */

#define LEAVE "Status: 200 OK\r\n"
#define LEAVE_PER_USER                                                                             \
    "Variable-RATELIMIT_NAME: per-user\r\n"                                                        \
    "Variable-RATELIMIT_REMAINING: 4\r\n"

static const struct row user_allows = {&per_user, &user_charge, {true, 4, 0, 12000000}};
static const struct row second_allows = {&per_second, &second_charge, {true, 3, 0, 970000}};
static const struct row third_allows = {&third, &third_charge, {true, 9, 0, 333334}};

TEST(an_authorizer_lets_a_request_go_on_with_variables_and_no_body)
{
    static const struct limit *const shadows[] = {&third, &per_second};
    static const struct {
        const char *what;
        unsigned headers;
        size_t count, shadows;
        const char *want;
    } cases[] = {
        {"IETF", HEADER_IETF, 1, 0,
         LEAVE "Variable-RATELIMIT_POLICY: \"per-user\";q=5;w=60\r\n"
               "Variable-RATELIMIT: \"per-user\";r=4;t=48\r\n" LEAVE_PER_USER "\r\n"},
        {"x-ratelimit", HEADER_X_RATELIMIT, 1, 0,
         LEAVE "Variable-X_RATELIMIT_LIMIT: 5\r\n"
               "Variable-X_RATELIMIT_REMAINING: 4\r\n"
               "Variable-X_RATELIMIT_RESET: 12\r\n" LEAVE_PER_USER "\r\n"},
        {"both", HEADER_IETF | HEADER_X_RATELIMIT, 1, 0,
         LEAVE "Variable-RATELIMIT_POLICY: \"per-user\";q=5;w=60\r\n"
               "Variable-RATELIMIT: \"per-user\";r=4;t=48\r\n"
               "Variable-X_RATELIMIT_LIMIT: 5\r\n"
               "Variable-X_RATELIMIT_REMAINING: 4\r\n"
               "Variable-X_RATELIMIT_RESET: 12\r\n" LEAVE_PER_USER "\r\n"},
        {"no headers: name and remaining all the same", 0, 1, 0, LEAVE LEAVE_PER_USER "\r\n"},
        {"several: of the one that is closest to refusing", HEADER_IETF | HEADER_X_RATELIMIT, 3, 0,
         LEAVE "Variable-RATELIMIT_POLICY: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
               "\"a.b_C-3\";q=10;w=4\r\n"
               "Variable-RATELIMIT: \"per-user\";r=4;t=48, \"per-second\";r=3;t=1, "
               "\"a.b_C-3\";r=9;t=4\r\n"
               "Variable-X_RATELIMIT_LIMIT: 100\r\n"
               "Variable-X_RATELIMIT_REMAINING: 3\r\n"
               "Variable-X_RATELIMIT_RESET: 1\r\n"
               "Variable-RATELIMIT_NAME: per-second\r\n"
               "Variable-RATELIMIT_REMAINING: 3\r\n\r\n"},
        {"with shadows", 0, 1, 2,
         LEAVE LEAVE_PER_USER "Variable-RATELIMIT_SHADOW: a.b_C-3, per-second\r\n\r\n"},
        {"a shadow alone", HEADER_IETF, 0, 1, LEAVE "Variable-RATELIMIT_SHADOW: a.b_C-3\r\n\r\n"},
        {"no limit applies", HEADER_IETF | HEADER_X_RATELIMIT, 0, 0, LEAVE "\r\n"},
    };
    const struct row quotas[] = {user_allows, second_allows, third_allows};

    FOR_EACH(c, cases) {
        const struct verdict verdict = {.quotas = quotas_of(quotas, LENGTH(quotas)),
                                        .count = c->count,
                                        .shadow = shadows,
                                        .shadow_count = c->shadows,
                                        .headers = c->headers};
        char got[REPLY_SIZE];

        want_number(c->what, (long long)reply_decided(&verdict, REPLY_AUTHORIZER, got),
                    (long long)strlen(c->want));
        want_text(c->what, got, c->want);
    }
}

TEST(an_authorizer_refuses_as_a_responder_does)
{
    static const struct limit *const shadows[] = {&third};
    static const struct balance refusals[] = {
        {false, 0, 11999000, 59999000}, {false, 2, 24000000, 36000000}, {false, 5, -1, 0}};

    for (unsigned headers = 0; headers <= (HEADER_IETF | HEADER_X_RATELIMIT); headers++) {
        for (size_t i = 0; i < LENGTH(refusals); i++) {
            const struct row quotas[] = {
                {&per_user, refusals[i].wait_us < 0 ? &dear_charge : &user_charge, refusals[i]},
                second_allows};
            const struct verdict verdict = {.quotas = quotas_of(quotas, LENGTH(quotas)),
                                            .count = LENGTH(quotas),
                                            .shadow = shadows,
                                            .shadow_count = 1,
                                            .headers = headers};
            char responder[REPLY_SIZE], authorizer[REPLY_SIZE];

            want_response(responder, reply_decided(&verdict, REPLY_WHOLE, responder));
            want_response(authorizer, reply_decided(&verdict, REPLY_AUTHORIZER, authorizer));
            want_text("429", authorizer, responder);
            assert_null(strstr(authorizer, "Variable-"));
        }
    }
}

TEST(an_authorizer_without_redis_lets_go_on_or_refuses)
{
    char responder[REPLY_SIZE], authorizer[REPLY_SIZE];

    want_number("length", (long long)reply_undecided(WHEN_DOWN_ALLOW, REPLY_AUTHORIZER, authorizer),
                (long long)strlen(LEAVE "\r\n"));
    want_text("allow", authorizer, LEAVE "\r\n");
    reply_undecided(WHEN_DOWN_DENY, REPLY_WHOLE, responder);
    want_response(authorizer, reply_undecided(WHEN_DOWN_DENY, REPLY_AUTHORIZER, authorizer));
    want_text("deny", authorizer, responder);
}

TEST(the_longest_leave_fits)
{
    static const struct limit longest = {.name = NAME_64};
    static const struct charge charge = {.capacity = LIMIT_CAPACITY_MAX,
                                         .interval_us = LIMIT_WINDOW_US_MAX / LIMIT_CAPACITY_MAX,
                                         .cost = COST_MAX};
    const struct limit *shadows[STORE_CHARGES_MAX];
    struct row quotas[STORE_CHARGES_MAX];
    char got[REPLY_SIZE];

    for (size_t i = 0; i < STORE_CHARGES_MAX; i++) {
        shadows[i] = &longest;
        quotas[i] =
            (struct row){&longest,
                         &charge,
                         {true, LIMIT_CAPACITY_MAX, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX}};
    }
    /* More of both than there can be together. */
    const struct verdict verdict = {.quotas = quotas_of(quotas, STORE_CHARGES_MAX),
                                    .count = STORE_CHARGES_MAX,
                                    .shadow = shadows,
                                    .shadow_count = STORE_CHARGES_MAX,
                                    .headers = HEADER_IETF | HEADER_X_RATELIMIT};
    assert_true(reply_decided(&verdict, REPLY_AUTHORIZER, got) < REPLY_SIZE);
    assert_string_equal(got + strlen(got) - 4, "\r\n\r\n");
}

/* ---- The form for auth_request ---- */

#define NO_STORE     "Cache-Control: no-store\r\n"
#define AUTH_LEAVE   "Status: 204 No Content\r\nRateLimit-Status: 200\r\n" NO_STORE
#define AUTH_REFUSES "Status: 403 Forbidden\r\nRateLimit-Status: "

TEST(auth_request_gets_leave_and_the_fields_and_no_body)
{
    static const struct limit *const shadows[] = {&third, &per_second};
    char got[REPLY_SIZE];

    const struct verdict verdict = {.quotas = quotas_of(&user_allows, 1),
                                    .count = 1,
                                    .shadow = shadows,
                                    .shadow_count = 2,
                                    .headers = HEADER_IETF | HEADER_X_RATELIMIT};
    size_t len = reply_decided(&verdict, REPLY_AUTH_REQUEST, got);
    want_text("allowed", got,
              AUTH_LEAVE "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                         "RateLimit: \"per-user\";r=4;t=48\r\n"
                         "X-RateLimit-Limit: 5\r\n"
                         "X-RateLimit-Remaining: 4\r\n"
                         "X-RateLimit-Reset: 12\r\n"
                         "RateLimit-Shadow: \"a.b_C-3\", \"per-second\"\r\n"
                         "RateLimit-Name: per-user\r\n"
                         "RateLimit-Remaining: 4\r\n\r\n");
    want_number("length", (long long)len, (long long)strlen(got));
    len = reply_undecided(WHEN_DOWN_ALLOW, REPLY_AUTH_REQUEST, got);
    want_text("undecided", got, AUTH_LEAVE "\r\n");
    want_number("length", (long long)len, (long long)strlen(got));
}

/* What auth_request is to be told where a client would be told WHOLE: the same fields, those in
 * MORE, the body's line, and no body. */
static void want_in_the_head(const char *whole, const char *more, const char *got, size_t len)
{
    const char *reason = whole + strlen("Status: 429"), *body = strstr(whole, "\r\n\r\n") + 4;
    const char *fields = strstr(whole, "Cache-Control: "),
               *length = strstr(whole, "Content-Length: ");
    char want[2 * REPLY_SIZE];

    snprintf(want, sizeof want, AUTH_REFUSES "%.3s\r\n%.*s%sRateLimit-Problem: %.*s\r\n\r\n",
             reason - 3, (int)(length - fields), fields, more, (int)strlen(body) - 1, body);
    want_text(whole, got, want);
    want_number("length", (long long)len, (long long)strlen(got));
}

TEST(auth_request_is_told_in_the_head_what_a_client_is_told)
{
    static const struct balance refusals[] = {{false, 0, 11999000, 59999000}, {false, 5, -1, 0}};
    static const struct key_source source = {KEY_SOURCE_QUERY, "a\"b\\", "", false};
    static const struct limit *const shadows[] = {&third};
    char whole[REPLY_SIZE], got[REPLY_SIZE];

    for (unsigned headers = 0; headers <= (HEADER_IETF | HEADER_X_RATELIMIT); headers++) {
        for (size_t i = 0; i < LENGTH(refusals); i++) {
            const struct row quotas[] = {
                {&per_user, refusals[i].wait_us < 0 ? &dear_charge : &user_charge, refusals[i]},
                second_allows};
            const struct verdict verdict = {.quotas = quotas_of(quotas, LENGTH(quotas)),
                                            .count = LENGTH(quotas),
                                            .shadow = shadows,
                                            .shadow_count = 1,
                                            .headers = headers};
            char more[80];
            snprintf(more, sizeof more, "RateLimit-Name: per-user\r\nRateLimit-Remaining: %lld\r\n",
                     (long long)refusals[i].remaining);
            reply_decided(&verdict, REPLY_WHOLE, whole);
            want_in_the_head(whole, more, got, reply_decided(&verdict, REPLY_AUTH_REQUEST, got));
        }
    }
    reply_blocked(&per_user, REPLY_WHOLE, whole);
    want_in_the_head(whole, "", got, reply_blocked(&per_user, REPLY_AUTH_REQUEST, got));
    reply_undecided(WHEN_DOWN_DENY, REPLY_WHOLE, whole);
    want_in_the_head(whole, "", got, reply_undecided(WHEN_DOWN_DENY, REPLY_AUTH_REQUEST, got));
    reply_ambiguous(&source, REPLY_WHOLE, whole);
    want_in_the_head(whole, "", got, reply_ambiguous(&source, REPLY_AUTH_REQUEST, got));
}

TESTS_MAIN
