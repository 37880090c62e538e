#include "table.h"
#include "decide/limiter.h"
#include "config/limits_file.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "decide/reply.h"

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
    char text[REPLY_SIZE];
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
    assert_true(len < REPLY_SIZE);
    strcpy(exchange->text, text);
    exchange->replies++;
    if (exchange->limiter) {
        struct request next = {.method = "GET",
                               .uri = "/?user=next",
                               .remote_addr = "192.0.2.9",
                               .parameters = nothing};

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
    limits->ref_count = 1;
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
    struct request request = {
        .method = "GET", .uri = uri, .remote_addr = "192.0.2.7:41952", .parameters = nothing};

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
    limits_unref(limits);
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
        limits_unref(limits);
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
        limits_unref(limits);
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
    limits_unref(limits);
    free(exchanges);
}

#define BURST 10000

/* A store that answers when all of a burst have asked. */
struct late_store {
    take_done *done;
    void *context[BURST];
    size_t count;
};

static void late_take(void *context, const struct take *takes, size_t count, size_t enforced,
                      take_done *done, void *done_context)
{
    struct late_store *store = context;

    (void)takes, (void)count, (void)enforced;
    store->done = done;
    store->context[store->count++] = done_context;
}

static void ignore_reply(void *exchange, const char *text, size_t len)
{
    (void)exchange, (void)text, (void)len;
}

static void the_memory_of_a_burst_is_given_back(void **state)
{
    static const enum redis_failure failures[] = {ALLOW};
    static struct late_store store;
    struct limits *limits = limits_of(1, failures);
    struct limiter *limiter = limiter_new(limits, late_take, &store, ignore_reply);
    struct request request = {
        .method = "GET", .uri = "/?user=a", .remote_addr = "192.0.2.7", .parameters = nothing};
    size_t before = mallinfo2().uordblks;

    (void)state;
    for (size_t i = 0; i < BURST; i++)
        limiter_handle(limiter, NULL, &request);
    size_t most = mallinfo2().uordblks - before; /* 0 with a sanitizer's malloc */
    assert_int_equal(store.count, BURST);
    assert_true(most / BURST < 1024);
    for (size_t i = 0; i < BURST; i++)
        store.done(store.context[i], &allowed);
    assert_true(mallinfo2().uordblks - before <= most / 16);
    limiter_free(limiter);
    limits_unref(limits);
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
    limits_unref(limits);
    free(exchanges);
}

static void the_next_request_may_come_while_one_is_answered(void **state)
{
    static const enum redis_failure failures[] = {REDIS_FAILURE_ALLOW};
    struct limits *limits = limits_of(1, failures);
    struct store store = {.buckets = &refused};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange second = {0}, first = {.limiter = limiter, .next = &second};
    struct request request = {
        .method = "GET", .uri = "/?user=ann", .remote_addr = "192.0.2.7", .parameters = nothing};

    (void)state;
    limiter_handle(limiter, &first, &request);
    want_status("first", &first, "429");
    want_status("second", &second, "429");
    assert_string_equal(store.asked[0].takes[0].key, "rl:{query:user=ann}:limit-0");
    assert_string_equal(store.asked[1].takes[0].key, "rl:{query:user=next}:limit-0");
    assert_ptr_not_equal(store.asked[0].context, store.asked[1].context);
    limiter_free(limiter);
    limits_unref(limits);
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
    limits_unref(limits);
}

/* Standard error, from log_begin on. */
static FILE *log_begin(int *saved)
{
    FILE *file = tmpfile();

    assert_non_null(file);
    fflush(stderr);
    *saved = dup(STDERR_FILENO);
    assert_true(*saved >= 0);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    return file;
}

/* How many of the lines in FILE hold TEXT; the last of them into LINE. */
static unsigned log_count(FILE *file, const char *text, char line[1024])
{
    char each[1024];
    unsigned count = 0;

    rewind(file);
    while (fgets(each, sizeof each, file))
        if (strstr(each, text)) {
            strcpy(line, each);
            count++;
        }
    return count;
}

static void log_end(FILE *file, int saved)
{
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    fclose(file);
}

/* ---- Limits as a file has them ---- */

static struct limits *limits_read(const char *file)
{
    struct findings findings = {.file = "test.yaml"};
    struct limits *limits = limits_parse(file, strlen(file), &findings);

