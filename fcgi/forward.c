#include "forward.h"

#include <stdbool.h>
#include <string.h>

#include "span.h"

static bool is_trusted(const struct address *address, const struct network *trusted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (network_contains(&trusted[i], address))
            return true;
    return false;
}

/* Where in the target URI of a request what follows FORWARD_PATH begins; NULL where it is another path. */
static const char *behind_path(const char *uri)
{
    size_t len = sizeof FORWARD_PATH - 1;

    if (strncmp(uri, FORWARD_PATH, len) != 0 || !strchr("/?#", uri[len]))
        return NULL;
    return uri + len; /* strchr finds the NUL, too */
}

/* The first of NAMES (NULL at the end) that REQUEST has and that is not empty; else OTHERWISE. */
static const char *first_of(const struct request *request, const char *const names[],
                            const char *otherwise)
{
    for (; *names; names++) {
        const char *value = request_parameter(request, *names);
        if (value && value[0] != '\0')
            return value;
    }
    return otherwise;
}

/* Cut the last entry, without the spaces around it, off the list *REST, "a, b, c".  False where none is left. */
static bool cut_last(struct span *rest, struct span *entry)
{
    if (!rest->text)
        return false;
    size_t begin = rest->len;
    while (begin > 0 && rest->text[begin - 1] != ',')
        begin--;
    *entry = (struct span){rest->text + begin, rest->len - begin};
    while (entry->len > 0 && strchr(" \t", entry->text[0]))
        entry->text++, entry->len--;
    while (entry->len > 0 && strchr(" \t", entry->text[entry->len - 1]))
        entry->len--;
    *rest = begin > 0 ? (struct span){rest->text, begin - 1} : (struct span){NULL, 0};
    return true;
}

/* Write the client of PEER, which is trusted and sent the list FORWARDED_FOR (may be NULL), into OUT. */
static void find_client(const char *forwarded_for, const struct address *peer,
                        const struct network *trusted, size_t count, char out[ADDRESS_MAX])
{
    struct span rest = {forwarded_for, forwarded_for ? strlen(forwarded_for) : 0}, entry;
    struct address client = *peer, address;
    char text[ADDRESS_MAX];

    while (is_trusted(&client, trusted, count) && cut_last(&rest, &entry)) {
        if (entry.len >= sizeof text)
            break;
        memcpy(text, entry.text, entry.len);
        text[entry.len] = '\0';
        if (!address_parse(text, &address))
            break;
        client = address;
    }
    address_format(&client, ADDRESS_BITS, out);
}

/* Whether REQUEST has one of NAMES (NULL at the end) twice. */
static bool stands_twice(const struct request *request, const char *const names[])
{
    for (; *names; names++) {
        size_t len = strlen(*names);
        unsigned count = 0;
        for (char *const *parameter = request->parameters; *parameter; parameter++)
            count += strncmp(*parameter, *names, len) == 0 && (*parameter)[len] == '=';
        if (count > 1)
            return true;
    }
    return false;
}

static void replace(struct forward *out, const char *name, const char *value)
{
    struct request *request = &out->request;

    out->replaced[request->replaced_count++] = (struct parameter){name, value};
}

const struct request *forward_read(const struct request *request, const struct network *trusted,
                                   size_t count, struct forward *out)
{
    static const char *const clients[] = {"HTTP_X_FORWARDED_FOR", NULL};
    static const char *const methods[] = {"HTTP_X_FORWARDED_METHOD", "HTTP_X_ORIGINAL_METHOD",
                                          NULL};
    static const char *const uris[] = {"HTTP_X_FORWARDED_URI", "HTTP_X_ORIGINAL_URI",
                                       "HTTP_X_ORIGINAL_URL", NULL};
    static const char *const hosts[] = {"HTTP_X_FORWARDED_HOST", "HTTP_X_ORIGINAL_HOST",
                                        "HTTP_HOST", NULL};
    static const char *const schemes[] = {"HTTP_X_FORWARDED_PROTO", NULL};
    const char *behind = count > 0 ? behind_path(request->uri) : NULL;
    struct address peer;

    if (!behind || !address_parse(request->remote_addr, &peer) ||
        !is_trusted(&peer, trusted, count))
        return request;
    if (stands_twice(request, clients) || stands_twice(request, methods) ||
        stands_twice(request, uris) || stands_twice(request, hosts) ||
        stands_twice(request, schemes))
        return NULL;
    find_client(request_parameter(request, clients[0]), &peer, trusted, count, out->client);
    out->request = *request;
    out->request.method = first_of(request, methods, request->method);
    out->request.uri = first_of(request, uris, behind[0] != '\0' ? behind : "/");
    out->request.remote_addr = out->client;
    out->request.replaced = out->replaced;
    out->request.replaced_count = 0;
    const char *query = strchr(out->request.uri, '?');
    replace(out, "REQUEST_METHOD", out->request.method);
    replace(out, "REQUEST_URI", out->request.uri);
    replace(out, "QUERY_STRING", query ? query + 1 : "");
    replace(out, "REMOTE_ADDR", out->client);
    replace(out, "HTTP_HOST", first_of(request, hosts, ""));
    replace(out, "REQUEST_SCHEME", first_of(request, schemes, ""));
    return &out->request;
}
