/* typed_request.c - a URL and curl-like headers become FastCGI parameters. */
/* SPDX-License-Identifier: MIT */
#include "command/typed_request.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "request/key_source.h"

#define DEFAULT_IP "192.0.2.1"

/* Add the parameter NAME with the LEN bytes at VALUE.  Returns its value. */
static const char *add(struct typed_request *out, const char *name, const char *value, size_t len)
{
    char *parameter;

    assert(out->count < TYPED_REQUEST_PARAMETERS_MAX);
    int written = asprintf(&parameter, "%s=%.*s", name, (int)len, value);
    assert(written >= 0);
    out->parameter[out->count++] = parameter;
    return parameter + strlen(name) + 1;
}

static const char *add_header(struct typed_request *out, const char *header)
{
    size_t name_len = strcspn(header, ":");
    const char *value = header + name_len + 1;
    char name[KEY_SOURCE_NAME_MAX + 1], word[sizeof "header:" + KEY_SOURCE_NAME_MAX];
    struct key_source source;

    if (name_len >= sizeof name)
        return "the name of a header is too long; the most is 64 bytes";
    snprintf(name, sizeof name, "%.*s", (int)name_len, header);
    int len = snprintf(word, sizeof word, "header:%s", name);
    const char *error = key_source_parse((struct span){word, (size_t)len}, &source);
    if (error)
        return error;
    if (request_parameter(&out->request, source.parameter))
        return "a duplicate header; write one, its values joined by a comma as web servers "
               "do";
    value += strspn(value, " \t");
    len = (int)strlen(value);
    while (len > 0 && strchr(" \t", value[len - 1]))
        len--;
    add(out, source.parameter, value, (size_t)len);
    return NULL;
}

static const char *add_env(struct typed_request *out, const char *env)
{
    size_t name_len = strcspn(env, "=");
    char name[KEY_SOURCE_NAME_MAX + 1];

    if (name_len >= sizeof name)
        return "the name of a FastCGI parameter is too long; the most is 64 bytes";
    snprintf(name, sizeof name, "%.*s", (int)name_len, env);
    add(out, name, env + name_len + 1, strlen(env + name_len + 1));
    return NULL;
}

/* Split URL into the host and what a client sends as the request target (RFC 9112, 3.2.1). */
static const char *add_url(struct typed_request *out, const char *url)
{
    const char *authority = strstr(url, "://"), *target = url;
    size_t target_len;

    if (authority && authority < url + strcspn(url, "/?#")) {
        authority += 3;
        const char *at = memchr(authority, '@', strcspn(authority, "/?#"));
        const char *host = at ? at + 1 : authority;
        target = host + strcspn(host, "/?#");
        if (target == host)
            return "a URL without a host; write https://api.example.com/x, or /x alone";
        if (!request_parameter(&out->request, "HTTP_HOST"))
            add(out, "HTTP_HOST", host, (size_t)(target - host));
    } else if (url[0] != '/') {
        return "neither a URL nor a path; write 'GET https://api.example.com/x?user=alice' or 'GET "
               "/x'";
    }
    target_len = strcspn(target, "#"); /* a fragment is not sent */
    char *uri;
    int written = asprintf(&uri, "%s%.*s", target[0] == '/' ? "" : "/", (int)target_len, target);
    assert(written >= 0);
    out->request.uri = add(out, "REQUEST_URI", uri, (size_t)written);
    const char *query = strchr(uri, '?');
    add(out, "QUERY_STRING", query ? query + 1 : "", query ? strlen(query + 1) : 0);
    free(uri);
    return NULL;
}

const char *typed_request_read(const char *text, const char *ip, const char *const headers[],
                               size_t header_count, const char *const env[], size_t env_count,
                               struct typed_request *out)
{
    size_t method_len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    const char *error = NULL;

    *out = (struct typed_request){.count = 0};
    out->request.parameters = out->parameter;
    assert(header_count + env_count + 8 <= TYPED_REQUEST_PARAMETERS_MAX);
    if (method_len == 0 || text[method_len] != ' ')
        return "no method; write 'METHOD URL', such as 'GET https://api.example.com/x?user=alice'";
    out->request.method = add(out, "REQUEST_METHOD", text, method_len);
    out->request.remote_addr = add(out, "REMOTE_ADDR", ip, strlen(ip));
    for (size_t i = 0; i < header_count && !error; i++)
        error = add_header(out, headers[i]);
    for (size_t i = 0; i < env_count && !error; i++)
        error = add_env(out, env[i]);
    const char *url = text + method_len + strspn(text + method_len, " ");
    if (!error && url[strcspn(url, " \t\r\n")] != '\0')
        error = "a space in the URL; write it percent-encoded, as %20";
    return error ? error : add_url(out, url);
}

const char *typed_request_of(const struct options *options, const char *text,
                             struct typed_request *out)
{
    const char *ip = options->ip ? options->ip : DEFAULT_IP;
    struct address address;

    *out = (struct typed_request){.count = 0};
    if (!address_parse(ip, &address))
        return "--ip is no address; write 192.0.2.7 or 2001:db8::1";
    return typed_request_read(text, ip, options->headers.text, options->headers.count,
                              options->env.text, options->env.count, out);
}

void typed_request_free(struct typed_request *request)
{
    for (size_t i = 0; i < request->count; i++)
        free(request->parameter[i]);
    request->count = 0;
}
