/* address.h - a client's network address in the one form in which it owns a bucket.  Pure. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>

#define ADDRESS_SIZE 64 /* bytes of a client's address as text, NUL included */
#define ADDRESS_BITS 128

/* An address in network order; an IPv4 address as the IPv6 one that it maps to, ::ffff:192.0.2.7
 * (RFC 4291, 2.5.5.2). */
struct address {
    unsigned char bytes[ADDRESS_BITS / 8];
};

/* Read TEXT (REMOTE_ADDR, RFC 3875, 4.1.8) into *OUT.  A port ("192.0.2.7:80", "[2001:db8::1]:80"),
 * brackets and a zone ("%eth0") are dropped.  An address of NAT64, 64:ff9b::192.0.2.7, is the IPv4
 * address in it, or all clients behind translators would be one /64.  Other forms that hold an IPv4
 * address are left as they are: 6to4 (2002::/16) and Teredo give a site a prefix of its own,
 * 64:ff9b:1::/48 (RFC 8215) does not say where in it the address is, and ::a.b.c.d is no longer in
 * use (RFC 4291, 2.5.5.1). Returns true, or false where TEXT is no address (empty, a path, a name);
 * *OUT is then untouched. */
bool address_parse(const char *text, struct address *out);

/* Whether ADDRESS is an IPv4 one. */
bool address_is_ipv4(const struct address *address);

/* Clear all bits of ADDRESS behind the first BITS (0 .. 128). */
void address_keep_prefix(struct address *address, unsigned bits);

/* Write into OUT the identity of the client at ADDRESS:
 *   IPv4               "192.0.2.7"
 *   IPv6               its prefix of PREFIX_BITS (1 .. 128) bits: "2001:db8:1:2::/64"
 *                      owns a whole /64 and could otherwise have 2^64 buckets; 128 bits: no
 * suffix */
void address_format(const struct address *address, unsigned prefix_bits, char out[ADDRESS_SIZE]);

#endif
