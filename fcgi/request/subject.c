/* subject.c - what limits look at in a request, each in one spelling.
 * SPDX-License-Identifier: MIT */
#include "request/subject.h"

#include <assert.h>
#include <string.h>

#include "request/cookie.h"
#include "base/network.h"
#include "request/query.h"

#define SUBJECT_NAME_SIZE                                                                          \
    128 /* of the name of a query parameter that a limit reads; SOURCE_NAME_MAX is less */

void subject_begin(struct subject *subject, const struct request *request,
                   unsigned ipv6_prefix_bits)
{
    subject->request = request;
    subject->ipv6_prefix_bits = ipv6_prefix_bits;
    subject->target = target_read(request->uri);
    subject->host.text = subject->client.text = NULL;
    subject->path_is_read = false;
    subject->host_unreadable = false;
    subject->address_state = ADDRESS_UNREAD;
    subject->parameters_read = subject->query_read = subject->cookies_read = false;
    subject->scratch = (struct scratch){subject->scratch_bytes, sizeof subject->scratch_bytes, 0};
    memo_begin(&subject->memo);
    glob_work_begin(&subject->work);
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

static void read_parameters(struct subject *subject)
{
    const struct request *request = subject->request;

    pairs_begin(&subject->parameters);
    for (size_t i = 0; i < request->replaced_count; i++)
        pairs_add(&subject->parameters, span_of(request->replaced[i].name),
                  span_of(request->replaced[i].value), false);
    for (char *const *parameter = request->parameters; *parameter; parameter++) {
        struct span name = {*parameter, strcspn(*parameter, "=")};
        if (name.text[name.len] == '=' && !is_replaced(request, name))
            pairs_add(&subject->parameters, name, span_of(name.text + name.len + 1), false);
    }
    subject->parameters_read = true;
}

static void read_query(struct subject *subject)
{
    struct span rest = subject->target.query, name, value;

    pairs_begin(&subject->query);
    while (query_next(&rest, &name, &value)) {
        name = query_decode(name, &subject->scratch);
        value = query_decode(value, &subject->scratch);
        if (!name.text || !value.text)
            subject->query.overflow = true;
        else
            pairs_add(&subject->query, query_one_name((char *)name.text, name.len), value, false);
    }
    subject->query_read = true;
}

static void read_cookies(struct subject *subject)
{
    struct found header = subject_parameter(subject, "HTTP_COOKIE");
    struct span rest = header.value, name, value;

    pairs_begin(&subject->cookies);
    subject->cookies.overflow = header.ambiguous;
    while (cookie_next(&rest, &name, &value)) {
        value = cookie_value(value, &subject->scratch);
        pairs_add(&subject->cookies, name, value, !value.text);
    }
    subject->cookies_read = true;
}

struct found subject_parameter(struct subject *subject, const char *name)
{
    if (!subject->parameters_read)
        read_parameters(subject);
    return pairs_find(&subject->parameters, span_of(name));
}

struct found subject_query(struct subject *subject, const char *name)
{
    char copy[SUBJECT_NAME_SIZE];
    size_t len = strlen(name);

    if (!subject->query_read)
        read_query(subject);
    assert(len < sizeof copy);
    memcpy(copy, name, len);
    return pairs_find(&subject->query, query_one_name(copy, len));
}

struct found subject_cookie(struct subject *subject, const char *name)
{
    if (!subject->cookies_read)
        read_cookies(subject);
    return pairs_find(&subject->cookies, span_of(name));
}

const struct path *subject_paths(struct subject *subject)
{
    if (!subject->path_is_read)
        path_read(&subject->target, &subject->path);
    subject->path_is_read = true;
    return &subject->path;
}

struct span subject_path(struct subject *subject)
{
    const struct path *path = subject_paths(subject);

    return path->count > 0 ? path->reading[0] : (struct span){"", 0};
}

static void read_host(struct subject *subject)
{
    struct found header = {.value = subject->target.authority};

    if (!header.value.text)
        header = subject_parameter(subject, "HTTP_HOST");
    subject->host.text = subject->host_bytes;
    subject->host.len = host_normalise(header.value, subject->host_bytes);
    subject->host_unreadable = header.ambiguous || (header.value.len > 0 && subject->host.len == 0);
}

struct span subject_host(struct subject *subject)
{
    if (!subject->host.text)
        read_host(subject);
    return subject->host;
}

static const char *client_text(struct subject *subject)
{
    const struct address *address = subject_address(subject);

    if (address) {
        address_format(address, subject->ipv6_prefix_bits, subject->client_bytes);
        return subject->client_bytes;
    }
    /* "2001:db8::/64" would have the text, and so the bucket, of every client in it. */
    return network_is_meant(subject->request->remote_addr) ? "" : subject->request->remote_addr;
}

struct span subject_client(struct subject *subject)
{
    if (!subject->client.text) {
        subject->client.text = client_text(subject);
        subject->client.len = strlen(subject->client.text);
    }
    return subject->client;
}

const struct address *subject_address(struct subject *subject)
{
    if (subject->address_state == ADDRESS_UNREAD)
        subject->address_state = address_parse(subject->request->remote_addr, &subject->address)
                                     ? ADDRESS_READ
                                     : ADDRESS_NONE;
    return subject->address_state == ADDRESS_READ ? &subject->address : NULL;
}
