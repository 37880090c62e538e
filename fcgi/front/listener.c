/* listener.c - open a unix socket of mode 0660, or a TCP socket. */
/* SPDX-License-Identifier: MIT */
#include "front/listener.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/span.h"

#define PORT_MAX 65535

static const char unix_prefix[] = "unix:";

static bool is_unix(const char *address)
{
    return strncmp(address, unix_prefix, sizeof unix_prefix - 1) == 0;
}

/* Close FD, which may be -1, and write to ERROR that WHAT failed because of errno.  Returns -1. */
static int failed(int fd, const char *what, char *error, size_t size)
{
    snprintf(error, size, "%s: %s", what, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Remove a socket file that no process listens on, left by an earlier process.  Connecting to a
 * file of another type is refused as well, so check that it is a socket.  The connect does not
 * block, because a process that hangs with a full backlog would make it wait for ever. */
static void remove_stale(const struct sockaddr_un *name)
{
    struct stat file;

    if (lstat(name->sun_path, &file) != 0 || !S_ISSOCK(file.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)name, sizeof *name) != 0 && errno == ECONNREFUSED)
        unlink(name->sun_path);
    close(fd);
}

static int open_unix(const char *address, char *error, size_t size)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const char *path = address + sizeof unix_prefix - 1;

    if (path[0] != '/' || strlen(path) >= sizeof name.sun_path) {
        snprintf(error, size, "%s: write unix:/PATH, absolute and at most %zu bytes", address,
                 sizeof name.sun_path - 1);
        return -1;
    }
    strcpy(name.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(fd, address, error, size);
    remove_stale(&name);
    /* Set the mode by the umask, so that the socket is never accessible to others, not even
     * briefly. */
    mode_t mask = umask(0117);
    int bound = bind(fd, (const struct sockaddr *)&name, sizeof name);
    umask(mask);
    if (bound != 0 || listen(fd, LISTENER_BACKLOG) != 0)
        return failed(fd, address, error, size);
    return fd;
}

static int open_first(const struct addrinfo *list)
{
    int on = 1;

    for (; list; list = list->ai_next) {
        int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, list->ai_addr, list->ai_addrlen) == 0 && listen(fd, LISTENER_BACKLOG) == 0)
            return fd;
        int why = errno;
        close(fd);
        errno = why;
    }
    return -1;
}

/* getaddrinfo would accept 65537 as 1, and " 1" and "+1" as well. */
static bool is_port(const char *text)
{
    unsigned port;

    return span_is_number((struct span){text, strlen(text)}, PORT_MAX, &port);
}

static int open_tcp(const char *address, char *error, size_t size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list;
    const char *colon = strrchr(address, ':');
    char host[256];

    if (!colon || colon == address || !is_port(colon + 1) ||
        (size_t)(colon - address) >= sizeof host ||
        (strchr(address, ':') != colon && colon[-1] != ']')) {
        snprintf(error, size, "%s: write unix:/PATH, HOST:PORT or [IPV6]:PORT, a port is 0 to %d",
                 address, PORT_MAX);
        return -1;
    }
    bool bracketed = address[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * bracketed,
             address + bracketed);
    int unresolved = getaddrinfo(host, colon + 1, &hints, &list);
    if (unresolved != 0) {
        snprintf(error, size, "%s: %s", address, gai_strerror(unresolved));
        return -1;
    }
    int fd = open_first(list);
    freeaddrinfo(list);
    return fd >= 0 ? fd : failed(fd, address, error, size);
}

/* The value of OPTION of the socket FD; 0 if FD is not a socket. */
static int socket_option(int fd, int option)
{
    int value = 0;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : 0;
}

bool listener_is_listening(int fd)
{
    return socket_option(fd, SO_ACCEPTCONN);
}

bool listener_is_unix(int fd)
{
    return socket_option(fd, SO_DOMAIN) == AF_UNIX;
}

int listener_open(const char *address, char *error, size_t size)
{
    return is_unix(address) ? open_unix(address, error, size) : open_tcp(address, error, size);
}

void listener_close(int fd, const char *address)
{
    /* Remove the file first: after the close, another process may have created its own there. */
    if (address && is_unix(address))
        unlink(address + sizeof unix_prefix - 1);
    close(fd);
}
