/* view.c - the parts of a request that limits use, each in one normalised form. */
/* SPDX-License-Identifier: MIT */
#include "request/view.h"

#include <assert.h>
#include <string.h>

#include "request/cookie.h"
#include "base/network.h"
#include "request/query.h"

/* Bytes of the name of a query parameter in a limit, NUL included; KEY_SOURCE_NAME_MAX is less. */
#define VIEW_NAME_SIZE 128

void view_begin(struct view *view, const struct request *request, unsigned ipv6_prefix_bits)
{
    view->request = request;
    view->ipv6_prefix_bits = ipv6_prefix_bits;
    view->target = target_read(request->uri);
    view->host.text = view->client.text = NULL;
    view->path_is_read = false;
    view->host_unreadable = false;
    view->address_state = ADDRESS_UNREAD;
    view->parameters_read = view->query_read = view->cookies_read = false;
    view->scratch = (struct scratch){view->scratch_bytes, sizeof view->scratch_bytes, 0};
    memo_begin(&view->memo);
    glob_work_begin(&view->work);
}

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static bool is_replaced(const struct request *request, struct span name)
{
    for (size_t i = 0; i < request->replaced_count; i++)
        if (strlen(request->replaced[i].name) == name.len &&
            memcmp(request->replaced[i].name, name.text, name.len) == 0)
            return true;
    return false;
}

static void read_parameters(struct view *view)
{
    const struct request *request = view->request;

    pairs_begin(&view->parameters);
    for (size_t i = 0; i < request->replaced_count; i++)
        pairs_add(&view->parameters, span_of(request->replaced[i].name),
                  span_of(request->replaced[i].value), false);
    for (char *const *parameter = request->parameters; *parameter; parameter++) {
        struct span name = {*parameter, strcspn(*parameter, "=")};
        if (name.text[name.len] == '=' && !is_replaced(request, name))
            pairs_add(&view->parameters, name, span_of(name.text + name.len + 1), false);
    }
    view->parameters_read = true;
}

static void read_query(struct view *view)
{
    struct span rest = view->target.query, name, value;

    pairs_begin(&view->query);
    while (query_next(&rest, &name, &value)) {
        name = query_decode(name, &view->scratch);
        value = query_decode(value, &view->scratch);
        if (!name.text || !value.text)
            view->query.overflow = true;
        else
            pairs_add(&view->query, query_one_name((char *)name.text, name.len), value, false);
    }
    view->query_read = true;
}

static void read_cookies(struct view *view)
{
    struct found header = view_parameter(view, "HTTP_COOKIE");
    struct span rest = header.value, name, value;

    pairs_begin(&view->cookies);
    view->cookies.overflow = header.ambiguous;
    while (cookie_next(&rest, &name, &value)) {
        value = cookie_value(value, &view->scratch);
        pairs_add(&view->cookies, name, value, !value.text);
    }
    view->cookies_read = true;
}

struct found view_parameter(struct view *view, const char *name)
{
    if (!view->parameters_read)
        read_parameters(view);
    return pairs_find(&view->parameters, span_of(name));
}

struct found view_query(struct view *view, const char *name)
{
    char copy[VIEW_NAME_SIZE];
    size_t len = strlen(name);

    if (!view->query_read)
        read_query(view);
    assert(len < sizeof copy);
    memcpy(copy, name, len);
    return pairs_find(&view->query, query_one_name(copy, len));
}

struct found view_cookie(struct view *view, const char *name)
{
    if (!view->cookies_read)
        read_cookies(view);
    return pairs_find(&view->cookies, span_of(name));
}

const struct path *view_paths(struct view *view)
{
    if (!view->path_is_read)
        path_read(&view->target, &view->path);
    view->path_is_read = true;
    return &view->path;
}

struct span view_path(struct view *view)
{
    const struct path *path = view_paths(view);

    return path->count > 0 ? path->reading[0] : (struct span){"", 0};
}

static void read_host(struct view *view)
{
    struct found header = {.value = view->target.authority};

    if (!header.value.text)
        header = view_parameter(view, "HTTP_HOST");
    view->host.text = view->host_bytes;
    view->host.len = host_normalise(header.value, view->host_bytes);
    view->host_unreadable = header.ambiguous || (header.value.len > 0 && view->host.len == 0);
}

struct span view_host(struct view *view)
{
    if (!view->host.text)
        read_host(view);
    return view->host;
}

static const char *client_text(struct view *view)
{
    const struct address *address = view_address(view);

    if (address) {
        address_format(address, view->ipv6_prefix_bits, view->client_bytes);
        return view->client_bytes;
    }
    /* As text, "2001:db8::/64" would name the bucket of every client in that network. */
    return network_is_meant(view->request->remote_addr) ? "" : view->request->remote_addr;
}

struct span view_client(struct view *view)
{
    if (!view->client.text) {
        view->client.text = client_text(view);
        view->client.len = strlen(view->client.text);
    }
    return view->client;
}

const struct address *view_address(struct view *view)
{
    if (view->address_state == ADDRESS_UNREAD)
        view->address_state =
            address_parse(view->request->remote_addr, &view->address) ? ADDRESS_READ : ADDRESS_NONE;
    return view->address_state == ADDRESS_READ ? &view->address : NULL;
}
