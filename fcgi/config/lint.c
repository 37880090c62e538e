/* lint.c - what a limits file may say and probably does not mean. */
/* SPDX-License-Identifier: MIT */
#include "config/lint.h"

#include <ctype.h>
#include <string.h>

static bool same_source(const struct key_source *one, const struct key_source *other)
{
    return one->kind == other->kind && one->lower == other->lower &&
           strcmp(one->name, other->name) == 0;
}

static bool same_key(const struct key_spec *one, const struct key_spec *other)
{
    if (one->count != other->count)
        return false;
    for (size_t i = 0; i < one->count; i++)
        if (one->part[i].alternative != other->part[i].alternative ||
            !same_source(&one->part[i].source, &other->part[i].source))
            return false;
    return true;
}

static bool has_method(const struct match *match, const char *method)
{
    for (unsigned i = 0; i < match->method_count; i++)
        if (strcmp(match->method[i], method) == 0)
            return true;
    return match->method_count == 0;
}

/* Whether MATCH fits every method that OTHER names. */
static bool has_methods_of(const struct match *match, const struct match *other)
{
    for (unsigned i = 0; i < other->method_count; i++)
        if (!has_method(match, other->method[i]))
            return false;
    return match->method_count == 0 || other->method_count > 0;
}

/* Whether MATCH fits every request that OTHER fits, false if that is not easy to tell. */
static bool covers(const struct match *match, const struct match *other)
{
    return has_methods_of(match, other) &&
           (match->path[0] == '\0' || (strcmp(match->path, other->path) == 0 &&
                                       (match->ignore_case || !other->ignore_case))) &&
           (match->host[0] == '\0' || strcmp(match->host, other->host) == 0);
}

static bool same_cost(const struct cost *one, const struct cost *other)
{
    return one->tokens == other->tokens &&
           (one->tokens > 0 || same_source(&one->source, &other->source));
}

/* Whether OTHER refuses whenever LIMIT would, because its buckets belong to the same clients and
 * are never fuller. */
static bool refuses_first(const struct limit *other, const struct limit *limit)
{
    return !other->shadow && !other->overrides && !limit->overrides &&
           same_key(&other->key, &limit->key) && covers(&other->match, &limit->match) &&
           same_cost(&other->cost, &limit->cost) && other->capacity <= limit->capacity &&
           other->interval_us >= limit->interval_us;
}

/* Whether PATH fits no normalised path (path.h), as "/api//x" and "/%61pi" do not. */
static bool fits_no_path(const char *path)
{
    size_t len = strlen(path);

    for (const char *at = path; (at = strchr(at, '%')) != NULL; at++)
        if (isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]))
            return true;
    return strstr(path, "//") || strstr(path, "/./") || strstr(path, "/../") ||
           (len >= 2 && strcmp(path + len - 2, "/.") == 0) ||
           (len >= 3 && strcmp(path + len - 3, "/..") == 0);
}

static void find_never_refuses(const struct limits *limits, const struct limit *limit,
                               struct findings *findings)
{
    if (limit->overrides && overrides_lift_all(limit->overrides, &limit->key))
        findings_warning(
            findings, limit->line, limit->column,
            "'%s' can never refuse, its first override makes every client unlimited; leave "
            "the limit out, or write that override last",
            limit->name);
    if (fits_no_path(limit->match.path))
        findings_warning(
            findings, limit->line, limit->column,
            "'%s' can never refuse, its path fits no request: paths are matched decoded "
            "and normalised; write it without %%XX, //, /./ and /../",
            limit->name);
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *other = &limits->limit[i];
        /* If two are alike in all of this, the second is superfluous. */
        if (other == limit || !refuses_first(other, limit) ||
            (refuses_first(limit, other) && other > limit))
            continue;
        findings_warning(
            findings, limit->line, limit->column,
            "'%s' can never refuse, '%s' in line %u always refuses first; leave it out, "
            "or make its capacity or refill the smaller one",
            limit->name, other->name, other->line);
        return;
    }
}

static void find_cost(const struct limit *limit, struct findings *findings)
{
    if (limit->cost.tokens > limit->capacity)
        findings_warning(
            findings, limit->line, limit->column,
            "'%s' refuses every request, because its cost is above its capacity; lower the "
            "cost or raise the capacity",
            limit->name);
}

/* The first source of the alternative of KEY from FIRST to before END that a request can lack, or
 * NULL. */
static const struct key_source *absent_source(const struct key_spec *key, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (key_source_can_be_absent(&key->part[i].source))
            return &key->part[i].source;
    return NULL;
}

static bool has_ip(const struct key_spec *key, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (key->part[i].source.kind == KEY_SOURCE_IP)
            return true;
    return false;
}

