/* redis.c - asks on a connection to Redis: their deadlines, and what they get while it is away. */
/* SPDX-License-Identifier: MIT */
#include "store/redis.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "shared/counters.h"
#include "store/connection.h"
#include "store/script.h"

#define SILENCE_MAX 2    /* timeouts without any reply to what was written: Redis is lost */
#define RESENDS_MAX 3    /* of one ask: each SCRIPT FLUSH that comes in between costs one */
#define REASON_SIZE 512  /* for the log, NUL included */
#define SPARE_MAX   1024 /* calls that are kept for the next asks */

/* A trouble is over in the log when there was none of its kind for so long, so that one which comes
 * and goes does not fill the log. */
#define TROUBLE_QUIET_S 10.0

/* Why an ask was not decided. */
static const char is_away[] = "Redis is lost", is_behind[] = "Redis is behind with its replies",
                  is_late[] = "Redis did not reply in time",
                  is_refused[] = "Redis replied with an error",
                  is_dropped[] = "the connection to Redis broke",
                  is_waiting[] = "no connection to Redis in time";

/* An ask on its way to Redis and back. */
struct call {
    struct redis_command command; /* first, so that a command of ours is a call */
    TAILQ_ENTRY(call) entry;
    struct redis *redis;
    struct ask *ask;   /* NULL: nothing waits for the reply any more */
    double deadline_s; /* on clock_s; 0: not written yet */
    unsigned resend_count;
};

TAILQ_HEAD(call_list, call);

/* A command that is no ask; one of each kind may be under way. */
struct query {
    struct redis_command command; /* first, so that the command is a query */
    bool under_way;
    redis_query_done *done;
    void *context;
};

enum { QUERY_HGET, QUERY_EVAL, QUERY_COUNT };

enum state {
    REDIS_CONNECTING, /* a connection is being made: asks wait for it, each up to its deadline */
    REDIS_READY,      /* asks go out at once */
    REDIS_AWAY,       /* lost: asks are not decided, attempts go on in the background */
};

/* What keeps single asks from being decided, while Redis is not lost. */
struct trouble {
    bool said; /* in the log */
    double last_s;
    uint64_t undecided_count;
};

enum { TROUBLE_LATE, TROUBLE_REFUSED, TROUBLE_COUNT };

struct redis {
    struct store store; /* first, so that a store of ours is a redis */
    struct ev_loop *loop;
    char shown[REDIS_CONFIG_SHOWN_SIZE];
    ev_tstamp timeout_s;

    enum state state;
    struct connection *connection;
    struct call_list waiting; /* for a connection, oldest first */
    struct call_list sent;    /* written and not decided, oldest first */
    bool behind;              /* replies come, but the oldest is owed for too long */
    struct call_list spare;
    size_t spare_count;

    ev_prepare flush;
    ev_timer deadline; /* of the oldest call */
    double deadline_s; /* that the timer is set to */

    struct query query[QUERY_COUNT];

    struct slot *slot;
    struct trouble trouble[TROUBLE_COUNT];
    bool away; /* said so in the log */
    double away_since_s;
    double down_counted_s;    /* while AWAY: until when it has been counted */
    uint64_t undecided_count; /* asks without a decision since */
};

/* ---- The log: each change of state once ---- */

static void away_begin(struct redis *redis, const char *reason)
{
    if (redis->away)
        return;
    redis->away = true;
    redis->away_since_s = redis->down_counted_s = clock_s();
    redis->undecided_count = 0;
    counter_add(&redis->slot->counters.redis_losses, 1);
    memset(redis->trouble, 0, sizeof redis->trouble);
    log_line(LOG_WARNING, "redis %s is lost (%s): requests are decided without it", redis->shown,
             reason);
}

static void away_end(struct redis *redis)
{
    if (!redis->away)
        return;
    redis_count_down_time(redis);
    redis->away = false;
    log_line(LOG_NOTICE, "redis %s is back after %.1f s; requests decided without it: %llu",
             redis->shown, clock_s() - redis->away_since_s,
             (unsigned long long)redis->undecided_count);
}

