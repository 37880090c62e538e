/* listener.h - the socket on which the web server reaches this program. */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdbool.h>
#include <stddef.h>

/* Connections that may wait to be accepted: a full backlog makes lighttpd answer 500. */
#define LISTENER_BACKLOG 4096

/* Whether FD is a socket that listens, as is one from a web server, spawn-fcgi or systemd. */
bool listener_is_listening(int fd);

/* Whether FD is a unix socket. */
bool listener_is_unix(int fd);

/* Open a listening socket at ADDRESS: "unix:/path" (mode 0660; a socket left by a process that is
 * gone is replaced; one that answers, or another kind of file, is not), "host:port" or "[::1]:port"
 * (the host is looked up here; port 0 is any that is free).
 * FastCGI has no authentication: a socket for the web server alone.
 * Returns its descriptor, the caller's; or -1, and what is wrong is in ERROR (SIZE bytes). */
int listener_open(const char *address, char *error, size_t size);

/* Close FD and, if ADDRESS (may be NULL) is that of a unix socket, remove its file. */
void listener_close(int fd, const char *address);

#endif
