/* connection.c - the way to a ready connection: resolve, connect, AUTH, SELECT, LOAD, probe. */
/* SPDX-License-Identifier: MIT */
#include "store/connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/redis_socket.h"
#include "store/resolver.h"
#include "store/script.h"
#include "store/sentinel.h"

#define CONNECT_S      0.25  /* an address that has not accepted the connection is given up */
#define BACKOFF_MIN_S  0.010 /* between attempts: doubles from here ... */
#define BACKOFF_MAX_S  0.050 /* ... to here, or to the next if a server was unfit */
#define BACKOFF_LONG_S 1.0
#define LOOKUP_EVERY_S 1.0 /* a name is not looked up more often */
#define LEFT_S         5.0 /* Sentinels may still name the old master for so long after a switch */
#define ASK_EVERY_S    0.1 /* the Sentinels are not asked for the master more often */
#define REASON_SIZE    768 /* for the log, NUL included */

/* How long a connection that was accepted may take to become ready: in the first attempt, in the
 * next one if no server has answered, and so on.  Short ones, because what was sent may be lost
 * although the server is back.  Few and then long ones, because a connection that is closed before
 * the server has accepted it stays in the server's backlog: a hundred processes in front of a
 * stopped Redis must not fill its 511. */
static const double ready_s[] = {0.03, 0.08, 0.2, 1.2, 10};

#define READY_COUNT   (sizeof ready_s / sizeof *ready_s)
#define READY_SEVERAL 2 /* with several addresses begin here: the first one may only be slow */
#define READY_TLS     2 /* with TLS, too: Redis makes one handshake after the other, 1 ms each */
#define QUIET_COUNT   3 /* of these attempts are not reported: asks go on waiting */

TAILQ_HEAD(redis_command_list, redis_command);

typedef void step_handler(struct connection *connection, const struct redis_reply *reply);

/* A command of the connection's own. */
struct step {
    struct redis_command command; /* first, so that a command of ours is a step */
    struct connection *connection;
    step_handler *on_reply;
};

/* Each is under way at most once. */
enum { STEP_AUTH, STEP_NAME, STEP_ROLE, STEP_SELECT, STEP_LOAD, STEP_PROBE, STEP_COUNT };

struct connection {
    struct ev_loop *loop;
    struct redis_config config;
    const char *shown; /* CONFIG, for the log */
    const struct connection_events *events;
    void *context;

    struct tls *tls; /* NULL: without TLS */
    struct redis_socket socket;
    struct redis_command_list owed;  /* Redis has to reply to them, in this order */
    struct redis_command *unwritten; /* the first of OWED that was not written; NULL: none */
    double progress_s;

    struct sentinel *sentinel; /* NULL: the address is that of CONFIG */
    bool asking;               /* they were asked, and have not answered */
    double asked_s;            /* when they named the address; on clock_s; 0: not yet */
    char left_host[256];       /* the master before the last switch; "": none */
    unsigned left_port;
    double left_s; /* when it was left; on clock_s */
    struct resolver *resolver;
    struct resolved resolved;
    double resolved_s;                   /* when; on clock_s */
    unsigned next_address;               /* of RESOLVED, within one attempt */
    char shunned[RESOLVER_ADDRESS_SIZE]; /* was unfit or silent: it is tried last */
    char failed[REASON_SIZE];            /* why the addresses tried so far in this attempt failed */

    bool ready;
    double ready_since_s;
    ev_tstamp backoff_s;   /* before the next attempt; 0: none, the last connection worked */
    bool accepted;         /* the address that is being tried has accepted the connection */
    bool silent;           /* in this attempt an address accepted the connection, and no more */
    bool unfit;            /* in this attempt a server was unfit, or the name has no address */
    unsigned silent_count; /* attempts in a row in which an address was silent */
    ev_tstamp patience_s;  /* how long the address that is being tried has */
    ev_timer retry, attempt;

