/* path.h - the path of a request as the applications behind may understand it.  Pure. */
#ifndef PATH_H
#define PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "request/target.h"

#define PATH_SIZE         8192 /* of a reading of a path, NUL included */
#define PATH_READINGS_MAX 9

/* The readings of a path.  Backends disagree: an encoded slash separates segments or is part of one
 * (RFC 3986, 2.2), "//" is one slash or an empty segment, "." and ".." are removed (RFC 3986,
 * 5.2.4) or kept, as Express keeps them, '\' is a slash (the WHATWG URL Standard, IIS), ";x" is a
 * parameter of the segment (Tomcat).  Most paths have one reading; only those that hold such bytes
 * have more. */
struct path {
    size_t count; /* 0: the path cannot be read, or a reading does not fit */
    /* Different ones, without a trailing slash, which one more byte than LEN would show; "/" keeps
     * its. The first is that of path_normalise. */
    struct span reading[PATH_READINGS_MAX];
    bool slash; /* the first reading, as it was sent, ends in a slash */
    char bytes[PATH_READINGS_MAX][PATH_SIZE + 1];
};

/* Read the path of TARGET into *OUT, whose readings point into it. */
void path_read(const struct target *target, struct path *out);

/* READING with a slash at its end. */
struct span path_with_slash(struct span reading);

/* Write the usual reading of the path of URI, a request target (RFC 9112, 3.2.1), into OUT: what
 * comes before '?' or '#', percent-decoded once ("%2F" too is a slash), with "//" as one slash and
 * "." and ".." segments removed.  So "//api/x", "/api/./x", "/a/../api/x" and "/%61pi/x" are all
 * "/api/x".  A '%' without two hexadecimal digits is itself; a trailing slash stays; the first byte
 * is always a slash. OUT may hold NULs, because "%00" is one; one more is written behind it.
 * Returns the length, without that NUL; 0 for a path that does not fit or cannot be read
 * (target.h), and OUT is then "". */
size_t path_normalise(const char *uri, char out[PATH_SIZE]);

#endif
