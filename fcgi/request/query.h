/* query.h - the parameters of a query, and percent-decoding.  Pure. */
#ifndef QUERY_H
#define QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/scratch.h"
#include "base/span.h"

/* Take the next parameter off *REST, a query or what is left of one (text NULL: nothing).
 * Parameters are separated by '&' or ';' (HTML 4.01, B.2.2, still used by old backends); empty ones
 * are skipped.  *NAME and *VALUE point into *REST, still encoded.  A parameter without '=' has the
 * empty value.  Returns false if no parameter is left. */
bool query_next(struct span *rest, struct span *name, struct span *value);

/* ENCODED decoded (query_next_byte), in SCRATCH; text NULL if SCRATCH is full. */
struct span query_decode(struct span encoded, struct scratch *scratch);

/* Normalise the LEN bytes at NAME, a decoded name, in place, so that all names that a backend may
 * treat as the same become equal: leading spaces are dropped, the name ends before a '[' (unless
 * that is its first byte) or NUL, and ' ' and '.' become '_'.  PHP reads names like this (php.net,
 * "Variables From External Sources"); Express reads "user[]" as "user" as well.  Returns the part
 * of NAME that is left. */
struct span query_one_name(char *name, size_t len);

/* Take one byte off the front of *ENCODED and decode it as application/x-www-form-urlencoded
 * (WHATWG URL Standard, 5.1): "%41" is 'A', '+' is a space, and a '%' without two hexadecimal
 * digits is literal.  Returns the byte, 0 .. 255, or -1 if nothing is left. */
int query_next_byte(struct span *encoded);

/* The same for a path, in which '+' is literal (RFC 3986, 2.1). */
int query_next_path_byte(struct span *encoded);

#endif
