#include "match.h"

#include <stdbool.h>
#include <string.h>

static bool method_fits(const struct match *match, const char *method)
{
    for (unsigned i = 0; i < match->methods; i++)
        if (strcmp(match->method[i], method) == 0)
            return true;
    return match->methods == 0;
}

static bool path_fits(const struct match *match, struct subject *subject)
{
    return match->path[0] == '\0' || subject_path(subject).len == 0 ||
           glob_fits(match->path, subject_path(subject));
}

enum match_result match_request(const struct match *match, struct subject *subject)
{
    if (!method_fits(match, subject->request->method))
        return MATCH_METHOD;
    if (!path_fits(match, subject))
        return MATCH_PATH;
    if (match->host[0] != '\0' && !glob_fits(match->host, subject_host(subject)))
        return MATCH_HOST;
    return MATCH_FITS;
}
