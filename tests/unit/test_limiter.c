/* test_limiter.c - tests of decide/limiter.h, with a fake store */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "decide/limiter.h"
#include "config/limits_file.h"
#include "unit_slot.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "decide/reply.h"
#include "shared/slot.h"
#include "shared/totals.h"

#define ALLOW     WHEN_DOWN_ALLOW
#define DENY      WHEN_DOWN_DENY
#define IN_FLIGHT 50
#define ROUNDS    2000

static const struct balance allowed = {true, 4, 0, 12000000};
static const struct balance refused = {false, 0, 11000000, 59000000};

/* What a request has that has no FastCGI parameters. */
static char *const nothing[] = {NULL};

/* What the fake store was asked. */
struct asked {
    struct charge charges[STORE_CHARGES_MAX]; /* as they were when it was asked */
    struct ask *ask;
    size_t count, enforced;
};

/* A store that decides at once by BALANCES, or, if LATER is set, when it is told to. */
struct fake_store {
    struct store store; /* first */
    bool later;
    const struct balance *balances; /* NULL: it does not decide */
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

/* ASK is done: BALANCES, or NULL for no decision. */
static void settle(struct ask *ask, const struct balance *balances)
{
    for (size_t i = 0; balances && i < ask->charge_count; i++)
        ask->charges[i].balance = balances[i];
    ask->settled_by = balances ? SETTLED_BY_REDIS : UNSETTLED;
    ask->why = balances ? NULL : "it is a fake";
    ask->done(ask);
}

static void fake_ask(struct store *base, struct ask *ask)
{
    struct fake_store *store = (struct fake_store *)base;
    struct asked *asked = &store->asked[store->count++ % IN_FLIGHT];

    assert_in_range(ask->charge_count, 1, STORE_CHARGES_MAX);
    memcpy(asked->charges, ask->charges, ask->charge_count * sizeof *ask->charges);
    asked->ask = ask;
    asked->count = ask->charge_count;
    asked->enforced = 0;
    while (asked->enforced < asked->count && ask->charges[asked->enforced].enforced)
        asked->enforced++;
    for (size_t i = asked->enforced; i < asked->count; i++)
        assert_false(ask->charges[i].enforced);
    if (!store->later)
        settle(ask, store->balances);
}

#define FAKE .store = {fake_ask}

/* Answer what the store was asked as its number WHICH, with BALANCES. */
static void answer(struct fake_store *store, size_t which, const struct balance *balances)
{
    struct asked *asked = &store->asked[which];

    for (size_t i = 0; i < asked->count; i++)
        if (strcmp(asked->charges[i].key, asked->ask->charges[i].key) != 0)
            fail_msg("ask %zu: a key became \"%s\"", which, asked->ask->charges[i].key);
    settle(asked->ask, balances);
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

        limiter_handle(exchange->limiter, exchange->next, &next, REPLY_WHOLE);
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
                            int64_t interval_us, enum when_down policy)
{
    struct limit limit = {.capacity = capacity,
                          .interval_us = interval_us,
                          .cost.tokens = 1,
                          .on_redis_failure = policy};

    strcpy(limit.name, name);
    want_no_error(key, key_parse(key, &limit.key));
    return limit;
}

/* COUNT limits with the POLICIES for when the store is down. */
static struct limits *limits_of(size_t count, const enum when_down *policies)
{
    struct limits *limits = calloc(1, sizeof *limits);

