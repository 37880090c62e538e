/* limit_reader.c - the fields of a limit, and those of its match and overrides. */
/* SPDX-License-Identifier: MIT */
#include "base/units.h"
#include "config/limit_reader.h"

#include <ctype.h>
#include <string.h>

#include "config/mapping.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A limit while it is read. */
struct reading {
    struct limit *limit;
    unsigned ipv6_prefix_bits;
};

/* An override while it is read. */
struct override_reading {
    const struct limit *limit;
    struct override override;
    const struct yaml_tree *key;     /* the node of the texts */
    const char *text[KEY_PARTS_MAX]; /* borrowed from the tree */
    size_t count;                    /* of texts; 0: they were wrong */
    bool unlimited, blocked;
    int64_t capacity, interval_us; /* 0: not given, or wrong */
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

/* ---- Bucket: what a limit and an override both have ---- */

static void read_bucket_capacity(const struct yaml_tree *node, int64_t *out,
                                 struct findings *findings)
{
    const char *text = mapping_text(node, findings);
    const char *error = text ? units_count(text, 1, LIMIT_CAPACITY_MAX, out) : NULL;

    if (error)
        findings_error(findings, node->line, node->column,
                       "capacity: %s; a capacity is 1 to 1000000000 tokens", error);
}

/* The interval between tokens is a whole number of microseconds.  Rounding RATE up to one must not
 * make it more than 1 % slower. */
static void read_rate(const struct yaml_tree *node, struct rate rate, int64_t *out_us,
                      struct findings *findings)
{
    int64_t interval_us = units_interval_us(rate);
    int64_t late_us = interval_us * rate.count - rate.period_us; /* below count, so no overflow */

    if (late_us > rate.period_us / 100)
        findings_error(findings, node->line, node->column,
                       "refill: tokens come a whole number of microseconds apart, and %.64s is not "
                       "one; write 1000/%lldms or 1000/%lldms",
                       node->text, (long long)interval_us, (long long)interval_us - 1);
    else
        *out_us = interval_us;
}

static void read_bucket_refill(const struct yaml_tree *node, int64_t *out_us,
                               struct findings *findings)
{
    struct rate rate;
    const char *text = mapping_text(node, findings);
    const char *error = text ? units_rate(text, &rate) : NULL;

    if (error)
        findings_error(findings, node->line, node->column, "refill: %s; a refill is such as 1/12s",
                       error);
    else if (text)
        read_rate(node, rate, out_us, findings);
}

static void check_window(const struct yaml_tree *node, int64_t capacity, int64_t interval_us,
                         struct findings *findings)
{
    if (interval_us > 0 && capacity > LIMIT_WINDOW_US_MAX / interval_us)
        mapping_error(
            findings, node,
            "this bucket takes more than ten years to fill; lower capacity or raise refill");
}

/* ---- overrides ---- */

static void read_override_key(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct override_reading *reading = out;
    size_t count = 0;

    reading->key = node;
    if (node->kind == TREE_MAPPING || (node->kind == TREE_SEQUENCE && !node->first)) {
        mapping_error(findings, node,
                      "'key' of an override must be a value, or a list of one for each source of "
                      "the limit's key; write alice or [10.0.0.0/8, /api/**]");
        return;
    }
    for (const struct yaml_tree *entry = node->kind == TREE_SCALAR ? node : node->first; entry;
         entry = node->kind == TREE_SCALAR ? NULL : entry->next) {
        if (count == KEY_PARTS_MAX) {
            mapping_error(findings, entry, "too many entries; a key has at most 8 sources");
            return;
        }
        reading->text[count] = mapping_text(entry, findings);
        if (!reading->text[count++])
            return;
    }
    reading->count = count;
}

static void read_override_capacity(const struct yaml_tree *node, void *out,
                                   struct findings *findings)
{
    struct override_reading *reading = out;

    read_bucket_capacity(node, &reading->capacity, findings);
}

static void read_override_refill(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct override_reading *reading = out;

    read_bucket_refill(node, &reading->interval_us, findings);
}

static void read_unlimited(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct override_reading *reading = out;

    mapping_flag(node, &reading->unlimited, findings);
}

static void read_blocked(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct override_reading *reading = out;

    mapping_flag(node, &reading->blocked, findings);
}

/* Decide what READING does with its clients: exactly one of limited, unlimited and blocked. */
static void decide_kind(const struct yaml_tree *node, struct override_reading *reading,
                        struct findings *findings)
{
    bool limited = reading->capacity > 0 || reading->interval_us > 0;
    struct override *override = &reading->override;

    if (limited + reading->unlimited + reading->blocked != 1)
        mapping_error(
            findings, node,
            "an override says one thing of its clients; write capacity and refill (one of "
            "them leaves the other as it is), or unlimited: true, or blocked: true");
    override->kind = reading->blocked     ? OVERRIDE_BLOCKED
                     : reading->unlimited ? OVERRIDE_UNLIMITED
                                          : OVERRIDE_LIMITED;
    override->line = node->line;
    override->stricter =
        reading->blocked ||
        (reading->capacity > 0 && reading->capacity < reading->limit->capacity) ||
        (reading->interval_us > 0 && reading->interval_us > reading->limit->interval_us);
    override->capacity = reading->capacity > 0 ? reading->capacity : reading->limit->capacity;
    override->interval_us =
        reading->interval_us > 0 ? reading->interval_us : reading->limit->interval_us;
    check_window(node, override->capacity, override->interval_us, findings);
}

static void read_override(const struct yaml_tree *node, struct reading *reading,
                          struct findings *findings)
{
    static const struct field fields[] = {
        {"key", true, read_override_key},        {"capacity", false, read_override_capacity},
        {"refill", false, read_override_refill}, {"unlimited", false, read_unlimited},
        {"blocked", false, read_blocked},
    };
    struct limit *limit = reading->limit;
    struct override_reading override = {.limit = limit};
    unsigned errors = findings->error_count, earlier;

    mapping_read(node, "an override", fields, COUNT(fields), &override, findings);
    if (findings->error_count == errors)
        decide_kind(node, &override, findings);
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

    read_bucket_capacity(node, &reading->limit->capacity, findings);
}

static void read_refill(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    read_bucket_refill(node, &reading->limit->interval_us, findings);
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
    mapping_read(node, "a limit", fields, COUNT(fields), &reading, findings);
    check_window(node, out->capacity, out->interval_us, findings);
}
