/* key.h - from a request to the Redis key of its bucket.  Pure. */
#ifndef KEY_H
#define KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "request.h"

#define KEY_NAME_MAX     64 /* bytes of the name of a parameter, header or cookie, without the NUL */
#define KEY_PARTS_MAX    8  /* sources in one key */
#define KEY_IDENTITY_MAX 128 /* bytes of an identity that is stored as it is; longer: a digest */
#define KEY_MAX          256 /* bytes of a Redis key, NUL included: always enough, test_key.c */

enum key_source {
    KEY_IP,     /* the client's address */
    KEY_QUERY,  /* query:NAME, a parameter of the query, percent-decoded */
    KEY_HEADER, /* header:NAME, a request header */
    KEY_COOKIE, /* cookie:NAME */
    KEY_PATH,   /* the path, as path.h normalises it */
    KEY_METHOD, /* the request method */
    KEY_HOST,   /* the Host header in lower case, without port and final dot */
    KEY_ENV,    /* env:NAME, any FastCGI parameter, such as REMOTE_USER */
    KEY_GLOBAL, /* nothing: one bucket for all */
};

/* One source of an identity. */
struct key_part {
    enum key_source source;
    bool alternative;            /* "|" stands before it, or nothing: a new alternative begins */
    char name[KEY_NAME_MAX + 1]; /* as it stands in the identity, a header's in lower case; or "" */
    char parameter[KEY_NAME_MAX + 6]; /* the FastCGI parameter of a header, cookie, host or env */
};

/* What a limit counts by: the first of the alternatives that a request has. */
struct key_spec {
    size_t count; /* 1 .. KEY_PARTS_MAX */
    struct key_part part[KEY_PARTS_MAX];
    unsigned ipv6_prefix_bits; /* 1 .. 128, of KEY_IP: what counts as one client */
};

/* Read TEXT into *OUT: sources, joined by "+" ("and": all of them together) and "|" ("else": the first
 * alternative of which the request has every source), "+" binding closer.  ipv6_prefix_bits becomes 64.
 * Returns NULL, or what is wrong and what would be right (static string); *OUT is then undefined. */
const char *key_parse(const char *text, struct key_spec *out);

/* Build the key of the bucket that limit LIMIT_NAME ([A-Za-z0-9_.-], at most 64 bytes) keeps for
 * REQUEST into OUT:
 *
 *     rl:{query:user=alice}:per-user      rl:{ip=192.0.2.7+path=/api/x}:per-route
 *
 * The identity in braces names the sources it came from, so that the user "192.0.2.7" is not the
 * client at 192.0.2.7, and limits with the same identity fall in one slot of a Redis Cluster (cluster
 * specification, "Hash tags").  A source that is empty counts as absent.  Where a request has none of
 * the alternatives, the last one stands, with an empty value for what is absent: leaving a source out
 * is no way around a limit, for all such requests share a bucket.
 * Values are encoded so that only [A-Za-z0-9._~:/@-] stand for themselves and all else is %XX.  An
 * identity longer than KEY_IDENTITY_MAX is "#" and the SHA-256 (FIPS 180-4) of its encoded form in
 * hexadecimal; '#' stands in no other identity, so no two identities share a key.
 * Returns the length of the key, without the NUL. */
size_t key_build(const struct key_spec *spec, const char *limit_name, const struct request *request,
                 char out[KEY_MAX]);

#endif