    assert_non_null(limits);
    limits->ref_count = 1;
    limits->headers = HEADER_IETF;
    limits->ipv6_prefix_bits = 64;
    limits->count = count;
    limits->limit = calloc(count, sizeof *limits->limit);
    assert_non_null(limits->limit);
    for (size_t i = 0; i < count; i++) {
        char name[LIMIT_NAME_MAX + 1];

        snprintf(name, sizeof name, "limit-%zu", i);
        limits->limit[i] = a_limit(name, "query:user | ip", 5, 12000000, policies[i]);
    }
    return limits;
}

static void handle(struct limiter *limiter, struct exchange *exchange, const char *uri)
{
    struct request request = {
        .method = "GET", .uri = uri, .remote_addr = "192.0.2.7:41952", .parameters = nothing};

    *exchange = (struct exchange){0};
    limiter_handle(limiter, exchange, &request, REPLY_WHOLE);
}

TEST(a_request_takes_a_token_from_the_bucket_of_each_limit)
{
    static const enum when_down policies[3] = {WHEN_DOWN_ALLOW};
    struct limits *limits = limits_of(3, policies);
    struct fake_store store = {FAKE,
                               .balances = (const struct balance[]){allowed, allowed, allowed}};
    struct exchange exchange;
    static const struct charge want[] = {
        {.key = "rl:{query:user=a%7Db}:per-user",
         .interval_us = 12000000,
         .capacity = 5,
         .cost = 1},
        {.key = "rl:{ip=192.0.2.7}:per-address",
         .interval_us = 1,
         .capacity = LIMIT_CAPACITY_MAX,
         .cost = 1},
        {.key = "rl:{query:team=red}:per-team",
         .interval_us = LIMIT_WINDOW_US_MAX,
         .capacity = 1,
         .cost = 1,
         .when_down = WHEN_DOWN_DENY},
    };

    limits->limit[0] = a_limit("per-user", "query:user | ip", 5, 12000000, WHEN_DOWN_ALLOW);
    limits->limit[1] = a_limit("per-address", "ip", LIMIT_CAPACITY_MAX, 1, WHEN_DOWN_ALLOW);
    limits->limit[2] = a_limit("per-team", "query:team", 1, LIMIT_WINDOW_US_MAX, WHEN_DOWN_DENY);
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);

    handle(limiter, &exchange, "/?user=a%7db&team=red");
    assert_int_equal(store.count, 1);
    assert_int_equal(store.asked[0].count, 3);
    for (size_t i = 0; i < LENGTH(want); i++) {
        const struct charge *got = &store.asked[0].charges[i];

        want_text(want[i].key, got->key, want[i].key);
        want_number(want[i].key, (int64_t)got->key_len, (int64_t)strlen(want[i].key));
        want_number(want[i].key, got->interval_us, want[i].interval_us);
        want_number(want[i].key, got->capacity, want[i].capacity);
        want_number(want[i].key, got->cost, want[i].cost);
        want_number(want[i].key, got->when_down, want[i].when_down);
        want_number(want[i].key, got->enforced, true);
    }
    want_status("all allow", &exchange, "200");
    limiter_free(limiter);
    limits_unref(limits);
}

TEST(what_the_store_decides_is_the_answer)
{
    static const enum when_down policies[] = {WHEN_DOWN_ALLOW, WHEN_DOWN_DENY};
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

    FOR_EACH(c, cases) {
        struct limits *limits = limits_of(2, policies);
        struct balance balances[] = {c->refuses[0] ? refused : allowed,
                                     c->refuses[1] ? refused : allowed};
        struct fake_store store = {FAKE, .balances = balances};
        struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
        struct exchange exchange;

        handle(limiter, &exchange, "/?user=ann");
        want_status(c->what, &exchange, c->status);
        want_error(c->what, exchange.text, c->fragment);
        limiter_free(limiter);
        limits_unref(limits);
    }
}

TEST(where_the_store_does_not_decide_any_deny_wins)
{
    static const struct {
        const char *what;
        size_t count;
        enum when_down policies[3];
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

    FOR_EACH(c, cases) {
        struct limits *limits = limits_of(c->count, c->policies);
        struct fake_store store = {FAKE, .balances = NULL};
        struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
        struct exchange exchange;

        handle(limiter, &exchange, "/?user=ann");
        want_status(c->what, &exchange, c->status);
        if (strstr(exchange.text, "RateLimit"))
            fail_msg("\"%s\": RateLimit in \"%s\"", c->what, exchange.text);
        limiter_free(limiter);
        limits_unref(limits);
    }
}

/* A number from 0 to IN_FLIGHT - 1, each once: 7 and 50 have no common divisor. */
static size_t shuffled(size_t i)
{
    return (i * 7 + 3) % IN_FLIGHT;
}

TEST(many_requests_are_answered_in_any_order_each_with_its_own)
{
    static const enum when_down policies[] = {WHEN_DOWN_DENY};
    struct limits *limits = limits_of(1, policies);
    struct fake_store store = {FAKE, .later = true};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange *exchanges = calloc(IN_FLIGHT, sizeof *exchanges);

    assert_non_null(exchanges);
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        char uri[32];

        snprintf(uri, sizeof uri, "/?user=%zu", i);
        handle(limiter, &exchanges[i], uri);
        assert_int_equal(exchanges[i].replies, 0);
    }
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        struct balance bucket = {true, (int64_t)shuffled(i) % 5, 1000000, 1000000};

        answer(&store, shuffled(i), shuffled(i) % 6 == 5 ? NULL : &bucket);
    }
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        char key[64], remaining[32];

        snprintf(key, sizeof key, "rl:{query:user=%zu}:limit-0", i);
        want_text(key, store.asked[i].charges[0].key, key);
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
    struct store store; /* first */
    struct ask *ask[BURST];
    size_t count;
};