    struct step step[STEP_COUNT];
    char sha[SCRIPT_SHA_LEN + 1]; /* of the script, as SCRIPT LOAD answered */
    bool loading;                 /* a SCRIPT LOAD is under way on a ready connection */
    bool by_eval;                 /* this connection takes no EVALSHA */
    bool by_eval_said;            /* in the log */
    char refused[REASON_SIZE];    /* the error to SCRIPT LOAD or EVALSHA */
};

static void connect_next(struct connection *connection);

/* ---- Commands ---- */

static void gather(struct connection *connection, struct redis_command *command,
                   const struct script_command *text)
{
    redis_socket_command(&connection->socket, text->argc, (const char **)text->argv, text->len);
    command->written_s = 0;
    TAILQ_INSERT_TAIL(&connection->owed, command, entry);
    if (!connection->unwritten)
        connection->unwritten = command;
}

void connection_charge(struct connection *connection, struct redis_command *command,
                       const struct charge *charges, size_t count, bool force)
{
    struct script_command text;

    script_run(&text, connection->by_eval ? NULL : connection->sha, connection->config.key_prefix,
               charges, count, force);
    gather(connection, command, &text);
}

/* A command of COUNT words, borrowed. */
static struct script_command words(int count, const char *const *word)
{
    struct script_command text = {.argc = count};

    for (int i = 0; i < count; i++) {
        text.argv[i] = word[i];
        text.len[i] = strlen(word[i]);
    }
    return text;
}

void connection_words(struct connection *connection, struct redis_command *command, int count,
                      const char *const *word, int key)
{
    char prefixed[REDIS_KEY_PREFIX_SIZE + STORE_KEY_SIZE];
    struct script_command text = words(count, word);

    text.argv[key] = prefixed;
    text.len[key] = (size_t)snprintf(prefixed, sizeof prefixed, "%s%s",
                                     connection->config.key_prefix, word[key]);
    gather(connection, command, &text);
}

/* A command counts as written although the socket may have taken only a part of it, because then
 * Redis is slow. */
bool connection_write(struct connection *connection)
{
    if (!connection->unwritten || !redis_socket_write(&connection->socket))
        return false;
    double now_s = clock_s();
    if (connection->unwritten == TAILQ_FIRST(&connection->owed))
        connection->progress_s = now_s;
    for (struct redis_command *command = connection->unwritten; command;
         command = TAILQ_NEXT(command, entry)) {
        command->written_s = now_s;
        if (command->events->written)
            command->events->written(command, now_s);
    }
    connection->unwritten = NULL;
    return true;
}

void connection_read(struct connection *connection)
{
    if (!TAILQ_EMPTY(&connection->owed))
        redis_socket_read(&connection->socket);
}

const struct redis_command *connection_oldest(const struct connection *connection)
{
    const struct redis_command *oldest = TAILQ_FIRST(&connection->owed);

    return oldest == connection->unwritten ? NULL : oldest;
}

double connection_progress_s(const struct connection *connection)
{
    return connection->progress_s;
}

/* ---- Losing ---- */

/* Close the socket: an attempt at another address begins with nothing of this one. */
static void close_socket(struct connection *connection)
{
    ev_timer_stop(connection->loop, &connection->attempt);
    redis_socket_close(&connection->socket);
    connection->ready = connection->loading = connection->by_eval = false;
}

/* No reply to any command will come, for REASON. */
static void drop_owed(struct connection *connection, const char *reason)
{
    struct redis_command *command;

    connection->unwritten = NULL;
    while ((command = TAILQ_FIRST(&connection->owed))) {
        TAILQ_REMOVE(&connection->owed, command, entry);
        if (command->events->dropped)
            command->events->dropped(command, reason);
    }
}

