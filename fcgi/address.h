/* address.h - a client's network address in the one form in which it owns a bucket.  Pure. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>

#define ADDRESS_MAX 64 /* bytes of a client's address as text, NUL included */

/* Write into OUT the identity of the client at address TEXT (REMOTE_ADDR, RFC 3875, 4.1.8).
 *   IPv4               "192.0.2.7"
 *   IPv6               its prefix of PREFIX_BITS (1 .. 128) bits, "2001:db8:1:2::/64": one subscriber
 *                      owns a whole /64 and could otherwise have 2^64 buckets; 128 bits: no suffix
 *   ::ffff:192.0.2.7   the IPv4 address it maps (RFC 4291, 2.5.5.2)
 * A port ("192.0.2.7:80", "[2001:db8::1]:80"), brackets and a zone ("%eth0") are dropped.
 * Returns true, or false where TEXT is no address (empty, a path, a name); OUT is then "". */
bool address_client(const char *text, unsigned prefix_bits, char out[ADDRESS_MAX]);

#endif
