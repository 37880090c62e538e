/* target.c - the parts of a request target. */
/* SPDX-License-Identifier: MIT */
#include "request/target.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* The length of the scheme at the beginning of URI, "://" included (RFC 3986, 3.1); 0 if there is
 * none. */
static size_t scheme_len(const char *uri)
{
    size_t letter = strspn(uri, LETTERS);
    size_t len = letter + strspn(uri + letter, LETTERS "0123456789+-.");

    return letter > 0 && strncmp(uri + len, "://", 3) == 0 ? len + 3 : 0;
}

static struct span query_of(const char *uri)
{
    const char *mark = uri + strcspn(uri, "?#");

    return *mark == '?' ? (struct span){mark + 1, strcspn(mark + 1, "#")} : (struct span){NULL, 0};
}

struct target target_read(const char *uri)
{
    struct target target = {.query = query_of(uri)};
    size_t scheme = uri[0] == '/' ? 0 : scheme_len(uri);
    const char *path = uri;

    if (scheme > 0) {
        target.authority = (struct span){uri + scheme, strcspn(uri + scheme, "/?#")};
        if (target.authority.len == 0)
            return (struct target){.query = target.query};
        path += scheme + target.authority.len;
    } else if (uri[0] != '\0' && !strchr("/?#", uri[0])) {
        return target;
    }
    target.path = (struct span){path, strcspn(path, "?#")};
    return target;
}
