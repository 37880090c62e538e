#include "redis.h"

#include <assert.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "limits.h"
#include "log.h"
#include "redis_ev.h"
#include "resolver.h"
#include "units.h"

#define ATTEMPT_S     1.0   /* a connection not ready after this is given up */
#define BACKOFF_MIN_S 0.010 /* between attempts: doubles from here ... */
#define BACKOFF_MAX_S 1.0   /* ... to here */

#define RESENDS_MAX 3 /* of one call: each SCRIPT FLUSH that comes in between costs one */

static const char script[] = {
#include "take.lua.inc"
};

/* A take_tokens under way. */
struct call {
    TAILQ_ENTRY(call) entry;
    struct redis *redis;
    const struct take *takes;
    size_t count, enforced;
    take_done *done;
    void *context;
    double deadline_s; /* on clock_s, for ev_now is the time of day */
    unsigned resends;  /* after a NOSCRIPT */
};

TAILQ_HEAD(call_list, call);

enum state {
    REDIS_CONNECTING, /* a connection is being made: takes wait for it, each up to its deadline */
    REDIS_READY,      /* takes go out at once */
    REDIS_AWAY,       /* lost: takes are not decided, attempts go on in the background */
};

struct redis {
    struct ev_loop *loop;
    struct redis_address address;
    char shown[REDIS_ADDRESS_SHOWN_MAX];
    ev_tstamp timeout_s;

    enum state state;
    redisAsyncContext *context; /* NULL between attempts */
    struct resolver *resolver;
    struct resolved resolved;
    unsigned next_address; /* of resolved, within one attempt */
    double ready_since_s;
    ev_tstamp backoff_s; /* before the next attempt; 0: none, the last connection was a good one */
    ev_timer retry, attempt;

    char sha[41]; /* of the script, as SCRIPT LOAD answered */
    bool loading; /* a SCRIPT LOAD is under way on a ready connection */

    struct call_list waiting, sent, free; /* waiting and sent: in the order of their deadlines */
    ev_timer deadline;                    /* of the oldest in waiting and sent */

    struct redis_ev ev;

    bool away; /* said so in the log */
    double away_since_s;
    uint64_t undecided; /* takes without a decision since */
};

static void lost(struct redis *redis, enum state next, const char *reason);

/* ---- The log: the loss and the return of Redis, each once ---- */

static void away_begin(struct redis *redis, const char *reason)
{
    if (redis->away)
        return;
    redis->away = true;
    redis->away_since_s = clock_s();
    redis->undecided = 0;
    log_line("redis %s is lost (%s): requests are decided without it", redis->shown, reason);
}

static void away_end(struct redis *redis)
{
    if (!redis->away)
        return;
    redis->away = false;
    log_line("redis %s is back after %.1f s; requests decided without it: %llu", redis->shown,
             clock_s() - redis->away_since_s, (unsigned long long)redis->undecided);
}

/* ---- Calls and their deadline ---- */

static struct call *call_new(struct redis *redis)
{
    struct call *call = TAILQ_FIRST(&redis->free);

    if (call)
        TAILQ_REMOVE(&redis->free, call, entry);
    else
        call = malloc(sizeof *call);
    assert(call);
    return call;
}

/* Take CALL off LIST and tell its owner: BUCKETS, or NULL for no decision. */
static void call_end(struct call *call, struct call_list *list, const struct bucket *buckets)
{
    struct redis *redis = call->redis;

    TAILQ_REMOVE(list, call, entry);
    TAILQ_INSERT_HEAD(&redis->free, call, entry);
    call->done(call->context, buckets);
}

static void calls_end_undecided(struct redis *redis, struct call_list *list)
{
    struct call *call;

    while ((call = TAILQ_FIRST(list))) {
        redis->undecided++;
        call_end(call, list, NULL);
    }
}

/* Every call of LIST ends without a decision, because Redis is lost for REASON. */
static void calls_fail(struct redis *redis, struct call_list *list, const char *reason)
{
    if (TAILQ_EMPTY(list))
        return;
    away_begin(redis, reason);
    calls_end_undecided(redis, list);
}

