/* request.h - one HTTP request, as the web server describes it over FastCGI.  Plain data. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* A FastCGI parameter. */
struct parameter {
    const char *name, *value; /* NUL-terminated */
};

/* Every pointer is borrowed from the FastCGI environment, NUL-terminated, never NULL, and valid
 * until the request is answered. */
struct request {
    const char *method; /* REQUEST_METHOD */
    const char *uri;    /* REQUEST_URI: path and query as the client sent them, still encoded */
    const char *remote_addr; /* REMOTE_ADDR: the client's address; "" over a unix socket */
    char *const *parameters; /* all of them, "NAME=VALUE", NULL at the end */
    /* REPLACED_COUNT of these, which stand for others of their name. */
    const struct parameter *replaced;
    size_t replaced_count;
    bool authorizer; /* the web server asks before it lets the request go on to somebody else */
};

/* The value of the FastCGI parameter NAME in REQUEST (RFC 3875, 4.1), the first of several; or NULL. */
const char *request_parameter(const struct request *request, const char *name);

#endif
