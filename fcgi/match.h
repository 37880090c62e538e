/* match.h - which requests a limit is for.  Pure. */
#ifndef MATCH_H
#define MATCH_H

#include "glob.h"
#include "subject.h"

#define MATCH_METHODS_MAX 16
#define MATCH_METHOD_MAX  16 /* bytes of a method, without the NUL */

/* The conditions of a limit, all of which a request must meet. */
struct match {
    char path[GLOB_MAX + 1]; /* a glob for the normalised path; "": any */
    char host[GLOB_MAX + 1]; /* a glob for the host, in lower case; "": any */
    unsigned methods;        /* how many; 0: any */
    char method[MATCH_METHODS_MAX][MATCH_METHOD_MAX + 1];
};

/* The condition that a request does not meet. */
enum match_result { MATCH_FITS, MATCH_METHOD, MATCH_PATH, MATCH_HOST };

/* The first condition of MATCH that SUBJECT does not meet, or MATCH_FITS.  A path too long to be normalised
 * fits every path: its length is no way around a limit. */
enum match_result match_request(const struct match *match, struct subject *subject);

#endif
