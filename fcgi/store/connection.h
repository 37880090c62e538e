/* connection.h - one connection to Redis on a libev loop.  With redis_reply.c the only file that
 * knows hiredis.  It uses hiredis without its asynchronous layer, which aborts the process on a
 * reply that no command asked for. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/redis_reply.h"

/* TCP keepalive, so that a firewall or a load balancer does not forget an idle connection, and one
 * that was forgotten is noticed before a request needs it: a probe after 15 s without traffic, then
 * every 5 s, lost after three without an answer.  TCP_USER_TIMEOUT bounds what was sent and not
 * acknowledged to as long. */
#define CONNECTION_KEEPALIVE_IDLE_S     15
#define CONNECTION_KEEPALIVE_INTERVAL_S 5
#define CONNECTION_KEEPALIVE_PROBES     3
#define CONNECTION_USER_TIMEOUT_MS      30000

#define CONNECTION_READS_MAX 64 /* of 16 KB, in one connection_read */

/* What happens to a connection.  Each of them may close it and open another. */
struct connection_events {
    /* It is connected: commands can be written. */
    void (*opened)(void *context);
    /* REPLY (borrowed for the call) has come. */
    void (*reply)(void *context, const struct redis_reply *reply);
    /* It could not be made, was closed, or failed, for REASON (borrowed for the call); UNFIT:
     * because of bytes that are no reply.  It is closed already. */
    void (*closed)(void *context, const char *reason, bool unfit);
};

/* One connection at a time.  The fields are connection.c's own. */
struct connection {
    struct ev_loop *loop;
    const struct connection_events *events;
    void *context;
    redisContext *redis; /* NULL: closed */
    unsigned
        generation; /* which connection this is, for a caller whose callback may have replaced it */
    bool connecting, reading;
    bool gathered; /* there are commands that have not been written */
    ev_io readable, writable;
    struct redis_reply reply;
};

/* Make CONNECTION ready, closed.  EVENTS and CONTEXT are borrowed until connection_close.
 * CONNECTION must not move. */
void connection_init(struct connection *connection, struct ev_loop *loop,
                     const struct connection_events *events, void *context);

/* Begin to connect to the unix socket PATH, or if it is NULL to the numeric address IP and PORT.
 * CONNECTION is closed.  False if that failed at once: REASON (SIZE bytes) then says why, and no
 * event follows. */
bool connection_open(struct connection *connection, const char *path, const char *ip, unsigned port,
                     char *reason, size_t size);

bool connection_is_open(const struct connection *connection);

/* Gather a command of ARGC arguments for the next connection_write.  CONNECTION is open. */
void connection_command(struct connection *connection, int argc, const char **argv,
                        const size_t *len);

/* Write what was gathered, as far as the socket takes it; the rest follows by itself.  False if
 * there is no connection (any more). */
bool connection_write(struct connection *connection);

/* Read what has come, without waiting: at most CONNECTION_READS_MAX times.  Does nothing inside of
 * a reply event. */
void connection_read(struct connection *connection);

/* Close the connection, if there is one.  No event follows. */
void connection_close(struct connection *connection);

#endif