/* One request was not decided, because of what FORMAT says. */
__attribute__((format(printf, 3, 4))) static void trouble_note(struct redis *redis, int which,
                                                               const char *format, ...)
{
    struct trouble *trouble = &redis->trouble[which];
    char reason[REASON_SIZE];
    va_list arguments;

    trouble->last_s = clock_s();
    trouble->undecided_count++;
    if (trouble->said)
        return;
    trouble->said = true;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    log_line(LOG_WARNING,
             "redis %s does not decide every request (%s): those are decided without it",
             redis->shown, reason);
}

/* A request was decided: is the trouble over? */
static void trouble_check(struct redis *redis)
{
    for (int i = 0; i < TROUBLE_COUNT; i++) {
        struct trouble *trouble = &redis->trouble[i];

        if (!trouble->said || clock_s() < trouble->last_s + TROUBLE_QUIET_S)
            continue;
        log_line(LOG_NOTICE,
                 "redis %s decides every request again; requests decided without it: %llu",
                 redis->shown, (unsigned long long)trouble->undecided_count);
        *trouble = (struct trouble){0};
    }
}

/* ---- Calls ---- */

static void call_init(struct redis *redis, struct call *call, struct ask *ask);

static struct call *call_new(struct redis *redis, struct ask *ask)
{
    struct call *call = TAILQ_FIRST(&redis->spare);

    if (call) {
        TAILQ_REMOVE(&redis->spare, call, entry);
        redis->spare_count--;
    } else {
        call = memory_get(sizeof *call);
    }
    call_init(redis, call, ask);
    return call;
}

/* CALL is in no list. */
static void call_free(struct call *call)
{
    struct redis *redis = call->redis;

    if (redis->spare_count == SPARE_MAX) {
        free(call);
        return;
    }
    TAILQ_INSERT_HEAD(&redis->spare, call, entry);
    redis->spare_count++;
}

static void count_undecided(struct redis *redis, const char *why)
{
    struct process_counters *counters = &redis->slot->counters;
    uint64_t *counter = &counters->undecided_lost;

    if (why == is_late || why == is_behind)
        counter = &counters->undecided_late;
    else if (why == is_refused)
        counter = &counters->undecided_error;
    counter_add(counter, 1);
    redis->undecided_count++;
}

/* ASK ends: decided, or WHY not. */
static void settle(struct redis *redis, struct ask *ask, const char *why)
{
    ask->settled_by = why ? UNSETTLED : SETTLED_BY_REDIS;
    ask->why = why;
    ask->may_be_charged = why == is_late || why == is_dropped;
    if (why && !ask->force) /* what is charged afterwards is no request */
        count_undecided(redis, why);
    ask->done(ask);
}

/* The ask of CALL, which is in no list of calls any more, ends; Redis may still owe the reply. */
static void call_settle(struct call *call, const char *why)
{
    struct ask *ask = call->ask;

    assert(ask);
    call->ask = NULL;
    settle(call->redis, ask, why);
}

/* Take CALL, which was sent and whose ask waits, from the list of those. */
static void sent_remove(struct call *call)
{
    if (call->deadline_s != 0)
        TAILQ_REMOVE(&call->redis->sent, call, entry);
}

static void call_send(struct call *call)
{
    connection_charge(call->redis->connection, &call->command, call->ask->charges,
                      call->ask->charge_count, call->ask->force);
}

/* The calls that wait for a connection end without a decision, because there will be none soon for
 * REASON. */
static void waiting_fail(struct redis *redis, const char *reason, const char *why)
{
    struct call *call;

    while ((call = TAILQ_FIRST(&redis->waiting))) {
        away_begin(redis, reason);
        TAILQ_REMOVE(&redis->waiting, call, entry);
        call_settle(call, why);
        call_free(call);
    }
}

/* ---- Deadlines ---- */

