/* healthcheck.c - the image's HEALTHCHECK: send a request to the rate limiter in this container.
 * The image contains neither a shell nor curl.
 *
 * Healthy (exit status 0) is any decision of ratelimit.fcgi:
 *   200, 429  the normal answers; which one does not matter
 *   503 with Retry-After: Redis is down and the limit says on_redis_failure: deny.  The container
 *             works as configured, and restarting it would not help.
 * Unhealthy (exit status 1): no connection, no answer, or one of lighttpd's own errors.  One of
 * these is a 503 without Retry-After, which means that no ratelimit.fcgi runs.  Docker ends a check
 * that takes too long.
 *
 * BIND, PORT  environment variables, as in lighttpd.conf. */
/* SPDX-License-Identifier: MIT */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The check has a bucket of its own, so that it does not use up a client's tokens. */
#define REQUEST "GET /?user=ratelimit.fcgi%20healthcheck HTTP/1.0\r\nHost: localhost\r\n\r\n"

static int fail(const char *what)
{
    puts(what); /* shown by docker inspect */
    return EXIT_FAILURE;
}

/* Connect to BIND:PORT.  Returns the descriptor, or -1.  A connection to 0.0.0.0 or :: goes to the
 * loopback address. */
static int connect_to_server(void)
{
    const char *bind = getenv("BIND"), *port = getenv("PORT");
    struct addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *address;
    char host[256] = "";

    if (!bind || sscanf(bind, "[%255[^]]", host) != 1) /* remove the brackets of [::] */
        snprintf(host, sizeof host, "%s", bind ? bind : "0.0.0.0");
    if (getaddrinfo(host, port ? port : "8080", &hints, &address) != 0)
        return -1;
    int fd = socket(address->ai_family, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) != 0)
        fd = -1;
    freeaddrinfo(address);
    return fd;
}

int main(void)
{
    char answer[4096] = "";
    size_t len = 0;
    ssize_t got;
    int fd = connect_to_server(), status = 0;

    if (fd < 0)
        return fail("lighttpd cannot be reached");
    if (send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL) != (ssize_t)strlen(REQUEST))
        return fail("lighttpd takes no request");
    while ((got = read(fd, answer + len, sizeof answer - 1 - len)) > 0)
        len += (size_t)got;
    answer[len] = '\0';

    if (sscanf(answer, "HTTP/1.%*1d %3d", &status) != 1)
        return fail("no answer");
    if (status == 200 || status == 429)
        return EXIT_SUCCESS;
    if (status == 503 && strstr(answer, "\r\nRetry-After:"))
        return EXIT_SUCCESS;
    answer[strcspn(answer, "\r\n")] = '\0';
    return fail(answer);
}
