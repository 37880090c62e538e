/* fastcgi.h - requests in, replies out.  The only file that knows libfcgi. */
#ifndef FASTCGI_H
#define FASTCGI_H

#include <ev.h>
#include <stddef.h>

#include "request.h"

struct fastcgi;

/* Called for each request; EXCHANGE is to be answered once with fastcgi_reply, now or later.  REQUEST
 * is borrowed for the call, its strings until the answer. */
typedef void fastcgi_handler(void *context, void *exchange, const struct request *request);

/* Called after each FASTCGI_BATCH requests, so that other work gets its turn in a long wake-up.  It may answer
 * exchanges. */
typedef void fastcgi_batch(void *context);

#define FASTCGI_BATCH 64

/* Serve the listening socket LISTEN_FD (made non-blocking here) from LOOP; each request goes to
 * HANDLER with CONTEXT, and BATCH is called with it.  Returns it, the caller's to free with
 * fastcgi_free; NULL where libfcgi cannot be initialised. */
struct fastcgi *fastcgi_new(struct ev_loop *loop, int listen_fd, fastcgi_handler *handler,
                            fastcgi_batch *batch, void *context);

/* Answer EXCHANGE with the LEN bytes at TEXT (borrowed): CGI headers, an empty line, a body.
 * EXCHANGE and the strings of its request are gone when this returns. */
void fastcgi_reply(void *exchange, const char *text, size_t len);

/* Take what is already waiting, LISTENER_BACKLOG at most, then accept no more.  IDLE is called with
 * CONTEXT once nothing is in flight, perhaps before this returns. */
void fastcgi_stop(struct fastcgi *fastcgi, void (*idle)(void *context), void *context);

/* Free FASTCGI; what is in flight is cut off.  NULL is fine. */
void fastcgi_free(struct fastcgi *fastcgi);

#endif