/* The oldest call that is under way: those that wait are younger than those that were sent. */
static struct call *oldest(struct redis *redis)
{
    struct call *call = TAILQ_FIRST(&redis->sent);

    return call ? call : TAILQ_FIRST(&redis->waiting);
}

static void deadline_watch(struct redis *redis)
{
    struct call *call = oldest(redis);

    if (!call || ev_is_active(&redis->deadline))
        return;
    ev_timer_set(&redis->deadline, call->deadline_s - clock_s(), 0.);
    ev_timer_start(redis->loop, &redis->deadline);
}

/* One timer serves all: most calls end long before it fires, and then it moves to the oldest left. */
static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct redis *redis = watcher->data;
    struct call *call = oldest(redis);
    char reason[64];

    (void)loop, (void)events;
    if (call && call->deadline_s <= clock_s()) {
        snprintf(reason, sizeof reason, "no reply within %.0f ms", redis->timeout_s * 1e3);
        if (redis->state == REDIS_READY) {
            lost(redis, REDIS_AWAY, reason);
        } else { /* the attempt goes on, but nobody waits for it any more */
            redis->state = REDIS_AWAY;
            calls_fail(redis, &redis->waiting, reason);
        }
    }
    deadline_watch(redis);
}

/* ---- Commands ---- */

/* A command while it is put together; it borrows the text it is given. */
struct command {
    int argc;
    const char *argv[4 + 4 * LIMITS_MAX];
    size_t len[4 + 4 * LIMITS_MAX];
    unsigned numbers;
    char number[2 + 3 * LIMITS_MAX][UNITS_DECIMAL_MAX];
};

static void command_add(struct command *command, const char *text, size_t len)
{
    command->argv[command->argc] = text;
    command->len[command->argc] = len;
    command->argc++;
}

static void command_add_number(struct command *command, int64_t value)
{
    char *text = command->number[command->numbers++];

    command_add(command, text, units_decimal(value, text));
}

static void command_take(struct redis *redis, redisCallbackFn *callback, void *privdata,
                         const struct take *takes, size_t count, size_t enforced)
{
    struct command command;

    assert(count >= 1 && count <= LIMITS_MAX);
    command.argc = 0;
    command.numbers = 0;
    command_add(&command, "EVALSHA", 7);
    command_add(&command, redis->sha, 40);
    command_add_number(&command, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        command_add(&command, takes[i].key, takes[i].key_len);
    for (size_t i = 0; i < count; i++) {
        command_add_number(&command, takes[i].interval_us);
        command_add_number(&command, takes[i].capacity);
        command_add_number(&command, takes[i].cost);
    }
    if (enforced < count)
        command_add_number(&command, (int64_t)enforced);
    /* A connection on its way out takes no command, and then fails its calls. */
    redisAsyncCommandArgv(redis->context, callback, privdata, command.argc, command.argv,
                          command.len);
}

static void command_load(struct redis *redis, redisCallbackFn *callback)
{
    redisAsyncCommand(redis->context, callback, NULL, "SCRIPT LOAD %b", script, sizeof script);
}

/* ---- Replies ---- */

/* The struct redis that a reply on CONTEXT is for; NULL where the connection is being given up. */
static struct redis *owner(const redisAsyncContext *context, const void *reply)
{
    return reply ? context->data : NULL;
}

/* Give the connection up because of REPLY, which is not what was asked for. */
static void lost_by_reply(struct redis *redis, const redisReply *reply)
{
    lost(redis, REDIS_AWAY,
         reply->type == REDIS_REPLY_ERROR ? reply->str : "a reply that makes no sense");
}

static bool is_sha(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING && reply->len == 40;
}

/* Whether BUCKET can be what take.lua says of TAKE. */
static bool makes_sense(const struct bucket *bucket, const struct take *take)
{
    bool waits = bucket->wait_us == -1 || bucket->wait_us > 0;

    return bucket->remaining >= 0 && bucket->remaining <= take->capacity && bucket->wait_us >= -1 &&
           bucket->wait_us <= LIMIT_WINDOW_US_MAX && bucket->full_us >= 0 &&
           bucket->full_us <= LIMIT_WINDOW_US_MAX && (bucket->allowed || waits);
}

/* Read REPLY, what take.lua returned for COUNT TAKES, into BUCKETS.  False where it makes no sense. */
static bool read_buckets(const redisReply *reply, const struct take *takes, size_t count,
                         struct bucket *buckets)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4 * count)
        return false;
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return false;
    for (size_t i = 0; i < count; i++) {
        redisReply **number = &reply->element[4 * i];
        if (number[0]->integer != 0 && number[0]->integer != 1)
            return false;
        buckets[i] = (struct bucket){.allowed = number[0]->integer == 1,
                                     .remaining = number[1]->integer,
                                     .wait_us = number[2]->integer,
                                     .full_us = number[3]->integer};
        if (!makes_sense(&buckets[i], &takes[i]))
            return false;
    }
    return true;
}

