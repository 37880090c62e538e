/* fcgi_client.h - one connection to a FastCGI program over a unix socket, one request in flight. */
#ifndef FCGI_CLIENT_H
#define FCGI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

/* An answer: the CGI headers and the body, ended by a NUL. */
struct fcgi_answer {
    char text[32768];
    size_t len;
    bool whole;
    unsigned char input[16384];
    size_t input_len;
};

/* Connect to the socket at PATH.  Returns a non-blocking descriptor, or -1. */
int fcgi_client_connect(const char *path);

/* Send a GET of PATH with QUERY on FD, a kept connection.  The parameter NAME is VALUE in addition;
 * a NULL NAME: none.  Returns false if the connection is closed. */
bool fcgi_client_send(int fd, const char *path, const char *query, const char *name,
                      const char *value);

/* Read what has arrived at FD.  Returns false if the connection is closed or breaks the protocol.
 * ANSWER, zeroed before each request, is whole at the end of a request. */
bool fcgi_client_read(int fd, struct fcgi_answer *answer);

#endif
