/* query.h - parameters of a query, and percent-encoding.  Pure. */
#ifndef QUERY_H
#define QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/scratch.h"
#include "base/span.h"

/* Take the next parameter off *REST, a query or what is left of one (text NULL: nothing).
 * Parameters are separated by '&' and by ';' (HTML 4.01, B.2.2, which old backends still do), empty
 * ones are skipped. *NAME and *VALUE point into *REST, still encoded; a parameter without '=' has
 * the empty value. Returns false where no parameter is left. */
bool query_next(struct span *rest, struct span *name, struct span *value);

/* ENCODED without its encoding, in SCRATCH; text NULL where SCRATCH is full. */
struct span query_decode(struct span encoded, struct scratch *scratch);

/* Bring the LEN bytes at NAME, a decoded name, into the one spelling of all that a backend may take
 * for the same: without leading spaces, up to '[' and NUL, with ' ' and '.' as '_', as PHP reads a
 * name (php.net, "Variables From External Sources"); "user[]" is "user" to Express, too. Returns
 * what is left of NAME, which is changed where it is. */
struct span query_one_name(char *name, size_t len);

/* Take one byte off the front of *ENCODED and decode it as application/x-www-form-urlencoded
 * (WHATWG URL Standard, 5.1): "%41" is 'A', '+' is a space, a '%' without two hexadecimal digits is
 * itself.  Returns the byte, 0 .. 255, or -1 where nothing is left. */
int query_next_byte(struct span *encoded);

/* The same for a path, in which '+' is itself (RFC 3986, 2.1). */
int query_next_path_byte(struct span *encoded);

#endif
