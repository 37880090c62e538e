#include "table.h"
#include "limiter.h"

#include <stdbool.h>
#include <stdio.h>

#include "reply.h"

#define ALLOW     REDIS_FAILURE_ALLOW
#define DENY      REDIS_FAILURE_DENY
#define IN_FLIGHT 50
#define ROUNDS    2000

static const struct bucket allowed = {true, 4, 0, 12000000};
static const struct bucket refused = {false, 0, 11000000, 59000000};

/* What a request has that has no FastCGI parameters. */
static char *const nothing[] = {NULL};

/* A take that the fake store was asked for. */
struct asked {
    struct take takes[LIMITS_MAX]; /* as they were when it was asked */
    const struct take *borrowed;
    size_t count, enforced;
    take_done *done;
    void *context;
};

/* A store that answers at once with BUCKETS, or, where LATER is set, when it is told to. */
struct store {
    bool later;
    const struct bucket *buckets; /* NULL: it does not decide */
    struct asked asked[IN_FLIGHT];
    size_t count; /* how often it was asked */
};

/* A client, and what it was answered. */
struct exchange {
    unsigned replies;
    char text[REPLY_MAX];
    struct limiter *limiter; /* the next request comes while this one is answered; or NULL */
    struct exchange *next;
};

static void fake_take(void *context, const struct take *takes, size_t count, size_t enforced,
                      take_done *done, void *done_context)
{
    struct store *store = context;
    struct asked *asked = &store->asked[store->count++ % IN_FLIGHT];

    assert_in_range(count, 1, LIMITS_MAX);
    memcpy(asked->takes, takes, count * sizeof *takes);
    asked->borrowed = takes;
    asked->count = count;
    asked->enforced = enforced;
    asked->done = done;
    asked->context = done_context;
    if (!store->later)
        done(done_context, store->buckets);
}

/* Answer what the store was asked as its number WHICH, with BUCKETS. */
static void answer(struct store *store, size_t which, const struct bucket *buckets)
{
    struct asked *asked = &store->asked[which];

    for (size_t i = 0; i < asked->count; i++)
        if (strcmp(asked->takes[i].key, asked->borrowed[i].key) != 0)
            fail_msg("take %zu: its key became \"%s\"", which, asked->borrowed[i].key);
    asked->done(asked->context, buckets);
}

static void on_reply(void *context, const char *text, size_t len)
{
    struct exchange *exchange = context;

    assert_int_equal(strlen(text), len);
    assert_true(len < REPLY_MAX);
    strcpy(exchange->text, text);
    exchange->replies++;
    if (exchange->limiter) {
        struct request next = {"GET", "/?user=next", "192.0.2.9", nothing};

        limiter_handle(exchange->limiter, exchange->next, &next);
    }
}

static void want_status(const char *what, const struct exchange *exchange, const char *status)
{
    char start[64];

    snprintf(start, sizeof start, "Status: %s ", status);
    if (exchange->replies != 1 || strncmp(exchange->text, start, strlen(start)) != 0)
        fail_msg("\"%s\": %u replies, \"%s\", want one %s", what, exchange->replies, exchange->text,
                 status);
}

static struct limit a_limit(const char *name, const char *key, int64_t capacity,
                            int64_t interval_us, enum redis_failure failure)
{
    struct limit limit = {.capacity = capacity,
                          .interval_us = interval_us,
                          .cost.tokens = 1,
                          .on_redis_failure = failure};

    strcpy(limit.name, name);
    want_no_error(key, key_parse(key, &limit.key));
    return limit;
}

/* COUNT limits that fail as FAILURES say. */
static struct limits *limits_of(size_t count, const enum redis_failure *failures)
{
    struct limits *limits = calloc(1, sizeof *limits);

    assert_non_null(limits);
    limits->holders = 1;
    limits->headers = HEADER_IETF;
    limits->ipv6_prefix_bits = 64;
    limits->count = count;
    for (size_t i = 0; i < count; i++) {
        char name[LIMIT_NAME_MAX + 1];

        snprintf(name, sizeof name, "limit-%zu", i);
        limits->limit[i] = a_limit(name, "query:user | ip", 5, 12000000, failures[i]);
    }
    return limits;
}

static void handle(struct limiter *limiter, struct exchange *exchange, const char *uri)
{
    struct request request = {"GET", uri, "192.0.2.7:41952", nothing};

    *exchange = (struct exchange){0};
    limiter_handle(limiter, exchange, &request);
}

