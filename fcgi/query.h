/* query.h - parameters of a URI's query, and percent-encoding.  Pure. */
#ifndef QUERY_H
#define QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "span.h"

/* Find the first parameter named NAME (NUL-terminated) in the query of URI, a request target such
 * as "/path?a=1&b=2" (RFC 9112, 3.2.1).  The query is what follows the first '?', up to a '#' or
 * the end, and a '?' after a '#' starts none (RFC 3986, 3.5); parameters are separated by '&',
 * empty ones are skipped; names are compared decoded, so "%75ser" is "user".
 * A parameter without '=' has the empty value.  Only the first of several is looked at.
 * Returns its value, still encoded, pointing into URI; text NULL where there is none. */
struct span query_find(const char *uri, const char *name);

/* Take one byte off the front of *ENCODED and decode it as application/x-www-form-urlencoded
 * (WHATWG URL Standard, 5.1): "%41" is 'A', '+' is a space, a '%' without two hexadecimal digits is
 * itself.  Returns the byte, 0 .. 255, or -1 where nothing is left. */
int query_next_byte(struct span *encoded);

/* The same for a path, in which '+' is itself (RFC 3986, 2.1). */
int query_next_path_byte(struct span *encoded);

#endif
