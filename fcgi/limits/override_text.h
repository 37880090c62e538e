/* override_text.h - the texts that name the clients of an override: values, addresses, networks
 * and globs, one for each source of a key.  Pure. */
#ifndef OVERRIDE_TEXT_H
#define OVERRIDE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/network.h"
#include "limits/key.h"

/* Bytes of an exact key; those of a glob, and of what is beside one, are GLOB_MAX. */
#define OVERRIDE_TEXT_MAX 1024

/* What the value of one source must be. */
struct pattern {
    bool is_network;
    bool is_digest;         /* GLOB is the digest of the value, as MEMO_DIGEST_SIZE digits */
    struct network network; /* for a source ip */
    const char *glob;       /* for any other, or "**"; NULL for a network */
};

/* The texts of an override, and what they mean for one alternative of a key. */
struct override_text {
    const char *const *text; /* COUNT, one for each source of the alternative; borrowed */
    size_t count;            /* 1 .. KEY_PARTS_MAX */
    unsigned digests;        /* bit I: TEXT[I] is the digest of a value: MEMO_DIGEST_SIZE digits */
    const struct key_spec *spec; /* borrowed */
    size_t first;                /* of the alternative: its first source's index in SPEC */
    unsigned ipv6_prefix_bits;
    /* What override_text_read finds: */
    bool is_exact; /* it is for one client, whose values are VALUE */
    char value[KEY_PARTS_MAX][OVERRIDE_TEXT_MAX + 1]; /* spelled as their sources spell them */
    struct pattern part[KEY_PARTS_MAX];               /* their globs are values */
};

/* Returns NULL, or what is wrong with TEXT for any source, and what would be right (static
 * string). */
const char *override_text_check(const char *text);

/* Read the texts of OUT, which override_text_check has passed, for the alternative of OUT.  Returns
 * NULL; or why they cannot be for that alternative, and what would be right (static string). */
const char *override_text_read(struct override_text *out);

/* Build the Redis key that limit LIMIT_NAME has for the one client of TEXT, which is exact, into
 * OUT. *SLASH: its path was written with a slash at its end, which the key does not have.  Returns
 * the length. */
size_t override_text_key(const struct override_text *text, const char *limit_name,
                         char out[KEY_SIZE], bool *slash);

/* What override_text_read returns for an address that is for another alternative of the key. */
extern const char override_text_is_address[];

#endif
