/* typed_key.h - from a client that a person names to the texts of an override. */
#ifndef TYPED_KEY_H
#define TYPED_KEY_H

#include "limits/override_text.h"

/* Called for each alternative of a key that a typed one is for.  TEXT has been read; it is valid
 * for the call. */
typedef void typed_key_each(void *context, const struct override_text *text);

/* Read KEY for a limit that counts by SPEC: the texts of an override as the limits file has them, "
 * + " between those of several sources.  "query:user=alice" names the source of a text, so that
 * only alternatives with that source there are meant; "header:x-api-key=#DIGEST" has the digest of
 * the value.  EACH is called with CONTEXT for each alternative that KEY is for.  Returns NULL; or
 * if there is none, what is wrong (static string). */
const char *typed_key_read(const char *key, const struct key_spec *spec, unsigned ipv6_prefix_bits,
                           typed_key_each *each, void *context);

#endif
