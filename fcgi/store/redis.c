/* redis.c - buckets in Redis: calls, their deadlines, and a connection that comes and goes. */
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
#include "base/memory.h"
#include "store/connection.h"
#include "base/log.h"
#include "store/resolver.h"
#include "store/script.h"

#define ATTEMPT_S     1.0   /* a connection not ready after this is given up */
#define BACKOFF_MIN_S 0.010 /* between attempts: doubles from here ... */
#define BACKOFF_MAX_S 1.0   /* ... to here */
#define SILENCE_MAX   2     /* timeouts without any reply to what was written: Redis is lost */

#define RESENDS_MAX 3    /* of one call: each SCRIPT FLUSH that comes in between costs one */
#define REASON_SIZE 512  /* for the log, NUL included */
#define SPARE_MAX   1024 /* calls that are kept for the next requests */

/* A trouble ends in the log when there was none of its kind for so long: it must not fill the log
 * if it comes and goes. */
#define TROUBLE_QUIET_S 10.0

struct call;
typedef void reply_handler(struct redis *redis, struct call *call, const struct redis_reply *reply);

/* A command and the reply that Redis owes; mostly a take_tokens. */
struct call {
    TAILQ_ENTRY(call) owed_entry;
    TAILQ_ENTRY(call) timed_entry;
    reply_handler *on_reply;
    const struct take *takes;
    size_t count, enforced;
    take_done *done; /* NULL: nothing waits for the reply (any more) */
    void *context;
    double deadline_s; /* on clock_s; 0: not written yet */
    double written_s;
    unsigned resend_count; /* after a NOSCRIPT */
};

TAILQ_HEAD(call_list, call);

enum state {
    REDIS_CONNECTING, /* a connection is being made: takes wait for it, each up to its deadline */
    REDIS_READY,      /* takes go out at once */
    REDIS_AWAY,       /* lost: takes are not decided, attempts go on in the background */
};

/* What keeps single requests from being decided, while Redis is not lost. */
struct trouble {
    bool said; /* in the log */
    double last_s;
    uint64_t undecided;
};

enum { TROUBLE_LATE, TROUBLE_REFUSED, TROUBLE_COUNT };

struct redis {
    struct ev_loop *loop;
    struct redis_address address;
    char shown[REDIS_ADDRESS_SHOWN_SIZE];
    ev_tstamp timeout_s;

    enum state state;
    struct connection connection;
    struct resolver *resolver;
    struct resolved resolved;
    unsigned next_address;               /* of resolved, within one attempt */
    char shunned[RESOLVER_ADDRESS_SIZE]; /* was unfit or silent: it is tried last */
    char failed[REASON_SIZE]; /* why the addresses before have failed, within one attempt */
    double ready_since_s;
    ev_tstamp backoff_s; /* before the next attempt; 0: none, the last connection was a good one */
    ev_timer retry, attempt;

    char sha[41];              /* of the script, as SCRIPT LOAD answered */
    bool loading;              /* a SCRIPT LOAD is under way on a ready connection */
    bool by_eval;              /* this connection takes no EVALSHA */
    bool by_eval_said;         /* in the log */
    char refused[REASON_SIZE]; /* the error that said so */

    struct call_list waiting; /* for a connection, oldest first */
    struct call_list sent;    /* written and not decided: oldest first */
    struct call_list owed;    /* all that Redis has to reply to, in the order of the commands */
    struct call *unwritten;   /* the first of owed that was not written; NULL: none */
    double progress_s;        /* the last reply, or when Redis began to owe one */
    bool behind;              /* progress, but the oldest reply is owed for too long */
    struct call_list spare;
    size_t spare_count;

    ev_prepare flush;
    ev_timer deadline; /* of the oldest call */
    double deadline_s; /* that the timer is set to */

    struct trouble trouble[TROUBLE_COUNT];
    bool away; /* said so in the log */
    double away_since_s;
    uint64_t undecided; /* takes without a decision since */
};

static void lost(struct redis *redis, enum state next, const char *reason);
static void unfit(struct redis *redis, const char *reason);

/* ---- The log: each change of state once ---- */

