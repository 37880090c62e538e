/* target.h - the parts of a request target (RFC 9112, 3.2).  Pure. */
#ifndef TARGET_H
#define TARGET_H

#include "base/span.h"

/* All of them point into the target and are still encoded; text NULL: there is none. */
struct target {
    struct span authority; /* of the absolute form, "http://HOST/path": it wins over Host (3.2.2) */
    struct span
        path; /* what comes before '?' and '#'; empty, which is "/", in "http://host" and "?a=1" */
    struct span query; /* without its '?' and what follows a '#' (RFC 3986, 3.4) */
};

/* Read URI, NUL-terminated.  Only the origin form ("/path?query") and the absolute form
 * ("scheme://authority/path?query") have a path: "http:/path", "path", "*" and "host:443" have
 * none, because web servers disagree about which path that is. */
struct target target_read(const char *uri);

#endif