static void on_reload_reply(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    struct redis *redis = owner(context, reply);

    (void)privdata;
    if (!redis)
        return;
    redis->loading = false;
    if (!is_sha(reply))
        lost_by_reply(redis, reply);
}

static void on_take_reply(redisAsyncContext *context, void *data, void *privdata);

static void call_send(struct redis *redis, struct call *call)
{
    command_take(redis, on_take_reply, call, call->takes, call->count, call->enforced);
}

/* Redis has forgotten the script (SCRIPT FLUSH): load it, and send the same command behind it.
 * CALL keeps its deadline, and so its place in the list. */
static void call_resend(struct redis *redis, struct call *call)
{
    if (!redis->loading) {
        redis->loading = true;
        command_load(redis, on_reload_reply);
    }
    call->resends++;
    call_send(redis, call);
}

static void on_take_reply(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    struct redis *redis = owner(context, reply);
    struct call *call = privdata;
    struct bucket buckets[LIMITS_MAX];

    if (!redis)
        return;
    if (read_buckets(reply, call->takes, call->count, buckets)) {
        redis->backoff_s = 0;
        call_end(call, &redis->sent, buckets);
    } else if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0 &&
               call->resends < RESENDS_MAX) {
        call_resend(redis, call);
    } else {
        lost_by_reply(redis, reply);
    }
}

/* ---- A connection's way to ready: AUTH, SELECT, SCRIPT LOAD, a probe ---- */

/* One bucket that always admits, and a shadow that never does: together they run every command that the script
 * can, so that an access list which forbids one of them is seen now. */
static const struct take probes[2] = {
    {.key = "rl:{probe}", .key_len = 10, .interval_us = 1, .capacity = 1000000, .cost = 1},
    {.key = "rl:{probe}:never", .key_len = 16, .interval_us = 1, .capacity = 1, .cost = 2},
};

static void ready(struct redis *redis)
{
    struct call *call;

    ev_timer_stop(redis->loop, &redis->attempt);
    redis->state = REDIS_READY;
    redis->ready_since_s = clock_s();
    redis->loading = false;
    away_end(redis);
    while ((call = TAILQ_FIRST(&redis->waiting))) {
        TAILQ_REMOVE(&redis->waiting, call, entry);
        TAILQ_INSERT_TAIL(&redis->sent, call, entry);
        call_send(redis, call);
    }
}

static void on_probe_reply(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    struct redis *redis = owner(context, reply);
    struct bucket buckets[2];

    (void)privdata;
    if (!redis)
        return;
    if (read_buckets(reply, probes, 2, buckets))
        ready(redis);
    else
        lost_by_reply(redis, reply);
}

static void on_load_reply(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    struct redis *redis = owner(context, reply);

    (void)privdata;
    if (!redis)
        return;
    if (!is_sha(reply)) {
        lost_by_reply(redis, reply);
        return;
    }
    memcpy(redis->sha, reply->str, sizeof redis->sha);
    command_take(redis, on_probe_reply, NULL, probes, 2, 1);
}

/* Of an error only its code is told, WRONGPASS or ERR: some servers quote the command they refuse. */
static void on_auth_reply(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    struct redis *redis = owner(context, reply);
    char reason[64];

    (void)privdata;
    if (!redis || reply->type == REDIS_REPLY_STATUS)
        return;
    snprintf(reason, sizeof reason, "login refused: %.*s",
             reply->str ? (int)strcspn(reply->str, " ") : 0, reply->str ? reply->str : "");
    lost(redis, REDIS_AWAY, reason);
}