    if (!limits)
        findings_write(&findings, FINDINGS_ALL, stderr);
    findings_free(&findings);
    assert_non_null(limits);
    return limits;
}

/* A limit with the key query:user, which MORE says more of. */
#define LIMIT(name, more)                                                                          \
    "- { name: " name ", key: query:user, capacity: 5, refill: 1/12s" more " }\n"
#define SHADOW ", shadow: true"
#define DENIES ", on_redis_failure: deny"
#define OVERRIDES                                                                                  \
    ", overrides: [{ key: free, unlimited: true }, { key: mallory, blocked: true },"               \
    " { key: premium, capacity: 200, refill: 50/s }]"
#define TAKEN_MAX 4
#define REQUESTS  3000

/* What a limiter makes of one request from a user. */
struct decision {
    const char *what, *limits, *uri;
    bool undecided;          /* by the store; else ... */
    bool refuses[TAKEN_MAX]; /* ... by the takes that it is asked for */
    const char *takes;       /* keys that the store is asked for, a space behind each; "": none */
    size_t enforced;
    const char *status, *body;
};

static void want_decision(const struct decision *decision)
{
    char file[2048], keys[512] = "";
    struct bucket buckets[LIMITS_MAX];
    struct store store = {.buckets = decision->undecided ? NULL : buckets};
    struct exchange exchange;

    for (size_t i = 0; i < LIMITS_MAX; i++)
        buckets[i] = i < TAKEN_MAX && decision->refuses[i] ? refused : allowed;
    snprintf(file, sizeof file, "limits:\n%s", decision->limits);
    struct limits *limits = limits_read(file);
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    int saved;
    FILE *log = log_begin(&saved);
    handle(limiter, &exchange, decision->uri);
    log_end(log, saved);
    want_status(decision->what, &exchange, decision->status);
    want_number(decision->what, (int64_t)store.count, decision->takes[0] != '\0');
    for (size_t i = 0; store.count > 0 && i < store.asked[0].count; i++)
        sprintf(keys + strlen(keys), "%s ", store.asked[0].takes[i].key);
    want_text(decision->what, keys, decision->takes);
    want_number(decision->what, (int64_t)store.asked[0].enforced, (int64_t)decision->enforced);
    want_text(decision->what, strstr(exchange.text, "\r\n\r\n") + 4, decision->body);
    limiter_free(limiter);
    want_number(decision->what, limits->ref_count, 1);
    limits_unref(limits);
}

#define KEY(user, limit) "rl:{query:user=" user "}:" limit " "
#define ALLOWED          "{\"allowed\":true,\"limit\":5,\"remaining\":4,\"reset\":12"
#define QUOTA_EXCEEDED                                                                             \
    "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","                \
    "\"title\":\"Request cannot be satisfied as assigned quota has been exceeded\","               \
    "\"status\":429,\"violated-policies\":"
#define BLOCKED(limit)                                                                             \
    "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"detail\":\"The "           \
    "limit " limit " blocks this client.\"}\n"
#define UNDECIDED                                                                                  \
    "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":"       \
    "\"The rate limiter cannot reach its store.\"}\n"

