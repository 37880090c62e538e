/* key_source.h - the sources of key values in a request: ip, query:NAME, header:NAME ...  Pure. */
#ifndef KEY_SOURCE_H
#define KEY_SOURCE_H

#include <stdbool.h>

#include "base/span.h"
#include "request/view.h"

/* Bytes of the name of a parameter, header or cookie, without the NUL. */
#define KEY_SOURCE_NAME_MAX 64

enum key_source_kind {
    KEY_SOURCE_IP,     /* the client's address */
    KEY_SOURCE_QUERY,  /* query:NAME, a parameter of the query, percent-decoded */
    KEY_SOURCE_HEADER, /* header:NAME, a request header */
    KEY_SOURCE_COOKIE, /* cookie:NAME */
    KEY_SOURCE_PATH,   /* the usual reading of the path (path.h) */
    KEY_SOURCE_METHOD, /* the request method */
    KEY_SOURCE_HOST,   /* the Host header, as host.h normalises it */
    KEY_SOURCE_ENV,    /* env:NAME, any FastCGI parameter, such as REMOTE_USER */
    KEY_SOURCE_GLOBAL, /* no value: the same for every request */
};

struct key_source {
    enum key_source_kind kind;
    /* as written in an identity, in lower case for a header; or "" */
    char name[KEY_SOURCE_NAME_MAX + 1];
    /* the FastCGI parameter of a header or env; or "" */
    char parameter[KEY_SOURCE_NAME_MAX + 6];
    bool lower;  /* lower(...): A to Z count as a to z */
    bool secret; /* its value is never written down; a digest is, in its place */
};

/* Read TEXT, "ip", "query:user" or "lower(query:user)", into *OUT.  Returns NULL, or what is wrong
 * and how to correct it, valid until the thread's next call; *OUT is then undefined.  A header and
 * a cookie are secret, because they hold API keys and sessions. */
const char *key_source_parse(struct span text, struct key_source *out);

/* The word of KIND, without a name: "query".  Static string. */
const char *key_source_word(enum key_source_kind kind);

/* Set whether SOURCE is secret.  If SHOW, it is not.  Otherwise a query parameter and an env are,
 * too, because API keys also travel in them.  No other source can be secret. */
void key_source_show(struct key_source *source, bool show);

/* Whether a request can lack a value for SOURCE.  True for a header, for example, but not for the
 * client's address. */
bool key_source_can_be_absent(const struct key_source *source);

/* The value of SOURCE in VIEW, decoded.  An empty value counts as absent. */
struct found key_source_value(const struct key_source *source, struct view *view);

#endif
