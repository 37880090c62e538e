/* drain.h - close connections whose peers may still be sending.  Closing such a connection at once
 * would reset it, and the peer could lose an answer that it has not read yet (RFC 9112, 9.6,
 * describes the same for HTTP).  lighttpd would log "connection was dropped after accept()" for
 * each request with a large body. */
#ifndef DRAIN_H
#define DRAIN_H

#include <ev.h>
#include <stdbool.h>

#define DRAIN_S   2.0  /* a connection that the peer has not closed by then is closed */
#define DRAIN_MAX 1024 /* connections; if there are more, the oldest is closed */

struct drain;

/* Returns an empty drain on LOOP, which the caller frees with drain_free.  EMPTIED is called with
 * CONTEXT each time the last remaining connection is closed. */
struct drain *drain_new(struct ev_loop *loop, void (*emptied)(void *context), void *context);

/* Take over the descriptor FD: shut down sending, read and discard until the peer closes, at most
 * for DRAIN_S seconds, then close it. */
void drain_add(struct drain *drain, int fd);

bool drain_is_empty(const struct drain *drain);

/* Close all connections now. */
void drain_cut(struct drain *drain);

/* Close all connections and free DRAIN, which may be NULL. */
void drain_free(struct drain *drain);

#endif
