/* network.h - address ranges in CIDR notation.  Pure. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>

#include "base/address.h"

/* The addresses that begin with the first BITS (0 .. 128) of ADDRESS.  For IPv4, BITS is 96 more
 * than in the notation, because ADDRESS is IPv4-mapped. */
struct network {
    struct address address; /* all later bits are 0 */
    unsigned bits;
};

/* Whether TEXT is an address, alone or followed by '/' and anything, so that it is probably meant
 * as a network. */
bool network_is_meant(const char *text);

/* Read TEXT, "10.0.0.0/8", "2001:db8::/32" (RFC 4632, 3.1; RFC 4291, 2.3) or a single address, into
 * *OUT.  Returns NULL, or what is wrong and how to correct it (static string); *OUT is then
 * undefined. */
const char *network_parse(const char *text, struct network *out);

/* Whether ADDRESS is in NETWORK.  An IPv4 address is never in an IPv6 network, not even in "::/0",
 * because that is meant to match IPv6 clients only. */
bool network_contains(const struct network *network, const struct address *address);

#endif
