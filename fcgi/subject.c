#include "subject.h"

#include <string.h>

#include "network.h"

void subject_begin(struct subject *subject, const struct request *request,
                   unsigned ipv6_prefix_bits)
{
    subject->request = request;
    subject->ipv6_prefix_bits = ipv6_prefix_bits;
    subject->path.text = subject->host.text = subject->client.text = NULL;
    subject->address_state = ADDRESS_UNREAD;
}

struct span subject_path(struct subject *subject)
{
    if (!subject->path.text) {
        subject->path.text = subject->path_bytes;
        subject->path.len = path_normalise(subject->request->uri, subject->path_bytes);
    }
    return subject->path;
}

struct span subject_host(struct subject *subject)
{
    if (!subject->host.text) {
        const char *header = request_parameter(subject->request, "HTTP_HOST");
        subject->host.text = subject->host_bytes;
        subject->host.len = host_normalise(header, subject->host_bytes);
    }
    return subject->host;
}

static const char *client_text(struct subject *subject)
{
    const struct address *address = subject_address(subject);

    if (address) {
        address_format(address, subject->ipv6_prefix_bits, subject->client_bytes);
        return subject->client_bytes;
    }
    /* "2001:db8::/64" would have the text, and so the buckets, of every client in it. */
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
