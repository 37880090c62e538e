/* network.h - address ranges, as CIDR writes them.  Pure. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>

#include "base/address.h"

/* The addresses that begin with the first BITS (0 .. 128) of ADDRESS; of IPv4, 96 more than are
 * written. */
struct network {
    struct address address; /* the other bits are 0 */
    unsigned bits;
};

/* Whether TEXT begins like an address, alone or before a '/', so that it is meant to be a
 * network. */
bool network_is_meant(const char *text);

/* Read TEXT, "10.0.0.0/8", "2001:db8::/32" (RFC 4632, 3.1; RFC 4291, 2.3) or an address alone, into
 * *OUT. Returns NULL, or what is wrong and what would be right (static string); *OUT is then
 * undefined. */
const char *network_parse(const char *text, struct network *out);

/* Whether ADDRESS is in NETWORK.  An IPv4 address is in no IPv6 one, "::/0" either: who writes that
 * means the IPv6 clients. */
bool network_contains(const struct network *network, const struct address *address);

#endif
