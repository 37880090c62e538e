#include "limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "yaml_tree.h"

/* conf/limits.yaml: the default is the file that people read. */
static const char default_limits[] = {
#include "limits.yaml.inc"
};

/* A field that a mapping may have.  READ stores the value of NODE in *OUT, which has the mapping's
 * type, or reports what is wrong with it. */
struct field {
    const char *name;
    bool required;
    void (*read)(const struct yaml_tree *node, void *out, struct report *report);
};

static void error_at(struct report *report, const struct yaml_tree *node, const char *message)
{
    report_error(report, node->line, node->column, "%s", message);
}

/* The text of NODE, or NULL after reporting that the value of FIELD must be plain text. */
static const char *scalar(const struct yaml_tree *node, struct report *report)
{
    if (node->kind == TREE_SCALAR && node->text[0] != '\0')
        return node->text;
    report_error(report, node->line, node->column, "'%s' needs a value; write %s: VALUE",
                 node->key->text, node->key->text);
    return NULL;
}

static void field_names(const struct field *fields, size_t count, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? ", " : "", fields[i].name);
}

static const struct field *field_named(const struct field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static bool has_entry(const struct yaml_tree *mapping, const char *name)
{
    for (const struct yaml_tree *entry = mapping->first; entry; entry = entry->next)
        if (strcmp(entry->key->text, name) == 0)
            return true;
    return false;
}

static void unknown_field(const struct yaml_tree *key, const char *what, const char *names,
                          struct report *report)
{
    /* "address:redis://:PASSWORD@host", a space forgotten: a password is not repeated. */
    if (strpbrk(key->text, ":@"))
        report_error(report, key->line, key->column,
                     "this is no field of %s; write FIELD: VALUE, a space after the ':'; its "
                     "fields are %s",
                     what, names);
    else
        report_error(report, key->line, key->column,
                     "unknown field '%.64s' in %s; its fields are %s", key->text, what, names);
}

/* Read MAPPING, which is WHAT ("the file", "a limit"), by its COUNT possible FIELDS into *OUT. */
static void read_mapping(const struct yaml_tree *mapping, const char *what,
                         const struct field *fields, size_t count, void *out, struct report *report)
{
    char names[256];

    field_names(fields, count, names, sizeof names);
    if (mapping->kind != TREE_MAPPING) {
        report_error(report, mapping->line, mapping->column,
                     "%s must be a mapping, FIELD: VALUE; its fields are %s", what, names);
        return;
    }
    for (const struct yaml_tree *entry = mapping->first; entry; entry = entry->next) {
        const struct field *field = field_named(fields, count, entry->key->text);
        if (field)
            field->read(entry, out, report);
        else
            unknown_field(entry->key, what, names, report);
    }
    for (size_t i = 0; i < count; i++)
        if (fields[i].required && !has_entry(mapping, fields[i].name))
            report_error(report, mapping->line, mapping->column,
                         "the field '%s' is missing in %s; add %s: VALUE", fields[i].name, what,
                         fields[i].name);
}

static void read_glob(const struct yaml_tree *node, char out[GLOB_MAX + 1], struct report *report)
{
    const char *text = scalar(node, report);

    if (!text)
        return;
    if (strlen(text) > GLOB_MAX)
        error_at(report, node, "this pattern is too long; the most is 256 bytes");
    else
        strcpy(out, text);
}

static void read_path(const struct yaml_tree *node, void *out, struct report *report)
{
    struct match *match = out;

    read_glob(node, match->path, report);
    if (match->path[0] != '\0' && match->path[0] != '/' && match->path[0] != '*')
        error_at(report, node, "a path begins with a slash; write /api/** or **/x");
}

static void read_host(const struct yaml_tree *node, void *out, struct report *report)
{
    struct match *match = out;

    read_glob(node, match->host, report);
    for (char *byte = match->host; *byte; byte++) {
        *byte = (char)tolower((unsigned char)*byte);
        if (*byte == ':' || *byte == '/') {
            error_at(report, node, "a host is a name without a port; write *.example.com");
            return;
        }
    }
}

static void read_method(const struct yaml_tree *node, struct match *match, struct report *report)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";

    if (node->kind != TREE_SCALAR || node->text[0] == '\0' ||
        strlen(node->text) > MATCH_METHOD_MAX || node->text[strspn(node->text, allowed)] != '\0')
        error_at(report, node, "a method is 1 to 16 capital letters; write GET, POST, ...");
    else if (match->methods == MATCH_METHODS_MAX)
        error_at(report, node, "too many methods; the most is 16, and without methods: all match");
    else
        strcpy(match->method[match->methods++], node->text);
}

