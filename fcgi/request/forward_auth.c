/* forward_auth.c - find the original request in a forward-auth question. */
/* SPDX-License-Identifier: MIT */
#include "request/forward_auth.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/span.h"
#include "request/target.h"

static bool is_trusted(const struct address *address, const struct network *trusted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (network_contains(&trusted[i], address))
            return true;
    return false;
}

/* The part of URI after FORWARD_PATH; NULL if URI is for another path. */
static const char *behind_path(const char *uri)
{
    size_t len = sizeof FORWARD_PATH - 1;

    if (strncmp(uri, FORWARD_PATH, len) != 0 || !strchr("/?#", uri[len]))
        return NULL;
    return uri + len; /* strchr finds the NUL, too */
}

/* Cut the last entry off the list *REST, "a, b, c", without surrounding spaces.  Returns false if
 * none is left. */
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

/* Find the client of PEER, which is trusted and sent FORWARDED_FOR, and write its address into
 * OUT->client.  Returns false if there are too many hops. */
static bool find_client(struct span forwarded_for, const struct address *peer,
                        const struct forward_auth_rules *rules, struct forward_auth *out)
{
    struct span rest = forwarded_for, entry;
    struct address client = *peer, address;
    char text[ADDRESS_SIZE];
    unsigned hops = 0;

    while (is_trusted(&client, rules->trusted, rules->trusted_count) && cut_last(&rest, &entry)) {
        if (hops++ == FORWARD_AUTH_HOPS_MAX)
            return false;
        if (entry.len >= sizeof text)
            break;
        memcpy(text, entry.text, entry.len);
        text[entry.len] = '\0';
        if (!address_parse(text, &address))
            break;
        client = address;
    }
    address_format(&client, ADDRESS_BITS, out->client);
    return true;
}

/* The parts of the original request by one convention; "" if absent.  NUL-terminated, borrowed. */
struct question {
    const char *method, *uri, *host, *scheme;
};

/* The parameter NAME of the question; "" if absent.  If it appears twice, OUT->problem is set. */
static const char *get(struct forward_auth *out, const char *name)
{
    struct found found = pairs_find(&out->pairs, (struct span){name, strlen(name)});

    if (found.ambiguous)
        out->problem = "A header of this question appears more than once; a proxy sends it once.";
    return found.value.text ? found.value.text : "";
}

static bool is_said(const struct question *question)
{
    return question->method[0] != '\0' || question->uri[0] != '\0' || question->host[0] != '\0';
}

static struct question x_forwarded(struct forward_auth *out)
{
    return (struct question){.method = get(out, "HTTP_X_FORWARDED_METHOD"),
                             .uri = get(out, "HTTP_X_FORWARDED_URI"),
                             .host = get(out, "HTTP_X_FORWARDED_HOST"),
                             .scheme = get(out, "HTTP_X_FORWARDED_PROTO")};
}

static struct question x_original(struct forward_auth *out)
{
    const char *uri = get(out, "HTTP_X_ORIGINAL_URI"), *url = get(out, "HTTP_X_ORIGINAL_URL");

    if (uri[0] != '\0' && url[0] != '\0')
        out->problem =
            "This question has both X-Original-URI and X-Original-URL; a proxy sends one.";
    return (struct question){.method = get(out, "HTTP_X_ORIGINAL_METHOD"),
                             .uri = uri[0] != '\0' ? uri : url,
                             .host = get(out, "HTTP_X_ORIGINAL_HOST"),
                             .scheme = ""};
}

/* Whether BEHIND, the part of the URI after FORWARD_PATH, names a path. */
static bool names_path(const char *behind)
{
    return behind[0] == '/' && !strchr("?#", behind[1]); /* strchr finds the NUL, too */
}

/* The parts of the original request, by RULES.  OUT->problem is set if they are unclear. */
static struct question ask(const struct forward_auth_rules *rules, const char *behind,
                           struct forward_auth *out)
{
    struct question forwarded = {"", "", "", ""}, original = forwarded;
    struct question path = {"", behind, "", ""};
    enum forward_auth_convention convention = rules->convention;

