/* limit_reader.c - the fields of a limit, and those of its match. */
/* SPDX-License-Identifier: MIT */
#include "config/limit_reader.h"

#include <ctype.h>
#include <string.h>

#include "config/bucket_reader.h"
#include "config/mapping.h"
#include "config/override_reader.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A limit while it is read. */
struct reading {
    struct limit *limit;
    unsigned ipv6_prefix_bits;
};

/* ---- match ---- */

static void read_glob(const struct yaml_tree *node, char out[GLOB_MAX + 1],
                      struct findings *findings)
{
    const char *text = mapping_text(node, findings);

    if (!text)
        return;
    if (strlen(text) > GLOB_MAX)
        mapping_error(findings, node, "this pattern is too long; the most is 256 bytes");
    else
        strcpy(out, text);
}

static void read_path(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct match *match = out;

    if (node->kind == TREE_SEQUENCE) {
        mapping_error(findings, node,
                      "'path' takes one value, and not a list; write a glob, such as /api/**, or a "
                      "limit for each");
        return;
    }
    read_glob(node, match->path, findings);
    if (match->path[0] != '\0' && match->path[0] != '/' && match->path[0] != '*')
        mapping_error(findings, node, "a path begins with a slash; write /api/** or **/x");
    for (char *byte = match->path; match->ignore_case && *byte; byte++)
        *byte = (char)(*byte >= 'A' && *byte <= 'Z' ? *byte + ('a' - 'A') : *byte);
}

static void read_ignore_case(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct match *match = out;

    mapping_flag(node, &match->ignore_case, findings);
}

static void read_host(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct match *match = out;

    read_glob(node, match->host, findings);
    for (char *byte = match->host; *byte; byte++) {
        *byte = (char)tolower((unsigned char)*byte);
        if (*byte == ':' || *byte == '/') {
            mapping_error(findings, node, "a host is a name without a port; write *.example.com");
            return;
        }
    }
    size_t len = strlen(match->host);
    while (len > 1 && match->host[len - 1] == '.')
        match->host[--len] = '\0'; /* host.h drops it from a request's host, too */
}

static void read_method(const struct yaml_tree *node, struct match *match,
                        struct findings *findings)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";

    if (node->kind != TREE_SCALAR || node->text[0] == '\0' ||
        strlen(node->text) > MATCH_METHOD_MAX || node->text[strspn(node->text, allowed)] != '\0')
        mapping_error(findings, node, "a method is 1 to 16 capital letters; write GET, POST, ...");
    else if (match->method_count == MATCH_METHODS_MAX)
        mapping_error(findings, node,
                      "too many methods; the most is 16, and without methods: all match");
    else
        strcpy(match->method[match->method_count++], node->text);
}

static void read_methods(const struct yaml_tree *node, void *out, struct findings *findings)
{
    if (node->kind != TREE_SEQUENCE || !node->first) {
        mapping_error(findings, node,
                      "'methods' must be a list of at least one method; write [GET, POST]");
        return;
    }
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next)
        read_method(entry, out, findings);
}

static void read_match(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;
    static const struct field fields[] = {
        {"ignore_case", false, read_ignore_case},
        {"path", false, read_path},
        {"methods", false, read_methods},
        {"host", false, read_host},
    };

    mapping_read(node, "match", fields, COUNT(fields), &reading->limit->match, findings);
}

/* ---- overrides ---- */

static void read_override(const struct yaml_tree *node, struct reading *reading,
                          struct findings *findings)
{
    struct limit *limit = reading->limit;
    struct override_reading override;
    unsigned errors = findings->error_count, earlier;

    override_reader_read(node, limit, true, &override, findings);
    if (findings->error_count > errors || limit->key.count == 0)
        return;
    const char *error =
        overrides_add(limit->overrides, &limit->key, limit->name, reading->ipv6_prefix_bits,
                      override.text, override.count, &override.override, &earlier);
    /* A reload logs mistakes, and a secret must not get into a log. */
    if (error && key_has_secret(&limit->key))
        findings_error(findings, override.key->line, override.key->column, "key: %s", error);
    else if (error)
        findings_error(findings, override.key->line, override.key->column, "key '%.64s': %s",
                       override.text[0], error);
    else if (earlier > 0)
        findings_warning(findings, override.key->line, override.key->column,
                         "this override is never used, the one in line %u is for the same clients; "
                         "leave one of them out, or write this one before it",
                         earlier);
}

