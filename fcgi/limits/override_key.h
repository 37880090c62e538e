/* override_key.h - the name of an override that is stored in Redis.  Pure.
 *
 * The name is the Redis key of the bucket that the override is for, or a pattern of such keys:
 *
 *     rl:{query:user=alice}:per-user      rl:{ip=10.0.0.0/8+host=*.example.com}:per-host
 *
 * In a pattern, '*' as it is makes its value a glob (glob.h), and ip may be a network.  Other
 * values are encoded as in a key (key_build), or are a digest: that of a secret value always is
 * one. A path whose slash at its end counts (overrides_find) ends with it. */
#ifndef OVERRIDE_KEY_H
#define OVERRIDE_KEY_H

#include "base/glob.h"
#include "limits/override_text.h"
#include "limits/overrides.h"

/* Bytes of a name, the NUL included.  Values of over GLOB_MAX bytes are digests. */
#define OVERRIDE_KEY_SIZE                                                                          \
    (sizeof "rl:{}:" + KEY_PARTS_MAX * (KEY_SOURCE_TEXT_SIZE + 3 * GLOB_MAX + 2) + 64)

/* The parts of a name; borrowed from it. */
struct override_key {
    struct span identity, limit;
};

/* Find the parts of NAME.  False: it cannot be a name. */
bool override_key_split(const char *name, struct override_key *out);

/* Write the name of the override of LIMIT_NAME for the clients of TEXT, which override_text_read
 * has read, into OUT.  Returns its length. */
size_t override_key_write(const struct override_text *text, const char *limit_name,
                          char out[OVERRIDE_KEY_SIZE]);

/* Add OVERRIDE (copied) to OVERRIDES, those of a limit that counts by SPEC, for the clients that
 * NAME names.  Returns NULL; or why it is not added (static string): what is wrong and what would
 * be right, or override_key_is_foreign. */
const char *override_key_add(struct overrides *overrides, const struct key_spec *spec,
                             const char *name, unsigned ipv6_prefix_bits,
                             const struct override *override);

/* The sources in the name are not those of an alternative of the limit's key. */
extern const char override_key_is_foreign[];

#endif
