/* path.h - the path of a request, in the ways in which backends may read it.  Pure. */
#ifndef PATH_H
#define PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "request/target.h"

#define PATH_SIZE         8192 /* bytes of one reading, NUL included */
#define PATH_READINGS_MAX 9

/* The readings of a path.  Backends disagree about these:
 *   - An encoded slash separates segments, or is part of one (RFC 3986, 2.2).
 *   - "//" is one slash, or encloses an empty segment.
 *   - "." and ".." are removed (RFC 3986, 5.2.4), or kept, as by Express.
 *   - '\' is a slash (the WHATWG URL Standard, IIS).
 *   - ";x" is a parameter of its segment (Tomcat).
 * Most paths have one reading; only paths with such bytes have more. */
struct path {
    size_t count; /* 0 if the path cannot be read, or if a reading does not fit */
    /* All different.  The first is that of path_normalise.  A trailing slash is not part of LEN,
     * but always follows it in the text (path_with_slash); only "/" includes its slash. */
    struct span reading[PATH_READINGS_MAX];
    bool slash; /* the first reading ended in a slash, as it was sent */
    char bytes[PATH_READINGS_MAX][PATH_SIZE + 1];
};

/* Read the path of TARGET into *OUT, whose readings point into *OUT. */
void path_read(const struct target *target, struct path *out);

/* READING with a slash at its end. */
struct span path_with_slash(struct span reading);

/* Write the usual reading of the path of URI, a request target (RFC 9112, 3.2.1), into OUT: the
 * part before '?' or '#', percent-decoded once (including "%2F"), with "//" as one slash and "."
 * and ".." segments removed.  For example, "//api/x", "/api/./x", "/a/../api/x" and "/%61pi/x" are
 * all "/api/x".  A '%' without two hexadecimal digits is literal.  A trailing slash is kept.  The
 * first byte is always a slash.
 * OUT may contain NULs, from "%00"; a NUL that is not counted follows the text.  Returns the length
 * without it.  If the path does not fit or cannot be read (target.h), returns 0 and OUT is "". */
size_t path_normalise(const char *uri, char out[PATH_SIZE]);

#endif
