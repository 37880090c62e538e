/* host.c - normalise the host of a request. */
/* SPDX-License-Identifier: MIT */
#include "request/host.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "request/query.h"

/* AUTHORITY without the user, up to its last '@' (RFC 3986, 3.2.1), and without the port. */
static struct span host_part(struct span authority)
{
    const char *end = authority.text + authority.len;
    const char *at = memrchr(authority.text, '@', authority.len);
    struct span host = at ? (struct span){at + 1, (size_t)(end - at - 1)} : authority;
    const char *bracket =
        host.len > 0 && host.text[0] == '[' ? memchr(host.text, ']', host.len) : NULL;
    size_t begin = bracket ? (size_t)(bracket - host.text) : 0;
    const char *colon = host.len > 0 ? memchr(host.text + begin, ':', host.len - begin) : NULL;

    if (colon)
        host.len = (size_t)(colon - host.text);
    return host;
}

/* Whether BYTE can be in a host: control characters, and separators of URIs and lists, cannot. */
static bool is_host_byte(int byte)
{
    return byte > ' ' && byte != 0x7f && !strchr(",;/\\?#@<>\"", byte);
}

/* Write the bracketed IPv6 address HOST, of *LEN bytes, in its canonical form.  Returns false if it
 * is not an IPv6 address. */
static bool normalise_ipv6(char host[HOST_SIZE], size_t *len)
{
    struct in6_addr address;

    if (*len < 2 || host[*len - 1] != ']')
        return false;
    host[*len - 1] = '\0';
    if (inet_pton(AF_INET6, host + 1, &address) != 1)
        return false;
    inet_ntop(AF_INET6, &address, host + 1, HOST_SIZE - 2);
    *len = strlen(host);
    host[(*len)++] = ']';
    return true;
}

size_t host_normalise(struct span authority, char out[HOST_SIZE])
{
    struct span rest = authority.len > 0 ? host_part(authority) : (struct span){NULL, 0};
    size_t len = 0;
    bool readable = true;

    for (int byte = query_next_path_byte(&rest); readable && byte >= 0;
         byte = query_next_path_byte(&rest)) {
        readable = is_host_byte(byte) && len + 1 < HOST_SIZE;
        if (readable)
            out[len++] = (char)tolower(byte);
    }
    while (len > 0 && out[len - 1] == '.')
        len--;
    if (readable && len > 0 && out[0] == '[')
        readable = normalise_ipv6(out, &len);
    if (!readable)
        len = 0;
    out[len] = '\0';
    return len;
}
