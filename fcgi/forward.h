/* forward.h - the request that a proxy asks about: forward auth, as Caddy's forward_auth, Traefik's ForwardAuth and
 * Envoy's ext_authz do it.  Pure. */
#ifndef FORWARD_H
#define FORWARD_H

#include <stddef.h>

#include "address.h"
#include "network.h"
#include "request.h"

#define FORWARD_PATH           "/check"
#define FORWARD_PARAMETERS_MAX 6

/* A request that was asked about. */
struct forward {
    struct request request;
    struct parameter replaced[FORWARD_PARAMETERS_MAX];
    char client[ADDRESS_MAX];
};

/* If REQUEST is for FORWARD_PATH or below it, and comes from a peer in one of the COUNT TRUSTED networks, make *OUT the
 * request that it asks about, and return that; else return REQUEST.  What is borrowed from REQUEST stays so.
 * Where one of these headers stands twice, return NULL: a proxy sends each once, and the other is its client's, who
 * wrote X!Forwarded-For.  lighttpd makes one parameter of all such names, and which comes first is up to the client.
 *
 *   method   X-Forwarded-Method, X-Original-Method, or REQUEST's own
 *   target   X-Forwarded-Uri, X-Original-URI, X-Original-URL, or what follows FORWARD_PATH in REQUEST's own, as
 *            with Envoy's path_prefix, its query too; "/" where that is nothing
 *   host     X-Forwarded-Host, X-Original-Host, or REQUEST's own
 *   scheme   X-Forwarded-Proto, as REQUEST_SCHEME
 *   client   the right-most address of X-Forwarded-For that is not TRUSTED: who stands left of it is only what
 *            that one says.  If all are trusted the left-most; without the header the peer.
 *            What is no address ends the search, for then nobody trusted says who came before. */
const struct request *forward_read(const struct request *request, const struct network *trusted,
                                   size_t count, struct forward *out);

#endif