/* When something must be looked at; 0: nothing is under way. */
static double next_deadline(struct redis *redis)
{
    struct call *sent = TAILQ_FIRST(&redis->sent), *waiting = TAILQ_FIRST(&redis->waiting);
    double next_s = 0;

    if (sent)
        next_s = sent->deadline_s;
    else if (waiting)
        next_s = waiting->deadline_s;
    if (redis->state == REDIS_READY && connection_oldest(redis->connection)) {
        double silent_s = connection_progress_s(redis->connection) + SILENCE_MAX * redis->timeout_s;
        if (next_s == 0 || silent_s < next_s)
            next_s = silent_s;
    }
    return next_s;
}

/* One timer serves all: most calls end long before it fires, and then it moves to the oldest
 * left. */
static void deadline_watch(struct redis *redis)
{
    double next_s = next_deadline(redis), in_s;

    if (next_s == 0 || (ev_is_active(&redis->deadline) && redis->deadline_s <= next_s))
        return;
    ev_timer_stop(redis->loop, &redis->deadline);
    redis->deadline_s = next_s;
    in_s = next_s - clock_s();
    ev_timer_set(&redis->deadline, in_s > 0 ? in_s : 0, 0.);
    ev_timer_start(redis->loop, &redis->deadline);
}

static void write_out(struct redis *redis)
{
    if (connection_write(redis->connection))
        deadline_watch(redis);
}

static void on_flush(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop, (void)events;
    write_out(watcher->data);
}

static void expire_waiting(struct redis *redis, double now_s)
{
    struct call *call = TAILQ_FIRST(&redis->waiting);
    char reason[64];

    if (!call || call->deadline_s > now_s)
        return;
    /* The attempt goes on, but asks do not wait for it any more. */
    snprintf(reason, sizeof reason, "no connection within %.0f ms", redis->timeout_s * 1e3);
    redis->state = REDIS_AWAY;
    waiting_fail(redis, reason, is_waiting);
}

/* The calls that Redis has not replied to by NOW_S end without a decision.  The connection keeps
 * their commands, because the replies will come; they are discarded. */
static void expire_sent(struct redis *redis, double now_s)
{
    struct call *call;

    while ((call = TAILQ_FIRST(&redis->sent)) && call->deadline_s <= now_s) {
        sent_remove(call);
        call_settle(call, is_late);
    }
}

/* Is Redis lost, or more than one timeout behind, at NOW_S? */
static void judge_silence(struct redis *redis, double now_s)
{
    double silence_s = SILENCE_MAX * redis->timeout_s;
    const struct redis_command *oldest = connection_oldest(redis->connection);
    char reason[64];

    if (redis->state != REDIS_READY || !oldest)
        return;
    if (connection_progress_s(redis->connection) + silence_s <= now_s) {
        snprintf(reason, sizeof reason, "no reply for %.0f ms", silence_s * 1e3);
        connection_unfit(redis->connection, reason);
    } else if (oldest->written_s + silence_s <= now_s) {
        redis->behind = true;
    }
}

/* A reply has come: has Redis caught up? */
static void judge_progress(struct redis *redis)
{
    const struct redis_command *oldest;

    if (!redis->behind)
        return;
    oldest = connection_oldest(redis->connection);
    redis->behind = oldest && oldest->written_s + redis->timeout_s <= clock_s();
}

/* The clock first, then what has come, then the judgement: a process that was stopped or kept from
 * running in between must not take its own delay for one of Redis. */
static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct redis *redis = watcher->data;
    double now_s = clock_s();

    (void)loop, (void)events;
    connection_read(redis->connection);
    judge_silence(redis, now_s);
    expire_sent(redis, now_s);
    expire_waiting(redis, now_s);
    deadline_watch(redis);
}

/* ---- What happens to a call ---- */

static void on_written(struct redis_command *command, double now_s)
{
    struct call *call = (struct call *)command;

    if (call->deadline_s != 0 || !call->ask)
        return; /* its time runs already: it has waited for a connection, or it is sent again */
    call->deadline_s = now_s + call->redis->timeout_s;
    TAILQ_INSERT_TAIL(&call->redis->sent, call, entry);
}

/* CALL is over: decided, or WHY not. */
static void call_end(struct call *call, const char *why)
{
    if (call->ask) {
        sent_remove(call);
        call_settle(call, why);
    }
    call_free(call);
}