/* The jitter keeps a thousand processes from returning in one instant to a Redis that restarts. */
static ev_tstamp backoff_next(struct connection *connection)
{
    ev_tstamp wait_s = connection->backoff_s * (0.5 + drand48() / 2);
    ev_tstamp max_s = connection->unfit ? BACKOFF_LONG_S : BACKOFF_MAX_S;

    connection->backoff_s = connection->backoff_s > 0 ? connection->backoff_s * 2 : BACKOFF_MIN_S;
    if (connection->backoff_s > max_s)
        connection->backoff_s = max_s;
    return wait_s;
}

static void retry_after(struct connection *connection, ev_tstamp wait_s)
{
    ev_timer_set(&connection->retry, wait_s, 0.);
    ev_timer_start(connection->loop, &connection->retry);
}

/* The connection, or the whole attempt at one, is over because of REASON. */
static void lose(struct connection *connection, const char *reason, bool closed)
{
    close_socket(connection);
    connection->events->lost(connection->context, reason, closed);
    drop_owed(connection, reason);
    retry_after(connection, backoff_next(connection));
}

/* The attempt has failed with every address.  If one of them was silent for a short time, it may
 * only be slow: try again at once and say nothing yet. */
static void attempt_over(struct connection *connection)
{
    connection->silent_count = connection->silent ? connection->silent_count + 1 : 0;
    if (connection->silent && connection->silent_count <= QUIET_COUNT)
        retry_after(connection, 0);
    else
        lose(connection, connection->failed, false);
}

/* The address that is being tried, or connected to; NULL: a unix socket. */
static const char *current_address(const struct connection *connection)
{
    if (connection->config.address.path[0] != '\0' || connection->next_address == 0)
        return NULL;
    return connection->resolved.address[connection->next_address - 1];
}

/* An attempt with one address has failed for REASON: keep it for the log, with the address if there
 * are several. */
static void failed_add(struct connection *connection, const char *reason)
{
    size_t len = strlen(connection->failed);

    if (connection->resolved.count > 1)
        snprintf(connection->failed + len, sizeof connection->failed - len, "%s%s: %s",
                 len > 0 ? "; " : "", current_address(connection), reason);
    else
        snprintf(connection->failed, sizeof connection->failed, "%s", reason);
}

/* The attempt with the current address has failed for REASON. */
static void attempt_failed(struct connection *connection, const char *reason)
{
    failed_add(connection, reason);
    close_socket(connection);
    drop_owed(connection, reason);
    connect_next(connection);
}

void connection_unfit(struct connection *connection, const char *reason)
{
    const char *address = current_address(connection);

    connection->unfit = true;
    if (!connection->ready) {
        attempt_failed(connection, reason);
        return;
    }
    if (address)
        memcpy(connection->shunned, address, sizeof connection->shunned);
    lose(connection, reason, false);
}

/* Give the connection up because of REPLY, which is not what was asked for. */
static void unfit_reply(struct connection *connection, const struct redis_reply *reply)
{
    connection_unfit(connection, script_complaint(reply));
}

/* ---- Steps to a ready connection ---- */

static void on_step_reply(struct redis_command *command, const struct redis_reply *reply)
{
    struct step *step = (struct step *)command;

    step->on_reply(step->connection, reply);
}

static const struct redis_command_events step_events = {.reply = on_step_reply};

static void send_step(struct connection *connection, int which, step_handler *on_reply,
                      const struct script_command *text)
{
    struct step *step = &connection->step[which];

    *step = (struct step){{.events = &step_events}, connection, on_reply};
    gather(connection, &step->command, text);
}

/* Only the code of an error is logged, WRONGPASS or ERR, because some servers quote the command
 * that they refuse. */
static void on_auth_reply(struct connection *connection, const struct redis_reply *reply)
{
    char reason[64];

    if (reply->kind == REDIS_SAYS_STATUS)
        return;
    snprintf(reason, sizeof reason, "login refused: %.*s",
             reply->kind == REDIS_SAYS_ERROR ? (int)strcspn(reply->text, " ") : 0, reply->text);
    connection_unfit(connection, reason);
}