static void find_missing_key(const struct limit *limit, struct findings *findings)
{
    const struct key_spec *key = &limit->key;
    const struct key_source *absent;
    size_t first = 0, end;

    do {
        end = key_alternative_end(key, first);
        absent = absent_source(key, first, end);
        if (!absent)
            return; /* every request has this alternative */
        if (end == key->count && has_ip(key, first, end))
            return; /* requests that lack the others use this one: a bucket for each client */
        first = end;
    } while (first < key->count);
    findings_warning(findings, limit->line, limit->column,
                     "the key of '%s' can be missing, and all requests without %s%s%s share a "
                     "bucket; end it in | ip, or in | global if that is meant",
                     limit->name, key_source_word(absent->kind), absent->name[0] ? ":" : "",
                     absent->name);
}

static void find_twin(const struct limits *limits, const struct limit *limit,
                      struct findings *findings)
{
    for (const struct limit *other = limits->limit; other < limit; other++) {
        if (other->shadow != limit->shadow || !same_key(&other->key, &limit->key) ||
            !covers(&other->match, &limit->match) || !covers(&limit->match, &other->match))
            continue;
        findings_warning(
            findings, limit->line, limit->column,
            "'%s' has the same key and match as '%s' in line %u; leave one of them out, "
            "unless they are for two spans of time, such as 10/s and 1000/day",
            limit->name, other->name, other->line);
        return;
    }
}

/* If every request has the sources before a '|', the alternatives after it are never used. */
static void find_unreachable(const struct limit *limit, struct findings *findings)
{
    const struct key_spec *key = &limit->key;

    for (size_t first = 0, end; first < key->count; first = end) {
        end = key_alternative_end(key, first);
        if (end == key->count || absent_source(key, first, end))
            continue;
        findings_warning(
            findings, limit->line, limit->column,
            "the key of '%s' has alternatives that are never used, because every request "
            "has the source %s before them; write that one last, or leave the others out",
            limit->name, key_source_word(key->part[first].source.kind));
        return;
    }
}

/* The first sign in PATH that belongs to the patterns of another language; NULL: none. */
static const char *foreign_to_globs(const char *path)
{
    static const char *const signs[] = {"{", "}", "[", "]", "(", "/:", "^", "$", "\\", ".*", ".+"};

    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strstr(path, signs[i]))
            return strcmp(signs[i], "/:") == 0 ? ":" : signs[i];
    return NULL;
}

static void find_wrong_path(const struct limit *limit, struct findings *findings)
{
    const char *path = limit->match.path, *sign = foreign_to_globs(path);

    if (strpbrk(path, "?#"))
        findings_warning(
            findings, limit->line, limit->column,
            "the path of '%s' holds a '%c', and what follows one is not part of a path; "
            "write what comes before it, and count by the query in the key",
            limit->name, *strpbrk(path, "?#"));
    else if (sign)
        findings_warning(
            findings, limit->line, limit->column,
            "the path of '%s' holds '%s', which means only itself; a pattern has * for "
            "any bytes but a slash and ** for any bytes, so write /users/* for each user",
            limit->name, sign);
}

static void find_wrong_host(const struct limit *limit, struct findings *findings)
{
    for (const char *byte = limit->match.host; *byte; byte++) {
        if ((unsigned char)*byte >= 0x80) {
            findings_warning(
                findings, limit->line, limit->column,
                "the host of '%s' has letters that no request has, because clients send "
                "such a name in its ASCII form; write that, xn--...",
                limit->name);
            return;
        }
        if (*byte <= ' ' || strchr("{}()^$|?#@,;\\\"<>", *byte)) {
            findings_warning(findings, limit->line, limit->column,
                             "the host of '%s' holds a '%c', which no host has; write a name or a "
                             "pattern, such as *.example.com",
                             limit->name, *byte);
            return;
        }
    }
}

/* Clients are in so wide a network, and each of them could ask on behalf of any other. */
static void find_wide_proxies(const struct limits *limits, struct findings *findings)
{
    for (size_t i = 0; i < limits->proxy_count; i++) {
        const struct network *network = &limits->trusted_proxy[i];
        bool ipv4 = address_is_ipv4(&network->address);
        unsigned bits = ipv4 ? network->bits - 96 : network->bits;
        if (bits >= (ipv4 ? 8U : 16U))
            continue;
        findings_warning(findings, limits->proxies_line, limits->proxies_column,
                         "trusted_proxies has a network of /%u, whose every address could ask on "
                         "behalf of any client; name the addresses of your proxies",
                         bits);
    }
}

static bool any_enforced(const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        if (!limits->limit[i].shadow)
            return true;
    return false;
}

void lint_limits(const struct limits *limits, struct findings *findings)
{
    if (!any_enforced(limits))
        findings_warning(findings, limits->limit[0].line, limits->limit[0].column,
                         "no limit is enforced, every one is a shadow; write shadow: false for one "
                         "that should refuse");
    find_wide_proxies(limits, findings);
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *limit = &limits->limit[i];
        find_never_refuses(limits, limit, findings);
        find_wrong_path(limit, findings);
        find_wrong_host(limit, findings);
        find_cost(limit, findings);
        find_missing_key(limit, findings);
        find_unreachable(limit, findings);
        find_twin(limits, limit, findings);
    }
}
