/* overrides.h - the clients of a limit that are treated differently: exact keys, globs and
 * networks. */
#ifndef OVERRIDES_H
#define OVERRIDES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits/key.h"

#define OVERRIDES_PATTERNS_MAX 256 /* overrides of one limit with a glob or a network */

enum override_kind {
    OVERRIDE_LIMITED,   /* by a capacity and refill of its own */
    OVERRIDE_UNLIMITED, /* the limit does not apply */
    OVERRIDE_BLOCKED,   /* refused, no token is taken */
};

struct override {
    enum override_kind kind;
    int64_t capacity, interval_us; /* of OVERRIDE_LIMITED, bounds as struct limit's */
    unsigned line;                 /* where it is in the limits file, from 1; 0: in Redis */
    bool stricter;  /* than the limit: it blocks, or has a smaller capacity or a slower refill */
    double until_s; /* on clock_s: from then on it is not used; 0: without an end */
};

struct override_text;

/* The overrides of one limit, in the order in which they were added. */
struct overrides;

/* Returns an empty one, the caller's to free with overrides_free; never NULL. */
struct overrides *overrides_new(void);

/* Add OVERRIDE (copied) for the clients of limit LIMIT_NAME, which counts by SPEC, whose key is
 * TEXT: COUNT texts, one for each source of an alternative.  A text is
 *   an address or a CIDR   for a source ip.  An IPv6 client is a prefix of IPV6_PREFIX_BITS
 *   with '*' or "**"       a glob (glob.h), for all other sources; alone, for ip and global too
 *   else                   the value itself, for all other sources
 * *EARLIER becomes the line of an override that is for the same clients, so that this one is never
 * used; or 0. Returns NULL, or what is wrong and what would be right (static string); nothing is
 * then added. */
const char *overrides_add(struct overrides *overrides, const struct key_spec *spec,
                          const char *limit_name, unsigned ipv6_prefix_bits,
                          const char *const text[], size_t count, const struct override *override,
                          unsigned *earlier);

/* Add OVERRIDE (copied) for the one client of a limit that counts by SPEC whose Redis key is KEY,
 * of LEN bytes.  SLASH: if its path is sent with a slash at its end.  Unlike overrides_add, this
 * adds it behind one that is for the same clients, whose time may end earlier. */
void overrides_add_key(struct overrides *overrides, const struct key_spec *spec, const char *key,
                       size_t len, bool slash, const struct override *override);

/* The same for the clients of TEXT, which override_text_read has read.  Returns NULL; or why it is
 * not added (static string). */
const char *overrides_add_text(struct overrides *overrides, const struct override_text *text,
                               const char *limit_name, const struct override *override);

/* How many overrides were added. */
size_t overrides_count(const struct overrides *overrides);

/* The first override whose time is not over and that fits a client, whose Redis key is KEY, of LEN
 * bytes, and whose VALUES were found in VIEW; or NULL.  Exact ones are looked up in a hash table,
 * however many there are; globs and networks, of which there are at most OVERRIDES_PATTERNS_MAX, in
 * turn. If a path has several readings (path.h), a glob for it that is stricter than the limit fits
 * if any reading does, with a slash at its end or without, and an override that is not stricter
 * does not fit, nor does it with another slash than it was written with: no client gains by a
 * spelling. */
const struct override *overrides_find(const struct overrides *overrides, const char *key,
                                      size_t len, const struct key_values *values,
                                      struct view *view);

/* Whether the first override is `unlimited` and matches every client of a limit that counts by
 * SPEC, so that the limit can never refuse. */
bool overrides_lift_all(const struct overrides *overrides, const struct key_spec *spec);

/* Free OVERRIDES.  NULL is fine. */
void overrides_free(struct overrides *overrides);

#endif
