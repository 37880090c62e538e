/* host.h - the host that a request is for, in one spelling.  Pure. */
#ifndef HOST_H
#define HOST_H

#include <stddef.h>

#define HOST_MAX 256 /* bytes of a host, NUL included: a name has at most 253 (RFC 1035, 2.3.4) */

/* Write the host of HEADER, the value of Host (RFC 9110, 7.2) or NULL, into OUT: in lower case, without
 * port and final dot; an IPv6 address keeps its brackets.
 * Returns its length, without the NUL; 0 where there is none or it does not fit. */
size_t host_normalise(const char *header, char out[HOST_MAX]);

#endif
