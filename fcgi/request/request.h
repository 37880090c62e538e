/* request.h - one HTTP request, as the web server sends it over FastCGI.  Plain data. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* A FastCGI parameter. */
struct parameter {
    const char *name, *value; /* NUL-terminated */
};

/* Reasons why a request cannot be decided. */
enum request_defect {
    REQUEST_FINE,
    REQUEST_TOO_LARGE,  /* there are more parameters, or more bytes of them, than are read */
    REQUEST_UNREADABLE, /* a parameter has no name, a '=' in its name, or a NUL byte */
};

/* Every pointer is borrowed from the FastCGI environment, NUL-terminated, and valid until the
 * request is answered.  METHOD, URI and REMOTE_ADDR may be NULL until request_missing has returned
 * NULL. */
struct request {
    const char *method; /* REQUEST_METHOD */
    const char *uri;    /* REQUEST_URI: path and query as the client sent them, still encoded */
    const char *remote_addr; /* REMOTE_ADDR: the client's address; "" over a unix socket */
    char *const *parameters; /* all parameters, "NAME=VALUE", NULL at the end */
    /* REPLACED_COUNT parameters that replace those of the same name in PARAMETERS. */
    const struct parameter *replaced;
    size_t replaced_count;
    enum request_defect defect; /* if not REQUEST_FINE, PARAMETERS lacks the parameters concerned */
    /* the web server asks for permission (FCGI_AUTHORIZER), and another program answers */
    bool authorizer;
};

/* The name of a required FastCGI parameter that REQUEST lacks; NULL if it has all of them. */
const char *request_missing(const struct request *request);

/* The value of the FastCGI parameter NAME in REQUEST (RFC 3875, 4.1), or NULL.  If there are
 * several, the first is used. */
const char *request_parameter(const struct request *request, const char *name);

#endif