static void on_select_reply(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    struct redis *redis = owner(context, reply);

    (void)privdata;
    if (redis && reply->type != REDIS_REPLY_STATUS)
        lost_by_reply(redis, reply);
}

static void log_in(struct redis *redis)
{
    const struct redis_address *address = &redis->address;

    if (address->user[0] != '\0')
        redisAsyncCommand(redis->context, on_auth_reply, NULL, "AUTH %s %s", address->user,
                          address->password);
    else if (address->password[0] != '\0')
        redisAsyncCommand(redis->context, on_auth_reply, NULL, "AUTH %s", address->password);
    if (address->db != 0)
        redisAsyncCommand(redis->context, on_select_reply, NULL, "SELECT %u", address->db);
    command_load(redis, on_load_reply);
}

/* ---- Connecting and losing ---- */

static void connect_next(struct redis *redis, const char *reason);

/* Let go of the connection, if there is one: nothing is heard of it any more.  Returns it, to be freed. */
static redisAsyncContext *release_connection(struct redis *redis)
{
    redisAsyncContext *context = redis->context;

    ev_timer_stop(redis->loop, &redis->attempt);
    redis_ev_detach(&redis->ev);
    redis->context = NULL;
    if (context)
        context->data = NULL;
    return context;
}

static void drop_connection(struct redis *redis)
{
    redisAsyncContext *context = release_connection(redis);

    if (context)
        redisAsyncFree(context);
}

static void on_connect(const redisAsyncContext *context, int status)
{
    struct redis *redis = context->data;

    if (!redis)
        return;
    if (status == REDIS_OK) {
        log_in(redis);
        return;
    }
    release_connection(redis); /* hiredis frees it when this returns */
    connect_next(redis, context->errstr);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct redis *redis = context->data;

    (void)status;
    if (!redis)
        return;
    release_connection(redis); /* hiredis frees it when this returns */
    /* A connection that worked may have been closed for being idle: takes wait for the next one. */
    if (redis->state == REDIS_READY && clock_s() - redis->ready_since_s > BACKOFF_MAX_S)
        redis->backoff_s = 0;
    lost(redis, redis->state == REDIS_READY ? REDIS_CONNECTING : REDIS_AWAY,
         context->err ? context->errstr : "closed by Redis");
}

/* Start to connect; false where that failed at once, and why is in REASON. */
static bool connect_to(struct redis *redis, redisAsyncContext *context, char *reason, size_t size)
{
    if (!context || context->err) {
        snprintf(reason, size, "%s", context ? context->errstr : "out of memory");
        if (context)
            redisAsyncFree(context);
        return false;
    }
    redis->context = context;
    context->data = redis;
    redis_ev_attach(&redis->ev, context);
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    ev_timer_again(redis->loop, &redis->attempt);
    return true;
}

/* Go on to the next address that the name has; with none left the attempt has failed for REASON. */
static void connect_next(struct redis *redis, const char *reason)
{
    char failed[128];

    snprintf(failed, sizeof failed, "%s", reason);
    while (redis->next_address < redis->resolved.count) {
        const char *ip = redis->resolved.address[redis->next_address++];
        if (connect_to(redis, redisAsyncConnect(ip, (int)redis->address.port), failed,
                       sizeof failed))
            return;
    }
    lost(redis, REDIS_AWAY, failed);
}

static void on_resolved(void *context, const struct resolved *resolved)
{
    struct redis *redis = context;

    redis->resolved = *resolved;
    redis->next_address = 0;
    connect_next(redis, resolved->error ? resolved->error : "");
}

static void attempt_start(struct redis *redis)
{
    char failed[128];

    if (redis->address.path[0] == '\0') {
        resolver_start(redis->resolver, redis->address.host);
        return;
    }
    redis->resolved.count = 0;
    if (!connect_to(redis, redisAsyncConnectUnix(redis->address.path), failed, sizeof failed))
        lost(redis, REDIS_AWAY, failed);
}

