/* match.h - which requests a limit is for.  Pure. */
#ifndef MATCH_H
#define MATCH_H

#include <stdbool.h>

#include "base/glob.h"
#include "request/view.h"

#define MATCH_METHODS_MAX 16
#define MATCH_METHOD_MAX  16 /* bytes of a method, without the NUL */

/* The conditions of a limit, all of which a request must meet. */
struct match {
    char path[GLOB_MAX + 1]; /* a glob for the path; "": any */
    bool ignore_case;        /* PATH is in lower case, and so is compared */
    char host[GLOB_MAX + 1]; /* a glob for the host, in lower case; "": any */
    unsigned method_count;   /* how many; 0: any */
    char method[MATCH_METHODS_MAX][MATCH_METHOD_MAX + 1];
};

/* The condition that a request does not meet. */
enum match_result { MATCH_FITS, MATCH_METHOD, MATCH_PATH, MATCH_HOST, MATCH_HOST_UNREADABLE };

/* The first condition of MATCH that VIEW does not meet, or MATCH_FITS. A path fits if any of its
 * readings does (path.h), with a slash at its end or without; a path without a reading fits every
 * pattern, because a limit must not be escaped by a spelling.  GET is HEAD, too (RFC 9110,
 * 9.3.2). */
enum match_result match_request(const struct match *match, struct view *view);

#endif
