/* redis_address.c - the form of an address is known from its beginning. */
/* SPDX-License-Identifier: MIT */
#include "store/redis_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/percent.h"
#include "base/span.h"
#include "store/tls.h"

#define PORT_DEFAULT 6379
#define PORT_MAX     65535
#define DB_MAX       65535 /* Redis' own default is 16 databases; `databases` sets any number */

#define FORMS   "host:port, unix:/path or redis://:password@host:port/db"
#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool starts_with(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* The bytes from FROM up to TO. */
static struct span between(const char *from, const char *to)
{
    return (struct span){from, (size_t)(to - from)};
}

/* Whether SPAN has at least one byte and all of them are in ACCEPTED. */
static bool consists_of(struct span span, const char *accepted)
{
    for (size_t i = 0; i < span.len; i++)
        if (span.text[i] == '\0' || !strchr(accepted, span.text[i]))
            return false;
    return span.len > 0;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == '\x7f')
            return true;
    return false;
}

static bool copy(struct span span, char *out, size_t size)
{
    if (span.len >= size)
        return false;
    memcpy(out, span.text, span.len);
    out[span.len] = '\0';
    return true;
}

/* Percent-decode SPAN (RFC 3986, 2.1; '+' is itself) into OUT.  TOO_LONG is the error to return
 * if it does not fit. */
static const char *decode(struct span span, char *out, size_t size, const char *too_long)
{
    size_t len = 0;

    for (size_t i = 0; i < span.len; i++) {
        char byte = span.text[i];

        if (byte == '%') {
            int decoded = percent_byte(span.text + i, span.len - i);

            if (decoded < 0)
                return "a '%' in the user or password needs two hexadecimal digits after it: "
                       "write %25 for '%' itself";
            byte = (char)decoded;
            i += 2;
        }
        if (byte == '\0')
            return "the user and the password cannot hold a NUL byte: remove %00";
        if (len + 1 >= size)
            return too_long;
        out[len++] = byte;
    }
    out[len] = '\0';
    return NULL;
}

static const char *read_host(struct span host, struct redis_address *out)
{
    struct in_addr ipv4;

    if (host.len == 0)
        return "no host: write " FORMS;
    if (!consists_of(host, LETTERS DIGITS ".-_"))
        return "a host has only letters, digits, '.', '-' and '_': write " FORMS;
    if (!copy(host, out->host, sizeof out->host))
        return "the host is too long: write 255 bytes or less";
    /* A resolver would read "6379" as 0.0.24.235, and "010.0.0.1" as 8.0.0.1. */
    if (consists_of(host, DIGITS ".") && inet_pton(AF_INET, out->host, &ipv4) != 1)
        return "the host is no IPv4 address: write four numbers from 0 to 255, such as 127.0.0.1";
    return NULL;
}

static const char *read_bracketed(struct span host, struct redis_address *out)
{
    struct in6_addr ipv6;

    if (!copy(host, out->host, sizeof out->host) || inet_pton(AF_INET6, out->host, &ipv6) != 1)
        return "the text in brackets is not an IPv6 address: write [::1] or [::1]:6379";
    return NULL;
}

/* HOST is "host", "host:port", "[ipv6]" or "[ipv6]:port". */
static const char *read_host_and_port(struct span host, struct redis_address *out)
{
    const char *end = host.text + host.len;
    const char *colon = memchr(host.text, ':', host.len);
    const char *error;

    if (host.len > 0 && host.text[0] == '[') {
        const char *bracket = memchr(host.text, ']', host.len);

        if (!bracket)
            return "a ']' is missing: write [::1] or [::1]:6379";
        colon = bracket + 1 < end ? bracket + 1 : NULL;
        if (colon && *colon != ':')
            return "only a port can follow the ']': write [::1] or [::1]:6379";
        error = read_bracketed(between(host.text + 1, bracket), out);
    } else if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
        return "more than one ':': write an IPv6 address in brackets, [::1] or [::1]:6379";
    } else {
        error = read_host(between(host.text, colon ? colon : end), out);
    }
    if (error)
        return error;
    out->port = PORT_DEFAULT;
    if (colon && (!span_is_number(between(colon + 1, end), PORT_MAX, &out->port) || out->port == 0))
        return "the port is no number from 1 to 65535: write digits only, such as 6379";
    return NULL;
}

/* LOGIN is what comes before the '@': "user:password" or ":password". */
static const char *read_login(struct span login, struct redis_address *out)
{
    const char *end = login.text + login.len;
    const char *colon = memchr(login.text, ':', login.len);
    const char *error;

    if (login.len == 0)
        return "nothing before the '@': write redis://host or redis://:password@host";
    if (!colon)
        return decode(login, out->user, sizeof out->user,
                      "the user is too long: write 255 bytes or less");
    /* An empty password does not mean "none", because an unset variable in a template gives one. */
    if (colon + 1 == end)
        return "the password is empty: write redis://user:password@host, or redis://host for none";
    error = decode(between(login.text, colon), out->user, sizeof out->user,
                   "the user is too long: write 255 bytes or less");
    if (error)
        return error;
    return decode(between(colon + 1, end), out->password, sizeof out->password,
                  "the password is too long: write 511 bytes or less");
}

