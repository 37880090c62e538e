/* view.h - the parts of a request that limits use, each in one normalised form.  Pure. */
#ifndef VIEW_H
#define VIEW_H

#include "base/address.h"
#include "base/glob.h"
#include "request/host.h"
#include "request/memo.h"
#include "request/pairs.h"
#include "request/path.h"
#include "request/request.h"
#include "base/scratch.h"
#include "base/span.h"
#include "request/target.h"

/* Bytes for decoded names and values, as many as the largest FastCGI head that is accepted, because
 * decoding never makes a value longer; and as many again for values in lower case. */
#define VIEW_BYTES_MAX (2 * 65536)

/* A request as limits see it.  Each part is normalised when it is first used, once for all limits,
 * so that the cost of a request does not grow with its size times the number of limits. */
struct view {
    const struct request *request; /* borrowed */
    unsigned ipv6_prefix_bits;     /* 1 .. 128: IPv6 clients with the same prefix are one client */
    struct target target;          /* the parts of REQUEST's target */
    struct span host, client;      /* text is NULL until first used */
    bool path_is_read;
    bool host_unreadable; /* there is a host, but it is ambiguous or broken */
    enum { ADDRESS_UNREAD, ADDRESS_READ, ADDRESS_NONE } address_state;
    struct address address;
    bool parameters_read, query_read, cookies_read;
    struct pairs parameters, query, cookies;
    struct memo memo;
    struct glob_work work; /* what is left for matching globs */
    struct scratch scratch;
    struct path path;
    char host_bytes[HOST_SIZE], client_bytes[ADDRESS_SIZE];
    char scratch_bytes[VIEW_BYTES_MAX];
};

/* Begin a view of REQUEST, which must stay valid as long as VIEW is used. */
void view_begin(struct view *view, const struct request *request, unsigned ipv6_prefix_bits);

/* Look up the FastCGI parameter NAME. */
struct found view_parameter(struct view *view, const char *name);

/* Look up the query parameter NAME, decoded.  Names that a backend may treat as the same are the
 * same (query_one_name). */
struct found view_query(struct view *view, const char *name);

/* Look up the cookie NAME, decoded by cookie_value.  If the Cookie header is ambiguous, so is every
 * cookie. */
struct found view_cookie(struct view *view, const char *name);

/* The readings of the path. */
const struct path *view_paths(struct view *view);

/* The usual reading of the path, without a trailing slash; empty if the path cannot be read. */
struct span view_path(struct view *view);

/* The host, normalised by host.h: that of an absolute target, otherwise that of the Host header
 * (RFC 9112, 3.2.2).  Empty if there is none or if VIEW->host_unreadable. */
struct span view_host(struct view *view);

/* The client, in the form of address_format.  If REMOTE_ADDR is not an address, such as the path of
 * a unix socket, it is used as it is.  Empty if REMOTE_ADDR is a network, because that is not a
 * client. */
struct span view_client(struct view *view);

/* The client's full address; NULL if REMOTE_ADDR is not an address. */
const struct address *view_address(struct view *view);

#endif
