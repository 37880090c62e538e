#include "address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "span.h"

#define IPV6_BITS 128

/* ":80", or nothing at all. */
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

/* The address in TEXT without brackets and port, its zone still there; text NULL: there is none. */
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
        /* A single colon: every IPv6 address has two or more. */
        host.len = (size_t)(colon - text);
        after = colon;
    }
    return is_port_or_nothing(after) ? host : (struct span){NULL, 0};
}

/* HOST without "%eth0".  Only an IPv6 address has a zone (RFC 4007, 11), and not an empty one. */
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

static void keep_prefix(struct in6_addr *address, unsigned prefix_bits)
{
    for (unsigned i = 0; i < sizeof address->s6_addr; i++) {
        unsigned before = i * 8;
        unsigned keep = prefix_bits <= before ? 0 : prefix_bits - before;

        if (keep < 8)
            address->s6_addr[i] &= (unsigned char)(0xff00U >> keep);
    }
}

static void format_ipv6(struct in6_addr address, unsigned prefix_bits, char out[ADDRESS_MAX])
{
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
        inet_ntop(AF_INET, &address.s6_addr[12], out, ADDRESS_MAX);
        return;
    }
    keep_prefix(&address, prefix_bits);
    inet_ntop(AF_INET6, &address, out, ADDRESS_MAX);
    if (prefix_bits < IPV6_BITS) {
        size_t len = strlen(out);

        snprintf(out + len, ADDRESS_MAX - len, "/%u", prefix_bits);
    }
}

bool address_client(const char *text, unsigned prefix_bits, char out[ADDRESS_MAX])
{
    struct span host = without_port(text);
    struct in_addr ipv4;
    struct in6_addr ipv6;
    char name[INET6_ADDRSTRLEN];

    assert(prefix_bits >= 1 && prefix_bits <= IPV6_BITS);
    out[0] = '\0';
    if (host.text)
        host = without_zone(host);
    if (!host.text || host.len >= sizeof name)
        return false;
    memcpy(name, host.text, host.len);
    name[host.len] = '\0';

    /* Written anew from the binary form: "2001:DB8:0::1" and "2001:db8::1" are one client. */
    if (inet_pton(AF_INET, name, &ipv4) == 1) {
        inet_ntop(AF_INET, &ipv4, out, ADDRESS_MAX);
        return true;
    }
    if (inet_pton(AF_INET6, name, &ipv6) == 1) {
        format_ipv6(ipv6, prefix_bits, out);
        return true;
    }
    return false;
}