static void on_select_reply(struct connection *connection, const struct redis_reply *reply)
{
    if (reply->kind != REDIS_SAYS_STATUS)
        unfit_reply(connection, reply);
}

/* A bucket that always admits, and a shadow that never does: together they run every command that
 * the script can run, so that an access list which forbids one of them is noticed now. */
static const struct charge probes[2] = {
    {.key = "rl:{probe}",
     .key_len = 10,
     .interval_us = 1,
     .capacity = 999, /* a window of less than 1 ms: Redis keeps no key for a minute */
     .cost = 1,
     .enforced = true},
    {.key = "rl:{probe}:never", .key_len = 16, .interval_us = 1, .capacity = 1, .cost = 2},
};

static void on_probe_reply(struct connection *connection, const struct redis_reply *reply);

static void probe(struct connection *connection)
{
    struct script_command text;

    script_run(&text, connection->by_eval ? NULL : connection->sha, connection->config.key_prefix,
               probes, 2, false);
    send_step(connection, STEP_PROBE, on_probe_reply, &text);
}

/* Go on without SCRIPT LOAD and EVALSHA: an access list or a proxy refuses them, as ERROR says. */
static void probe_by_eval(struct connection *connection, const char *error)
{
    connection->by_eval = true;
    snprintf(connection->refused, sizeof connection->refused, "%s", error);
    probe(connection);
}

static void by_eval_log(struct connection *connection)
{
    if (connection->by_eval && !connection->by_eval_said)
        log_line(LOG_WARNING,
                 "redis %s refuses SCRIPT LOAD or EVALSHA (%s): the whole script is sent with each "
                 "request (EVAL)",
                 connection->shown, connection->refused);
    connection->by_eval_said = connection->by_eval;
}

static void become_ready(struct connection *connection)
{
    ev_timer_stop(connection->loop, &connection->attempt);
    connection->ready = true;
    connection->unfit = false;
    connection->silent_count = 0;
    connection->ready_since_s = clock_s();
    by_eval_log(connection);
    connection->events->ready(connection->context);
}

/* Whether the server that answered the probe with ERROR decides some asks all the same: those whose
 * buckets are empty, or whose keys are in a slot of this node of a cluster. */
static bool decides_some(const char *error)
{
    return script_error_is_full(error) || script_error_is_about_keys(error);
}

static void on_probe_reply(struct connection *connection, const struct redis_reply *reply)
{
    char reason[REASON_SIZE];
    struct charge charges[2] = {probes[0], probes[1]};
    bool is_error = reply->kind == REDIS_SAYS_ERROR;

    if (script_read(reply, charges, 2) || (is_error && decides_some(reply->text))) {
        become_ready(connection);
    } else if (is_error && !connection->by_eval && script_error_allows_eval(reply->text)) {
        probe_by_eval(connection, reply->text);
    } else if (is_error && connection->by_eval) {
        snprintf(reason, sizeof reason, "%.200s; with EVAL: %.200s", connection->refused,
                 reply->text);
        connection_unfit(connection, reason);
    } else {
        unfit_reply(connection, reply);
    }
}

static void on_load_reply(struct connection *connection, const struct redis_reply *reply)
{
    if (script_is_sha(reply)) {
        memcpy(connection->sha, reply->text, sizeof connection->sha);
        probe(connection);
    } else if (reply->kind == REDIS_SAYS_ERROR && script_error_allows_eval(reply->text)) {
        probe_by_eval(connection, reply->text);
    } else {
        unfit_reply(connection, reply);
    }
}

static void load(struct connection *connection, step_handler *on_reply)
{
    struct script_command text;

    script_load(&text);
    send_step(connection, STEP_LOAD, on_reply, &text);
}

static void on_loaded_again(struct connection *connection, const struct redis_reply *reply)
{
    connection->loading = false;
    if (!script_is_sha(reply))
        unfit_reply(connection, reply);
}

void connection_load_again(struct connection *connection)
{
    if (connection->loading)
        return;
    connection->loading = true;
    load(connection, on_loaded_again);
}

