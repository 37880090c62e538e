/* key.h - from a request to the Redis key of its bucket.  Pure. */
#ifndef KEY_H
#define KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "request/key_source.h"
#include "store/store.h"

#define KEY_PARTS_MAX    8   /* sources in one key */
#define KEY_IDENTITY_MAX 128 /* bytes of an identity that is stored as it is; longer: a digest */
#define KEY_SIZE         STORE_KEY_SIZE /* bytes of a Redis key: always enough, test_key.c */

/* One source of an identity. */
struct key_part {
    struct key_source source;
    bool alternative; /* it begins an alternative: "|" or nothing is before it */
};

/* What a limit counts by: the first of the alternatives that a request has. */
struct key_spec {
    size_t count; /* 1 .. KEY_PARTS_MAX */
    struct key_part part[KEY_PARTS_MAX];
};

/* What a request has for a key: the values of one alternative, in its order. */
struct key_values {
    size_t first; /* of the alternative: its first source's index in the key_spec */
    size_t count; /* 1 .. KEY_PARTS_MAX */
    const struct key_source *source[KEY_PARTS_MAX]; /* borrowed from the key_spec */
    struct span value[KEY_PARTS_MAX];               /* decoded; borrowed from the view */
    /* The first source that was read and is ambiguous; or NULL. */
    const struct key_source *ambiguous;
    struct memo *memo; /* for digests, borrowed; NULL: none */
};

/* Read TEXT into *OUT: sources, joined by "+" ("and": all of them together) and "|" ("else": the
 * first alternative of which the request has every source), "+" binding closer. Returns NULL, or
 * what is wrong and what would be right (static string); *OUT is then undefined. */
const char *key_parse(const char *text, struct key_spec *out);

/* Set whether the values of all sources of SPEC are shown (key_source_show). */
void key_show(struct key_spec *spec, bool show);

/* Whether SPEC has a secret source. */
bool key_has_secret(const struct key_spec *spec);

/* The index behind the last source of the alternative of SPEC that begins at index FIRST. */
size_t key_alternative_end(const struct key_spec *spec, size_t first);

/* Find what VIEW has for SPEC.  A source that is empty or ambiguous counts as absent.  If no
 * alternative is complete, the last one is used with empty values: requests that lack the key share
 * one bucket and cannot escape the limit. */
void key_find(const struct key_spec *spec, struct view *view, struct key_values *out);

#define KEY_SOURCE_TEXT_SIZE (sizeof "lower:header:=" + 3 * KEY_SOURCE_NAME_MAX)

/* Write what is before the value of SOURCE in an identity, such as "query:user=", into OUT. Returns
 * its length, without the NUL. */
size_t key_source_text(const struct key_source *source, char out[KEY_SOURCE_TEXT_SIZE]);

/* Append TEXT as a value is encoded in an identity: see key_build. PLAIN: further bytes that stay
 * themselves, or "". */
void key_append_encoded(struct text *identity, struct span text, const char *plain);

/* Build the key of the bucket that limit LIMIT_NAME ([A-Za-z0-9_.-], at most 64 bytes) keeps for
 * VALUES into OUT:
 *
 *     rl:{query:user=alice}:per-user      rl:{ip=192.0.2.7+path=/api/x}:per-route
 *
 * The identity in braces names the sources it came from, so that the user "192.0.2.7" is not the
 * client at 192.0.2.7, and limits with the same identity fall in one slot of a Redis Cluster
 * (cluster specification, "Hash tags"). Values are encoded so that only [A-Za-z0-9._~:/@-] are
 * themselves and all else is %XX.  A value that would make its source longer than KEY_IDENTITY_MAX
 * is "#" and the SHA-256 (FIPS 180-4) of the value in hexadecimal, and so is the value of a secret
 * source, however short it is, unless it is empty.  An identity that is still longer is "#" and the
 * SHA-256 of its text.  '#' is in no encoded value, so no two identities share a key.  lower(...)
 * of a source is "lower:" before its word.  VALUES need not come from a request: for those of a
 * client that an operator names, set count, source and value, and memo to NULL.  Returns the length
 * of the key, without the NUL. */
size_t key_build(const struct key_values *values, const char *limit_name, char out[KEY_SIZE]);

#endif
