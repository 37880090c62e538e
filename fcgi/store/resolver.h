/* resolver.h - host names to addresses, off the loop: a name server that does not answer stalls
 * nothing. */
#ifndef RESOLVER_H
#define RESOLVER_H

#include <ev.h>

#define RESOLVER_ADDRESSES_MAX 8
#define RESOLVER_ADDRESS_SIZE  64 /* bytes of an address as text, NUL and an IPv6 zone included */

struct resolver;

/* What a name resolves to: COUNT numeric addresses in the order of getaddrinfo(3), RFC 6724; or
 * none, and ERROR says why. */
struct resolved {
    unsigned count;
    char address[RESOLVER_ADDRESSES_MAX][RESOLVER_ADDRESS_SIZE];
    const char *error; /* static string; NULL if count > 0 */
};

/* Called from the loop with the outcome, borrowed for the call. */
typedef void resolver_done(void *context, const struct resolved *resolved);

/* A resolver on LOOP.  Returns it, the caller's to free with resolver_free; never NULL. */
struct resolver *resolver_new(struct ev_loop *loop, resolver_done *done, void *context);

/* Look up HOST, a name or a numeric address (under 256 bytes, copied).  DONE is called once: before
 * this returns for a numeric address, else from the loop.  One look-up at a time. */
void resolver_start(struct resolver *resolver, const char *host);

/* Forget the look-up that is under way, if there is one; DONE is not called for it. */
void resolver_stop(struct resolver *resolver);

/* Free RESOLVER; DONE is not called any more.  NULL is fine. */
void resolver_free(struct resolver *resolver);

#endif