/* Redis has forgotten the script (SCRIPT FLUSH): load it, and send the same command behind it.
 * CALL keeps its deadline. */
static void call_resend(struct call *call)
{
    connection_load_again(call->redis->connection);
    call->resend_count++;
    call_send(call);
}

/* The reply to CALL, which was given up, has come. */
static void note_late(struct call *call)
{
    struct redis *redis = call->redis;

    trouble_note(redis, TROUBLE_LATE, "a reply took %.0f ms, and the timeout is %.0f ms",
                 (clock_s() - call->command.written_s) * 1e3, redis->timeout_s * 1e3);
}

/* The reply to CALL, whose ask waits, is ERROR.  It ends the ask, and not the connection. */
static void on_error(struct call *call, const char *error)
{
    if (script_error_is(error, "NOSCRIPT") && call->resend_count < RESENDS_MAX) {
        call_resend(call);
        return;
    }
    trouble_note(call->redis, TROUBLE_REFUSED, "%s", error);
    call_end(call, is_refused);
}

static void on_reply(struct redis_command *command, const struct redis_reply *reply)
{
    struct call *call = (struct call *)command;
    struct redis *redis = call->redis;
    bool is_error = reply->kind == REDIS_SAYS_ERROR;

    histogram_add(&redis->slot->counters.redis_latency,
                  connection_progress_s(redis->connection) - command->written_s);
    if (is_error && script_error_is_unfit(reply->text)) {
        connection_unfit(redis->connection, reply->text);
        call_end(call, is_refused);
    } else if (!call->ask) {
        note_late(call);
        call_end(call, is_late);
    } else if (script_read(reply, call->ask->charges, call->ask->charge_count)) {
        call_end(call, NULL);
        trouble_check(redis);
    } else if (is_error) {
        on_error(call, reply->text);
    } else {
        connection_unfit(redis->connection, script_complaint(reply));
        call_end(call, is_refused);
    }
    judge_progress(redis);
}

/* Redis may have charged for the ask, and so it is never sent again. */
static void on_dropped(struct redis_command *command, const char *reason)
{
    struct call *call = (struct call *)command;

    if (call->ask)
        away_begin(call->redis, reason);
    call_end(call, is_dropped);
}

static const struct redis_command_events call_events = {on_written, on_reply, on_dropped};

static void call_init(struct redis *redis, struct call *call, struct ask *ask)
{
    *call = (struct call){.command.events = &call_events, .redis = redis, .ask = ask};
}

/* ---- What happens to the connection ---- */

static void on_ready(void *context)
{
    struct redis *redis = context;
    struct call *call;

    redis->state = REDIS_READY;
    counter_add(&redis->slot->counters.redis_connects, 1);
    counter_set(&redis->slot->gauges.redis_ready, 1);
    away_end(redis);
    while ((call = TAILQ_FIRST(&redis->waiting))) {
        TAILQ_REMOVE(&redis->waiting, call, entry);
        TAILQ_INSERT_TAIL(&redis->sent, call, entry);
        call_send(call);
    }
}

/* If the server closed a connection that worked, asks wait for the next one. */
static void on_lost(void *context, const char *reason, bool closed)
{
    struct redis *redis = context;

    redis->behind = false;
    counter_set(&redis->slot->gauges.redis_ready, 0);
    redis->state = closed ? REDIS_CONNECTING : REDIS_AWAY;
    if (closed)
        return;
    away_begin(redis, reason);
    waiting_fail(redis, reason, is_away);
}

static const struct connection_events connection_events = {on_ready, on_lost};

/* ---- Queries ---- */

static void on_query_reply(struct redis_command *command, const struct redis_reply *reply)
{
    struct query *query = (struct query *)command;

    query->under_way = false;
    query->done(query->context, reply);
}

static void on_query_dropped(struct redis_command *command, const char *reason)
{
    (void)reason;
    ((struct query *)command)->under_way = false;
}

static const struct redis_command_events query_events = {.reply = on_query_reply,
                                                         .dropped = on_query_dropped};

