#include "cookie.h"

#include <string.h>

struct span cookie_find(const char *header, const char *name)
{
    size_t name_len = strlen(name);

    while (header && *header) {
        header += strspn(header, "; \t");
        size_t len = strcspn(header, ";");
        if (len > name_len && strncmp(header, name, name_len) == 0 && header[name_len] == '=') {
            struct span value = {header + name_len + 1, len - name_len - 1};
            while (value.len > 0 && strchr(" \t", value.text[value.len - 1]))
                value.len--;
            return value;
        }
        header += len;
    }
    return (struct span){NULL, 0};
}