/* For CLIENT LIST alone: a server that forbids it works as well. */
static void on_name_reply(struct connection *connection, const struct redis_reply *reply)
{
    (void)connection, (void)reply;
}

/* A replica is unfit.  A server that does not tell its role counts as a master, because the probe
 * finds a replica, too: it writes. */
static void on_role_reply(struct connection *connection, const struct redis_reply *reply)
{
    if (reply->kind == REDIS_SAYS_BULK && strstr(reply->text, "role:slave"))
        connection_unfit(connection, "it is a replica, although the Sentinels call it the master");
}

static void identify(struct connection *connection)
{
    struct script_command text;
    char name[32];

    snprintf(name, sizeof name, "ratelimit.fcgi-%d", (int)getpid());
    text = words(3, (const char *[]){"CLIENT", "SETNAME", name});
    send_step(connection, STEP_NAME, on_name_reply, &text);
    if (!connection->sentinel)
        return;
    /* The first line is the role.  ROLE itself replies with arrays in an array. */
    text = words(2, (const char *[]){"INFO", "replication"});
    send_step(connection, STEP_ROLE, on_role_reply, &text);
}

static void log_in(struct connection *connection)
{
    const struct redis_address *address = &connection->config.address;
    struct script_command text;
    char db[16];

    if (address->user[0] != '\0') {
        text = words(3, (const char *[]){"AUTH", address->user, address->password});
        send_step(connection, STEP_AUTH, on_auth_reply, &text);
    } else if (address->password[0] != '\0') {
        text = words(2, (const char *[]){"AUTH", address->password});
        send_step(connection, STEP_AUTH, on_auth_reply, &text);
    }
    identify(connection);
    if (address->db != 0) {
        snprintf(db, sizeof db, "%u", address->db);
        text = words(2, (const char *[]){"SELECT", db});
        send_step(connection, STEP_SELECT, on_select_reply, &text);
    }
    load(connection, on_load_reply);
}

/* ---- Connecting ---- */

/* Begin the time that the current address has; with jitter, because a hundred processes may have
 * lost Redis at the same time. */
static void wait_for_address(struct connection *connection)
{
    unsigned i = connection->silent_count;

    if (connection->resolved.count > 1 && i < READY_SEVERAL)
        i = READY_SEVERAL;
    if (connection->config.address.tls && i < READY_TLS)
        i = READY_TLS;
    if (i > READY_COUNT - 1)
        i = READY_COUNT - 1;
    ev_tstamp least_s = connection->accepted ? ready_s[i] : CONNECT_S;

    connection->patience_s = least_s * (1 + 0.25 * drand48());
    ev_now_update(connection->loop); /* the time does not include what was done before */
    ev_timer_stop(connection->loop, &connection->attempt);
    ev_timer_set(&connection->attempt, connection->patience_s, 0.);
    ev_timer_start(connection->loop, &connection->attempt);
}

static bool connect_to(struct connection *connection, const char *path, const char *ip)
{
    const struct redis_address *address = &connection->config.address;
    const struct redis_place place = {path, ip, address->port, connection->tls, address->host};
    char reason[128];

    connection->accepted = false;
    if (redis_socket_open(&connection->socket, &place, reason, sizeof reason)) {
        wait_for_address(connection);
        return true;
    }
    failed_add(connection, reason);
    return false;
}

/* Go on to the next address that the name has; with none left the attempt has failed. */
static void connect_next(struct connection *connection)
{
    while (connection->next_address < connection->resolved.count)
        if (connect_to(connection, NULL, connection->resolved.address[connection->next_address++]))
            return;
    attempt_over(connection);
}