static void read_overrides(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    if (node->kind != TREE_SEQUENCE || !node->first) {
        mapping_error(findings, node,
                      "'overrides' must be a list of at least one; write - { key: alice, capacity: "
                      "200 }");
        return;
    }
    reading->limit->overrides = overrides_new();
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next)
        read_override(entry, reading, findings);
}

/* ---- The other fields of a limit ---- */

static void read_name(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;
    const char *text = mapping_text(node, findings);
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

    if (!text)
        return;
    if (strlen(text) > LIMIT_NAME_MAX || text[strspn(text, allowed)] != '\0')
        mapping_error(
            findings, node,
            "a limit's name is used in headers and keys; write 1 to 64 of A-Z a-z 0-9 _ . -");
    else
        strcpy(reading->limit->name, text);
}

static void read_key(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;
    struct key_spec *key = &reading->limit->key;

    if (node->kind == TREE_SEQUENCE) {
        mapping_error(findings, node,
                      "'key' takes one value, and not a list; join alternatives with |, such as "
                      "query:user | ip");
        return;
    }
    const char *text = mapping_text(node, findings);
    const char *error = !text                ? NULL
                        : strchr(text, '\n') ? "several lines in a key; write it on one line"
                                             : key_parse(text, key);
    if (!error)
        return;
    key->count = 0;
    mapping_error(findings, node, error);
}

static void read_capacity(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    bucket_reader_capacity(node, &reading->limit->capacity, findings);
}

static void read_refill(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    bucket_reader_refill(node, &reading->limit->interval_us, findings);
}

static void read_cost(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;
    const char *text = mapping_text(node, findings);
    const char *error = text ? cost_parse(text, &reading->limit->cost) : NULL;

    if (error)
        findings_error(findings, node->line, node->column, "cost: %s", error);
}

static void read_shadow(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    mapping_flag(node, &reading->limit->shadow, findings);
}

static void read_show(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;
    struct key_spec *key = &reading->limit->key;
    unsigned errors = findings->error_count;
    bool show = false;

    mapping_flag(node, &show, findings);
    if (key->count == 0 || findings->error_count > errors)
        return;
    key_show(key, show);
    if (!show && !key_has_secret(key))
        findings_warning(findings, node->line, node->column,
                         "show: false hides nothing here, because the limit's key has no header, "
                         "cookie, query or env, and the values of other sources are always shown; "
                         "leave it out");
}

static void read_on_redis_failure(const struct yaml_tree *node, void *out,
                                  struct findings *findings)
{
    static const char *const words[] = {
        [WHEN_DOWN_ALLOW] = "allow",
        [WHEN_DOWN_DENY] = "deny",
        [WHEN_DOWN_LOCAL] = "local",
    };
    struct reading *reading = out;
    int word = mapping_word(node, words, COUNT(words), findings);

    if (word >= 0)
        reading->limit->on_redis_failure = (enum when_down)word;
}

void limit_reader_read(const struct yaml_tree *node, unsigned ipv6_prefix_bits, struct limit *out,
                       struct findings *findings)
{
    /* The overrides are last because they rely on key, capacity, refill
     * and show. */
    static const struct field fields[] = {
        {"name", true, read_name},
        {"match", false, read_match},
        {"key", true, read_key},
        {"capacity", true, read_capacity},
        {"refill", true, read_refill},
        {"cost", false, read_cost},
        {"on_redis_failure", false, read_on_redis_failure},
        {"shadow", false, read_shadow},
        {"show", false, read_show},
        {"overrides", false, read_overrides},
    };
    struct reading reading = {out, ipv6_prefix_bits};

    *out = (struct limit){.cost.tokens = 1, .line = node->line, .column = node->column};
    out->on_redis_failure = WHEN_DOWN_LOCAL;
    mapping_read(node, "a limit", fields, COUNT(fields), &reading, findings);
    bucket_reader_window(node, out->capacity, out->interval_us, findings);
}