    if (convention == FORWARD_ANY || convention == FORWARD_X_FORWARDED)
        forwarded = x_forwarded(out);
    if (convention == FORWARD_ANY || convention == FORWARD_X_ORIGINAL)
        original = x_original(out);
    if (convention == FORWARD_ANY &&
        is_said(&forwarded) + is_said(&original) + names_path(behind) > 1)
        out->problem =
            "This question mixes X-Forwarded headers, X-Original headers and a path behind "
            "/check; name the convention of the proxy with forward_auth in the limits file.";
    if (convention == FORWARD_ANY && is_said(&original)) {
        original.scheme = forwarded.scheme;
        return original;
    }
    if (convention == FORWARD_ANY && !is_said(&forwarded)) {
        path.scheme = forwarded.scheme;
        return path;
    }
    return convention == FORWARD_X_ORIGINAL ? original
           : convention == FORWARD_BY_PATH  ? path
                                            : forwarded;
}

static void replace(struct forward_auth *out, const char *name, const char *value)
{
    struct request *request = &out->request;

    out->replaced[request->replaced_count++] = (struct parameter){name, value};
}

/* Replace NAME by LIST.  If LIST has different entries, add two values, so that NAME is
 * ambiguous. */
static void replace_list(struct forward_auth *out, const char *name, const char *list)
{
    struct span rest = {list, strlen(list)}, last, entry;

    if (!cut_last(&rest, &last) || !rest.text) {
        replace(out, name, list);
        return;
    }
    replace(out, name, last.text);
    while (cut_last(&rest, &entry))
        if (entry.len != last.len || strncasecmp(entry.text, last.text, last.len) != 0) {
            replace(out, name, list);
            return;
        }
}

/* If the target of QUESTION is an absolute URL, take host and scheme from it. */
static void split_url(struct question *question, struct forward_auth *out)
{
    const struct target target = target_read(question->uri);
    size_t scheme = target.authority.text ? (size_t)(target.authority.text - question->uri) - 3 : 0;

    if (!target.authority.text)
        return;
    if (target.authority.len >= sizeof out->host || scheme >= sizeof out->scheme) {
        out->problem = "The host of this question is longer than any host; send it as it is.";
        return;
    }
    *(char *)mempcpy(out->host, target.authority.text, target.authority.len) = '\0';
    *(char *)mempcpy(out->scheme, question->uri, scheme) = '\0';
    question->host = out->host;
    question->scheme = out->scheme;
}

const struct request *forward_auth_read(const struct request *request,
                                        const struct forward_auth_rules *rules,
                                        struct forward_auth *out)
{
    const char *behind = rules->trusted_count > 0 ? behind_path(request->uri) : NULL;
    struct address peer;

    if (!behind || !address_parse(request->remote_addr, &peer) ||
        !is_trusted(&peer, rules->trusted, rules->trusted_count))
        return request;
    out->problem = NULL;
    pairs_begin(&out->pairs);
    for (char *const *parameter = request->parameters; *parameter; parameter++) {
        size_t len = strcspn(*parameter, "=");
        const char *value = *parameter + len + ((*parameter)[len] == '=');
        pairs_add(&out->pairs, (struct span){*parameter, len}, (struct span){value, strlen(value)},
                  false);
    }
    struct question question = ask(rules, behind, out);
    const char *clients = get(out, "HTTP_X_FORWARDED_FOR"), *host = get(out, "HTTP_HOST");
    split_url(&question, out);
    if (!find_client((struct span){clients, strlen(clients)}, &peer, rules, out))
        out->problem = "X-Forwarded-For has more than 32 addresses of trusted proxies.";
    if (out->problem)
        return NULL;
    out->request = *request;
    out->request.method = question.method[0] != '\0' ? question.method : request->method;
    out->request.uri = question.uri[0] != '\0' ? question.uri : "/";
    out->request.remote_addr = out->client;
    out->request.replaced = out->replaced;
    out->request.replaced_count = 0;
    const char *query = strchr(out->request.uri, '?');
    replace(out, "REQUEST_METHOD", out->request.method);
    replace(out, "REQUEST_URI", out->request.uri);
    replace(out, "QUERY_STRING", query ? query + 1 : "");
    replace(out, "REMOTE_ADDR", out->client);
    replace_list(out, "HTTP_HOST", question.host[0] != '\0' ? question.host : host);
    replace_list(out, "REQUEST_SCHEME", question.scheme);
    return &out->request;
}
