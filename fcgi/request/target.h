/* target.h - the parts of a request target (RFC 9112, 3.2).  Pure. */
#ifndef TARGET_H
#define TARGET_H

#include "base/span.h"

/* All spans point into the target and are still encoded.  If a part is absent, its text is NULL. */
struct target {
    /* of the absolute form, "http://HOST/path"; it takes precedence over Host (3.2.2) */
    struct span authority;
    /* up to a '?' or '#'; empty, which means "/", in "http://host" and "?a=1" */
    struct span path;
    /* between '?' and '#' (RFC 3986, 3.4) */
    struct span query;
};

/* Read URI, NUL-terminated.  Only the origin form ("/path?query") and the absolute form
 * ("scheme://authority/path?query") have a path.  Others, such as "http:/path", "path", "*" and
 * "host:443", have none, because web servers disagree about the path in them. */
struct target target_read(const char *uri);

#endif