static void a_request_takes_a_token_from_the_bucket_of_each_limit(void **state)
{
    static const enum redis_failure failures[3] = {REDIS_FAILURE_ALLOW};
    struct limits *limits = limits_of(3, failures);
    struct store store = {.buckets = (const struct bucket[]){allowed, allowed, allowed}};
    struct exchange exchange;
    static const struct take want[] = {
        {"rl:{query:user=a%7Db}:per-user", 0, 12000000, 5, 1},
        {"rl:{ip=192.0.2.7}:per-address", 0, 1, LIMIT_CAPACITY_MAX, 1},
        {"rl:{query:team=red}:per-team", 0, LIMIT_WINDOW_US_MAX, 1, 1},
    };

    (void)state;
    limits->limit[0] = a_limit("per-user", "query:user | ip", 5, 12000000, REDIS_FAILURE_ALLOW);
    limits->limit[1] = a_limit("per-address", "ip", LIMIT_CAPACITY_MAX, 1, REDIS_FAILURE_ALLOW);
    limits->limit[2] =
        a_limit("per-team", "query:team", 1, LIMIT_WINDOW_US_MAX, REDIS_FAILURE_DENY);
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);

    handle(limiter, &exchange, "/?user=a%7db&team=red");
    assert_int_equal(store.count, 1);
    assert_int_equal(store.asked[0].count, 3);
    for (size_t i = 0; i < LENGTH(want); i++) {
        const struct take *got = &store.asked[0].takes[i];

        want_text(want[i].key, got->key, want[i].key);
        want_number(want[i].key, (int64_t)got->key_len, (int64_t)strlen(want[i].key));
        want_number(want[i].key, got->interval_us, want[i].interval_us);
        want_number(want[i].key, got->capacity, want[i].capacity);
        want_number(want[i].key, got->cost, want[i].cost);
    }
    want_status("all allow", &exchange, "200");
    limiter_free(limiter);
    limits_release(limits);
}

static void what_the_store_decides_is_the_answer(void **state)
{
    static const enum redis_failure failures[] = {REDIS_FAILURE_ALLOW, REDIS_FAILURE_DENY};
    static const struct {
        const char *what;
        bool refuses[2];
        const char *status, *fragment;
    } cases[] = {
        {"both allow", {false, false}, "200", "\"limit-0\";r=4;t=48, \"limit-1\";r=4;t=48"},
        {"the first refuses", {true, false}, "429", "\"violated-policies\":[\"limit-0\"]"},
        {"the second refuses", {false, true}, "429", "\"violated-policies\":[\"limit-1\"]"},
        {"both refuse", {true, true}, "429", "[\"limit-0\",\"limit-1\"]"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct limits *limits = limits_of(2, failures);
        struct bucket buckets[] = {cases[i].refuses[0] ? refused : allowed,
                                   cases[i].refuses[1] ? refused : allowed};
        struct store store = {.buckets = buckets};
        struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
        struct exchange exchange;

        handle(limiter, &exchange, "/?user=ann");
        want_status(cases[i].what, &exchange, cases[i].status);
        want_error(cases[i].what, exchange.text, cases[i].fragment);
        limiter_free(limiter);
        limits_release(limits);
    }
}

static void where_the_store_does_not_decide_any_deny_wins(void **state)
{
    static const struct {
        const char *what;
        size_t count;
        enum redis_failure failures[3];
        const char *status;
    } cases[] = {
        {"allow", 1, {ALLOW}, "200"},
        {"deny", 1, {DENY}, "503"},
        {"allow, allow", 2, {ALLOW, ALLOW}, "200"},
        {"allow, deny", 2, {ALLOW, DENY}, "503"},
        {"deny, allow", 2, {DENY, ALLOW}, "503"},
        {"allow, allow, deny", 3, {ALLOW, ALLOW, DENY}, "503"},
        {"allow, deny, allow", 3, {ALLOW, DENY, ALLOW}, "503"},
        {"deny, deny, deny", 3, {DENY, DENY, DENY}, "503"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct limits *limits = limits_of(cases[i].count, cases[i].failures);
        struct store store = {.buckets = NULL};
        struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
        struct exchange exchange;

        handle(limiter, &exchange, "/?user=ann");
        want_status(cases[i].what, &exchange, cases[i].status);
        if (strstr(exchange.text, "RateLimit"))
            fail_msg("\"%s\": RateLimit in \"%s\"", cases[i].what, exchange.text);
        limiter_free(limiter);
        limits_release(limits);
    }
}

/* A number from 0 to IN_FLIGHT - 1, each once: 7 and 50 have no common divisor. */
static size_t shuffled(size_t i)
{
    return (i * 7 + 3) % IN_FLIGHT;
}

static void many_requests_are_answered_in_any_order_each_with_its_own(void **state)
{
    static const enum redis_failure failures[] = {REDIS_FAILURE_DENY};
    struct limits *limits = limits_of(1, failures);
    struct store store = {.later = true};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange *exchanges = calloc(IN_FLIGHT, sizeof *exchanges);

    (void)state;
    assert_non_null(exchanges);
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        char uri[32];

        snprintf(uri, sizeof uri, "/?user=%zu", i);
        handle(limiter, &exchanges[i], uri);
        assert_int_equal(exchanges[i].replies, 0);
    }
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        struct bucket bucket = {true, (int64_t)shuffled(i) % 5, 1000000, 1000000};

        answer(&store, shuffled(i), shuffled(i) % 6 == 5 ? NULL : &bucket);
    }
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        char key[64], remaining[32];

        snprintf(key, sizeof key, "rl:{query:user=%zu}:limit-0", i);
        want_text(key, store.asked[i].takes[0].key, key);
        want_status(key, &exchanges[i], i % 6 == 5 ? "503" : "200");
        snprintf(remaining, sizeof remaining, "\"remaining\":%zu,", i % 5);
        if (i % 6 != 5)
            want_error(key, exchanges[i].text, remaining);
    }
    limiter_free(limiter);
    limits_release(limits);
    free(exchanges);
}

