/* cookie.h - one cookie of a request.  Pure. */
#ifndef COOKIE_H
#define COOKIE_H

#include "span.h"

/* Find the first cookie named NAME in HEADER, the value of Cookie, "a=1; b=2" (RFC 6265, 4.2.1), or NULL.
 * Names are compared byte by byte; quotes belong to the value; spaces and tabs around a cookie do not.
 * Returns its value as it stands there, pointing into HEADER; text NULL where there is none. */
struct span cookie_find(const char *header, const char *name);

#endif