/* PATH is what follows host and port: "", "/" or "/3". */
static const char *read_db(const char *path, struct redis_address *out)
{
    if (strpbrk(path, "?#"))
        return "options after '?' or '#' are not supported: write redis://:password@host:port/db";
    if (*path == '\0' || strcmp(path, "/") == 0)
        return NULL;
    if (!span_is_number(between(path + 1, path + strlen(path)), DB_MAX, &out->db)) {
        return "the database is no number from 0 to 65535: write digits only, such as "
               "redis://host/3";
    }
    return NULL;
}

/* REST is what follows "redis://" or "rediss://". */
static const char *read_redis_uri(const char *rest, struct redis_address *out)
{
    size_t authority_len = strcspn(rest, "/?#");
    struct span host = {rest, authority_len};
    const char *path = rest + authority_len;
    const char *at = memrchr(rest, '@', authority_len);
    const char *error = NULL;

    /* A database holds no '@', so the password continues here.  A guess could connect elsewhere. */
    if (strchr(path, '@')) {
        return "'/', '?' and '#' in the user or password must be percent-encoded: "
               "write %2F, %3F, %23";
    }
    if (at) {
        error = read_login(between(rest, at), out);
        host = between(at + 1, path);
    }
    if (!error)
        error = read_host_and_port(host, out);
    return error ? error : read_db(path, out);
}

/* PATH is what follows "unix:". */
static const char *read_unix(const char *path, struct redis_address *out)
{
    /* unix:///path is the same with an empty host, as other clients of Redis write it. */
    if (strncmp(path, "///", 3) == 0)
        path += 2;
    if (path[0] != '/' || path[1] == '/' || path[1] == '\0')
        return "the unix path is not absolute: write unix:/path, such as unix:/run/redis.sock";
    if (has_control(path))
        return "a control character in the unix path: remove it";
    /* Some clients accept ?password= here.  As part of a path it would be in every log. */
    if (strpbrk(path, "?#"))
        return "options after '?' or '#' are not supported: write unix:/path alone";
    if (!copy(between(path, path + strlen(path)), out->path, sizeof out->path))
        return "the unix path is too long: write 107 bytes or less";
    return NULL;
}

static const char *read_plain(const char *text, struct redis_address *out)
{
    if (strstr(text, "://"))
        return "unknown scheme: write " FORMS;
    if (strchr(text, '@'))
        return "a user or password needs the redis:// form: write redis://:password@host:port";
    if (strchr(text, '/')) {
        return "a '/' needs another form: write unix:/path for a socket, redis://host/3 for a "
               "database";
    }
    return read_host_and_port(between(text, text + strlen(text)), out);
}

static const char *read_any(const char *text, struct redis_address *out)
{
    if (*text == '\0')
        return "empty: write " FORMS;
    if (starts_with(text, "unix:"))
        return read_unix(text + strlen("unix:"), out);
    if (has_control(text) || strchr(text, ' '))
        return "a space or control character: percent-encode it in a password, remove it elsewhere";
    if (starts_with(text, "redis://"))
        return read_redis_uri(text + strlen("redis://"), out);
    if (starts_with(text, "rediss://")) {
        out->tls = 1;
        return tls_missing() ? tls_missing() : read_redis_uri(text + strlen("rediss://"), out);
    }
    if (starts_with(text, "redis-sentinel://") || starts_with(text, "redis+sentinel://"))
        return "Sentinels are named in the limits file, as redis.sentinel: write redis://host:port "
               "here, or use the file";
    return read_plain(text, out);
}

const char *redis_address_parse_for(const char *text, const char *password,
                                    struct redis_address *out)
{
    struct redis_address address = {0};
    const char *error = read_any(text, &address);

    if (error)
        return error;
    if (password[0] != '\0' && address.password[0] != '\0')
        return "a password in the address and a password file: leave one of them out";
    if (password[0] != '\0')
        strcpy(address.password, password);
    if (address.user[0] != '\0' && address.password[0] == '\0')
        return "a user without a password cannot log in: write redis://user:password@host, or name "
               "a password file";
    *out = address;
    return NULL;
}

const char *redis_address_parse(const char *text, struct redis_address *out)
{
    return redis_address_parse_for(text, "", out);
}

void redis_address_hide(char *text)
{
    char *at = strrchr(text, '@'), *scheme = strstr(text, "://");
    char *from = scheme && scheme < at ? scheme + 3 : text;

    if (!at)
        return;
    char *colon = memchr(from, ':', (size_t)(at - from));
    from = colon ? colon + 1 : from;
    memset(from, 'x', (size_t)(at - from));
}

const char *redis_address_show(const struct redis_address *address,
                               char out[REDIS_ADDRESS_SHOWN_SIZE])
{
    /* "unix:6379" would be a path. */
    bool needs_scheme = address->db > 0 || strcasecmp(address->host, "unix") == 0;
    const char *scheme = address->tls ? "rediss://" : needs_scheme ? "redis://" : "";
    int len;

    if (address->path[0] != '\0')
        len = snprintf(out, REDIS_ADDRESS_SHOWN_SIZE, "unix:%s", address->path);
    else if (strchr(address->host, ':'))
        len = snprintf(out, REDIS_ADDRESS_SHOWN_SIZE, "%s[%s]:%u", scheme, address->host,
                       address->port);
    else
        len = snprintf(out, REDIS_ADDRESS_SHOWN_SIZE, "%s%s:%u", scheme, address->host,
                       address->port);
    if (address->db != 0)
        snprintf(out + len, REDIS_ADDRESS_SHOWN_SIZE - (size_t)len, "/%u", address->db);
    return out;
}
