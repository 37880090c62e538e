/* listener.h - the socket on which the web server connects to this program. */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdbool.h>
#include <stddef.h>

/* Connections that may wait to be accepted.  If the backlog is full, lighttpd answers 500. */
#define LISTENER_BACKLOG 4096

/* Whether FD is a listening socket, as passed by a web server, spawn-fcgi or systemd. */
bool listener_is_listening(int fd);

/* Whether FD is a unix socket. */
bool listener_is_unix(int fd);

/* Open a listening socket at ADDRESS:
 *   "unix:/path"                 mode 0660.  A socket file without a listener, left by an earlier
 *                                process, is replaced; one that accepts connections, or a file of
 *                                another type, is not
 *   "host:port", "[::1]:port"    the host is resolved here; port 0 is any free port
 * FastCGI has no authentication, so only the web server should be able to connect.
 * Returns the descriptor, owned by the caller; or -1, with the reason in ERROR (SIZE bytes). */
int listener_open(const char *address, char *error, size_t size);

/* Close FD.  If ADDRESS (may be NULL) is that of a unix socket, also remove its file. */
void listener_close(int fd, const char *address);

#endif
