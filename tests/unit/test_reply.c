#include "table.h"
#include "reply.h"

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
static const struct take user_take = {.capacity = 5, .interval_us = 12000000, .cost = 1};
static const struct take dear_take = {.capacity = 5, .interval_us = 12000000, .cost = 6};
static const struct take second_take = {.capacity = 100, .interval_us = 10000, .cost = 1};
static const struct take dear_second_take = {.capacity = 100, .interval_us = 10000, .cost = 101};
static const struct take third_take = {.capacity = 10, .interval_us = 333334, .cost = 1};

/* Take *AT past EXPECTED.  Returns whether it stands there. */
static bool take_text(const char **at, const char *expected)
{
    size_t len = strlen(expected);
    bool stands = strncmp(*at, expected, len) == 0;

    *at += stands ? len : 0;
    return stands;
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
    static const char *const once[] = {"Content-Type",   "Cache-Control",    "Retry-After",
                                       "Content-Length", "RateLimit-Policy", "RateLimit"};
    const char *end = strstr(text, "\r\n\r\n"), *body = end ? end + 4 : NULL;

    if (!body || strlen(text) != len || len >= REPLY_MAX || strncmp(text, "Status: ", 8) != 0)
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
            fail_msg("%s stands twice: \"%s\"", once[i], text);
    }
    want_number(text, number_in(text, "Content-Length"), (int64_t)strlen(body));
    if (body[0] != '{' || strcmp(body + strlen(body) - 2, "}\n") != 0 || strpbrk(body, "\r"))
        fail_msg("no JSON object: \"%s\"", body);
}

/* The field NAME of TEXT is a List (RFC 9651, 3.1) of a String for each of COUNT QUOTAS, with the
 * Parameters FIRST and SECOND, which are Integers; OPTIONAL: SECOND may be left out. */
