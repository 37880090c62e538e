/* limits_file.c - the top of the limits file, field by field. */
/* SPDX-License-Identifier: MIT */
#include "base/units.h"
#include "base/memory.h"
#include "config/limits_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/mapping.h"
#include "config/limit_reader.h"
#include "config/lint.h"
#include "config/redis_reader.h"
#include "config/yaml_tree.h"

/* conf/limits.yaml, so that the default is a file that people can read. */
static const char default_limits[] = {
#include "limits.yaml.inc"
};

/* ---- The fields of a file ---- */

static void read_redis(const struct yaml_tree *node, void *out, struct findings *findings)
{
    redis_reader_read(node, out, findings);
}

static void read_ipv6_prefix(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct limits *limits = out;
    const char *text = mapping_text(node, findings);
    const char *error = text ? units_count(text, 1, 128, &limits->ipv6_prefix_bits) : NULL;

    if (error)
        findings_error(findings, node->line, node->column,
                       "ipv6_prefix: %s; a prefix is 1 to 128 bits, and a subscriber has 64",
                       error);
}

static void read_headers(const struct yaml_tree *node, void *out, struct findings *findings)
{
    static const char *const words[] = {"ietf", "x-ratelimit"};
    static const unsigned headers[] = {HEADER_IETF, HEADER_X_RATELIMIT};
    struct limits *limits = out;

    if (node->kind != TREE_SEQUENCE) {
        mapping_error(findings, node,
                      "'headers' must be a list; write [ietf], [ietf, x-ratelimit] or [] for none");
        return;
    }
    limits->headers = 0;
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next) {
        int word = mapping_word(entry, words, 2, findings);
        if (word >= 0)
            limits->headers |= headers[word];
    }
}

static void read_refusals(const struct yaml_tree *node, void *out, struct findings *findings)
{
    static const char *const words[] = {"off", "on"};
    struct limits *limits = out;
    int word = mapping_word(node, words, 2, findings);

    if (word >= 0)
        limits->log_refusals = word == 1;
}

static void read_log(const struct yaml_tree *node, void *out, struct findings *findings)
{
    static const struct field fields[] = {{"refusals", false, read_refusals}};

    mapping_read(node, "log", fields, 1, out, findings);
}

static void read_proxy(const struct yaml_tree *node, struct limits *limits,
                       struct findings *findings)
{
    const char *text = mapping_text(node, findings);

    if (!text)
        return;
    if (limits->proxy_count == LIMITS_PROXIES_MAX) {
        mapping_error(findings, node, "too many trusted proxies; the most is 64");
        return;
    }
    const char *error = network_parse(text, &limits->trusted_proxy[limits->proxy_count++]);
    if (error)
        findings_error(findings, node->line, node->column, "'%.64s': %s", text, error);
}

static void read_trusted_proxies(const struct yaml_tree *node, void *out, struct findings *findings)
{
    if (node->kind != TREE_SEQUENCE) {
        mapping_error(findings, node,
                      "'trusted_proxies' must be a list of addresses and CIDRs; write [127.0.0.1, "
                      "10.0.0.0/8]");
        return;
    }
    struct limits *limits = out;
    limits->proxies_line = node->line;
    limits->proxies_column = node->column;
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next)
        read_proxy(entry, limits, findings);
}

static void read_forward_auth(const struct yaml_tree *node, void *out, struct findings *findings)
{
    static const char *const words[] = {"x-forwarded", "x-original", "path"};
    static const enum forward_auth_convention conventions[] = {FORWARD_X_FORWARDED,
                                                               FORWARD_X_ORIGINAL, FORWARD_BY_PATH};
    struct limits *limits = out;
    int word = mapping_word(node, words, 3, findings);

    if (word >= 0)
        limits->forward_auth = conventions[word];
}

static bool name_stands_before(const struct limits *limits, const char *name)
{
    for (size_t i = 0; i < limits->count; i++)
        if (name[0] != '\0' && strcmp(limits->limit[i].name, name) == 0)
            return true;
    return false;
}

/* The number of entries of LIST, or LIMITS_MAX if it has more. */
static size_t limits_length(const struct yaml_tree *list)
{
    size_t length = 0;

    for (const struct yaml_tree *entry = list->first; entry && length < LIMITS_MAX;
         entry = entry->next)
        length++;
    return length;
}

static void read_limits(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct limits *limits = out;
    size_t unmatched_count = 0;

    if (node->kind != TREE_SEQUENCE || !node->first) {
        mapping_error(findings, node,
                      "'limits' must be a list of at least one limit; write - name: NAME");
        return;
    }
    limits->limit = memory_new(limits_length(node) * sizeof *limits->limit);
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next) {
        if (limits->count == LIMITS_MAX) {
            mapping_error(findings, entry, "too many limits; the most is 1000");
            return;
        }
        struct limit *limit = &limits->limit[limits->count];
        limit_reader_read(entry, (unsigned)limits->ipv6_prefix_bits, limit, findings);
        if (name_stands_before(limits, limit->name))
            findings_error(findings, entry->line, entry->column,
                           "duplicate limit name '%s'; give each limit its own", limit->name);
        limits->count++;
        unmatched_count += limit->match.method_count == 0 && limit->match.path[0] == '\0' &&
                           limit->match.host[0] == '\0';
        if (unmatched_count == STORE_CHARGES_MAX + 1)
            findings_error(findings, entry->line, entry->column,
                           "over 64 limits apply to every request, and 64 are the most; give "
                           "some of them a match");
    }
}

/* ---- Public ---- */

struct limits *limits_parse(const char *text, size_t len, struct findings *findings)
{
    /* ipv6_prefix is before the limits because their overrides rely on it. */
    static const struct field fields[] = {
        {"redis", false, read_redis},
        {"ipv6_prefix", false, read_ipv6_prefix},
        {"headers", false, read_headers},
        {"log", false, read_log},
        {"trusted_proxies", false, read_trusted_proxies},
        {"forward_auth", false, read_forward_auth},
        {"limits", true, read_limits},
    };
    struct limits *limits = memory_new(sizeof *limits);
    unsigned errors = findings->error_count;

    limits->ref_count = 1;
    limits->large = len > LIMITS_LARGE;
    memo_digest(NULL, (struct span){text, len}, limits->sha256);
    redis_config_default(&limits->redis);
    limits->ipv6_prefix_bits = 64; /* what one subscriber owns: RFC 6177, 2 */
    limits->headers = HEADER_IETF;
    limits->log_refusals = true;
    struct yaml_tree *root = yaml_tree_parse(text, len, findings);
    if (root)
        mapping_read(root, "the file", fields, sizeof fields / sizeof *fields, limits, findings);
    yaml_tree_free(root);
    if (findings->error_count == errors) {
        lint_limits(limits, findings);
        return limits;
    }
    limits_unref(limits);
    return NULL;
}

struct limits *limits_load(const char *path, struct findings *findings)
{
    struct limits *limits = NULL;

    if (!path)
        return limits_parse(default_limits, sizeof default_limits, findings);
    FILE *file = fopen(path, "r");
    if (!file) {
        findings_error(findings, 0, 0, "%s; name a file that can be read", strerror(errno));
        return NULL;
    }
    /* One byte more than is allowed, so that a file that is too large is noticed. */
    char *text = memory_get(YAML_TREE_BYTES_MAX + 1);
    size_t len = fread(text, 1, YAML_TREE_BYTES_MAX + 1, file);
    if (ferror(file))
        findings_error(findings, 0, 0, "%s; name a file that can be read", strerror(errno));
    else
        limits = limits_parse(text, len, findings);
    fclose(file);
    free(text);
    return limits;
}
