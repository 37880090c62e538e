/* drain.h - close connections whose peers may still be sending.  To close one at once would reset
 * it (RFC 9112, 9.6, says the same of HTTP), and the peer could lose the answer that it has not
 * read yet: lighttpd logs "connection was dropped after accept()" for each request with a large
 * body. */
#ifndef DRAIN_H
#define DRAIN_H

#include <ev.h>
#include <stdbool.h>

#define DRAIN_S   2.0  /* a peer that has not closed by then is cut off */
#define DRAIN_MAX 1024 /* connections; one more cuts off the oldest */

struct drain;

/* Returns an empty one on LOOP, the caller's to free with drain_free.  EMPTIED is called with
 * CONTEXT when the last connection of several is closed. */
struct drain *drain_new(struct ev_loop *loop, void (*emptied)(void *context), void *context);

/* Send no more to FD, which is the drain's from now on; read and discard what comes until the peer
 * closes, for DRAIN_S at most; then close it. */
void drain_add(struct drain *drain, int fd);

bool drain_is_empty(const struct drain *drain);

/* Close all connections now. */
void drain_cut(struct drain *drain);

/* The same, and free DRAIN.  NULL is fine. */
void drain_free(struct drain *drain);

#endif
