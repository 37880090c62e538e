/* network.c - compare the prefix of a network with an address, bit by bit. */
/* SPDX-License-Identifier: MIT */
#include "base/network.h"

#include <stdint.h>
#include <string.h>

#include "base/units.h"

#define IPV4_BITS 32

/* Read the address in TEXT, up to a '/' or the end.  Brackets, ports and zones are not accepted. */
static bool parse_address(const char *text, struct address *out)
{
    char address[ADDRESS_SIZE];
    size_t len = strspn(text, "0123456789abcdefABCDEF.:");
    const char *colon = memchr(text, ':', len);

    if ((text[len] != '\0' && text[len] != '/') || len >= sizeof address)
        return false;
    if (colon && !memchr(colon + 1, ':', len - (size_t)(colon + 1 - text)))
        return false; /* "192.0.2.7:80" */
    memcpy(address, text, len);
    address[len] = '\0';
    return address_parse(address, out);
}

bool network_is_meant(const char *text)
{
    struct address address;

    return parse_address(text, &address);
}

const char *network_parse(const char *text, struct network *out)
{
    const char *slash = strchr(text, '/');
    int64_t bits;

    if (!parse_address(text, &out->address))
        return "neither an address nor a CIDR; write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32";
    int64_t most = address_is_ipv4(&out->address) ? IPV4_BITS : ADDRESS_BITS;
    if (!slash)
        bits = most;
    else if (units_count(slash + 1, 0, most, &bits))
        return most == IPV4_BITS ? "the prefix of an IPv4 address is 0 to 32; write 10.0.0.0/8"
                                 : "the prefix of an IPv6 address is 0 to 128; write 2001:db8::/32";
    out->bits = (unsigned)(ADDRESS_BITS - most + bits);
    struct address prefix = out->address;
    address_keep_prefix(&prefix, out->bits);
    if (memcmp(&prefix, &out->address, sizeof prefix) != 0)
        return "bits are set behind the prefix; write 10.0.0.0/8 for the network of 10.0.0.1/8";
    return NULL;
}

bool network_contains(const struct network *network, const struct address *address)
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    const unsigned char *one = network->address.bytes, *other = address->bytes;

    return memcmp(one, other, whole) == 0 &&
           (rest == 0 || ((one[whole] ^ other[whole]) & (0xff00U >> rest) & 0xff) == 0) &&
           address_is_ipv4(address) == address_is_ipv4(&network->address);
}
