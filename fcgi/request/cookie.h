/* cookie.h - the cookies of a request.  Pure. */
#ifndef COOKIE_H
#define COOKIE_H

#include <stdbool.h>

#include "base/scratch.h"
#include "base/span.h"

/* Take the next cookie off *REST, the value of Cookie, "a=1; b=2" (RFC 6265, 4.2.1), or what is
 * left of one (text NULL: nothing).  *NAME and *VALUE point into *REST, without the spaces and tabs
 * around them; a piece without '=' is no cookie and skipped.  Returns false where no cookie is
 * left. */
bool cookie_next(struct span *rest, struct span *name, struct span *value);

/* The one value that the spellings of VALUE have, in SCRATCH: without quotes around it, with
 * "\\ooo" and "\\x" in quotes (Python's http.cookies) and "%XX" (PHP, node's cookie) decoded. Text
 * NULL where backends would read different values: a quote that opens and does not close, which
 * some cut off with the last byte and others keep; or where SCRATCH is full. */
struct span cookie_value(struct span value, struct scratch *scratch);

#endif
