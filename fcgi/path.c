#include "path.h"

#include <string.h>

#include "query.h"
#include "span.h"

/* The last segment of the LEN bytes at OUT begins at START, behind a slash.  Returns the length without
 * that slash and what it takes with it: nothing, where the segment is an ordinary one. */
static size_t end_segment(const char *out, size_t start, size_t len)
{
    size_t segment = len - start;

    if (segment == 0 || (segment == 1 && out[start] == '.'))
        return start - 1;
    if (segment != 2 || out[start] != '.' || out[start + 1] != '.')
        return len;
    /* "/a/.." takes "/a" along; there is nothing above the root. */
    size_t parent = start - 1;
    while (parent > 0 && out[parent - 1] != '/')
        parent--;
    return parent > 0 ? parent - 1 : 0;
}

/* The path in URI, still encoded; of "http://host/path" (RFC 9112, 3.2.2) what follows the host. */
static struct span raw_path(const char *uri)
{
    size_t len = strcspn(uri, "?#");
    const char *end = uri + len;
    const char *authority = uri[0] == '/' ? NULL : strstr(uri, "://");

    if (authority && authority < end) {
        uri = authority + 3;
        uri += strcspn(uri, "/?#");
    }
    return (struct span){uri, (size_t)(end - uri)};
}

size_t path_normalise(const char *uri, char out[PATH_BYTES_MAX])
{
    struct span rest = raw_path(uri);
    size_t len = 1, start = 1;

    out[0] = '/';
    if (rest.len > 0 && rest.text[0] == '/')
        rest.text++, rest.len--;
    for (int byte = query_next_path_byte(&rest); byte >= 0; byte = query_next_path_byte(&rest)) {
        if (len + 1 >= PATH_BYTES_MAX) {
            out[0] = '\0';
            return 0;
        }
        if (byte == '/') {
            len = end_segment(out, start, len);
            start = len + 1;
        }
        out[len++] = (char)byte;
    }
    size_t ended = end_segment(out, start, len);
    if (ended != len && len > start) {
        len = ended; /* "/a/." and "/a/b/.." are "/a/": a folder keeps its slash */
        out[len++] = '/';
    }
    out[len] = '\0';
    return len;
}
