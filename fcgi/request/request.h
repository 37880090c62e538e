/* request.h - one HTTP request, as the web server describes it over FastCGI.  Plain data. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* A FastCGI parameter. */
struct parameter {
    const char *name, *value; /* NUL-terminated */
};

/* What keeps a request from being decided. */
enum request_defect {
    REQUEST_FINE,
    REQUEST_TOO_LARGE,  /* there are more parameters, or more bytes of them, than are read */
    REQUEST_UNREADABLE, /* a parameter has no name, a '=' in its name, or a NUL byte */
};

/* Every pointer is borrowed from the FastCGI environment, NUL-terminated, and valid until the
 * request is answered. None is NULL, once request_missing has found that none is. */
struct request {
    const char *method; /* REQUEST_METHOD */
    const char *uri;    /* REQUEST_URI: path and query as the client sent them, still encoded */
    const char *remote_addr; /* REMOTE_ADDR: the client's address; "" over a unix socket */
    char *const *parameters; /* all of them, "NAME=VALUE", NULL at the end */
    /* REPLACED_COUNT of these, which stand for others of their name. */
    const struct parameter *replaced;
    size_t replaced_count;
    enum request_defect defect; /* if there is one, PARAMETERS lack those that it is about */
    bool authorizer; /* the web server asks before it lets the request go on to somebody else */
};

/* The name of a FastCGI parameter that every request must have and REQUEST has not; NULL: it has
 * all of them. */
const char *request_missing(const struct request *request);

/* The value of the FastCGI parameter NAME in REQUEST (RFC 3875, 4.1), the first of several; or
 * NULL. */
const char *request_parameter(const struct request *request, const char *name);

#endif
