/* match.h - which requests a limit is for.  Pure. */
#ifndef MATCH_H
#define MATCH_H

#include <stdbool.h>

#include "glob.h"
#include "host.h"
#include "path.h"
#include "request.h"

#define MATCH_METHODS_MAX 16
#define MATCH_METHOD_MAX  16 /* bytes of a method, without the NUL */

/* The conditions of a limit, all of which a request must meet. */
struct match {
    char path[GLOB_MAX + 1]; /* a glob for the normalised path; "": any */
    char host[GLOB_MAX + 1]; /* a glob for the host, in lower case; "": any */
    unsigned methods;        /* how many; 0: any */
    char method[MATCH_METHODS_MAX][MATCH_METHOD_MAX + 1];
};

/* What matches look at in a request.  Path and host are brought into one spelling when a match first asks
 * for them, and once for all matches. */
struct match_subject {
    const struct request *request; /* borrowed */
    struct span path, host;        /* text NULL: not asked for yet */
    char path_bytes[PATH_BYTES_MAX], host_bytes[HOST_MAX];
};

/* Make SUBJECT that of REQUEST (borrowed as long as SUBJECT is used). */
void match_begin(struct match_subject *subject, const struct request *request);

/* Whether SUBJECT meets every condition of MATCH.  A path too long to be normalised fits every path:
 * its length is no way around a limit. */
bool match_fits(const struct match *match, struct match_subject *subject);

#endif
