/* view.h - what limits look at in a request, each in one spelling.  Pure. */
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

/* Bytes for decoded names and values: as many as a FastCGI head that is accepted, because decoding
 * makes nothing longer; and as many for values in lower case. */
#define VIEW_BYTES_MAX (2 * 65536)

/* A request as limits see it.  What has several spellings is brought into one when it is first
 * asked for, once for all limits; so the cost of a request does not grow with its size times the
 * number of limits. */
struct view {
    const struct request *request; /* borrowed */
    unsigned ipv6_prefix_bits;     /* 1 .. 128: what counts as one client */
    struct target target;          /* the parts of REQUEST's target */
    struct span host, client;      /* text NULL: not asked for yet */
    bool path_is_read;
    bool host_unreadable; /* there is a host, but it is ambiguous or broken */
    enum { ADDRESS_UNREAD, ADDRESS_READ, ADDRESS_NONE } address_state;
    struct address address;
    bool parameters_read, query_read, cookies_read;
    struct pairs parameters, query, cookies;
    struct memo memo;
    struct glob_work work; /* what globs may still cost this request */
    struct scratch scratch;
    struct path path;
    char host_bytes[HOST_SIZE], client_bytes[ADDRESS_SIZE];
    char scratch_bytes[VIEW_BYTES_MAX];
};

/* Make VIEW that of REQUEST (borrowed as long as VIEW is used). */
void view_begin(struct view *view, const struct request *request, unsigned ipv6_prefix_bits);

/* The FastCGI parameter NAME. */
struct found view_parameter(struct view *view, const char *name);

/* The query parameter NAME, decoded; a name that a backend takes for the same (query_one_name) is
 * the same. */
struct found view_query(struct view *view, const char *name);

/* The cookie NAME, decoded as cookie_value does.  All are ambiguous where the header Cookie is. */
struct found view_cookie(struct view *view, const char *name);

/* The readings of the path. */
const struct path *view_paths(struct view *view);

/* The usual reading of the path, without a trailing slash; empty where the path has no reading. */
struct span view_path(struct view *view);

/* The host, as host.h normalises it: that of an absolute target, else that of the header Host (RFC
 * 9112, 3.2.2).  Empty where there is none, or VIEW->host_unreadable. */
struct span view_host(struct view *view);

/* The client, as address.h writes it; REMOTE_ADDR itself where that is no address, such as the path
 * of a unix socket.  Empty where that is a network, which is no client. */
struct span view_client(struct view *view);

/* The client's whole address; NULL where REMOTE_ADDR is none. */
const struct address *view_address(struct view *view);

#endif
