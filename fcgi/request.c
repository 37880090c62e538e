#include "request.h"

#include <string.h>

const char *request_parameter(const struct request *request, const char *name)
{
    size_t len = strlen(name);

    for (char *const *parameter = request->parameters; *parameter; parameter++)
        if (strncmp(*parameter, name, len) == 0 && (*parameter)[len] == '=')
            return *parameter + len + 1;
    return NULL;
}
