/* request.c - look up FastCGI parameters. */
/* SPDX-License-Identifier: MIT */
#include "request/request.h"

#include <string.h>

const char *request_missing(const struct request *request)
{
    if (!request->method)
        return "REQUEST_METHOD";
    if (!request->uri)
        return "REQUEST_URI";
    return request->remote_addr ? NULL : "REMOTE_ADDR";
}

const char *request_parameter(const struct request *request, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < request->replaced_count; i++)
        if (strcmp(request->replaced[i].name, name) == 0)
            return request->replaced[i].value;
    for (char *const *parameter = request->parameters; *parameter; parameter++)
        if (strncmp(*parameter, name, len) == 0 && (*parameter)[len] == '=')
            return *parameter + len + 1;
    return NULL;
}
