/* redis_ev.h - a hiredis connection on a libev loop.  Unlike hiredis' own adapter it does not ask the
 * loop for each write: commands gather while requests are handled, and leave in one write(2) before the
 * loop sleeps. */
#ifndef REDIS_EV_H
#define REDIS_EV_H

#include <ev.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>

/* The watchers of one connection at a time.  The fields are this file's own. */
struct redis_ev {
    struct ev_loop *loop;
    redisAsyncContext *context; /* attached, or NULL */
    ev_io readable, writable;
    ev_prepare flush;
    bool wants_write;
};

/* Make EV ready for connections on LOOP.  EV must stay where it is until redis_ev_stop. */
void redis_ev_start(struct redis_ev *ev, struct ev_loop *loop);

/* Serve CONTEXT (borrowed), which has begun to connect.  No other is attached. */
void redis_ev_attach(struct redis_ev *ev, redisAsyncContext *context);

/* Let go of the attached connection, if there is one: from now on it touches no watcher, though hiredis
 * may free it later; the watchers may by then belong to the next one. */
void redis_ev_detach(struct redis_ev *ev);

/* Stop all watchers.  Nothing is attached any more. */
void redis_ev_stop(struct redis_ev *ev);

#endif
