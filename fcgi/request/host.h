/* host.h - normalise the host of a request.  Pure. */
#ifndef HOST_H
#define HOST_H

#include <stddef.h>

#include "base/span.h"

#define HOST_SIZE 256 /* bytes of a host, NUL included: a name has at most 253 (RFC 1035, 2.3.4) */

/* Write the host of AUTHORITY, the value of Host (RFC 9110, 7.2) or the authority of a URI, into
 * OUT: in lower case, percent-decoded, without user, port and trailing dots.  An IPv6 address is in
 * brackets, in the form of RFC 5952.
 * Returns the length, without the NUL.  Returns 0 if AUTHORITY is empty (text may be NULL), does
 * not fit, or has a space, a comma or another byte that a host cannot have. */
size_t host_normalise(struct span authority, char out[HOST_SIZE]);

#endif