/* Move the address that was unfit behind the others. */
static void shun(struct connection *connection)
{
    struct resolved *resolved = &connection->resolved;
    unsigned last = resolved->count - 1;

    for (unsigned i = 0; i < last; i++) {
        if (strcmp(resolved->address[i], connection->shunned) != 0)
            continue;
        memmove(resolved->address[i], resolved->address[i + 1],
                (last - i) * sizeof resolved->address[0]);
        memcpy(resolved->address[last], connection->shunned, sizeof connection->shunned);
        break;
    }
}

/* Try the addresses that are known, from the first on. */
static void connect_first(struct connection *connection)
{
    connection->next_address = 0;
    if (connection->resolved.count > 1)
        shun(connection);
    connect_next(connection);
}

static void on_resolved(void *context, const struct resolved *resolved)
{
    struct connection *connection = context;

    connection->resolved = *resolved;
    connection->resolved_s = clock_s();
    if (resolved->error) {
        connection->unfit = true;
        snprintf(connection->failed, sizeof connection->failed, "%s", resolved->error);
    }
    connect_first(connection);
}

/* Look up the host of the address, and try its addresses. */
static void resolve(struct connection *connection)
{
    bool known =
        connection->resolved.count > 0 && clock_s() < connection->resolved_s + LOOKUP_EVERY_S;

    if (connection->config.address.path[0] != '\0') {
        if (!connect_to(connection, connection->config.address.path, NULL))
            attempt_over(connection);
    } else if (known) {
        connect_first(connection);
    } else {
        resolver_start(connection->resolver, connection->config.address.host);
    }
}

void connection_start(struct connection *connection)
{
    connection->failed[0] = '\0';
    connection->silent = connection->unfit = false;
    connection->asking = connection->sentinel && clock_s() >= connection->asked_s + ASK_EVERY_S;
    if (connection->asking)
        sentinel_ask(connection->sentinel);
    else
        resolve(connection);
}

/* ---- Sentinels ---- */

/* The master is where ANSWER says.  Returns whether that is another place than before. */
static bool set_master(struct connection *connection, const struct sentinel_answer *answer)
{
    struct redis_address *address = &connection->config.address;

    connection->asked_s = clock_s();
    if (strcmp(address->host, answer->host) == 0 && address->port == answer->port)
        return false;
    strcpy(address->host, answer->host);
    address->port = answer->port;
    connection->resolved.count = 0;
    connection->shunned[0] = '\0';
    return true;
}

/* Whether ANSWER is the master that was just left: a Sentinel has not learnt of the switch yet, and
 * until the old master has, it calls itself one. */
static bool is_left(const struct connection *connection, const struct sentinel_answer *answer)
{
    return strcmp(connection->left_host, answer->host) == 0 &&
           connection->left_port == answer->port && clock_s() < connection->left_s + LEFT_S;
}

static void on_found(void *context, const struct sentinel_answer *answer)
{
    struct connection *connection = context;

    if (!connection->asking)
        return; /* a switch was faster */
    connection->asking = false;
    if (answer->error[0] != '\0' || is_left(connection, answer)) {
        snprintf(connection->failed, sizeof connection->failed, "%s",
                 answer->error[0] != '\0' ? answer->error
                                          : "the Sentinels still name the master that was left");
        connection->unfit = true;
        attempt_over(connection);
        return;
    }
    set_master(connection, answer);
    resolve(connection);
}

/* Connect to the new master at once; requests wait for it. */
static void on_switched(void *context, const struct sentinel_answer *answer)
{
    struct connection *connection = context;
    struct redis_address before = connection->config.address;

    if (is_left(connection, answer) || !set_master(connection, answer))
        return;
    if (before.host[0] == '\0')
        return; /* the first one, which the answer to the first question names as well */
    strcpy(connection->left_host, before.host);
    connection->left_port = before.port;
    connection->left_s = clock_s();
    log_line(LOG_NOTICE, "redis %s: the Sentinels name a new master, %s port %u", connection->shown,
             answer->host, answer->port);
    connection->backoff_s = 0;
    connection->asking = false;
    if (connection->ready) {
        lose(connection, "the Sentinels name a new master", true);
        return;
    }
    ev_timer_stop(connection->loop, &connection->retry);
    close_socket(connection);
    drop_owed(connection, "the Sentinels name a new master");
    resolver_stop(connection->resolver);
    connection_start(connection);
}