static void want_list(const char *text, const char *name, const struct quota *quotas, size_t count,
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

static void decide(const struct quota *quotas, size_t count, char out[REPLY_MAX])
{
    const struct verdict verdict = {.quotas = quotas, .count = count, .headers = HEADER_IETF};

    memset(out, 'x', REPLY_MAX);
    want_response(out, reply_decided(&verdict, out));
    want_list(out, "RateLimit-Policy", quotas, count, ";q=", ";w=", false);
    want_list(out, "RateLimit", quotas, count, ";r=", ";t=", true);
}

static void one_quota_is_answered_with_all_that_the_client_needs(void **state)
{
    static const struct {
        const char *what;
        struct quota quota;
        const char *want;
    } cases[] = {
        {"allowed, tokens left",
         {&per_user, &user_take, {true, 4, 0, 12000000}},
         HEAD_200 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=4;t=48\r\n"
                  "Content-Length: 52\r\n\r\n"
                  "{\"allowed\":true,\"limit\":5,\"remaining\":4,\"reset\":12}\n"},
        {"allowed, and the last one",
         {&per_user, &user_take, {true, 0, 11999999, 59999999}},
         HEAD_200 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0;t=12\r\n"
                  "Content-Length: 52\r\n\r\n"
                  "{\"allowed\":true,\"limit\":5,\"remaining\":0,\"reset\":60}\n"},
        {"allowed, and it cost nothing",
         {&per_user, &user_take, {true, 5, 0, 0}},
         HEAD_200 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=5;t=60\r\n"
                  "Content-Length: 51\r\n\r\n"
                  "{\"allowed\":true,\"limit\":5,\"remaining\":5,\"reset\":0}\n"},
        {"a token takes no whole number of microseconds",
         {&third, &third_take, {true, 3, 0, 2333335}},
         HEAD_200 "RateLimit-Policy: \"a.b_C-3\";q=10;w=4\r\n"
                  "RateLimit: \"a.b_C-3\";r=3;t=2\r\n"
                  "Content-Length: 52\r\n\r\n"
                  "{\"allowed\":true,\"limit\":10,\"remaining\":3,\"reset\":3}\n"},
        {"refused",
         {&per_user, &user_take, {false, 0, 11999000, 59999000}},
         HEAD_429 "Retry-After: 12\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0;t=12\r\n"
                  "Content-Length: 194\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\"]}\n"},
        {"refused for a moment",
         {&per_user, &user_take, {false, 0, 1, 48000001}},
         HEAD_429 "Retry-After: 1\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0;t=1\r\n"
                  "Content-Length: 194\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\"]}\n"},
        {"refused with tokens left: it costs more than there are",
         {&per_user, &user_take, {false, 2, 24000000, 36000000}},
         HEAD_429 "Retry-After: 24\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=2;t=24\r\n"
                  "Content-Length: 194\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\"]}\n"},
        {"refused for ever: it costs more than the capacity",
         {&per_user, &dear_take, {false, 5, -1, 0}},
         HEAD_429 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=5;t=60\r\n"
                  "Content-Length: 292\r\n\r\n" QUOTA_TOO_DEAR "[\"per-user\"]}\n"},
        {"refused for ever with none left",
         {&per_user, &dear_take, {false, 0, -1, 60000000}},
         HEAD_429 "RateLimit-Policy: \"per-user\";q=5;w=60\r\n"
                  "RateLimit: \"per-user\";r=0\r\n"
                  "Content-Length: 292\r\n\r\n" QUOTA_TOO_DEAR "[\"per-user\"]}\n"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char got[REPLY_MAX];

        decide(&cases[i].quota, 1, got);
        want_text(cases[i].what, got, cases[i].want);
    }
}

static void several_quotas_are_answered_together(void **state)
{
    static const struct {
        const char *what;
        struct quota quotas[3];
        const char *want;
    } cases[] = {
        {"all allowed: the body is about the one with the least left",
         {{&per_user, &user_take, {true, 4, 0, 12000000}},
          {&per_second, &second_take, {true, 0, 10000, 1000000}},
          {&third, &third_take, {true, 9, 0, 333334}}},
         HEAD_200
         "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
         "\"a.b_C-3\";q=10;w=4\r\n"
         "RateLimit: \"per-user\";r=4;t=48, \"per-second\";r=0;t=1, \"a.b_C-3\";r=9;t=4\r\n"
         "Content-Length: 53\r\n\r\n"
         "{\"allowed\":true,\"limit\":100,\"remaining\":0,\"reset\":1}\n"},
        {"the last one refuses",
         {{&per_user, &user_take, {true, 5, 0, 0}},
          {&per_second, &second_take, {true, 1, 0, 990000}},
          {&third, &third_take, {false, 0, 300000, 3300000}}},
         HEAD_429
         "Retry-After: 1\r\n"
         "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
         "\"a.b_C-3\";q=10;w=4\r\n"
         "RateLimit: \"per-user\";r=5;t=60, \"per-second\";r=1;t=1, \"a.b_C-3\";r=0;t=1\r\n"
         "Content-Length: 193\r\n\r\n" QUOTA_EXCEEDED "[\"a.b_C-3\"]}\n"},
        {"two refuse: the client waits for both",
         {{&per_user, &user_take, {false, 0, 30000001, 50000000}},
          {&per_second, &second_take, {true, 100, 0, 0}},
          {&third, &third_take, {false, 0, 300000, 3300000}}},
         HEAD_429 "Retry-After: 31\r\n"
                  "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
                  "\"a.b_C-3\";q=10;w=4\r\n"
                  "RateLimit: \"per-user\";r=0;t=31, \"per-second\";r=100;t=1, "
                  "\"a.b_C-3\";r=0;t=1\r\n"
                  "Content-Length: 204\r\n\r\n" QUOTA_EXCEEDED "[\"per-user\",\"a.b_C-3\"]}\n"},
        {"one of two refuses for ever: no wait helps",
         {{&per_user, &user_take, {false, 0, 30000001, 50000000}},
          {&per_second, &dear_second_take, {false, 100, -1, 0}},
          {&third, &third_take, {true, 10, 0, 0}}},
         HEAD_429
         "RateLimit-Policy: \"per-user\";q=5;w=60, \"per-second\";q=100;w=1, "
         "\"a.b_C-3\";q=10;w=4\r\n"
         "RateLimit: \"per-user\";r=0;t=31, \"per-second\";r=100;t=1, "
         "\"a.b_C-3\";r=10;t=4\r\n"
         "Content-Length: 311\r\n\r\n" PROBLEM_429
         "\"detail\":\"This request costs 101 tokens, and a bucket of per-second holds 100: "
         "it can never be served.\",\"violated-policies\":[\"per-user\",\"per-second\"]}\n"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char got[REPLY_MAX];

        decide(cases[i].quotas, LENGTH(cases[i].quotas), got);
        want_text(cases[i].what, got, cases[i].want);
    }
}

static void without_redis_the_answer_is_as_the_limit_says(void **state)
{
    static const struct {
        enum redis_failure failure;
        const char *want;
    } cases[] = {
        {REDIS_FAILURE_ALLOW, HEAD_200 "Content-Length: 17\r\n\r\n{\"allowed\":true}\n"},
        {REDIS_FAILURE_DENY,
         "Status: 503 Service Unavailable\r\n"
         "Content-Type: application/problem+json\r\n"
         "Cache-Control: no-store\r\n"
         "Retry-After: 1\r\n"
         "Content-Length: 118\r\n\r\n"
         "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
         "\"detail\":\"The rate limiter cannot reach its store.\"}\n"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char got[REPLY_MAX];

        want_response(got, reply_undecided(cases[i].failure, got));
        want_text(cases[i].want, got, cases[i].want);
    }
}

static void a_request_that_is_incomplete_is_told_what_is_missing(void **state)
{
    static const char want[] =
        "Status: 500 Internal Server Error\r\n"
        "Content-Type: application/problem+json\r\n"
        "Cache-Control: no-store\r\n"
        "Content-Length: 154\r\n\r\n"
        "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,"
        "\"detail\":\"The web server sent no REMOTE_ADDR: its FastCGI parameters are "
        "incomplete.\"}\n";
    char got[REPLY_MAX];

    (void)state;
    want_response(got, reply_incomplete("REMOTE_ADDR", got));
    assert_string_equal(got, want);
}

static void the_longest_answer_fits(void **state)
{
    static const struct limit longest = {.name = NAME_64};
    static const struct take take = {.capacity = LIMIT_CAPACITY_MAX,
                                     .interval_us = LIMIT_WINDOW_US_MAX / LIMIT_CAPACITY_MAX,
                                     .cost = COST_MAX};
    static const struct bucket cases[] = {
        {true, LIMIT_CAPACITY_MAX, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {true, 0, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {false, LIMIT_CAPACITY_MAX, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {false, 0, LIMIT_WINDOW_US_MAX, LIMIT_WINDOW_US_MAX},
        {false, LIMIT_CAPACITY_MAX, -1, LIMIT_WINDOW_US_MAX},
        {false, 0, -1, LIMIT_WINDOW_US_MAX},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct quota quotas[LIMITS_MAX];
        char got[REPLY_MAX];

        for (size_t j = 0; j < LIMITS_MAX; j++)
            quotas[j] = (struct quota){&longest, &take, cases[i]};
        decide(quotas, LIMITS_MAX, got);
        assert_non_null(strstr(got, "\";q=1000000000;w=315360000"));
    }
}

static void the_number_of_quotas_does_not_matter(void **state)
{
    struct quota quotas[LIMITS_MAX];
    char got[REPLY_MAX];

    (void)state;
    for (size_t count = 1; count <= LIMITS_MAX; count++) {
        quotas[count - 1] =
            (struct quota){&per_user, &user_take, {count % 2 == 0, 0, 12000000, 60000000}};
        decide(quotas, count, got);
    }
}

static struct bucket random_bucket(uint64_t *seed, const struct take *take)
{
    int64_t window_us = take->capacity * take->interval_us;

    return (struct bucket){
        .allowed = random_number(seed) % 4 != 0,
        .remaining = random_number(seed) % 2 ? random_between(seed, 0, take->capacity) : 0,
        .wait_us = random_between(seed, 0, window_us),
        .full_us = random_between(seed, 0, window_us),
    };
}

/* RateLimit's t of a bucket, and the definition of it in reply.h. */
static void want_honest_t(const struct quota *quota, const char *text)
{
    const char *at = field_in(text, "RateLimit");
    char name[LIMIT_NAME_MAX + 1];
    long long r = -1, t = -1;
    int64_t remaining = quota->bucket.remaining;
    int64_t us = remaining > 0 ? remaining * quota->take->interval_us : quota->bucket.wait_us;

    assert_true(take_string(&at, name) && take_text(&at, ";r=") && take_integer(&at, &r) &&
                take_text(&at, ";t=") && take_integer(&at, &t));
    want_number(text, r, remaining);
    if (t * 1000000 < us || (t > 0 && (t - 1) * 1000000 >= us))
        fail_msg("t=%lld for %lld us: \"%s\"", t, (long long)us, text);
}

static void retry_after_is_never_early_and_less_than_a_second_late(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct take takes[3] = {0};
        struct quota quotas[3];
        size_t count = 1 + random_number(&seed) % 3;
        int64_t longest_us = -1;
        char got[REPLY_MAX];

        for (size_t i = 0; i < count; i++) {
            takes[i].cost = 1;
            takes[i].capacity = random_between(&seed, 1, LIMIT_CAPACITY_MAX);
            takes[i].interval_us =
                random_between(&seed, 1, LIMIT_WINDOW_US_MAX / takes[i].capacity);
            quotas[i] = (struct quota){&per_user, &takes[i], random_bucket(&seed, &takes[i])};
            if (!quotas[i].bucket.allowed && quotas[i].bucket.wait_us > longest_us)
                longest_us = quotas[i].bucket.wait_us;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_quota_is_answered_with_all_that_the_client_needs),
        cmocka_unit_test(several_quotas_are_answered_together),
        cmocka_unit_test(without_redis_the_answer_is_as_the_limit_says),
        cmocka_unit_test(a_request_that_is_incomplete_is_told_what_is_missing),
        cmocka_unit_test(the_longest_answer_fits),
        cmocka_unit_test(the_number_of_quotas_does_not_matter),
        cmocka_unit_test(retry_after_is_never_early_and_less_than_a_second_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
