/* fcgi_server.h - the connections of the web server on a libev loop: read requests, send replies.
 * No operation here waits for a peer: one that is slow or silent, or that does not read, does not
 * delay the others and is disconnected after a bounded time. */
#ifndef FCGI_SERVER_H
#define FCGI_SERVER_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "request/request.h"

/* Seconds that a peer has to send a complete head, counted from its first byte, or from the
 * beginning of a new connection. */
#define FCGI_SERVER_HEAD_S 10.0
/* Seconds that a peer has to read an answer, and then, if the connection is kept, to end the body
 * of its request. */
#define FCGI_SERVER_ANSWERED_S 2.0
/* FCGI_SERVER_HEAD_S during a stop. */
#define FCGI_SERVER_STOP_HEAD_S 1.0
/* Seconds for which a connection that is kept stays open during a stop without a request.  A web
 * server that has not noticed a closed connection yet sends it a request, which is lost; one that
 * is busy does not use a connection that was idle for so long. */
#define FCGI_SERVER_STOP_IDLE_S 0.5
/* Maximum size of all incomplete heads together, in bytes.  If it is exceeded, the peers with the
 * oldest ones are disconnected. */
#define FCGI_SERVER_PARTIAL_MAX (64 * 1024 * 1024)
/* Maximum number of bytes that may wait for one peer to read them, besides one answer. */
#define FCGI_SERVER_UNSENT_MAX (256 * 1024)
/* Requests between two calls of a batch function. */
#define FCGI_SERVER_BATCH 64

struct fcgi_server;

/* Called for each request.  EXCHANGE must be answered once with fcgi_server_reply, during the call
 * or later.  REQUEST is borrowed for the call, its strings until the answer. */
typedef void fcgi_server_handler(void *context, void *exchange, const struct request *request);

/* Called after every FCGI_SERVER_BATCH requests, so that other work gets a turn during a long
 * wake-up.  It may answer exchanges. */
typedef void fcgi_server_batch(void *context);

/* Serve the listening socket LISTEN_FD, which is made non-blocking, on LOOP.  HANDLER and BATCH are
 * called with CONTEXT.  Returns a server, which the caller frees with fcgi_server_free; or NULL,
 * and *ERROR says why. */
struct fcgi_server *fcgi_server_new(struct ev_loop *loop, int listen_fd,
                                    fcgi_server_handler *handler, fcgi_server_batch *batch,
                                    void *context, const char **error);

/* Answer EXCHANGE with the LEN bytes at TEXT (borrowed): CGI headers, an empty line and a body.
 * EXCHANGE and the strings of its request are invalid when this returns. */
void fcgi_server_reply(void *exchange, const char *text, size_t len);

/* The number of connections that are open.  *ACCEPTED becomes the number accepted so far. */
size_t fcgi_server_open(const struct fcgi_server *server, uint64_t *accepted);

/* Begin a stop: accept the connections that are already waiting, at most LISTENER_BACKLOG, then no
 * more.  New connections that have sent nothing are closed; one that is kept is closed after its
 * next answer, or after FCGI_SERVER_STOP_IDLE_S.  IDLE is called with CONTEXT when no connection is
 * left, possibly before this returns. */
void fcgi_server_stop(struct fcgi_server *server, void (*idle)(void *context), void *context);

/* Free SERVER, which may be NULL, and close all of its connections. */
void fcgi_server_free(struct fcgi_server *server);

#endif