static void late_ask(struct store *base, struct ask *ask)
{
    struct late_store *store = (struct late_store *)base;

    store->ask[store->count++] = ask;
}

static void ignore_reply(void *exchange, const char *text, size_t len)
{
    (void)exchange, (void)text, (void)len;
}

TEST(the_memory_of_a_burst_is_given_back)
{
    static const enum when_down policies[] = {ALLOW};
    static struct late_store store = {.store = {late_ask}};
    struct limits *limits = limits_of(1, policies);
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), ignore_reply);
    struct request request = {
        .method = "GET", .uri = "/?user=a", .remote_addr = "192.0.2.7", .parameters = nothing};
    size_t before = mallinfo2().uordblks;

    for (size_t i = 0; i < BURST; i++)
        limiter_handle(limiter, NULL, &request, REPLY_WHOLE);
    size_t most = mallinfo2().uordblks - before; /* 0 with a sanitizer's malloc */
    assert_int_equal(store.count, BURST);
    assert_true(most / BURST < 1024);
    for (size_t i = 0; i < BURST; i++)
        settle(store.ask[i], &allowed);
    assert_true(mallinfo2().uordblks - before <= most / 16);
    limiter_free(limiter);
    limits_unref(limits);
}

/* Contexts are what the limiter keeps for each request in flight: no more than were so at once. */
TEST(what_is_kept_for_a_request_is_used_again)
{
    static const enum when_down policies[] = {WHEN_DOWN_ALLOW, WHEN_DOWN_ALLOW};
    enum { MOST = 8 };
    struct limits *limits = limits_of(2, policies);
    struct fake_store store = {FAKE, .later = true};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange *exchanges = calloc(MOST, sizeof *exchanges);
    void *known[MOST];
    size_t kept = 0;
    uint64_t seed = 1;

    assert_non_null(exchanges);
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = 1 + random_number(&seed) % MOST;

        store.count = 0;
        for (size_t i = 0; i < count; i++) {
            size_t j = 0;

            handle(limiter, &exchanges[i], "/?user=ann");
            while (j < kept && known[j] != store.asked[i].ask)
                j++;
            if (j == MOST)
                fail_msg("round %d: more is kept than were in flight", round);
            known[j] = store.asked[i].ask;
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

TEST(the_next_request_may_come_while_one_is_answered)
{
    static const enum when_down policies[] = {WHEN_DOWN_ALLOW};
    struct limits *limits = limits_of(1, policies);
    struct fake_store store = {FAKE, .balances = &refused};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange second = {0}, first = {.limiter = limiter, .next = &second};
    struct request request = {
        .method = "GET", .uri = "/?user=ann", .remote_addr = "192.0.2.7", .parameters = nothing};

    limiter_handle(limiter, &first, &request, REPLY_WHOLE);
    want_status("first", &first, "429");
    want_status("second", &second, "429");
    assert_string_equal(store.asked[0].charges[0].key, "rl:{query:user=ann}:limit-0");
    assert_string_equal(store.asked[1].charges[0].key, "rl:{query:user=next}:limit-0");
    assert_ptr_not_equal(store.asked[0].ask, store.asked[1].ask);
    limiter_free(limiter);
    limits_unref(limits);
}

TEST(as_many_limits_as_are_allowed_apply)
{
    enum when_down policies[STORE_CHARGES_MAX] = {WHEN_DOWN_ALLOW};
    struct limits *limits = limits_of(STORE_CHARGES_MAX, policies);
    struct balance balances[STORE_CHARGES_MAX];
    struct fake_store store = {FAKE, .balances = balances};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange exchange;

    for (size_t i = 0; i < STORE_CHARGES_MAX; i++)
        balances[i] = i == STORE_CHARGES_MAX - 1 ? refused : allowed;
    handle(limiter, &exchange, "/?user=ann");
    assert_int_equal(store.asked[0].count, STORE_CHARGES_MAX);
    for (size_t i = 1; i < STORE_CHARGES_MAX; i++)
        assert_string_not_equal(store.asked[0].charges[i].key, store.asked[0].charges[i - 1].key);
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

TEST(more_limits_than_may_apply_to_a_request_are_an_error_of_the_file)
{
    enum { MORE = STORE_CHARGES_MAX + 3 };
    static const enum when_down policies[MORE];
    struct limits *limits = limits_of(MORE, policies);
    struct balance balances[STORE_CHARGES_MAX];
    struct fake_store store = {FAKE, .balances = balances};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange exchange;
    char line[1024] = "";
    int saved;
    FILE *log = log_begin(&saved);

    for (size_t i = 0; i < STORE_CHARGES_MAX; i++)
        balances[i] = allowed;
    handle(limiter, &exchange, "/?user=ann");
    want_status("all are enforced", &exchange, "500");
    handle(limiter, &exchange, "/?user=ann");
    assert_int_equal(store.count, 0);
    assert_int_equal(log_count(log, "limit limit-64: a request was refused with 500", line), 1);
    /* Shadows are left out, and those whose match does not fit do not count. */
    limits->limit[0].shadow = limits->limit[1].shadow = limits->limit[2].shadow = true;
    handle(limiter, &exchange, "/?user=ann");
    want_status("three are shadows", &exchange, "200");
    assert_int_equal(store.asked[0].count, STORE_CHARGES_MAX);
    for (size_t i = 0; i < 3; i++) {
        limits->limit[i].shadow = false;
        strcpy(limits->limit[i].match.host, "other.example");
    }
    handle(limiter, &exchange, "/?user=ann");
    want_status("three are for another host", &exchange, "200");
    assert_int_equal(store.asked[1].count, STORE_CHARGES_MAX);
    log_end(log, saved);
    limiter_free(limiter);
    limits_unref(limits);
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
    bool refuses[TAKEN_MAX]; /* ... by the charges that it is asked for */
    const char *charges;     /* keys that the store is asked for, a space behind each; "": none */
    size_t enforced;
    const char *status, *body;
};

static void want_decision(const struct decision *decision)
{
    char file[2048], keys[512] = "";
    struct balance balances[STORE_CHARGES_MAX];
    struct fake_store store = {FAKE, .balances = decision->undecided ? NULL : balances};
    struct exchange exchange;

    for (size_t i = 0; i < STORE_CHARGES_MAX; i++)
        balances[i] = i < TAKEN_MAX && decision->refuses[i] ? refused : allowed;
    snprintf(file, sizeof file, "limits:\n%s", decision->limits);
    struct limits *limits = limits_read(file);
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    int saved;
    FILE *log = log_begin(&saved);
    handle(limiter, &exchange, decision->uri);
    log_end(log, saved);
    want_status(decision->what, &exchange, decision->status);
    want_number(decision->what, (int64_t)store.count, decision->charges[0] != '\0');
    for (size_t i = 0; store.count > 0 && i < store.asked[0].count; i++)
        sprintf(keys + strlen(keys), "%s ", store.asked[0].charges[i].key);
    want_text(decision->what, keys, decision->charges);
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

TEST(a_limit_that_is_lifted_takes_nothing)
{
    static const struct decision cases[] = {
        {.what = "the only one",
         .limits = LIMIT("a", OVERRIDES),
         .uri = "/?user=free",
         .charges = "",
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "the only one, and nothing is asked that could fail",
         .limits = LIMIT("a", OVERRIDES DENIES),
         .uri = "/?user=free",
         .undecided = true,
         .charges = "",
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "another one remains",
         .limits = LIMIT("a", OVERRIDES) LIMIT("b", ""),
         .uri = "/?user=free",
         .charges = KEY("free", "b"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "another one refuses",
         .limits = LIMIT("a", OVERRIDES) LIMIT("b", ""),
         .uri = "/?user=free",
         .refuses = {true},
         .charges = KEY("free", "b"),
         .enforced = 1,
         .status = "429",
         .body = QUOTA_EXCEEDED "[\"b\"]}\n"},
        {.what = "a shadow",
         .limits = LIMIT("a", OVERRIDES SHADOW) LIMIT("b", ""),
         .uri = "/?user=free",
         .charges = KEY("free", "b"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "its failure mode does not count",
         .limits = LIMIT("a", OVERRIDES DENIES) LIMIT("b", ""),
         .uri = "/?user=free",
         .undecided = true,
         .charges = KEY("free", "b"),
         .enforced = 1,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
    };

    FOR_EACH(c, cases)
        want_decision(c);
}

TEST(a_client_that_is_blocked_takes_nothing_from_any_limit)
{
    static const struct decision cases[] = {
        {.what = "by the only limit",
         .limits = LIMIT("a", OVERRIDES),
         .uri = "/?user=mallory",
         .charges = "",
         .status = "403",
         .body = BLOCKED("a")},
        {.what = "by the last limit",
         .limits = LIMIT("a", "") LIMIT("b", "") LIMIT("c", OVERRIDES),
         .uri = "/?user=mallory",
         .charges = "",
         .status = "403",
         .body = BLOCKED("c")},
        {.what = "by two",
         .limits = LIMIT("a", "") LIMIT("b", OVERRIDES) LIMIT("c", OVERRIDES),
         .uri = "/?user=mallory",
         .charges = "",
         .status = "403",
         .body = BLOCKED("b")},
        {.what = "without Redis too",
         .limits = LIMIT("a", OVERRIDES) LIMIT("b", ""),
         .uri = "/?user=mallory",
         .undecided = true,
         .charges = "",
         .status = "403",
         .body = BLOCKED("a")},
        {.what = "a limit that is not for the request",
         .limits = LIMIT("a", OVERRIDES ", match: { path: /x }") LIMIT("b", ""),
         .uri = "/?user=mallory",
         .charges = KEY("mallory", "b"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "a shadow before it says nothing",
         .limits = LIMIT("a", OVERRIDES SHADOW) LIMIT("b", OVERRIDES),
         .uri = "/?user=mallory",
         .charges = "",
         .status = "403",
         .body = BLOCKED("b")},
    };

    for (size_t i = 0; i < LENGTH(cases); i++)
        want_decision(&cases[i]);
}

TEST(a_shadow_limit_comes_last_and_never_refuses)
{
    static const struct decision cases[] = {
        {.what = "all allow",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .charges = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "200",
         .body = ALLOWED "}\n"},
        {.what = "a shadow refuses",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .refuses = {false, false, true, false},
         .charges = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "200",
         .body = ALLOWED ",\"shadow\":[\"s\"]}\n"},
        {.what = "the other shadow refuses",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .refuses = {false, false, false, true},
         .charges = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "200",
         .body = ALLOWED ",\"shadow\":[\"t\"]}\n"},
        {.what = "all refuse",
         .limits = LIMIT("s", SHADOW) LIMIT("a", "") LIMIT("t", SHADOW) LIMIT("b", ""),
         .uri = "/?user=ann",
         .refuses = {true, true, true, true},
         .charges = KEY("ann", "a") KEY("ann", "b") KEY("ann", "s") KEY("ann", "t"),
         .enforced = 2,
         .status = "429",
         .body = QUOTA_EXCEEDED "[\"a\",\"b\"],\"shadow\":[\"s\",\"t\"]}\n"},
        {.what = "only shadows, and they allow",
         .limits = LIMIT("s", SHADOW) LIMIT("t", SHADOW),
         .uri = "/?user=ann",
         .charges = KEY("ann", "s") KEY("ann", "t"),
         .enforced = 0,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "only shadows, and they refuse",
         .limits = LIMIT("s", SHADOW) LIMIT("t", SHADOW),
         .uri = "/?user=ann",
         .refuses = {true, true},
         .charges = KEY("ann", "s") KEY("ann", "t"),
         .enforced = 0,
         .status = "200",
         .body = "{\"allowed\":true,\"shadow\":[\"s\",\"t\"]}\n"},
    };

    FOR_EACH(c, cases)
        want_decision(c);
}

TEST(a_shadow_limit_that_would_block_is_named_and_takes_nothing)
{
    static const struct decision cases[] = {
        {.what = "it blocks: named, and nothing is taken",
         .limits = LIMIT("s", SHADOW OVERRIDES) LIMIT("a", ""),
         .uri = "/?user=mallory",
         .charges = KEY("mallory", "a"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED ",\"shadow\":[\"s\"]}\n"},
        {.what = "it blocks, and an enforced one refuses",
         .limits = LIMIT("s", SHADOW OVERRIDES) LIMIT("a", "") LIMIT("t", SHADOW),
         .uri = "/?user=mallory",
         .refuses = {true, true},
         .charges = KEY("mallory", "a") KEY("mallory", "t"),
         .enforced = 1,
         .status = "429",
         .body = QUOTA_EXCEEDED "[\"a\"],\"shadow\":[\"s\",\"t\"]}\n"},
        {.what = "it blocks, and there is nothing else",
         .limits = LIMIT("s", SHADOW OVERRIDES),
         .uri = "/?user=mallory",
         .charges = "",
         .status = "200",
         .body = "{\"allowed\":true,\"shadow\":[\"s\"]}\n"},
        {.what = "it is not for the request",
         .limits = LIMIT("s", SHADOW ", match: { path: /x }") LIMIT("a", ""),
         .uri = "/?user=ann",
         .charges = KEY("ann", "a"),
         .enforced = 1,
         .status = "200",
         .body = ALLOWED "}\n"},
    };

    FOR_EACH(c, cases)
        want_decision(c);
}

TEST(without_the_store_a_shadow_does_not_matter)
{
    static const struct decision cases[] = {
        {.what = "a shadow denies, an enforced one allows",
         .limits = LIMIT("s", SHADOW DENIES) LIMIT("a", ""),
         .uri = "/?user=ann",
         .undecided = true,
         .charges = KEY("ann", "a") KEY("ann", "s"),
         .enforced = 1,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "a shadow allows, an enforced one denies",
         .limits = LIMIT("s", SHADOW) LIMIT("a", DENIES),
         .uri = "/?user=ann",
         .undecided = true,
         .charges = KEY("ann", "a") KEY("ann", "s"),
         .enforced = 1,
         .status = "503",
         .body = UNDECIDED},
        {.what = "only a shadow",
         .limits = LIMIT("s", SHADOW DENIES),
         .uri = "/?user=ann",
         .undecided = true,
         .charges = KEY("ann", "s"),
         .enforced = 0,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
        {.what = "one that denies is not for the request",
         .limits = LIMIT("a", DENIES ", match: { path: /x }") LIMIT("b", ""),
         .uri = "/?user=ann",
         .undecided = true,
         .charges = KEY("ann", "b"),
         .enforced = 1,
         .status = "200",
         .body = "{\"allowed\":true}\n"},
    };

    FOR_EACH(c, cases)
        want_decision(c);
}

TEST(what_a_request_costs_reaches_the_store)
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

    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct fake_store store = {FAKE,
                                   .balances = (const struct balance[]){allowed, allowed, allowed}};
        struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
        char parameter[64], *parameters[] = {parameter, NULL};
        const struct request request = {"GET", cases[i].uri, "192.0.2.7", parameters};
        struct exchange exchange = {0};

        snprintf(parameter, sizeof parameter, "%s", cases[i].parameter);
        limiter_handle(limiter, &exchange, &request, REPLY_WHOLE);
        for (size_t j = 0; j < 3; j++)
            want_number(cases[i].parameter, store.asked[0].charges[j].cost, cases[i].costs[j]);
        bool premium = strstr(cases[i].uri, "premium") != NULL;
        want_number(cases[i].uri, store.asked[0].charges[0].capacity, premium ? 200 : 5);
        want_number(cases[i].uri, store.asked[0].charges[0].interval_us,
                    premium ? 20000 : 12000000);
        limiter_free(limiter);
    }
    limits_unref(limits);
}

TEST(the_headers_are_those_of_the_file)
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

    FOR_EACH(c, cases)
        for (int refuses = 0; refuses < 2; refuses++) {
            char file[512];
            struct fake_store store = {FAKE, .balances = refuses ? &refused : &allowed};
            struct exchange exchange;

            snprintf(file, sizeof file, "%slimits:\n%s", c->headers, LIMIT("a", ""));
            struct limits *limits = limits_read(file);
            struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
            handle(limiter, &exchange, "/?user=ann");
            want_status(file, &exchange, refuses ? "429" : "200");
            want_number(file, strstr(exchange.text, "\r\nRateLimit-Policy: ") != NULL, c->ietf);
            want_number(file, strstr(exchange.text, "\r\nRateLimit: ") != NULL, c->ietf);
            want_number(file, strstr(exchange.text, "\r\nX-RateLimit-Limit: 5\r\n") != NULL,
                        c->x_ratelimit);
            want_number(file, strstr(exchange.text, "\r\nRetry-After: ") != NULL, refuses);
            limiter_free(limiter);
            limits_unref(limits);
        }
}

/* ---- Other limits while requests are under way ---- */

TEST(a_request_is_decided_by_the_limits_that_it_began_with)
{
    struct limits *old = limits_read("headers: [x-ratelimit]\nlimits:\n" LIMIT("old", DENIES)
                                         LIMIT("old-shadow", SHADOW)),
                  *new = limits_read("limits:\n" LIMIT("new", ""));
    struct fake_store store = {FAKE, .later = true};
    struct limiter *limiter = limiter_new(old, &store.store, unit_region(), on_reply);
    struct exchange exchanges[4];
    static const struct balance refuse_all[] = {{false, 0, 11000000, 59000000},
                                                {false, 0, 11000000, 59000000}};

    handle(limiter, &exchanges[0], "/?user=ann");
    handle(limiter, &exchanges[1], "/?user=ann");
    handle(limiter, &exchanges[2], "/?user=ann");
    limiter_set_limits(limiter, new);
    limits_unref(new);
    handle(limiter, &exchanges[3], "/?user=ann");
    assert_int_equal(store.asked[0].count, 2);
    assert_int_equal(store.asked[3].count, 1);
    assert_string_equal(store.asked[3].charges[0].key, "rl:{query:user=ann}:new");
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
    answer(&store, 1, (const struct balance[]){allowed, allowed});
    want_status("old, allowed", &exchanges[1], "200");
    handle(limiter, &exchanges[0], "/?user=bob");
    answer(&store, 4, &refused);
    want_error("new, refused", exchanges[0].text, "\"violated-policies\":[\"new\"]");
    want_error("new, refused", exchanges[0].text, "RateLimit-Policy: \"new\"");
    limiter_free(limiter);
}

TEST(the_same_limits_may_be_set_again)
{
    struct limits *limits = limits_read("limits:\n" LIMIT("a", ""));
    struct fake_store store = {FAKE, .later = true};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange exchange;

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
TEST(limits_may_be_replaced_at_any_moment)
{
    struct limits *limits = generation_of(1, 0);
    struct fake_store store = {FAKE, .later = true};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange *exchanges = calloc(IN_FLIGHT, sizeof *exchanges);
    unsigned generation = 0, begun[IN_FLIGHT], in_flight = 0;
    bool waiting[IN_FLIGHT] = {false};
    struct balance balances[STORE_CHARGES_MAX];
    uint64_t random = 31;

    assert_non_null(exchanges);
    limits_unref(limits);
    for (size_t i = 0; i < STORE_CHARGES_MAX; i++)
        balances[i] = refused;
    for (int round = 0; round < REQUESTS || in_flight > 0; round++) {
        size_t i = random_number(&random) % IN_FLIGHT;

        if (random_number(&random) % 16 == 0) {
            static const size_t counts[] = {1, 2, 3, STORE_CHARGES_MAX};
            limits = generation_of(counts[random_number(&random) % LENGTH(counts)], ++generation);
            limiter_set_limits(limiter, limits);
            limits_unref(limits);
        } else if (waiting[i]) {
            char name[32];
            answer(&store, i, balances);
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

/* ---- What is counted ---- */

/* The counters of the limit NAME in the slot of the tests. */
static struct limit_counters counted(const char *name)
{
    return slot_limit(unit_slot(), name, 0)->counters;
}

/* How often KEY was refused at least, because other tests have filled the sketch; of shadow limits
 * if SHADOW. */
static uint64_t refusals_of(const char *key, bool shadow)
{
    struct top_list list = totals_top(unit_region(), shadow, 0);
    uint64_t count = 0;

    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.row[i].key, key) == 0)
            count = list.row[i].count - list.row[i].error;
    top_list_free(&list);
    return count;
}

static void want_counters(const char *what, const struct limit_counters *got,
                          const struct limit_counters *want)
{
#define LIMIT_COUNTER(field, metric, label, help)                                                  \
    if (got->field != want->field)                                                                 \
        fail_msg("%s: " #field " is %u, want %u", what, (unsigned)got->field,                      \
                 (unsigned)want->field);
#include "shared/counters.def"
}

TEST(each_limit_counts_what_it_decides)
{
    static const struct {
        const char *uri;
        bool refuses[3];
        bool down;
        struct limit_counters want[3]; /* of an enforced limit, one with cost 2, and a shadow */
    } cases[] = {
        {"/?user=ann",
         {false, false, false},
         false,
         {{.allowed = 1, .tokens_taken = 1},
          {.allowed = 1, .tokens_taken = 2},
          {.allowed = 1, .tokens_taken = 1}}},
        {"/?user=ann",
         {true, false, false},
         false,
         {{.refused = 1}, {.allowed = 1}, {.allowed = 1}}},
        {"/?user=ann",
         {false, false, true},
         false,
         {{.allowed = 1, .tokens_taken = 1},
          {.allowed = 1, .tokens_taken = 2},
          {.shadow_refused = 1}}},
        {"/?user=ann",
         {false, false, false},
         true,
         {{.undecided_allowed = 1}, {.undecided_allowed = 1}, {.undecided_allowed = 1}}},
        {"/?user=free",
         {false, false},
         false,
         {{.allowed = 1, .tokens_taken = 1}, {.allowed = 1, .tokens_taken = 2}, {.allowed = 1}}},
        {"/?user=mallory",
         {false, false},
         false,
         {{.allowed = 1, .tokens_taken = 1},
          {.allowed = 1, .tokens_taken = 2},
          {.shadow_refused = 1}}},
    };
    unsigned number = 0;

    FOR_EACH(c, cases) {
        char text[1024], name[3][16];
        struct balance balances[3];

        number++;
        for (int i = 0; i < 3; i++)
            balances[i] = c->refuses[i] ? refused : allowed;
        for (int i = 0; i < 3; i++)
            sprintf(name[i], "counted%u-%d", number, i);
        sprintf(text,
                "limits:\n" LIMIT("%s", "") LIMIT("%s", ", cost: 2") LIMIT("%s", SHADOW OVERRIDES),
                name[0], name[1], name[2]);
        struct limits *limits = limits_read(text);
        struct fake_store store = {FAKE, .balances = c->down ? NULL : balances};
        struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
        struct exchange exchange;

        handle(limiter, &exchange, c->uri);
        for (int i = 0; i < 3; i++) {
            struct limit_counters got = counted(name[i]);
            want_counters(name[i], &got, &c->want[i]);
        }
        limiter_free(limiter);
        limits_unref(limits);
    }
}

TEST(the_clients_that_are_refused_are_counted_by_their_keys)
{
    struct limits *limits = limits_read("limits:\n" LIMIT("ra", OVERRIDES) LIMIT("rs", SHADOW)
                                            LIMIT("rt", SHADOW OVERRIDES));
    struct fake_store store = {FAKE,
                               .balances = (const struct balance[]){refused, refused, allowed}};
    struct limiter *limiter = limiter_new(limits, &store.store, unit_region(), on_reply);
    struct exchange exchange;

    for (int i = 0; i < 3; i++)
        handle(limiter, &exchange, "/?user=ann");
    handle(limiter, &exchange, "/?user=mallory"); /* blocked by ra, and so rs and rt say nothing */
    assert_int_equal(refusals_of("rl:{query:user=ann}:ra", false), 3);
    assert_int_equal(refusals_of("rl:{query:user=ann}:rs", true), 3);
    assert_int_equal(refusals_of("rl:{query:user=ann}:rt", true), 0);
    assert_int_equal(refusals_of("rl:{query:user=mallory}:ra", false), 1);
    assert_int_equal(refusals_of("rl:{query:user=mallory}:rs", true), 0);
    limiter_free(limiter);
    limits_unref(limits);
}

TEST(a_request_under_way_is_counted_for_the_limits_that_it_began_with)
{
    struct limits *old = limits_read("limits:\n" LIMIT("before", "") LIMIT("before-s", SHADOW)),
                  *new = limits_read("limits:\n" LIMIT("after", ""));
    struct fake_store store = {FAKE, .later = true};
    struct limiter *limiter = limiter_new(old, &store.store, unit_region(), on_reply);
    struct exchange exchange;

    handle(limiter, &exchange, "/?user=ann");
    limiter_set_limits(limiter, new);
    answer(&store, 0, (const struct balance[]){allowed, refused});
    assert_int_equal(counted("before").allowed, 1);
    assert_int_equal(counted("before-s").shadow_refused, 1);
    assert_int_equal(counted("after").allowed, 0);
    assert_int_equal(slot_limit(unit_slot(), "before", 0)->in_force, 0);
    assert_int_equal(slot_limit(unit_slot(), "after", 0)->in_force, 1);
    limiter_free(limiter);
    limits_unref(old);
    limits_unref(new);
}

TEST(no_limiter_can_be_freed)
{
    limiter_free(NULL);
}

TESTS_MAIN
