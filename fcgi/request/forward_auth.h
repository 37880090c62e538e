/* forward_auth.h - find the original request in a forward-auth question, as Caddy's forward_auth,
 * Traefik's ForwardAuth, Envoy's ext_authz and ingress-nginx send it.  Pure. */
#ifndef FORWARD_AUTH_H
#define FORWARD_AUTH_H

#include <stddef.h>

#include "base/address.h"
#include "base/network.h"
#include "request/pairs.h"
#include "request/request.h"

#define FORWARD_PATH           "/check"
#define FORWARD_PARAMETERS_MAX 8
#define FORWARD_AUTH_HOPS_MAX  32 /* trusted addresses that are skipped in X-Forwarded-For */

/* Where a proxy puts the original request. */
enum forward_auth_convention {
    FORWARD_ANY,         /* not configured: any one of the following; a mixture is refused */
    FORWARD_X_FORWARDED, /* X-Forwarded-Method, -Uri, -Host, -Proto: Caddy, Traefik */
    FORWARD_X_ORIGINAL,  /* X-Original-Method, -URI or -URL, -Host: ingress-nginx */
    /* the target follows FORWARD_PATH; method and Host are the question's own: Envoy */
    FORWARD_BY_PATH,
};

/* Which peers are trusted, and which convention they use. */
struct forward_auth_rules {
    const struct network *trusted; /* borrowed */
    size_t trusted_count;
    enum forward_auth_convention convention;
};

/* The original request of a question.  Private to forward_auth.c, except REQUEST and PROBLEM. */
struct forward_auth {
    struct request request;
    struct parameter replaced[FORWARD_PARAMETERS_MAX];
    char client[ADDRESS_SIZE];
    char host[256], scheme[16]; /* if the target is an absolute URL */
    struct pairs pairs;         /* the parameters of the question */
    const char *problem;
};

/* If REQUEST is for FORWARD_PATH or below it, and its peer is trusted by RULES, build the original
 * request in *OUT and return it; otherwise return REQUEST.  Strings that REQUEST borrows stay
 * borrowed.
 * Returns NULL if the question is unclear; OUT->problem, a static string, then says why.  Causes
 * are:
 *   - A header that is used appears twice.  A proxy sends each once; the other one comes from the
 *     client, for example as "X!Forwarded-For", which lighttpd passes on under the same name.
 *   - There are headers of two conventions.
 *   - X-Forwarded-For has more than FORWARD_AUTH_HOPS_MAX trusted addresses.
 *
 * The parts of the original request:
 *   method   as the convention says, or REQUEST's own
 *   target   as the convention says; "/" if that is empty.  If it is an absolute URL, its host is
 *            used as well
 *   host     as the convention says, or REQUEST's own.  A list of different hosts is ambiguous
 *            (pairs.h)
 *   scheme   X-Forwarded-Proto, or that of an absolute URL, as REQUEST_SCHEME
 *   client   the right-most address of X-Forwarded-For that is not trusted, because anything to the
 *            left of it was written by that client.  If all are trusted, the left-most; without the
 *            header, the peer.  An entry that is not an address ends the search, because no trusted
 *            proxy vouches for what comes before it. */
const struct request *forward_auth_read(const struct request *request,
                                        const struct forward_auth_rules *rules,
                                        struct forward_auth *out);

#endif
