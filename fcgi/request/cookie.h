/* cookie.h - the cookies of a request.  Pure. */
#ifndef COOKIE_H
#define COOKIE_H

#include <stdbool.h>

#include "base/scratch.h"
#include "base/span.h"

/* Take the next cookie off *REST, which is the value of a Cookie header, "a=1; b=2" (RFC 6265,
 * 4.2.1), or what is left of one (text NULL: nothing).  *NAME and *VALUE point into *REST, without
 * surrounding spaces and tabs.  A piece without '=' is skipped.  Returns false if no cookie is
 * left. */
bool cookie_next(struct span *rest, struct span *name, struct span *value);

/* Decode VALUE, a cookie's value as it was sent, into SCRATCH: quotes around it are removed,
 * "\\ooo" and "\\x" inside quotes (Python's http.cookies) and "%XX" (PHP, node's cookie) are
 * decoded.
 * Returns the decoded value.  Its text is NULL if SCRATCH is full, or if VALUE begins with a quote
 * but does not end in one, because backends read that differently: some drop the last byte, others
 * keep it. */
struct span cookie_value(struct span value, struct scratch *scratch);

#endif
