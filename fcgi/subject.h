/* subject.h - what limits look at in a request: its path, host and client, each in one spelling.  Pure. */
#ifndef SUBJECT_H
#define SUBJECT_H

#include "address.h"
#include "host.h"
#include "path.h"
#include "request.h"
#include "span.h"

/* A request as limits see it.  What has several spellings is brought into one when it is first asked for,
 * and once for all limits. */
struct subject {
    const struct request *request;  /* borrowed */
    unsigned ipv6_prefix_bits;      /* 1 .. 128: what counts as one client */
    struct span path, host, client; /* text NULL: not asked for yet */
    enum { ADDRESS_UNREAD, ADDRESS_READ, ADDRESS_NONE } address_state;
    struct address address;
    char path_bytes[PATH_BYTES_MAX], host_bytes[HOST_MAX], client_bytes[ADDRESS_MAX];
};

/* Make SUBJECT that of REQUEST (borrowed as long as SUBJECT is used). */
void subject_begin(struct subject *subject, const struct request *request,
                   unsigned ipv6_prefix_bits);

/* The path, as path.h normalises it; empty where it does not fit. */
struct span subject_path(struct subject *subject);

/* The host, as host.h normalises it; empty where there is none. */
struct span subject_host(struct subject *subject);

/* The client, as address.h writes it; REMOTE_ADDR itself where that is no address, such as the path of a
 * unix socket: it is still somebody's.  Empty where that is a network, which is nobody. */
struct span subject_client(struct subject *subject);

/* The client's whole address; NULL where REMOTE_ADDR is none. */
const struct address *subject_address(struct subject *subject);

#endif
