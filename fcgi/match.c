#include "match.h"

#include <string.h>

void match_begin(struct match_subject *subject, const struct request *request)
{
    subject->request = request;
    subject->path.text = subject->host.text = NULL;
}

static struct span path_of(struct match_subject *subject)
{
    if (!subject->path.text) {
        subject->path.text = subject->path_bytes;
        subject->path.len = path_normalise(subject->request->uri, subject->path_bytes);
    }
    return subject->path;
}

static struct span host_of(struct match_subject *subject)
{
    if (!subject->host.text) {
        const char *header = request_parameter(subject->request, "HTTP_HOST");
        subject->host.text = subject->host_bytes;
        subject->host.len = host_normalise(header, subject->host_bytes);
    }
    return subject->host;
}

static bool method_fits(const struct match *match, const char *method)
{
    for (unsigned i = 0; i < match->methods; i++)
        if (strcmp(match->method[i], method) == 0)
            return true;
    return match->methods == 0;
}

static bool path_fits(const struct match *match, struct match_subject *subject)
{
    return match->path[0] == '\0' || path_of(subject).len == 0 ||
           glob_fits(match->path, path_of(subject));
}

bool match_fits(const struct match *match, struct match_subject *subject)
{
    return method_fits(match, subject->request->method) && path_fits(match, subject) &&
           (match->host[0] == '\0' || glob_fits(match->host, host_of(subject)));
}
