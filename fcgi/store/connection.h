/* connection.h - a connection to Redis that asks can use: it is made, checked, and made again when
 * it is lost. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "store/redis_config.h"
#include "store/redis_reply.h"
#include "store/store.h"

struct redis_command;

/* What happens to a command.  Its owner may send other commands inside of each function. */
struct redis_command_events {
    /* It was handed to the socket at NOW_S (clock_s).  NULL: the owner does not need to know. */
    void (*written)(struct redis_command *command, double now_s);
    /* REPLY (borrowed for the call) has come.  COMMAND is the owner's again. */
    void (*reply)(struct redis_command *command, const struct redis_reply *reply);
    /* The connection is lost, for REASON: no reply will come, and Redis may have run the command.
     * COMMAND is the owner's again.  NULL: the owner does not need to know. */
    void (*dropped)(struct redis_command *command, const char *reason);
};

/* A command that was sent and the reply that Redis owes.  It is part of its owner's struct. */
struct redis_command {
    TAILQ_ENTRY(redis_command) entry;
    const struct redis_command_events *events;
    double written_s; /* on clock_s; 0: not written yet */
};

/* What happens to a connection. */
struct connection_events {
    /* Redis has logged us in and answered a probe: commands can be sent from now on. */
    void (*ready)(void *context);
    /* The connection, or the attempt at one with every address, is over for REASON (borrowed for
     * the call).  CLOSED: it was ready, the server closed it, and a new one is tried at once;
     * otherwise the next attempt is made after 10 ms, doubling to 50 ms, or to 1 s if a server was
     * unfit, with jitter.  The commands that are owed a reply are dropped after this. */
    void (*lost)(void *context, const char *reason, bool closed);
};

struct connection;

/* A connection from LOOP to the Redis of CONFIG (copied), SHOWN (borrowed) in the log; closed
 * until connection_start.  The key prefix of CONFIG is put before every key.  Returns it, the
 * caller's to free with connection_free; never NULL. */
struct connection *connection_new(struct ev_loop *loop, const struct redis_config *config,
                                  const char *shown, const struct connection_events *events,
                                  void *context);

/* Connect, now and whenever the connection is lost: look the name up, then AUTH, SELECT, SCRIPT
 * LOAD and a probe of a bucket of our own, rl:{probe}.  If SCRIPT LOAD or EVALSHA is refused, the
 * whole script is sent with each command (EVAL).  A server that is READONLY, LOADING, MASTERDOWN,
 * NOAUTH, NOPERM or WRONGPASS, or that sends nonsense, is unfit: the next address of the name is
 * tried, and this one is tried last.  An answer to the probe that is about its keys alone (MOVED,
 * for example) is one of a fit server.
 * A server that has not accepted the connection within 250 ms is skipped.  One that has accepted it
 * and is not ready has 30 ms in the first attempt (200 ms if the name has several addresses, or
 * with TLS, whose handshake has as much before), and then 80 ms, 200 ms, 1.2 s, and 10 s each, up
 * to a quarter more at random.  So at most five connections are made to a server that is stopped
 * for 11 s, and the last one is waited for.  A name is looked up at most once a second. */
void connection_start(struct connection *connection);

/* Gather the command that runs take.lua for the COUNT CHARGES, as script_run has it, for the next
 * connection_write.
 * COMMAND, whose events are set, is borrowed until it is replied to or dropped.  The connection is
 * ready. */
void connection_charge(struct connection *connection, struct redis_command *command,
                       const struct charge *charges, size_t count, bool force);

/* Gather the command of the COUNT (<= 8) WORDS, of which the one at index KEY is a key (below
 * STORE_KEY_SIZE bytes); otherwise as connection_charge. */
void connection_words(struct connection *connection, struct redis_command *command, int count,
                      const char *const *word, int key);

/* Redis has forgotten the script (NOSCRIPT): load it before what is gathered next. */
void connection_load_again(struct connection *connection);

/* Write what was gathered.  Commands may be dropped inside.  Returns whether any was written. */
bool connection_write(struct connection *connection);

/* Read and handle what has come, without waiting. */
void connection_read(struct connection *connection);

/* The server that is connected to cannot decide, for REASON: the connection is lost. */
void connection_unfit(struct connection *connection, const char *reason);

/* The written command that Redis has owed a reply to for longest; NULL: it owes none. */
const struct redis_command *connection_oldest(const struct connection *connection);

/* When the last reply came, or when Redis began to owe one; on clock_s. */
double connection_progress_s(const struct connection *connection);

/* Close the connection and free it; commands are dropped with an empty reason.  NULL is fine. */
void connection_free(struct connection *connection);

#endif