static void a_limit_that_is_lifted_takes_nothing(void **state)
{
    static const struct decision cases[] = {
        {.what = "the only one",
         .limits = LIMIT("a", OVERRIDES),
         .uri = "/?user=free",
         .takes = "",
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "the only one, and nothing is asked that could fail",
         .limits = LIMIT("a", OVERRIDES DENIES),
         .uri = "/?user=free",
         .undecided = true,
         .takes = "",
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "another one remains",
         .limits = LIMIT("a", OVERRIDES) LIMIT("b", ""),
         .uri = "/?user=free",
         .takes = KEY("free", "b"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "another one refuses",
         .limits = LIMIT("a", OVERRIDES) LIMIT("b", ""),
         .uri = "/?user=free",
         .refuses = {true},
         .takes = KEY("free", "b"),
         .enforced = 1,
         .status = "429",
         .body = QUOTA_EXCEEDED "[\"b\"]}\n"},
        {.what = "a shadow",
         .limits = LIMIT("a", OVERRIDES SHADOW) LIMIT("b", ""),
         .uri = "/?user=free",
         .takes = KEY("free", "b"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "its failure mode does not count",
         .limits = LIMIT("a", OVERRIDES DENIES) LIMIT("b", ""),
         .uri = "/?user=free",
         .undecided = true,
         .takes = KEY("free", "b"),
         .enforced = 1,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_decision(&cases[i]);
}

static void a_client_that_is_blocked_takes_nothing_from_any_limit(void **state)
{
    static const struct decision cases[] = {
        {.what = "by the only limit",
         .limits = LIMIT("a", OVERRIDES),
         .uri = "/?user=mallory",
         .takes = "",
         .status = "403",
         .body = BLOCKED("a")},
        {.what = "by the last limit",
         .limits = LIMIT("a", "") LIMIT("b", "") LIMIT("c", OVERRIDES),
         .uri = "/?user=mallory",
         .takes = "",
         .status = "403",
         .body = BLOCKED("c")},
        {.what = "by two",
         .limits = LIMIT("a", "") LIMIT("b", OVERRIDES) LIMIT("c", OVERRIDES),
         .uri = "/?user=mallory",
         .takes = "",
         .status = "403",
         .body = BLOCKED("b")},
        {.what = "without Redis too",
         .limits = LIMIT("a", OVERRIDES) LIMIT("b", ""),
         .uri = "/?user=mallory",
         .undecided = true,
         .takes = "",
         .status = "403",
         .body = BLOCKED("a")},
        {.what = "a limit that is not for the request",
         .limits = LIMIT("a", OVERRIDES ", match: { path: /x }") LIMIT("b", ""),
         .uri = "/?user=mallory",
         .takes = KEY("mallory", "b"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "a shadow before it says nothing",
         .limits = LIMIT("a", OVERRIDES SHADOW) LIMIT("b", OVERRIDES),
         .uri = "/?user=mallory",
         .takes = "",
         .status = "403",
         .body = BLOCKED("b")},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_decision(&cases[i]);
}

static void a_shadow_limit_comes_last_and_never_refuses(void **state)
{
    static const struct decision cases[] = {
        {.what = "all allow",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .takes = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "a shadow refuses",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .refuses = {false, false, true, false},
         .takes = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "200",
         .body = ALLOWED ",\"shadow\":[\"s\"]}\n"},
        {.what = "the other shadow refuses",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .refuses = {false, false, false, true},
         .takes = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "200",
         .body = ALLOWED ",\"shadow\":[\"t\"]}\n"},
        {.what = "all refuse",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .refuses = {true, true, true, true},
         .takes = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "429",
         .body = QUOTA_EXCEEDED "[\"a\",\"b\"],\"shadow\":[\"s\",\"t\"]}\n"},
        {.what = "only shadows, and they allow",
         .limits = LIMIT("s", SHADOW) LIMIT("t", SHADOW),
         .uri = "/?user=ann",
         .takes = KEY("ann", "s") KEY("ann", "t"),
         .enforced = 0,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "only shadows, and they refuse",
         .limits = LIMIT("s", SHADOW) LIMIT("t", SHADOW),
         .uri = "/?user=ann",
         .refuses = {true, true},
         .takes = KEY("ann", "s") KEY("ann", "t"),
         .enforced = 0,
         .status = "200",
         .body = "{\"allowed\":true,\"shadow\":[\"s\",\"t\"]}\n"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_decision(&cases[i]);
}

static void a_shadow_limit_that_would_block_is_named_and_takes_nothing(void **state)
{
    static const struct decision cases[] = {
        {.what = "it blocks: named, and nothing is taken",
         .limits = LIMIT("s", SHADOW OVERRIDES) LIMIT("a", ""),
         .uri = "/?user=mallory",
         .takes = KEY("mallory", "a"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED ",\"shadow\":[\"s\"]}\n"},
        {.what = "it blocks, and an enforced one refuses",
         .limits = LIMIT("s", SHADOW OVERRIDES) LIMIT("a", "") LIMIT("t", SHADOW),
         .uri = "/?user=mallory",
         .refuses = {true, true},
         .takes = KEY("mallory", "a") KEY("mallory", "t"),
         .enforced = 1,
         .status = "429",
         .body = QUOTA_EXCEEDED "[\"a\"],\"shadow\":[\"s\",\"t\"]}\n"},
        {.what = "it blocks, and there is nothing else",
         .limits = LIMIT("s", SHADOW OVERRIDES),
         .uri = "/?user=mallory",
         .takes = "",
         .status = "200",
         .body = "{\"allowed\":true,\"shadow\":[\"s\"]}\n"},
        {.what = "it is not for the request",
         .limits = LIMIT("s", SHADOW ", match: { path: /x }") LIMIT("a", ""),
         .uri = "/?user=ann",
         .takes = KEY("ann", "a"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_decision(&cases[i]);
}

static void without_the_store_a_shadow_does_not_matter(void **state)
{
    static const struct decision cases[] = {
        {.what = "a shadow denies, an enforced one allows",
         .limits = LIMIT("s", SHADOW DENIES) LIMIT("a", ""),
         .uri = "/?user=ann",
         .undecided = true,
         .takes = KEY("ann", "a") KEY("ann", "s"),
         .enforced = 1,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "a shadow allows, an enforced one denies",
         .limits = LIMIT("s", SHADOW) LIMIT("a", DENIES),
         .uri = "/?user=ann",
         .undecided = true,
         .takes = KEY("ann", "a") KEY("ann", "s"),
         .enforced = 1,
         .status = "503",
         .body = UNDECIDED},
        {.what = "only a shadow",
         .limits = LIMIT("s", SHADOW DENIES),
         .uri = "/?user=ann",
         .undecided = true,
         .takes = KEY("ann", "s"),
         .enforced = 0,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "one that denies is not for the request",
         .limits = LIMIT("a", DENIES ", match: { path: /x }") LIMIT("b", ""),
         .uri = "/?user=ann",
         .undecided = true,
         .takes = KEY("ann", "b"),
         .enforced = 1,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        want_decision(&cases[i]);
}

static void what_a_request_costs_reaches_the_store(void **state)
{
    static const struct {
        const char *parameter, *uri;
        int64_t costs[3];
    } cases[] = {
        {"HTTP_X_COST=7", "/?user=ann", {7, 3, 1}},
        {"HTTP_X_COST=7", "/?user=premium&n=%32", {7, 3, 2}},
        {"HTTP_X_COST=0", "/?user=ann&n=0", {1, 3, 1}},
        {"HTTP_X_COST=-5", "/?user=ann&n=-5", {1, 3, 1}},
        {"HTTP_X_COST=1e9", "/?user=ann&n=x", {1, 3, 1}},
        {"HTTP_X_COST=9999999999999999999999", "/?user=ann&n=1000001", {COST_MAX, 3, COST_MAX}},
        {"HTTP_X_OTHER=5", "/?user=ann", {1, 3, 1}},
    };
    struct limits *limits =
        limits_read("limits:\n" LIMIT("a", ", cost: header:X-Cost" OVERRIDES)
                        LIMIT("b", ", cost: 3") LIMIT("c", ", cost: query:n" SHADOW));

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct store store = {.buckets = (const struct bucket[]){allowed, allowed, allowed}};
        struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
        char parameter[64], *parameters[] = {parameter, NULL};
        const struct request request = {"GET", cases[i].uri, "192.0.2.7", parameters};
        struct exchange exchange = {0};

        snprintf(parameter, sizeof parameter, "%s", cases[i].parameter);
        limiter_handle(limiter, &exchange, &request);
        for (size_t j = 0; j < 3; j++)
            want_number(cases[i].parameter, store.asked[0].takes[j].cost, cases[i].costs[j]);
        bool premium = strstr(cases[i].uri, "premium") != NULL;
        want_number(cases[i].uri, store.asked[0].takes[0].capacity, premium ? 200 : 5);
        want_number(cases[i].uri, store.asked[0].takes[0].interval_us, premium ? 20000 : 12000000);
        limiter_free(limiter);
    }
    limits_unref(limits);
}

static void an_answer_has_the_form_of_who_asks(void **state)
{
    char parameter[] = "RATELIMIT_AUTH_REQUEST=on", header[] = "HTTP_RATELIMIT_AUTH_REQUEST=on";
    char *of_nginx[] = {header, parameter, NULL}, *of_client[] = {header, NULL};
    const struct {
        char **parameters;
        bool authorizer;
        const char *start;
    } cases[] = {
        {of_client, false, "Status: 429 Too Many Requests\r\nContent-Type:"},
        {of_client, true, "Status: 429 Too Many Requests\r\nContent-Type:"},
        {of_nginx, false, "Status: 403 Forbidden\r\nRateLimit-Status: 429\r\n"},
        {of_nginx, true, "Status: 429 Too Many Requests\r\nContent-Type:"},
    };
    struct limits *limits = limits_of(1, (const enum redis_failure[]){REDIS_FAILURE_ALLOW});

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct store store = {.buckets = &refused};
        struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
        const struct request request = {.method = "GET",
                                        .uri = "/",
                                        .remote_addr = "192.0.2.7",
                                        .parameters = cases[i].parameters,
                                        .authorizer = cases[i].authorizer};
        struct exchange exchange = {0};

        limiter_handle(limiter, &exchange, &request);
        want_error("form", exchange.text, cases[i].start);
        limiter_free(limiter);
    }
    limits_unref(limits);
}

static void the_headers_are_those_of_the_file(void **state)
{
    static const struct {
        const char *headers;
        bool ietf, x_ratelimit;
    } cases[] = {
        {"", true, false},
        {"headers: []\n", false, false},
        {"headers: [ietf]\n", true, false},
        {"headers: [x-ratelimit]\n", false, true},
        {"headers: [x-ratelimit, ietf]\n", true, true},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (int refuses = 0; refuses < 2; refuses++) {
            char file[512];
            struct store store = {.buckets = refuses ? &refused : &allowed};
            struct exchange exchange;

            snprintf(file, sizeof file, "%slimits:\n%s", cases[i].headers, LIMIT("a", ""));
            struct limits *limits = limits_read(file);
            struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
            handle(limiter, &exchange, "/?user=ann");
            want_status(file, &exchange, refuses ? "429" : "200");
            want_number(file, strstr(exchange.text, "\r\nRateLimit-Policy: ") != NULL,
                        cases[i].ietf);
            want_number(file, strstr(exchange.text, "\r\nRateLimit: ") != NULL, cases[i].ietf);
            want_number(file, strstr(exchange.text, "\r\nX-RateLimit-Limit: 5\r\n") != NULL,
                        cases[i].x_ratelimit);
            want_number(file, strstr(exchange.text, "\r\nRetry-After: ") != NULL, refuses);
            limiter_free(limiter);
            limits_unref(limits);
        }
}

/* ---- Other limits while requests are under way ---- */

static void a_request_is_decided_by_the_limits_that_it_began_with(void **state)
{
    struct limits *old = limits_read("headers: [x-ratelimit]\nlimits:\n" LIMIT("old", DENIES)
                                         LIMIT("old-shadow", SHADOW)),
                  *new = limits_read("limits:\n" LIMIT("new", ""));
    struct store store = {.later = true};
    struct limiter *limiter = limiter_new(old, fake_take, &store, on_reply);
    struct exchange exchanges[4];
    static const struct bucket refuse_all[] = {{false, 0, 11000000, 59000000},
                                               {false, 0, 11000000, 59000000}};

    (void)state;
    handle(limiter, &exchanges[0], "/?user=ann");
    handle(limiter, &exchanges[1], "/?user=ann");
    handle(limiter, &exchanges[2], "/?user=ann");
    limiter_set_limits(limiter, new);
    limits_unref(new);
    handle(limiter, &exchanges[3], "/?user=ann");
    assert_int_equal(store.asked[0].count, 2);
    assert_int_equal(store.asked[3].count, 1);
    assert_string_equal(store.asked[3].takes[0].key, "rl:{query:user=ann}:new");
    /* Ours, and one for each of the requests under way. */
    assert_int_equal(old->ref_count, 4);

    answer(&store, 3, NULL);
    want_status("new, undecided", &exchanges[3], "200");
    answer(&store, 0, NULL);
    want_status("old, undecided", &exchanges[0], "503");
    answer(&store, 2, refuse_all);
    want_status("old, refused", &exchanges[2], "429");
    want_error("old, refused", exchanges[2].text, "X-RateLimit-Limit: 5");
    want_error("old, refused", exchanges[2].text,
               "\"violated-policies\":[\"old\"],\"shadow\":[\"old-shadow\"]");
    assert_int_equal(old->ref_count, 2);
    limits_unref(old);
    /* It is held by the last request alone. */
    answer(&store, 1, (const struct bucket[]){allowed, allowed});
    want_status("old, allowed", &exchanges[1], "200");
    handle(limiter, &exchanges[0], "/?user=bob");
    answer(&store, 4, &refused);
    want_error("new, refused", exchanges[0].text, "\"violated-policies\":[\"new\"]");
    want_error("new, refused", exchanges[0].text, "RateLimit-Policy: \"new\"");
    limiter_free(limiter);
}

static void the_same_limits_may_be_set_again(void **state)
{
    struct limits *limits = limits_read("limits:\n" LIMIT("a", ""));
    struct store store = {.later = true};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange exchange;

    (void)state;
    handle(limiter, &exchange, "/?user=ann");
    limiter_set_limits(limiter, limits);
    answer(&store, 0, &allowed);
    want_status("again", &exchange, "200");
    limiter_free(limiter);
    assert_int_equal(limits->ref_count, 1);
    limits_unref(limits);
}

/* COUNT limits, the last of which is named after GENERATION.  The caller's to limits_unref. */
static struct limits *generation_of(size_t count, unsigned generation)
{
    char *file = malloc(count * 80 + 80);
    size_t len;

    assert_non_null(file);
    len = (size_t)sprintf(file, "limits:\n");
    for (size_t i = 1; i < count; i++)
        len += (size_t)sprintf(file + len, LIMIT("l-%zu", ""), i);
    sprintf(file + len, LIMIT("g-%u", ""), generation);
    struct limits *limits = limits_read(file);
    free(file);
    return limits;
}

/* A reload at any moment, with more limits or fewer: each answer is by the limits of its own
 * time. */
static void limits_may_be_replaced_at_any_moment(void **state)
{
    struct limits *limits = generation_of(1, 0);
    struct store store = {.later = true};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange *exchanges = calloc(IN_FLIGHT, sizeof *exchanges);
    unsigned generation = 0, begun[IN_FLIGHT], in_flight = 0;
    bool waiting[IN_FLIGHT] = {false};
    struct bucket buckets[LIMITS_MAX];
    uint64_t random = 31;

    (void)state;
    assert_non_null(exchanges);
    limits_unref(limits);
    for (size_t i = 0; i < LIMITS_MAX; i++)
        buckets[i] = refused;
    for (int round = 0; round < REQUESTS || in_flight > 0; round++) {
        size_t i = random_number(&random) % IN_FLIGHT;

        if (random_number(&random) % 16 == 0) {
            static const size_t counts[] = {1, 2, 3, LIMITS_MAX};
            limits = generation_of(counts[random_number(&random) % LENGTH(counts)], ++generation);
            limiter_set_limits(limiter, limits);
            limits_unref(limits);
        } else if (waiting[i]) {
            char name[32];
            answer(&store, i, buckets);
            sprintf(name, "\"g-%u\"]}", begun[i]);
            want_status(name, &exchanges[i], "429");
            want_error(name, exchanges[i].text, name);
            waiting[i] = false;
            in_flight--;
        } else if (round < REQUESTS) {
            store.count = i;
            handle(limiter, &exchanges[i], "/?user=ann");
            begun[i] = generation;
            waiting[i] = true;
            in_flight++;
        }
    }
    limiter_free(limiter);
    free(exchanges);
}

/* ---- What the log says of shadow limits ---- */

static void the_log_names_a_shadow_that_would_refuse_once_a_second(void **state)
{
    struct limits *limits = limits_read("limits:\n" LIMIT("a", "") LIMIT("s", SHADOW)
                                            LIMIT("t", SHADOW OVERRIDES) LIMIT("u", SHADOW));
    struct store store = {.buckets = (const struct bucket[]){allowed, refused, refused, allowed}};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange exchange;
    struct timespec begin, now;
    char line[1024] = "";
    unsigned lines;
    int saved;
    FILE *log = log_begin(&saved);

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 1000; i++)
        handle(limiter, &exchange, "/?user=an%0An");
    clock_gettime(CLOCK_MONOTONIC, &now);
    lines = log_count(log, "shadow limit s would have refused rl:{query:user=an%0An}:s", line);
    assert_in_range(lines, 1, now.tv_sec - begin.tv_sec + 1);
    lines = log_count(log, "shadow limit t would have refused rl:{query:user=an%0An}:t", line);
    assert_in_range(lines, 1, now.tv_sec - begin.tv_sec + 1);
    assert_int_equal(log_count(log, "shadow limit u", line), 0);
    assert_int_equal(log_count(log, "limit a", line), 0);

    /* The next line counts those that were not said. */
    do {
        handle(limiter, &exchange, "/?user=ann");
        usleep(10000);
        clock_gettime(CLOCK_MONOTONIC, &now);
        lines =
            log_count(log, "shadow limit s would have refused rl:{query:user=ann}:s, and ", line);
    } while (lines == 0 && now.tv_sec - begin.tv_sec < 5);
    if (lines == 0 || !strstr(line, " requests since the last such line\n"))
        fail_msg("the log says \"%s\"", line);
    log_end(log, saved);
    limiter_free(limiter);
    limits_unref(limits);
}

static void the_log_names_a_shadow_that_would_block(void **state)
{
    struct limits *limits = limits_read("limits:\n" LIMIT("s", SHADOW OVERRIDES));
    struct store store = {.buckets = &allowed};
    struct limiter *limiter = limiter_new(limits, fake_take, &store, on_reply);
    struct exchange exchange;
    char line[1024] = "";
    int saved;
    FILE *log = log_begin(&saved);

    (void)state;
    handle(limiter, &exchange, "/?user=mallory");
    handle(limiter, &exchange, "/?user=free");
    handle(limiter, &exchange, "/?user=ann");
    assert_int_equal(log_count(log, "shadow limit s", line), 1);
    assert_non_null(strstr(line, "s would have refused rl:{query:user=mallory}:s\n"));
    log_end(log, saved);
    limiter_free(limiter);
    limits_unref(limits);
}

/* Else a line would be about another limit, at the same index. */
static void the_log_says_nothing_of_limits_that_were_replaced(void **state)
{
    struct limits *old = limits_read("limits:\n" LIMIT("a", "") LIMIT("s", SHADOW)),
                  *new = limits_read("limits:\n" LIMIT("b", ""));
    struct store store = {.later = true};
    struct limiter *limiter = limiter_new(old, fake_take, &store, on_reply);
    struct exchange exchange;
    char line[1024] = "";
    int saved;
    FILE *log = log_begin(&saved);

    (void)state;
    handle(limiter, &exchange, "/?user=ann");
    limiter_set_limits(limiter, new);
    answer(&store, 0, (const struct bucket[]){allowed, refused});
    want_error("shadow", exchange.text, "\"shadow\":[\"s\"]");
    assert_int_equal(log_count(log, "shadow", line), 0);
    log_end(log, saved);
    limiter_free(limiter);
    limits_unref(old);
    limits_unref(new);
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
        cmocka_unit_test(a_limit_that_is_lifted_takes_nothing),
        cmocka_unit_test(a_client_that_is_blocked_takes_nothing_from_any_limit),
        cmocka_unit_test(a_shadow_limit_comes_last_and_never_refuses),
        cmocka_unit_test(a_shadow_limit_that_would_block_is_named_and_takes_nothing),
        cmocka_unit_test(without_the_store_a_shadow_does_not_matter),
        cmocka_unit_test(what_a_request_costs_reaches_the_store),
        cmocka_unit_test(an_answer_has_the_form_of_who_asks),
        cmocka_unit_test(the_headers_are_those_of_the_file),
        cmocka_unit_test(a_request_is_decided_by_the_limits_that_it_began_with),
        cmocka_unit_test(the_same_limits_may_be_set_again),
        cmocka_unit_test(limits_may_be_replaced_at_any_moment),
        cmocka_unit_test(the_log_names_a_shadow_that_would_refuse_once_a_second),
        cmocka_unit_test(the_log_names_a_shadow_that_would_block),
        cmocka_unit_test(the_log_says_nothing_of_limits_that_were_replaced),
        cmocka_unit_test(the_memory_of_a_burst_is_given_back),
        cmocka_unit_test(no_limiter_can_be_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
