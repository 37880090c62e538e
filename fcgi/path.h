/* path.h - the path of a request as the application behind will understand it.  Pure. */
#ifndef PATH_H
#define PATH_H

#include <stddef.h>

#define PATH_BYTES_MAX 8192 /* of a normalised path, NUL included; lighttpd reads no longer heads */

/* Write the path of URI, a request target (RFC 9112, 3.2.1), into OUT: what stands before '?' or '#',
 * percent-decoded once ("%2F" too is a slash), with "//" as one slash and "." and ".." segments
 * removed (RFC 3986, 5.2.4).  So "//api/x", "/api/./x", "/a/../api/x" and "/%61pi/x" are all "/api/x":
 * a limit on a path is not slipped past by spelling it differently.  A '%' without two hexadecimal
 * digits is itself; a trailing slash stays; the first byte is always a slash.  Of the absolute form,
 * "http://host/path", it is the path too.
 * OUT may hold NULs, for "%00" is one; one more is written behind it.
 * Returns the length, without that NUL; 0 for a path that does not fit, and OUT is then "". */
size_t path_normalise(const char *uri, char out[PATH_BYTES_MAX]);

#endif
