/* linger.h - close a connection whose peer may still be sending.  Closing it at once would reset it
 * (RFC 9112, 9.6, tells the same of TCP), and the peer could lose the answer that it has not read yet:
 * lighttpd logs "connection was dropped after accept()" for each request with a large body. */
#ifndef LINGER_H
#define LINGER_H

#include <ev.h>

#define LINGER_S 2.0 /* a peer that has not closed by then is cut off */

/* Read from FD and throw away until the peer closes, LINGER_S at most; then close FD, which is the
 * loop's from now on.  FD -1: does nothing. */
void linger(struct ev_loop *loop, int fd);

#endif
