/* source.h - where in a request a value is: ip, query:NAME, header:NAME ...  Pure. */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>

#include "base/span.h"
#include "request/view.h"

#define SOURCE_NAME_MAX 64 /* bytes of the name of a parameter, header or cookie, without the NUL */

enum source_kind {
    SOURCE_IP,     /* the client's address */
    SOURCE_QUERY,  /* query:NAME, a parameter of the query, percent-decoded */
    SOURCE_HEADER, /* header:NAME, a request header */
    SOURCE_COOKIE, /* cookie:NAME */
    SOURCE_PATH,   /* the path, as path.h normalises it */
    SOURCE_METHOD, /* the request method */
    SOURCE_HOST,   /* the Host header, as host.h normalises it */
    SOURCE_ENV,    /* env:NAME, any FastCGI parameter, such as REMOTE_USER */
    SOURCE_GLOBAL, /* nothing: the same for every request */
};

struct source {
    enum source_kind kind;
    char name[SOURCE_NAME_MAX + 1]; /* as written in an identity, a header's in lower case; or "" */
    char parameter[SOURCE_NAME_MAX + 6]; /* the FastCGI parameter of a header or env; or "" */
    bool lower;                          /* lower(...): A to Z count as a to z */
};

/* Read TEXT, "ip", "query:user" or "lower(query:user)", into *OUT. Returns NULL, or what is wrong
 * and what would be right, valid until the thread's next call; *OUT is then undefined. */
const char *source_parse(struct span text, struct source *out);

/* The word before the name: "query".  Static string. */
const char *source_word(enum source_kind kind);

/* Whether a request can lack SOURCE: a header, say, but not the client's address. */
bool source_can_be_absent(const struct source *source);

/* What VIEW has at SOURCE, decoded; empty counts as absent. */
struct found source_value(const struct source *source, struct view *view);

#endif
