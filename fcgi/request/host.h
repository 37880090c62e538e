/* host.h - the host that a request is for, in one spelling.  Pure. */
#ifndef HOST_H
#define HOST_H

#include <stddef.h>

#include "base/span.h"

#define HOST_SIZE 256 /* bytes of a host, NUL included: a name has at most 253 (RFC 1035, 2.3.4) */

/* Write the host of AUTHORITY, the value of Host (RFC 9110, 7.2) or the authority of a URI, into
 * OUT: in lower case, percent-decoded, without user, port and final dots; an IPv6 address in
 * brackets, in the form of RFC 5952. Returns its length, without the NUL.  0 where there is none
 * (AUTHORITY is empty or text NULL) or none can be read: it does not fit, or holds a space, a comma
 * or another byte that no host has. */
size_t host_normalise(struct span authority, char out[HOST_SIZE]);

#endif
