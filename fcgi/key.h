/* key.h - from a request to the Redis key of its bucket.  Pure. */
#ifndef KEY_H
#define KEY_H

#include <stddef.h>

#include "request.h"

#define KEY_NAME_MAX         64  /* bytes of a query parameter's name in a key, without the NUL */
#define KEY_ALTERNATIVES_MAX 8   /* sources that one key tries in turn */
#define KEY_IDENTITY_MAX     128 /* bytes of an identity that is stored as it is; longer: a digest */
#define KEY_MAX              256 /* bytes of a Redis key, NUL included: always enough, test_key.c */

enum key_source { KEY_IP, KEY_QUERY };

/* Where an identity comes from. */
struct key_part {
    enum key_source source;
    char name[KEY_NAME_MAX + 1]; /* of the query parameter; "" for KEY_IP */
};

/* What a limit counts by: the first of the alternatives that a request has. */
struct key_spec {
    size_t count; /* 1 .. KEY_ALTERNATIVES_MAX */
    struct key_part alternative[KEY_ALTERNATIVES_MAX];
};

/* Read TEXT, "SOURCE | SOURCE ...", each "ip" or "query:NAME", into *OUT.
 * Returns NULL, or what is wrong and what would be right (static string); *OUT is then undefined. */
const char *key_parse(const char *text, struct key_spec *out);

/* Build the key of the bucket that limit LIMIT_NAME ([A-Za-z0-9_.-], at most 64 bytes) keeps for
 * REQUEST into OUT:
 *
 *     rl:{query:user=alice}:per-user      rl:{ip=192.0.2.7}:per-user
 *
 * The identity in braces names the source it came from, so that the user "192.0.2.7" is not the
 * client at 192.0.2.7, and every limit of one client falls in one slot of a Redis Cluster (cluster
 * specification, "Hash tags").  A source that is absent or empty is passed over; where a request has
 * none of them, all such requests share the bucket of the last source with an empty value.
 * Values are percent-decoded, then encoded again so that only [A-Za-z0-9._~:/@-] stand for
 * themselves.  An identity longer than KEY_IDENTITY_MAX is "#" and the SHA-256 (FIPS 180-4) of its
 * encoded form in hexadecimal; '#' stands in no other identity, so no two identities share a key.
 * Returns the length of the key, without the NUL. */
size_t key_build(const struct key_spec *spec, const char *limit_name, const struct request *request,
                 char out[KEY_MAX]);

#endif
