/* override_reader.c - the fields of an override. */
/* SPDX-License-Identifier: MIT */
#include "config/override_reader.h"

#include "config/bucket_reader.h"
#include "config/mapping.h"

/* An override while it is read. */
struct reading {
    struct override_reading *out;
    bool unlimited, blocked;
    int64_t capacity, interval_us; /* 0: not given, or wrong */
};

static void read_key(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct override_reading *reading = ((struct reading *)out)->out;
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

static void read_capacity(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    bucket_reader_capacity(node, &reading->capacity, findings);
}

static void read_refill(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    bucket_reader_refill(node, &reading->interval_us, findings);
}

static void read_unlimited(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    mapping_flag(node, &reading->unlimited, findings);
}

static void read_blocked(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    mapping_flag(node, &reading->blocked, findings);
}

/* Decide what READING does with its clients of LIMIT: exactly one of limited, unlimited and
 * blocked. */
static void decide_kind(const struct yaml_tree *node, const struct reading *reading,
                        const struct limit *limit, struct findings *findings)
{
    bool limited = reading->capacity > 0 || reading->interval_us > 0;
    struct override *override = &reading->out->override;

    if (limited + reading->unlimited + reading->blocked != 1)
        mapping_error(
            findings, node,
            "an override says one thing of its clients; write capacity and refill (one of "
            "them leaves the other as it is), or unlimited: true, or blocked: true");
    override->kind = reading->blocked     ? OVERRIDE_BLOCKED
                     : reading->unlimited ? OVERRIDE_UNLIMITED
                                          : OVERRIDE_LIMITED;
    override->line = node->line;
    override->stricter = reading->blocked ||
                         (reading->capacity > 0 && reading->capacity < limit->capacity) ||
                         (reading->interval_us > 0 && reading->interval_us > limit->interval_us);
    override->capacity = reading->capacity > 0 ? reading->capacity : limit->capacity;
    override->interval_us = reading->interval_us > 0 ? reading->interval_us : limit->interval_us;
    bucket_reader_window(node, override->capacity, override->interval_us, findings);
}

void override_reader_read(const struct yaml_tree *node, const struct limit *limit, bool has_key,
                          struct override_reading *out, struct findings *findings)
{
    static const struct field fields[] = {
        {"key", true, read_key},          {"capacity", false, read_capacity},
        {"refill", false, read_refill},   {"unlimited", false, read_unlimited},
        {"blocked", false, read_blocked},
    };
    const struct field *first = has_key ? fields : fields + 1;
    struct reading reading = {.out = out};
    unsigned errors = findings->error_count;

    *out = (struct override_reading){.count = 0};
    mapping_read(node, "an override", first, (size_t)(fields + 5 - first), &reading, findings);
    if (findings->error_count == errors)
        decide_kind(node, &reading, limit, findings);
}