static void read_methods(const struct yaml_tree *node, void *out, struct report *report)
{
    if (node->kind != TREE_SEQUENCE || !node->first) {
        error_at(report, node,
                 "'methods' must be a list of at least one method; write [GET, POST]");
        return;
    }
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next)
        read_method(entry, out, report);
}

static void read_match(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limit *limit = out;
    static const struct field fields[] = {
        {"path", false, read_path},
        {"methods", false, read_methods},
        {"host", false, read_host},
    };

    read_mapping(node, "match", fields, sizeof fields / sizeof *fields, &limit->match, report);
}

static void read_name(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limit *limit = out;
    const char *text = scalar(node, report);
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

    if (!text)
        return;
    if (strlen(text) > LIMIT_NAME_MAX || text[strspn(text, allowed)] != '\0')
        error_at(report, node,
                 "a limit's name stands in headers and keys; write 1 to 64 of A-Z a-z 0-9 _ . -");
    else
        strcpy(limit->name, text);
}

static void read_key(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limit *limit = out;
    const char *text = scalar(node, report);
    const char *error = text ? key_parse(text, &limit->key) : NULL;

    if (error)
        error_at(report, node, error);
}

static void read_capacity(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limit *limit = out;
    const char *text = scalar(node, report);
    const char *error = text ? units_count(text, 1, LIMIT_CAPACITY_MAX, &limit->capacity) : NULL;

    if (error)
        report_error(report, node->line, node->column,
                     "capacity: %s; a capacity is 1 to 1000000000 tokens", error);
}

/* Tokens come a whole number of microseconds apart.  Rounded to that, RATE must be no more than 1 %
 * slower than it is written. */
static void read_rate(const struct yaml_tree *node, struct rate rate, struct limit *limit,
                      struct report *report)
{
    int64_t interval_us = units_interval_us(rate);
    int64_t late_us = interval_us * rate.count - rate.period_us; /* below count, so no overflow */

    if (late_us > rate.period_us / 100)
        report_error(report, node->line, node->column,
                     "refill: tokens come a whole number of microseconds apart, and %s is not one; "
                     "write 1000/%lldms or 1000/%lldms",
                     node->text, (long long)interval_us, (long long)interval_us - 1);
    else
        limit->interval_us = interval_us;
}

static void read_refill(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limit *limit = out;
    struct rate rate;
    const char *text = scalar(node, report);
    const char *error = text ? units_rate(text, &rate) : NULL;

    if (error)
        report_error(report, node->line, node->column, "refill: %s; a refill is such as 1/12s",
                     error);
    else if (text)
        read_rate(node, rate, limit, report);
}

static void read_on_redis_failure(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limit *limit = out;
    const char *text = scalar(node, report);

    if (!text)
        return;
    if (strcmp(text, "allow") == 0)
        limit->on_redis_failure = REDIS_FAILURE_ALLOW;
    else if (strcmp(text, "deny") == 0)
        limit->on_redis_failure = REDIS_FAILURE_DENY;
    else
        report_error(report, node->line, node->column,
                     "on_redis_failure: '%.64s' is neither; write allow or deny", text);
}

static void read_limit(const struct yaml_tree *node, struct limit *limit, struct report *report)
{
    static const struct field fields[] = {
        {"name", true, read_name},     {"match", false, read_match},
        {"key", true, read_key},       {"capacity", true, read_capacity},
        {"refill", true, read_refill}, {"on_redis_failure", false, read_on_redis_failure},
    };

    *limit = (struct limit){.on_redis_failure = REDIS_FAILURE_ALLOW};
    read_mapping(node, "a limit", fields, sizeof fields / sizeof *fields, limit, report);
    if (limit->interval_us > 0 && limit->capacity > LIMIT_WINDOW_US_MAX / limit->interval_us)
        error_at(report, node,
                 "this bucket takes more than ten years to fill; lower capacity or raise refill");
}

