/* redis_socket.h - one socket to Redis on a libev loop: connect, write commands, read replies; with
 * or without TLS.  Only this file, redis_reply.c, redis_client.c and tls.c know hiredis.  It is
 * used without its asynchronous layer, because that aborts the process on a reply that no command
 * asked for. */
#ifndef REDIS_SOCKET_H
#define REDIS_SOCKET_H

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/redis_reply.h"
#include "store/tls.h"

/* TCP keepalive, so that a firewall or a load balancer does not forget an idle socket, and one
 * that was forgotten is noticed before a request needs it: a probe after 15 s without traffic, then
 * every 5 s, lost after three without an answer.  TCP_USER_TIMEOUT bounds what was sent and not
 * acknowledged to as long. */
#define REDIS_SOCKET_KEEPALIVE_IDLE_S     15
#define REDIS_SOCKET_KEEPALIVE_INTERVAL_S 5
#define REDIS_SOCKET_KEEPALIVE_PROBES     3
#define REDIS_SOCKET_USER_TIMEOUT_MS      30000

#define REDIS_SOCKET_READS_MAX 64 /* of 16 KB, in one redis_socket_read */

/* What happens to a socket.  Each of the functions may close it and open another. */
struct redis_socket_events {
    /* The server has accepted the connection, and a handshake of TLS begins.  It does not close the
     * socket. */
    void (*accepted)(void *context);
    /* It is connected, and a handshake of TLS is over: commands can be written. */
    void (*opened)(void *context);
    /* REPLY (borrowed for the call) has come. */
    void (*reply)(void *context, const struct redis_reply *reply);
    /* It could not be made, was closed, or failed, for REASON (borrowed for the call); UNFIT:
     * because of bytes that are no reply, or because TLS failed.  It is closed already. */
    void (*closed)(void *context, const char *reason, bool unfit);
};

/* Where to connect to. */
struct redis_place {
    const char *path; /* of a unix socket; or NULL, and */
    const char *ip;   /* a numeric address */
    unsigned port;
    struct tls *tls;  /* NULL: without TLS */
    const char *host; /* with TLS: whose certificate it must be */
};

/* One connection at a time.  Only redis_socket.c uses the fields, except for GENERATION,
 * by which a caller notices that a callback has replaced the connection. */
struct redis_socket {
    struct ev_loop *loop;
    const struct redis_socket_events *events;
    void *context;
    redisContext *redis; /* NULL: closed */
    unsigned generation; /* counts the connections that were closed */
    bool connecting, reading;
    struct tls *tls; /* to attach when it is connected; NULL: none */
    const char *host;
    struct tls_stream *stream; /* of REDIS; NULL: without TLS, or none yet */
    bool shaking;              /* its handshake is under way */
    bool answered;             /* at least one reply has come */
    bool gathered;             /* there are commands that have not been written */
    bool write_needs_read;     /* TLS goes on writing when it has read */
    ev_io readable, writable;
    struct redis_reply reply;
};

/* Make SOCKET usable, closed.  EVENTS and CONTEXT are borrowed until redis_socket_close.  SOCKET
 * must not move. */
void redis_socket_init(struct redis_socket *socket, struct ev_loop *loop,
                       const struct redis_socket_events *events, void *context);

/* Begin to connect to PLACE (what it points to is borrowed until the socket is open or closed).
 * SOCKET is closed.  False if that failed at once: REASON (SIZE bytes) then says why, and no
 * event follows. */
bool redis_socket_open(struct redis_socket *socket, const struct redis_place *place, char *reason,
                       size_t size);

/* Whether a handshake of TLS is under way. */
bool redis_socket_is_shaking(const struct redis_socket *socket);

/* Gather a command of ARGC arguments for the next redis_socket_write.  SOCKET is open. */
void redis_socket_command(struct redis_socket *socket, int argc, const char **argv,
                          const size_t *len);

/* Write what was gathered, as far as the socket takes it; the rest follows by itself.  False if
 * there is no connection (any more). */
bool redis_socket_write(struct redis_socket *socket);

/* Read what has come, without waiting: at most REDIS_SOCKET_READS_MAX times; or go on with the
 * handshake.  Does nothing inside
 * of a reply event. */
void redis_socket_read(struct redis_socket *socket);

/* Close the socket, if there is one.  No event follows. */
void redis_socket_close(struct redis_socket *socket);

#endif
