/* forward_auth.h - the request that a proxy asks about, as Caddy's forward_auth, Traefik's
 * ForwardAuth, Envoy's ext_authz and ingress-nginx do it.  Pure. */
#ifndef FORWARD_AUTH_H
#define FORWARD_AUTH_H

#include <stddef.h>

#include "base/address.h"
#include "base/network.h"
#include "request/pairs.h"
#include "request/request.h"

#define FORWARD_PATH           "/check"
#define FORWARD_PARAMETERS_MAX 8
#define FORWARD_AUTH_HOPS_MAX  32 /* trusted addresses in X-Forwarded-For that are passed over */

/* Where a proxy says which request it asks about. */
enum forward_auth_convention {
    FORWARD_ANY,         /* not said: any one of the following, a mixture is refused */
    FORWARD_X_FORWARDED, /* X-Forwarded-Method, -Uri, -Host, -Proto: Caddy, Traefik */
    FORWARD_X_ORIGINAL,  /* X-Original-Method, -URI or -URL, -Host: ingress-nginx */
    FORWARD_BY_PATH, /* what follows FORWARD_PATH, and the question's own method and Host: Envoy */
};

/* Whom to believe, and how they ask. */
struct forward_auth_rules {
    const struct network *trusted; /* borrowed */
    size_t trusted_count;
    enum forward_auth_convention convention;
};

/* A request that was asked about. */
struct forward_auth {
    struct request request;
    struct parameter replaced[FORWARD_PARAMETERS_MAX];
    char client[ADDRESS_SIZE];
    char host[256], scheme[16]; /* those of an absolute URL */
    struct pairs pairs;         /* the parameters of the question */
    const char *problem;
};

/* If REQUEST is for FORWARD_PATH or below it, and comes from a peer that RULES trust, make *OUT the
 * request that it asks about, and return that; else return REQUEST.  What is borrowed from REQUEST
 * stays so. Return NULL where the question does not say clearly what it asks about; OUT->problem, a
 * static string, says why: a header that is read is there twice (a proxy sends each once; the other
 * is its client's, as "X!Forwarded-For", which lighttpd passes on under the same name), headers of
 * two conventions, or more than FORWARD_AUTH_HOPS_MAX trusted addresses.
 *
 *   method   of the convention, or REQUEST's own
 *   target   of the convention; "/" where that is nothing.  Of an absolute URL the host counts, too
 *   host     of the convention, or REQUEST's own.  A list of different hosts is ambiguous (pairs.h)
 *   scheme   X-Forwarded-Proto, or that of an absolute URL, as REQUEST_SCHEME
 *   client   the right-most address of X-Forwarded-For that is not trusted, because what is left
 *            of it is that client's word.  If all are trusted the left-most; without the header the
 *            peer.  What is no address ends the search, because no trusted proxy says what came
 *            before it. */
const struct request *forward_auth_read(const struct request *request,
                                        const struct forward_auth_rules *rules,
                                        struct forward_auth *out);

#endif