static const struct sentinel_events sentinel_events = {on_found, on_switched};

/* ---- Events ---- */

/* The handshake has a time, and then the commands have one. */
static void on_accepted(void *context)
{
    struct connection *connection = context;

    connection->accepted = true;
    wait_for_address(connection);
}

static void on_opened(void *context)
{
    struct connection *connection = context;

    connection->accepted = true;
    wait_for_address(connection);
    log_in(connection);
}

static void on_reply(void *context, const struct redis_reply *reply)
{
    struct connection *connection = context;
    struct redis_command *command = TAILQ_FIRST(&connection->owed);

    if (!command || command == connection->unwritten) {
        connection_unfit(connection, "a reply that nothing asked for");
        return;
    }
    TAILQ_REMOVE(&connection->owed, command, entry);
    connection->progress_s = clock_s();
    if (connection->ready && reply->kind == REDIS_SAYS_NUMBERS)
        connection->backoff_s = 0;
    command->events->reply(command, reply);
}

static void on_closed(void *context, const char *reason, bool unfit)
{
    struct connection *connection = context;

    if (unfit) {
        connection_unfit(connection, reason);
        return;
    }
    if (!connection->ready) {
        attempt_failed(connection, reason);
        return;
    }
    /* A connection that worked may have been closed because it was idle. */
    if (clock_s() - connection->ready_since_s > BACKOFF_LONG_S)
        connection->backoff_s = 0;
    lose(connection, reason, true);
}

static const struct redis_socket_events socket_events = {on_accepted, on_opened, on_reply,
                                                         on_closed};

static void on_attempt_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct connection *connection = watcher->data;
    unsigned generation = connection->socket.generation;
    char reason[128];

    (void)loop, (void)events;
    redis_socket_read(&connection->socket); /* a process that was stopped reads first */
    if (connection->ready || connection->socket.generation != generation || ev_is_active(watcher))
        return;
    connection->silent |= connection->accepted;
    snprintf(reason, sizeof reason, "%s within %.0f ms%s",
             connection->accepted ? "no answer" : "no connection", connection->patience_s * 1e3,
             redis_socket_is_shaking(&connection->socket) ? ": is it the server's port for TLS?"
                                                          : "");
    attempt_failed(connection, reason);
}

static void on_retry(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    connection_start(watcher->data);
}

struct connection *connection_new(struct ev_loop *loop, const struct redis_config *config,
                                  const char *shown, const struct connection_events *events,
                                  void *context)
{
    struct connection *connection = memory_new(sizeof *connection);

    connection->loop = loop;
    connection->config = *config;
    connection->shown = shown;
    connection->events = events;
    connection->context = context;
    TAILQ_INIT(&connection->owed);
    ev_timer_init(&connection->retry, on_retry, 0., 0.);
    ev_timer_init(&connection->attempt, on_attempt_over, 0., 0.);
    ev_set_priority(&connection->attempt, EV_MINPRI); /* what has come is read first */
    connection->retry.data = connection->attempt.data = connection;
    if (config->address.tls)
        connection->tls = tls_new(&config->tls);
    redis_socket_init(&connection->socket, loop, &socket_events, connection);
    connection->resolver = resolver_new(loop, on_resolved, connection);
    if (config->topology == REDIS_SENTINEL)
        connection->sentinel = sentinel_new(loop, config, &sentinel_events, connection);
    return connection;
}

void connection_free(struct connection *connection)
{
    if (!connection)
        return;
    ev_timer_stop(connection->loop, &connection->retry);
    close_socket(connection);
    drop_owed(connection, "");
    sentinel_free(connection->sentinel);
    resolver_free(connection->resolver);
    tls_free(connection->tls);
    free(connection);
}
