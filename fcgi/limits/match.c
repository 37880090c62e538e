/* match.c - which requests a limit is for. */
/* SPDX-License-Identifier: MIT */
#include "limits/match.h"

#include <string.h>

static bool method_fits(const struct match *match, const char *method)
{
    bool head = strcmp(method, "HEAD") == 0;

    for (unsigned i = 0; i < match->method_count; i++)
        if (strcmp(match->method[i], method) == 0 || (head && strcmp(match->method[i], "GET") == 0))
            return true;
    return match->method_count == 0;
}

static bool reading_fits(const struct match *match, struct span reading, struct view *view)
{
    struct span whole = path_with_slash(reading);

    if (match->ignore_case)
        whole = memo_lower(&view->memo, whole, &view->scratch);
    if (!whole.text)
        return true; /* there is no room to compare: err on the strict side */
    reading.text = whole.text;
    return glob_fits(match->path, reading, &view->work) ||
           (whole.len > reading.len && glob_fits(match->path, whole, &view->work));
}

static bool path_fits(const struct match *match, struct view *view)
{
    if (match->path[0] == '\0')
        return true;
    const struct path *path = view_paths(view);
    for (size_t i = 0; i < path->count; i++)
        if (reading_fits(match, path->reading[i], view))
            return true;
    return path->count == 0;
}

enum match_result match_request(const struct match *match, struct view *view)
{
    if (!method_fits(match, view->request->method))
        return MATCH_METHOD;
    if (!path_fits(match, view))
        return MATCH_PATH;
    if (match->host[0] == '\0' || glob_fits(match->host, view_host(view), &view->work))
        return MATCH_FITS;
    return view->host_unreadable ? MATCH_HOST_UNREADABLE : MATCH_HOST;
}