/* Send the COUNT WORDS, of which KEY is the key's. */
static bool send_query(struct redis *redis, int which, int count, const char *const *word, int key,
                       redis_query_done *done, void *context)
{
    struct query *query = &redis->query[which];

    if (redis->state != REDIS_READY || redis->behind || query->under_way)
        return false;
    *query = (struct query){{.events = &query_events}, true, done, context};
    connection_words(redis->connection, &query->command, count, word, key);
    return true;
}

/* ---- Public ---- */

bool redis_hget(struct redis *redis, const char *key, const char *field, redis_query_done *done,
                void *context)
{
    return send_query(redis, QUERY_HGET, 3, (const char *[]){"HGET", key, field}, 1, done, context);
}

bool redis_eval(struct redis *redis, const char *script, const char *key, const char *argument,
                const char *other, redis_query_done *done, void *context)
{
    return send_query(redis, QUERY_EVAL, 6,
                      (const char *[]){"EVAL", script, "1", key, argument, other}, 3, done,
                      context);
}

static void redis_ask(struct store *store, struct ask *ask)
{
    struct redis *redis = (struct redis *)store;

    if (redis->behind)
        trouble_note(redis, TROUBLE_LATE, "replies take over %.0f ms",
                     SILENCE_MAX * redis->timeout_s * 1e3);
    if (redis->state == REDIS_AWAY || redis->behind) {
        settle(redis, ask, redis->behind ? is_behind : is_away);
        return;
    }
    struct call *call = call_new(redis, ask);
    if (redis->state == REDIS_READY) {
        call_send(call);
    } else {
        call->deadline_s = clock_s() + redis->timeout_s;
        TAILQ_INSERT_TAIL(&redis->waiting, call, entry);
        deadline_watch(redis);
    }
}

struct redis *redis_new(struct ev_loop *loop, const struct redis_config *config, struct slot *slot)
{
    struct redis *redis = memory_new(sizeof *redis);

    assert(config->timeout_ms > 0);
    redis->slot = slot;
    redis->store.ask = redis_ask;
    redis->loop = loop;
    redis->timeout_s = config->timeout_ms / 1e3;
    redis->state = REDIS_CONNECTING;
    redis_config_show(config, redis->shown);
    TAILQ_INIT(&redis->waiting);
    TAILQ_INIT(&redis->sent);
    TAILQ_INIT(&redis->spare);
    ev_prepare_init(&redis->flush, on_flush);
    ev_timer_init(&redis->deadline, on_deadline, 0., 0.);
    ev_set_priority(&redis->deadline, EV_MINPRI); /* what has come is read first */
    redis->flush.data = redis->deadline.data = redis;
    ev_prepare_start(loop, &redis->flush);
    redis->connection = connection_new(loop, config, redis->shown, &connection_events, redis);
    connection_start(redis->connection);
    return redis;
}

struct store *redis_store(struct redis *redis)
{
    return &redis->store;
}

bool redis_is_away(const struct redis *redis)
{
    return redis->state == REDIS_AWAY;
}

const char *redis_shown(const struct redis *redis)
{
    return redis->shown;
}

void redis_count_down_time(struct redis *redis)
{
    double now_s = clock_s();

    if (!redis->away)
        return;
    counter_add(&redis->slot->counters.redis_down_us,
                (uint64_t)((now_s - redis->down_counted_s) * 1e6));
    redis->down_counted_s = now_s;
}

void redis_turn(struct redis *redis)
{
    write_out(redis);
    connection_read(redis->connection);
}

void redis_free(struct redis *redis)
{
    struct call *call;

    if (!redis)
        return;
    redis->away = true; /* so that nothing is logged: this is no loss */
    redis->state = REDIS_AWAY;
    connection_free(redis->connection);
    waiting_fail(redis, "", is_away);
    ev_timer_stop(redis->loop, &redis->deadline);
    ev_prepare_stop(redis->loop, &redis->flush);
    while ((call = TAILQ_FIRST(&redis->spare))) {
        TAILQ_REMOVE(&redis->spare, call, entry);
        free(call);
    }
    free(redis);
}