static void on_attempt_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct redis *redis = watcher->data;

    (void)loop, (void)events;
    drop_connection(redis);
    connect_next(redis, "not ready within 1 s");
}

static void on_retry(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    attempt_start(watcher->data);
}

/* Jitter, so that a thousand processes do not return to a Redis that restarts in one instant. */
static ev_tstamp backoff_next(struct redis *redis)
{
    ev_tstamp wait_s = redis->backoff_s * (0.5 + drand48() / 2);

    redis->backoff_s = redis->backoff_s > 0 ? redis->backoff_s * 2 : BACKOFF_MIN_S;
    if (redis->backoff_s > BACKOFF_MAX_S)
        redis->backoff_s = BACKOFF_MAX_S;
    return wait_s;
}

/* The connection, or the attempt at one, is over because of REASON: go to state NEXT and try again. */
static void lost(struct redis *redis, enum state next, const char *reason)
{
    char kept[128]; /* REASON may live in the connection that is dropped here */

    snprintf(kept, sizeof kept, "%s", reason);
    drop_connection(redis);
    redis->state = next;
    if (next == REDIS_AWAY)
        away_begin(redis, kept);
    calls_fail(redis, &redis->sent, kept);
    if (next == REDIS_AWAY)
        calls_fail(redis, &redis->waiting, kept);
    ev_timer_set(&redis->retry, backoff_next(redis), 0.);
    ev_timer_start(redis->loop, &redis->retry);
}

/* ---- Public ---- */

struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address,
                        unsigned timeout_ms)
{
    struct redis *redis = calloc(1, sizeof *redis);

    assert(redis && timeout_ms > 0);
    redis->loop = loop;
    redis->address = *address;
    redis_address_show(address, redis->shown);
    redis->timeout_s = timeout_ms / 1e3;
    redis->state = REDIS_CONNECTING;
    TAILQ_INIT(&redis->waiting);
    TAILQ_INIT(&redis->sent);
    TAILQ_INIT(&redis->free);
    ev_timer_init(&redis->deadline, on_deadline, 0., 0.);
    ev_timer_init(&redis->retry, on_retry, 0., 0.);
    ev_timer_init(&redis->attempt, on_attempt_over, 0., ATTEMPT_S);
    /* A process that was kept from running reads first what has come, and looks at its deadlines then. */
    ev_set_priority(&redis->deadline, EV_MINPRI);
    ev_set_priority(&redis->attempt, EV_MINPRI);
    redis->deadline.data = redis->retry.data = redis->attempt.data = redis;
    redis_ev_start(&redis->ev, loop);
    redis->resolver = resolver_new(loop, on_resolved, redis);
    attempt_start(redis);
    return redis;
}

void redis_take(void *store, const struct take *takes, size_t count, size_t enforced,
                take_done *done, void *context)
{
    struct redis *redis = store;

    if (redis->state == REDIS_AWAY) {
        redis->undecided++;
        done(context, NULL);
        return;
    }
    struct call *call = call_new(redis);
    *call = (struct call){.redis = redis,
                          .takes = takes,
                          .count = count,
                          .enforced = enforced,
                          .done = done,
                          .context = context,
                          .deadline_s = clock_s() + redis->timeout_s};
    TAILQ_INSERT_TAIL(redis->state == REDIS_READY ? &redis->sent : &redis->waiting, call, entry);
    if (redis->state == REDIS_READY)
        call_send(redis, call);
    deadline_watch(redis);
}

void redis_free(struct redis *redis)
{
    struct call *call;

    if (!redis)
        return;
    drop_connection(redis);
    ev_timer_stop(redis->loop, &redis->deadline);
    ev_timer_stop(redis->loop, &redis->retry);
    redis_ev_stop(&redis->ev);
    resolver_free(redis->resolver);
    calls_end_undecided(redis, &redis->sent);
    calls_end_undecided(redis, &redis->waiting);
    while ((call = TAILQ_FIRST(&redis->free))) {
        TAILQ_REMOVE(&redis->free, call, entry);
        free(call);
    }
    free(redis);
}