static bool name_stands_before(const struct limits *limits, const char *name)
{
    for (size_t i = 0; i < limits->count; i++)
        if (name[0] != '\0' && strcmp(limits->limit[i].name, name) == 0)
            return true;
    return false;
}

static void read_limits(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limits *limits = out;

    if (node->kind != TREE_SEQUENCE || !node->first) {
        error_at(report, node, "'limits' must be a list of at least one limit; write - name: NAME");
        return;
    }
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next) {
        if (limits->count == LIMITS_MAX) {
            error_at(report, entry, "too many limits; the most is 64");
            return;
        }
        struct limit *limit = &limits->limit[limits->count];
        read_limit(entry, limit, report);
        if (name_stands_before(limits, limit->name))
            report_error(report, entry->line, entry->column,
                         "the name '%s' stands twice; each limit needs a name of its own",
                         limit->name);
        limits->count++;
    }
}

static void read_address(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limits *limits = out;
    const char *text = scalar(node, report);
    const char *error = text ? redis_address_parse(text, &limits->redis) : NULL;

    if (error)
        report_error(report, node->line, node->column, "address: %s", error);
}

static void read_timeout(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limits *limits = out;
    int64_t us;
    const char *text = scalar(node, report);
    const char *error = text ? units_duration(text, &us) : NULL;

    if (error)
        report_error(report, node->line, node->column, "timeout: %s; a timeout is 1ms to 10s",
                     error);
    else if (text && us > REDIS_TIMEOUT_MS_MAX * 1000LL)
        error_at(report, node,
                 "timeout: every request may wait that long; a timeout is 1ms to 10s");
    else if (text)
        limits->redis_timeout_ms = (unsigned)(us / 1000);
}

static void read_ipv6_prefix(const struct yaml_tree *node, void *out, struct report *report)
{
    struct limits *limits = out;
    const char *text = scalar(node, report);
    const char *error = text ? units_count(text, 1, 128, &limits->ipv6_prefix_bits) : NULL;

    if (error)
        report_error(report, node->line, node->column,
                     "ipv6_prefix: %s; a prefix is 1 to 128 bits, and a subscriber has 64", error);
}

static void read_redis(const struct yaml_tree *node, void *out, struct report *report)
{
    static const struct field fields[] = {
        {"address", false, read_address},
        {"timeout", false, read_timeout},
    };

    read_mapping(node, "redis", fields, sizeof fields / sizeof *fields, out, report);
}

unsigned limits_parse(const char *text, size_t len, const char *name, FILE *errors,
                      struct limits *out)
{
    static const struct field fields[] = {
        {"redis", false, read_redis},
        {"ipv6_prefix", false, read_ipv6_prefix},
        {"limits", true, read_limits},
    };
    struct report report = {.out = errors, .file = name};

    *out = (struct limits){.redis = {.host = "127.0.0.1", .port = 6379},
                           .redis_timeout_ms = 50,
                           .ipv6_prefix_bits = 64}; /* what one subscriber owns: RFC 6177, 2 */
    struct yaml_tree *root = yaml_tree_parse(text, len, &report);
    if (root)
        read_mapping(root, "the file", fields, sizeof fields / sizeof *fields, out, &report);
    yaml_tree_free(root);
    for (size_t i = 0; i < out->count; i++)
        out->limit[i].key.ipv6_prefix_bits = (unsigned)out->ipv6_prefix_bits;
    return report.errors;
}

unsigned limits_load(const char *path, FILE *errors, struct limits *out)
{
    if (!path)
        return limits_parse(default_limits, sizeof default_limits, "the built-in limits", errors,
                            out);

    struct report report = {.out = errors, .file = path};
    FILE *file = fopen(path, "r");
    if (!file) {
        report_error(&report, 0, 0, "%s; name a file that can be read", strerror(errno));
        return report.errors;
    }
    /* One byte more than is allowed, so that a file that is too large is seen to be. */
    char *text = malloc(YAML_TREE_BYTES_MAX + 1);
    size_t len = text ? fread(text, 1, YAML_TREE_BYTES_MAX + 1, file) : 0;
    if (!text || ferror(file))
        report_error(&report, 0, 0, "%s; name a file that can be read", strerror(errno));
    fclose(file);
    unsigned mistakes =
        report.errors > 0 ? report.errors : limits_parse(text, len, path, errors, out);
    free(text);
    return mistakes;
}
