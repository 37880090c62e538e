/* address.h - parse client addresses, and write each in the one form that names a bucket.  Pure. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>

#define ADDRESS_SIZE 64 /* bytes of a client's address as text, NUL included */
#define ADDRESS_BITS 128

/* An address in network byte order.  An IPv4 address is kept as the IPv6 address that it maps to,
 * ::ffff:192.0.2.7 (RFC 4291, 2.5.5.2). */
struct address {
    unsigned char bytes[ADDRESS_BITS / 8];
};

/* Read TEXT (REMOTE_ADDR, RFC 3875, 4.1.8) into *OUT.  A port ("192.0.2.7:80", "[2001:db8::1]:80"),
 * brackets and a zone ("%eth0") are dropped.
 * A NAT64 address, 64:ff9b::192.0.2.7, is read as the IPv4 address in it, because otherwise all
 * clients behind translators would share one /64.  Other forms that embed an IPv4 address are kept
 * as they are: 6to4 (2002::/16) and Teredo give each site a prefix of its own, 64:ff9b:1::/48 (RFC
 * 8215) does not define where the IPv4 address is, and ::a.b.c.d is no longer in use (RFC 4291,
 * 2.5.5.1).
 * Returns true, or false if TEXT is not an address (empty, a path, a name); *OUT is then
 * untouched. */
bool address_parse(const char *text, struct address *out);

/* Whether ADDRESS is an IPv4 address. */
bool address_is_ipv4(const struct address *address);

/* Clear all bits of ADDRESS after the first BITS (0 .. 128). */
void address_keep_prefix(struct address *address, unsigned bits);

/* Write the identity of the client at ADDRESS into OUT:
 *   IPv4               "192.0.2.7"
 *   IPv6               its prefix of PREFIX_BITS (1 .. 128) bits, "2001:db8:1:2::/64", because one
 *                      client usually has a whole /64 and could otherwise use 2^64 buckets;
 *                      without the suffix if PREFIX_BITS is 128 */
void address_format(const struct address *address, unsigned prefix_bits, char out[ADDRESS_SIZE]);

#endif
