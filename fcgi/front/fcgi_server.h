/* fcgi_server.h - the web server's connections on a libev loop: requests in, replies out.  Nothing
 * here waits for a peer: a peer that is slow, silent, or does not read costs the others nothing,
 * and is cut off after a bounded time. */
#ifndef FCGI_SERVER_H
#define FCGI_SERVER_H

#include <ev.h>
#include <stddef.h>

#include "request/request.h"

/* Seconds within which a peer must send a head whole, from its first byte or, on a new connection,
 * from the beginning. */
#define FCGI_SERVER_HEAD_S 10.0
/* Seconds within which a peer must read an answer, and end the body of its request after that, if
 * its connection is kept. */
#define FCGI_SERVER_ANSWERED_S 2.0
/* The first of these during a stop. */
#define FCGI_SERVER_STOP_HEAD_S 1.0
/* Bytes of heads that have come in part, of all peers together: more cut off the oldest. */
#define FCGI_SERVER_PARTIAL_MAX (64 * 1024 * 1024)
/* Bytes that may wait for one peer to read them. */
#define FCGI_SERVER_UNSENT_MAX (256 * 1024)
/* Requests between two calls of a batch function. */
#define FCGI_SERVER_BATCH 64

struct fcgi_server;

/* Called for each request; EXCHANGE is to be answered once with fcgi_server_reply, now or later.
 * REQUEST is borrowed for the call, its strings until the answer. */
typedef void fcgi_server_handler(void *context, void *exchange, const struct request *request);

/* Called after each FCGI_SERVER_BATCH requests, so that other work gets its turn in a long wake-up.
 * It may answer exchanges. */
typedef void fcgi_server_batch(void *context);

/* Serve the listening socket LISTEN_FD (made non-blocking here) from LOOP; each request goes to
 * HANDLER with CONTEXT, and BATCH is called with it.  Returns it, the caller's to free with
 * fcgi_server_free; or NULL, and *ERROR says why. */
struct fcgi_server *fcgi_server_new(struct ev_loop *loop, int listen_fd,
                                    fcgi_server_handler *handler, fcgi_server_batch *batch,
                                    void *context, const char **error);

/* Answer EXCHANGE with the LEN bytes at TEXT (borrowed): CGI headers, an empty line, a body.
 * EXCHANGE and the strings of its request are gone when this returns. */
void fcgi_server_reply(void *exchange, const char *text, size_t len);

/* Take what is already waiting, LISTENER_BACKLOG connections at most, then accept no more.  Peers
 * that have sent nothing are closed.  IDLE is called with CONTEXT once nothing is under way,
 * perhaps before this returns. */
void fcgi_server_stop(struct fcgi_server *server, void (*idle)(void *context), void *context);

/* Free SERVER; what is under way is cut off.  NULL is fine. */
void fcgi_server_free(struct fcgi_server *server);

#endif
