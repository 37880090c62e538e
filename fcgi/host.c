#include "host.h"

#include <ctype.h>
#include <string.h>

size_t host_normalise(const char *header, char out[HOST_MAX])
{
    size_t bracketed = header && header[0] == '[' ? strcspn(header, "]") : 0;
    size_t len = header ? bracketed + strcspn(header + bracketed, ":") : 0;

    if (len > 0 && header[len - 1] == '.')
        len--;
    if (len >= HOST_MAX)
        len = 0;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)tolower((unsigned char)header[i]);
    out[len] = '\0';
    return len;
}