/* Contexts are what the limiter keeps for each request in flight: no more than were so at once. */
static void what_is_kept_for_a_request_is_used_again(void **state)
{
    static const enum redis_failure failures[] = {REDIS_FAILURE_ALLOW, REDIS_FAILURE_ALLOW};
    enum { MOST = 8 };
    struct limits *limits = limits_of(2, failures);
    struct store store = {.later = true};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange *exchanges = calloc(MOST, sizeof *exchanges);
    void *known[MOST];
    size_t kept = 0;
    uint64_t seed = 1;

    (void)state;
    assert_non_null(exchanges);
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = 1 + random_number(&seed) % MOST;

        store.count = 0;
        for (size_t i = 0; i < count; i++) {
            size_t j = 0;

            handle(limiter, &exchanges[i], "/?user=ann");
            while (j < kept && known[j] != store.asked[i].context)
                j++;
            if (j == MOST)
                fail_msg("round %d: more is kept than were in flight", round);
            known[j] = store.asked[i].context;
            kept = j == kept ? kept + 1 : kept;
        }
        for (size_t i = 0; i < count; i++)
            answer(&store, (i + (size_t)round) % count, NULL);
        for (size_t i = 0; i < count; i++)
            want_status("again", &exchanges[i], "200");
    }
    assert_int_equal(kept, MOST);
    limiter_free(limiter);
    limits_release(limits);
    free(exchanges);
}

static void the_next_request_may_come_while_one_is_answered(void **state)
{
    static const enum redis_failure failures[] = {REDIS_FAILURE_ALLOW};
    struct limits *limits = limits_of(1, failures);
    struct store store = {.buckets = &refused};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange second = {0}, first = {.limiter = limiter, .next = &second};
    struct request request = {"GET", "/?user=ann", "192.0.2.7", nothing};

    (void)state;
    limiter_handle(limiter, &first, &request);
    want_status("first", &first, "429");
    want_status("second", &second, "429");
    assert_string_equal(store.asked[0].takes[0].key, "rl:{query:user=ann}:limit-0");
    assert_string_equal(store.asked[1].takes[0].key, "rl:{query:user=next}:limit-0");
    assert_ptr_not_equal(store.asked[0].context, store.asked[1].context);
    limiter_free(limiter);
    limits_release(limits);
}

static void as_many_limits_as_are_allowed_apply(void **state)
{
    enum redis_failure failures[LIMITS_MAX] = {REDIS_FAILURE_ALLOW};
    struct limits *limits = limits_of(LIMITS_MAX, failures);
    struct bucket buckets[LIMITS_MAX];
    struct store store = {.buckets = buckets};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange exchange;

    (void)state;
    for (size_t i = 0; i < LIMITS_MAX; i++)
        buckets[i] = i == LIMITS_MAX - 1 ? refused : allowed;
    handle(limiter, &exchange, "/?user=ann");
    assert_int_equal(store.asked[0].count, LIMITS_MAX);
    for (size_t i = 1; i < LIMITS_MAX; i++)
        assert_string_not_equal(store.asked[0].takes[i].key, store.asked[0].takes[i - 1].key);
    want_status("all", &exchange, "429");
    want_error("all", exchange.text, "[\"limit-63\"]");
    limiter_free(limiter);
    limits_release(limits);
}

static void no_limiter_can_be_freed(void **state)
{
    (void)state;
    limiter_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_takes_a_token_from_the_bucket_of_each_limit),
        cmocka_unit_test(what_the_store_decides_is_the_answer),
        cmocka_unit_test(where_the_store_does_not_decide_any_deny_wins),
        cmocka_unit_test(many_requests_are_answered_in_any_order_each_with_its_own),
        cmocka_unit_test(what_is_kept_for_a_request_is_used_again),
        cmocka_unit_test(the_next_request_may_come_while_one_is_answered),
        cmocka_unit_test(as_many_limits_as_are_allowed_apply),
        cmocka_unit_test(no_limiter_can_be_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
