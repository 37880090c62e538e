/* address.c - inet_pton(3) with ports, zones and NAT64; an IPv6 address is cut to its prefix. */
/* SPDX-License-Identifier: MIT */
#include "base/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/span.h"

/* Whether TEXT is a port, such as ":80", or empty. */
static bool is_port_or_nothing(const char *text)
{
    size_t digits;

    if (*text == '\0')
        return true;
    if (*text != ':')
        return false;
    digits = strspn(text + 1, "0123456789");
    return digits >= 1 && digits <= 5 && text[1 + digits] == '\0';
}

/* The address in TEXT without brackets and port, but with its zone; text NULL if TEXT is
 * malformed. */
static struct span without_port(const char *text)
{
    const char *colon = strchr(text, ':');
    struct span host = {text, strlen(text)};
    const char *after = text + host.len;

    if (*text == '[') {
        host.text = text + 1;
        host.len = strcspn(host.text, "]");
        if (host.text[host.len] == '\0' || !memchr(host.text, ':', host.len))
            return (struct span){NULL, 0};
        after = host.text + host.len + 1;
    } else if (colon && !strchr(colon + 1, ':')) {
        /* With one colon it is IPv4 and a port: every IPv6 address has two or more. */
        host.len = (size_t)(colon - text);
        after = colon;
    }
    return is_port_or_nothing(after) ? host : (struct span){NULL, 0};
}

/* HOST without its zone ("%eth0"); text NULL if the zone is empty or HOST is not IPv6, because only
 * IPv6 addresses have zones (RFC 4007, 11). */
static struct span without_zone(struct span host)
{
    const char *percent = memchr(host.text, '%', host.len);
    size_t len;

    if (!percent)
        return host;
    len = (size_t)(percent - host.text);
    if (len + 1 == host.len || !memchr(host.text, ':', len))
        return (struct span){NULL, 0};
    host.len = len;
    return host;
}

bool address_is_ipv4(const struct address *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

void address_keep_prefix(struct address *address, unsigned bits)
{
    for (unsigned i = 0; i < sizeof address->bytes; i++) {
        unsigned before = i * 8;
        unsigned keep = bits <= before ? 0 : bits - before;

        if (keep < 8)
            address->bytes[i] &= (unsigned char)(0xff00U >> keep);
    }
}

void address_format(const struct address *address, unsigned prefix_bits, char out[ADDRESS_SIZE])
{
    struct address prefix = *address;

    assert(prefix_bits >= 1 && prefix_bits <= ADDRESS_BITS);
    if (address_is_ipv4(address)) {
        inet_ntop(AF_INET, &address->bytes[12], out, ADDRESS_SIZE);
        return;
    }
    address_keep_prefix(&prefix, prefix_bits);
    inet_ntop(AF_INET6, prefix.bytes, out, ADDRESS_SIZE);
    if (prefix_bits < ADDRESS_BITS) {
        size_t len = strlen(out);

        snprintf(out + len, ADDRESS_SIZE - len, "/%u", prefix_bits);
    }
}

/* Turn a NAT64 address into the client's IPv4 address: a translator writes an IPv4 client as the
 * prefix 64:ff9b::/96 followed by its address (RFC 6052, 2.1). */
static void unwrap_translated(struct address *address)
{
    static const unsigned char translated[12] = {0x00, 0x64, 0xff, 0x9b};
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(address->bytes, translated, sizeof translated) == 0)
        memcpy(address->bytes, mapped, sizeof mapped);
}

bool address_parse(const char *text, struct address *out)
{
    struct span host = without_port(text);
    struct in_addr ipv4;
    char name[INET6_ADDRSTRLEN];

    if (host.text)
        host = without_zone(host);
    if (!host.text || host.len >= sizeof name)
        return false;
    memcpy(name, host.text, host.len);
    name[host.len] = '\0';

    if (inet_pton(AF_INET, name, &ipv4) == 1) {
        *out = (struct address){.bytes = {[10] = 0xff, [11] = 0xff}};
        memcpy(&out->bytes[12], &ipv4, sizeof ipv4);
        return true;
    }
    struct address ipv6;
    if (inet_pton(AF_INET6, name, ipv6.bytes) != 1)
        return false;
    unwrap_translated(&ipv6);
    *out = ipv6;
    return true;
}