static void away_begin(struct redis *redis, const char *reason)
{
    if (redis->away)
        return;
    redis->away = true;
    redis->away_since_s = clock_s();
    redis->undecided = 0;
    memset(redis->trouble, 0, sizeof redis->trouble);
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

/* One request was not decided, because of what FORMAT says. */
__attribute__((format(printf, 3, 4))) static void trouble_note(struct redis *redis, int which,
                                                               const char *format, ...)
{
    struct trouble *trouble = &redis->trouble[which];
    char reason[REASON_SIZE];
    va_list arguments;

    trouble->last_s = clock_s();
    trouble->undecided++;
    if (trouble->said)
        return;
    trouble->said = true;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    log_line("redis %s does not decide every request (%s): those are decided without it",
             redis->shown, reason);
}

/* A request was decided: is the trouble over? */
static void trouble_check(struct redis *redis)
{
    for (int i = 0; i < TROUBLE_COUNT; i++) {
        struct trouble *trouble = &redis->trouble[i];

        if (!trouble->said || clock_s() < trouble->last_s + TROUBLE_QUIET_S)
            continue;
        log_line("redis %s decides every request again; requests decided without it: %llu",
                 redis->shown, (unsigned long long)trouble->undecided);
        *trouble = (struct trouble){0};
    }
}

/* ---- Calls ---- */

static struct call *call_new(struct redis *redis)
{
    struct call *call = TAILQ_FIRST(&redis->spare);

    if (call) {
        TAILQ_REMOVE(&redis->spare, call, owed_entry);
        redis->spare_count--;
    } else {
        call = memory_get(sizeof *call);
    }
    *call = (struct call){0};
    return call;
}

/* CALL is in no list. */
static void call_free(struct redis *redis, struct call *call)
{
    if (redis->spare_count == SPARE_MAX) {
        free(call);
        return;
    }
    TAILQ_INSERT_HEAD(&redis->spare, call, owed_entry);
    redis->spare_count++;
}

/* Tell the owner of CALL, which is in no timed list: BUCKETS, or NULL for no decision. */
static void call_decide(struct redis *redis, struct call *call, const struct bucket *buckets)
{
    take_done *done = call->done;

    assert(done);
    call->done = NULL;
    if (!buckets)
        redis->undecided++;
    done(call->context, buckets);
}

/* The same for CALL in redis->sent, which Redis may still owe a reply. */
static void call_end(struct redis *redis, struct call *call, const struct bucket *buckets)
{
    TAILQ_REMOVE(&redis->sent, call, timed_entry);
    call_decide(redis, call, buckets);
}

/* The calls that wait for a connection end without a decision, because there will be none soon for
 * REASON. */
static void waiting_fail(struct redis *redis, const char *reason)
{
    struct call *call;

    while ((call = TAILQ_FIRST(&redis->waiting))) {
        away_begin(redis, reason);
        TAILQ_REMOVE(&redis->waiting, call, timed_entry);
        call_decide(redis, call, NULL);
        call_free(redis, call);
    }
}

/* No reply to any command comes any more, for REASON.  Whether Redis has charged for them is
 * unknown, and so they are never sent again. */
static void owed_fail(struct redis *redis, const char *reason)
{
    struct call *call;

    redis->unwritten = NULL;
    while ((call = TAILQ_FIRST(&redis->owed))) {
        TAILQ_REMOVE(&redis->owed, call, owed_entry);
        if (call->done) {
            away_begin(redis, reason);
            if (call->deadline_s > 0)
                TAILQ_REMOVE(&redis->sent, call, timed_entry);
            call_decide(redis, call, NULL);
        }
        call_free(redis, call);
    }
}

/* ---- Commands ---- */

/* COMMAND is gathered, and CALL is owed the reply. */
static void owe(struct redis *redis, struct call *call, struct script_command *command)
{
    connection_command(&redis->connection, command->argc, command->argv, command->len);
    TAILQ_INSERT_TAIL(&redis->owed, call, owed_entry);
    if (!redis->unwritten)
        redis->unwritten = call;
}

/* Send the ARGC arguments at ARGV; the reply goes to HANDLER. */
static void command(struct redis *redis, reply_handler *handler, int argc, const char **argv)
{
    struct script_command command = {.argc = argc};
    struct call *call = call_new(redis);

    for (int i = 0; i < argc; i++) {
        command.argv[i] = argv[i];
        command.len[i] = strlen(argv[i]);
    }
    call->on_reply = handler;
    owe(redis, call, &command);
}

static void command_load(struct redis *redis, reply_handler *handler)
{
    struct script_command command;
    struct call *call = call_new(redis);

    script_load(&command);
    call->on_reply = handler;
    owe(redis, call, &command);
}

static void call_send(struct redis *redis, struct call *call)
{
    struct script_command command;

    script_run(&command, redis->by_eval ? NULL : redis->sha, call->takes, call->count,
               call->enforced);
    owe(redis, call, &command);
}

/* ---- Deadlines ---- */

/* When something must be looked at; 0: nothing is under way. */
static double next_deadline(struct redis *redis)
{
    struct call *sent = TAILQ_FIRST(&redis->sent), *waiting = TAILQ_FIRST(&redis->waiting);
    struct call *owed = TAILQ_FIRST(&redis->owed);
    double next_s = 0;

    if (sent)
        next_s = sent->deadline_s;
    else if (waiting)
        next_s = waiting->deadline_s;
    if (redis->state == REDIS_READY && owed && owed != redis->unwritten) {
        double silent_s = redis->progress_s + SILENCE_MAX * redis->timeout_s;
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

/* Write what was gathered.  The deadline of a call starts now, though the socket may have taken
 * only a part: that is Redis being slow. */
static void write_out(struct redis *redis)
{
    if (!redis->unwritten || !connection_write(&redis->connection))
        return;
    double now_s = clock_s();
    if (redis->unwritten == TAILQ_FIRST(&redis->owed))
        redis->progress_s = now_s;
    for (struct call *call = redis->unwritten; call; call = TAILQ_NEXT(call, owed_entry)) {
        call->written_s = now_s;
        if (call->deadline_s == 0 && call->done) {
            call->deadline_s = now_s + redis->timeout_s;
            TAILQ_INSERT_TAIL(&redis->sent, call, timed_entry);
        }
    }
    redis->unwritten = NULL;
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
    /* The attempt goes on, but requests do not wait for it any more. */
    snprintf(reason, sizeof reason, "no connection within %.0f ms", redis->timeout_s * 1e3);
    redis->state = REDIS_AWAY;
    waiting_fail(redis, reason);
}

/* The calls that Redis has not replied to by NOW_S end without a decision.  They stay in owed: the
 * reply will come, and is discarded. */
static void expire_sent(struct redis *redis, double now_s)
{
    struct call *call;

    while ((call = TAILQ_FIRST(&redis->sent)) && call->deadline_s <= now_s)
        call_end(redis, call, NULL);
}

/* Is Redis lost, or more than one timeout behind, at NOW_S? */
static void judge_silence(struct redis *redis, double now_s)
{
    double silence_s = SILENCE_MAX * redis->timeout_s;
    struct call *owed = TAILQ_FIRST(&redis->owed);
    char reason[64];

    if (redis->state != REDIS_READY || !owed || owed == redis->unwritten)
        return;
    if (redis->progress_s + silence_s <= now_s) {
        snprintf(reason, sizeof reason, "no reply for %.0f ms", silence_s * 1e3);
        unfit(redis, reason);
    } else if (owed->written_s + silence_s <= now_s) {
        redis->behind = true;
    }
}

/* The clock first, then what has come, then the judgement: a process that was stopped or kept from
 * running in between must not take its own delay for one of Redis. */
static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct redis *redis = watcher->data;
    double now_s = clock_s();

    (void)loop, (void)events;
    connection_read(&redis->connection);
    judge_silence(redis, now_s);
    expire_sent(redis, now_s);
    expire_waiting(redis, now_s);
    deadline_watch(redis);
}

/* ---- Replies ---- */

/* Whether ERROR is about the server or the login, and not about one request: no request would be
 * decided there. */
static bool is_unfit(const char *error)
{
    static const char *const codes[] = {"READONLY", "LOADING", "MASTERDOWN",
                                        "NOAUTH",   "NOPERM",  "WRONGPASS"};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (script_error_is(error, codes[i]))
            return true;
    /* Redis 6 and 7.0 say so with no code of its own where the script runs a command that is
     * forbidden. */
    return strstr(error, "The user executing the script can't") != NULL;
}

/* Redis cannot write now: a bucket that is empty still refuses. */
static bool is_write_refused(const char *error)
{
    return script_error_is(error, "OOM") || script_error_is(error, "MISCONF") ||
           script_error_is(error, "NOREPLICAS");
}

/* Give the connection up because of REPLY, which is not what was asked for. */
static void unfit_reply(struct redis *redis, const struct redis_reply *reply)
{
    unfit(redis, reply->kind == REDIS_SAYS_ERROR ? reply->text : "a reply that makes no sense");
}

static bool is_sha(const struct redis_reply *reply)
{
    return reply->kind == REDIS_SAYS_BULK && reply->len == 40;
}

static void on_reload_reply(struct redis *redis, struct call *call, const struct redis_reply *reply)
{
    call_free(redis, call);
    redis->loading = false;
    if (!is_sha(reply))
        unfit_reply(redis, reply);
}

/* Redis has forgotten the script (SCRIPT FLUSH): load it, and send the same command behind it.
 * CALL keeps its deadline. */
static void call_resend(struct redis *redis, struct call *call)
{
    if (!redis->loading) {
        redis->loading = true;
        command_load(redis, on_reload_reply);
    }
    call->resend_count++;
    call_send(redis, call);
}

/* The reply to a call that was given up: nothing waits for it. */
static void discard_late(struct redis *redis, struct call *call)
{
    trouble_note(redis, TROUBLE_LATE, "a reply took %.0f ms, and the timeout is %.0f ms",
                 (clock_s() - call->written_s) * 1e3, redis->timeout_s * 1e3);
    call_free(redis, call);
}

static void on_take_reply(struct redis *redis, struct call *call, const struct redis_reply *reply)
{
    bool is_error = reply->kind == REDIS_SAYS_ERROR;
    struct bucket buckets[TAKES_MAX];

    if (is_error && is_unfit(reply->text)) {
        TAILQ_INSERT_HEAD(&redis->owed, call, owed_entry); /* it fails with the others */
        unfit(redis, reply->text);
    } else if (!call->done) {
        discard_late(redis, call);
    } else if (script_read(reply, call->takes, call->count, buckets)) {
        redis->backoff_s = 0;
        call_end(redis, call, buckets);
        call_free(redis, call);
        trouble_check(redis);
    } else if (is_error && script_error_is(reply->text, "NOSCRIPT") &&
               call->resend_count < RESENDS_MAX) {
        call_resend(redis, call);
    } else if (is_error) {
        trouble_note(redis, TROUBLE_REFUSED, "%s", reply->text);
        call_end(redis, call, NULL);
        call_free(redis, call);
    } else {
        TAILQ_INSERT_HEAD(&redis->owed, call, owed_entry);
        unfit_reply(redis, reply);
    }
}

/* ---- A connection's way to ready: AUTH, SELECT, SCRIPT LOAD, a probe ---- */

/* One bucket that always admits, and a shadow that never does: together they run every command that
 * the script can, so that an access list which forbids one of them is seen now. */
static const struct take probes[2] = {
    {.key = "rl:{probe}", .key_len = 10, .interval_us = 1, .capacity = 1000000, .cost = 1},
    {.key = "rl:{probe}:never", .key_len = 16, .interval_us = 1, .capacity = 1, .cost = 2},
};

static void by_eval_log(struct redis *redis)
{
    if (redis->by_eval && !redis->by_eval_said)
        log_line("redis %s takes no SCRIPT LOAD or no EVALSHA (%s): the whole script is sent with "
                 "each request (EVAL)",
                 redis->shown, redis->refused);
    redis->by_eval_said = redis->by_eval;
}

static void ready(struct redis *redis)
{
    struct call *call;

    ev_timer_stop(redis->loop, &redis->attempt);
    redis->state = REDIS_READY;
    redis->ready_since_s = clock_s();
    by_eval_log(redis);
    away_end(redis);
    while ((call = TAILQ_FIRST(&redis->waiting))) {
        TAILQ_REMOVE(&redis->waiting, call, timed_entry);
        TAILQ_INSERT_TAIL(&redis->sent, call, timed_entry);
        call_send(redis, call);
    }
}

static void on_probe_reply(struct redis *redis, struct call *call, const struct redis_reply *reply);

static void probe(struct redis *redis)
{
    struct call *call = call_new(redis);

    call->on_reply = on_probe_reply;
    call->takes = probes;
    call->count = 2;
    call->enforced = 1;
    call_send(redis, call);
}

/* Whether ERROR, the answer to SCRIPT LOAD or EVALSHA, may be about that command, and not about the
 * server. */
static bool may_take_eval(const char *error)
{
    return script_error_is(error, "ERR") || script_error_is(error, "NOPERM") ||
           script_error_is(error, "NOSCRIPT");
}

/* Go on without SCRIPT LOAD and EVALSHA: an access list or a proxy does not let them through, as
 * ERROR says. */
static void probe_by_eval(struct redis *redis, const char *error)
{
    redis->by_eval = true;
    snprintf(redis->refused, sizeof redis->refused, "%s", error);
    probe(redis);
}

static void on_probe_reply(struct redis *redis, struct call *call, const struct redis_reply *reply)
{
    char reason[REASON_SIZE];
    struct bucket buckets[2];
    bool is_error = reply->kind == REDIS_SAYS_ERROR;

    call_free(redis, call);
    if (script_read(reply, probes, 2, buckets) || (is_error && is_write_refused(reply->text))) {
        ready(redis);
    } else if (is_error && !redis->by_eval && may_take_eval(reply->text)) {
        probe_by_eval(redis, reply->text);
    } else if (is_error && redis->by_eval) {
        snprintf(reason, sizeof reason, "%.200s; with EVAL: %.200s", redis->refused, reply->text);
        unfit(redis, reason);
    } else {
        unfit_reply(redis, reply);
    }
}

static void on_load_reply(struct redis *redis, struct call *call, const struct redis_reply *reply)
{
    call_free(redis, call);
    if (is_sha(reply)) {
        memcpy(redis->sha, reply->text, sizeof redis->sha);
        probe(redis);
    } else if (reply->kind == REDIS_SAYS_ERROR && may_take_eval(reply->text)) {
        probe_by_eval(redis, reply->text);
    } else {
        unfit_reply(redis, reply);
    }
}

/* Of an error only its code is told, WRONGPASS or ERR: some servers quote the command they
 * refuse. */
static void on_auth_reply(struct redis *redis, struct call *call, const struct redis_reply *reply)
{
    char reason[64];

    call_free(redis, call);
    if (reply->kind == REDIS_SAYS_STATUS)
        return;
    snprintf(reason, sizeof reason, "login refused: %.*s",
             reply->kind == REDIS_SAYS_ERROR ? (int)strcspn(reply->text, " ") : 0, reply->text);
    unfit(redis, reason);
}

static void on_select_reply(struct redis *redis, struct call *call, const struct redis_reply *reply)
{
    call_free(redis, call);
    if (reply->kind != REDIS_SAYS_STATUS)
        unfit_reply(redis, reply);
}

static void log_in(struct redis *redis)
{
    const struct redis_address *address = &redis->address;
    char db[16];

    if (address->user[0] != '\0')
        command(redis, on_auth_reply, 3,
                (const char *[]){"AUTH", address->user, address->password});
    else if (address->password[0] != '\0')
        command(redis, on_auth_reply, 2, (const char *[]){"AUTH", address->password});
    snprintf(db, sizeof db, "%u", address->db);
    if (address->db != 0)
        command(redis, on_select_reply, 2, (const char *[]){"SELECT", db});
    command_load(redis, on_load_reply);
}

/* ---- Connecting and losing ---- */

static void drop_connection(struct redis *redis, const char *reason)
{
    ev_timer_stop(redis->loop, &redis->attempt);
    connection_close(&redis->connection);
    redis->behind = redis->loading = redis->by_eval = false;
    owed_fail(redis, reason);
}

/* The address that is being tried, or connected to; NULL: a unix socket. */
static const char *current_address(const struct redis *redis)
{
    if (redis->address.path[0] != '\0' || redis->next_address == 0)
        return NULL;
    return redis->resolved.address[redis->next_address - 1];
}

/* An attempt with one address has failed for REASON: keep it for the log, with the address if there
 * are several. */
static void failed_add(struct redis *redis, const char *reason)
{
    size_t len = strlen(redis->failed);

    if (redis->resolved.count > 1)
        snprintf(redis->failed + len, sizeof redis->failed - len, "%s%s: %s", len > 0 ? "; " : "",
                 current_address(redis), reason);
    else
        snprintf(redis->failed, sizeof redis->failed, "%s", reason);
}

static bool connect_to(struct redis *redis, const char *path, const char *ip)
{
    char reason[128];

    if (connection_open(&redis->connection, path, ip, redis->address.port, reason, sizeof reason)) {
        ev_timer_again(redis->loop, &redis->attempt);
        return true;
    }
    failed_add(redis, reason);
    return false;
}

/* Go on to the next address that the name has; with none left the attempt has failed. */
static void connect_next(struct redis *redis)
{
    while (redis->next_address < redis->resolved.count)
        if (connect_to(redis, NULL, redis->resolved.address[redis->next_address++]))
            return;
    lost(redis, REDIS_AWAY, redis->failed);
}

/* The attempt with the current address has failed for REASON. */
static void attempt_failed(struct redis *redis, const char *reason)
{
    failed_add(redis, reason);
    drop_connection(redis, reason);
    connect_next(redis);
}

/* The server that is connected to cannot decide, for REASON: try other addresses, this one last. */
static void unfit(struct redis *redis, const char *reason)
{
    const char *address = current_address(redis);

    if (redis->state != REDIS_READY) {
        attempt_failed(redis, reason);
        return;
    }
    if (address)
        memcpy(redis->shunned, address, sizeof redis->shunned);
    lost(redis, REDIS_AWAY, reason);
}

static void on_opened(void *context)
{
    log_in(context);
}

static void on_reply(void *context, const struct redis_reply *reply)
{
    struct redis *redis = context;
    struct call *call = TAILQ_FIRST(&redis->owed);

    if (!call || call == redis->unwritten) {
        unfit(redis, "a reply that nothing asked for");
        return;
    }
    TAILQ_REMOVE(&redis->owed, call, owed_entry);
    redis->progress_s = clock_s();
    call->on_reply(redis, call, reply);
    call = TAILQ_FIRST(&redis->owed);
    if (!call || call->done)
        redis->behind = false;
}

static void on_closed(void *context, const char *reason, bool is_unfit)
{
    struct redis *redis = context;

    if (redis->state != REDIS_READY || is_unfit) {
        unfit(redis, reason);
        return;
    }
    /* A connection that worked may have been closed for being idle: takes wait for the next one. */
    if (clock_s() - redis->ready_since_s > BACKOFF_MAX_S)
        redis->backoff_s = 0;
    lost(redis, REDIS_CONNECTING, reason);
}

static const struct connection_events connection_events = {on_opened, on_reply, on_closed};

/* Move the address that was unfit behind the others. */
static void shun(struct redis *redis)
{
    struct resolved *resolved = &redis->resolved;
    unsigned last = resolved->count - 1;

    for (unsigned i = 0; i < last; i++) {
        if (strcmp(resolved->address[i], redis->shunned) != 0)
            continue;
        memmove(resolved->address[i], resolved->address[i + 1],
                (last - i) * sizeof resolved->address[0]);
        memcpy(resolved->address[last], redis->shunned, sizeof redis->shunned);
        break;
    }
}

static void on_resolved(void *context, const struct resolved *resolved)
{
    struct redis *redis = context;

    redis->resolved = *resolved;
    redis->next_address = 0;
    snprintf(redis->failed, sizeof redis->failed, "%s", resolved->error ? resolved->error : "");
    if (resolved->count > 1)
        shun(redis);
    connect_next(redis);
}

static void attempt_start(struct redis *redis)
{
    redis->failed[0] = '\0';
    if (redis->address.path[0] == '\0')
        resolver_start(redis->resolver, redis->address.host);
    else if (!connect_to(redis, redis->address.path, NULL))
        lost(redis, REDIS_AWAY, redis->failed);
}

static void on_attempt_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct redis *redis = watcher->data;
    unsigned generation = redis->connection.generation;

    (void)events;
    connection_read(&redis->connection); /* a process that was stopped reads first */
    if (redis->state == REDIS_READY || redis->connection.generation != generation)
        return;
    ev_timer_stop(loop, watcher);
    attempt_failed(redis, "not ready within 1 s");
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

/* The connection, or the attempt at one, is over because of REASON: go to state NEXT and try
 * again. */
static void lost(struct redis *redis, enum state next, const char *reason)
{
    redis->state = next;
    if (next == REDIS_AWAY)
        away_begin(redis, reason);
    drop_connection(redis, reason);
    if (next == REDIS_AWAY)
        waiting_fail(redis, reason);
    ev_timer_set(&redis->retry, backoff_next(redis), 0.);
    ev_timer_start(redis->loop, &redis->retry);
}

/* ---- Public ---- */

static void watchers_init(struct redis *redis)
{
    ev_prepare_init(&redis->flush, on_flush);
    ev_timer_init(&redis->deadline, on_deadline, 0., 0.);
    ev_timer_init(&redis->retry, on_retry, 0., 0.);
    ev_timer_init(&redis->attempt, on_attempt_over, 0., ATTEMPT_S);
    /* What has come is read first. */
    ev_set_priority(&redis->deadline, EV_MINPRI);
    ev_set_priority(&redis->attempt, EV_MINPRI);
    redis->flush.data = redis->deadline.data = redis->retry.data = redis->attempt.data = redis;
    ev_prepare_start(redis->loop, &redis->flush);
}

struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address,
                        unsigned timeout_ms)
{
    struct redis *redis = memory_new(sizeof *redis);

    assert(timeout_ms > 0);
    redis->loop = loop;
    redis->address = *address;
    redis_address_show(address, redis->shown);
    redis->timeout_s = timeout_ms / 1e3;
    redis->state = REDIS_CONNECTING;
    TAILQ_INIT(&redis->waiting);
    TAILQ_INIT(&redis->sent);
    TAILQ_INIT(&redis->owed);
    TAILQ_INIT(&redis->spare);
    watchers_init(redis);
    connection_init(&redis->connection, loop, &connection_events, redis);
    redis->resolver = resolver_new(loop, on_resolved, redis);
    attempt_start(redis);
    return redis;
}

void redis_take(void *store, const struct take *takes, size_t count, size_t enforced,
                take_done *done, void *context)
{
    struct redis *redis = store;

    if (redis->state == REDIS_AWAY || redis->behind) {
        redis->undecided++;
        if (redis->behind)
            trouble_note(redis, TROUBLE_LATE, "replies take over %.0f ms",
                         SILENCE_MAX * redis->timeout_s * 1e3);
        done(context, NULL);
        return;
    }
    struct call *call = call_new(redis);
    call->on_reply = on_take_reply;
    call->takes = takes;
    call->count = count;
    call->enforced = enforced;
    call->done = done;
    call->context = context;
    if (redis->state == REDIS_READY) {
        call_send(redis, call);
    } else {
        call->deadline_s = clock_s() + redis->timeout_s;
        TAILQ_INSERT_TAIL(&redis->waiting, call, timed_entry);
        deadline_watch(redis);
    }
}

void redis_turn(struct redis *redis)
{
    write_out(redis);
    if (!TAILQ_EMPTY(&redis->owed))
        connection_read(&redis->connection);
}

void redis_free(struct redis *redis)
{
    struct call *call;

    if (!redis)
        return;
    redis->away = true; /* the log is told nothing: this is no loss */
    redis->state = REDIS_AWAY;
    ev_timer_stop(redis->loop, &redis->retry);
    drop_connection(redis, "");
    waiting_fail(redis, "");
    ev_timer_stop(redis->loop, &redis->deadline);
    ev_prepare_stop(redis->loop, &redis->flush);
    resolver_free(redis->resolver);
    while ((call = TAILQ_FIRST(&redis->spare))) {
        TAILQ_REMOVE(&redis->spare, call, owed_entry);
        free(call);
    }
    free(redis);
}
