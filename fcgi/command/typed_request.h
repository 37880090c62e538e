/* typed_request.h - from a request that a person types to one that a web server would send. */
#ifndef TYPED_REQUEST_H
#define TYPED_REQUEST_H

#include <stddef.h>

#include "command/options.h"
#include "request/request.h"

#define TYPED_REQUEST_PARAMETERS_MAX 136

/* A request that owns its strings. */
struct typed_request {
    struct request request;
    size_t count;
    char *parameter[TYPED_REQUEST_PARAMETERS_MAX + 1]; /* NAME=VALUE, NULL at the end */
};

/* Make *OUT the request TEXT, "GET https://api.example.com/x?user=alice" or "GET /x", from the
 * client at IP, with the HEADER_COUNT HEADERS ("NAME: VALUE", as curl has them) and the ENV_COUNT
 * FastCGI parameters ENV ("NAME=VALUE"); each contains its separator.  A header Host wins over the
 * host of the URL. Returns NULL, or what is wrong and what would be right (static string).  In
 * either case *OUT is the caller's to typed_request_free. */
const char *typed_request_read(const char *text, const char *ip, const char *const headers[],
                               size_t header_count, const char *const env[], size_t env_count,
                               struct typed_request *out);

/* The same with the client, the headers and the parameters of OPTIONS; without --ip, the client is
 * at 192.0.2.1, an address for documentation (RFC 5737). */
const char *typed_request_of(const struct options *options, const char *text,
                             struct typed_request *out);

/* Free what REQUEST holds. */
void typed_request_free(struct typed_request *request);

#endif
