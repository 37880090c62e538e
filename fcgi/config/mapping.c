/* mapping.c - a table of fields is compared with the entries of a mapping, in both directions. */
/* SPDX-License-Identifier: MIT */
#include "config/mapping.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/spelling.h"

void mapping_error(struct findings *findings, const struct yaml_tree *node, const char *message)
{
    findings_error(findings, node->line, node->column, "%s", message);
}

/* Write the COUNT WORDS into OUT, of SIZE bytes, LAST before the last one: "a, b or c". */
static void list_words(const char *const words[], size_t count, const char *last, char *out,
                       size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s",
                                i == 0          ? ""
                                : i < count - 1 ? ", "
                                                : last,
                                words[i]);
}

/* What is wrong with NODE, which should be a text, or NULL. */
static const char *not_a_text(const struct yaml_tree *node)
{
    if (node->kind == TREE_SEQUENCE)
        return "takes one value, and not a list";
    if (node->kind == TREE_MAPPING)
        return "takes a value, and not fields of its own";
    return node->text[0] == '\0' ? "needs a value" : NULL;
}

const char *mapping_text(const struct yaml_tree *node, struct findings *findings)
{
    const char *wrong = not_a_text(node);

    if (!wrong)
        return node->text;
    if (node->key)
        findings_error(findings, node->line, node->column, "'%.64s' %s; write %.64s: VALUE",
                       node->key->text, wrong, node->key->text);
    else
        findings_error(findings, node->line, node->column, "this entry %s; write a value", wrong);
    return NULL;
}

static bool is_known(const char *const names[], size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The one of the COUNT WORDS that other programs call TEXT, or NULL. */
static const char *meant_word(const char *text, const char *const words[], size_t count)
{
    static const char *const synonyms[][2] = {
        {"rate", "refill"},       {"window", "refill"},
        {"period", "refill"},     {"interval", "refill"},
        {"per", "refill"},        {"burst", "capacity"},
        {"limit", "capacity"},    {"quota", "capacity"},
        {"requests", "capacity"}, {"max", "capacity"},
        {"tokens", "capacity"},   {"path", "match"},
        {"paths", "match"},       {"host", "match"},
        {"method", "match"},      {"method", "methods"},
        {"url", "address"},       {"host", "address"},
        {"dry_run", "shadow"},    {"fail_open", "on_redis_failure"},
        {"weight", "cost"},       {"exceptions", "overrides"},
        {"allow", "unlimited"},   {"block", "blocked"},
        {"deny", "blocked"},      {"yes", "true"},
        {"on", "true"},           {"1", "true"},
        {"no", "false"},          {"off", "false"},
        {"0", "false"},           {"open", "allow"},
        {"closed", "deny"},       {"proxies", "trusted_proxies"},
    };

    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (strcasecmp(synonyms[i][0], text) == 0 && is_known(words, count, synonyms[i][1]))
            return synonyms[i][1];
    return NULL;
}

int mapping_word(const struct yaml_tree *node, const char *const words[], size_t count,
                 struct findings *findings)
{
    const char *text = mapping_text(node, findings);
    char list[256];

    if (!text)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0)
            return (int)i;
    const char *nearest = spelling_nearest(text, words, count);
    if (!nearest)
        nearest = meant_word(text, words, count);
    list_words(words, count, " or ", list, sizeof list);
    findings_error(findings, node->line, node->column, "%s%s'%.64s' is %s; %s%s%swrite %s",
                   node->key ? node->key->text : "", node->key ? ": " : "", text,
                   count == 2 ? "neither" : "none of these", nearest ? "did you mean '" : "",
                   nearest ? nearest : "", nearest ? "'? " : "", list);
    return -1;
}

void mapping_flag(const struct yaml_tree *node, bool *out, struct findings *findings)
{
    static const char *const words[] = {"false", "true"};
    int word = mapping_word(node, words, 2, findings);

    if (word >= 0)
        *out = word == 1;
}

static const struct yaml_tree *entry_named(const struct yaml_tree *mapping, const char *name)
{
    for (const struct yaml_tree *entry = mapping->first; entry; entry = entry->next)
        if (strcmp(entry->key->text, name) == 0)
            return entry;
    return NULL;
}

static void unknown_field(const struct yaml_tree *key, const char *what, const char *const names[],
                          size_t count, struct findings *findings)
{
    char list[256];

    list_words(names, count, ", ", list, sizeof list);
    /* "address:redis://:PASSWORD@host" lacks a space; the password must not be repeated. */
    if (strpbrk(key->text, ":@")) {
        findings_error(findings, key->line, key->column,
                       "this is no field of %s; write FIELD: VALUE, a space after the ':'; its "
                       "fields are %s",
                       what, list);
        return;
    }
    const char *nearest = meant_word(key->text, names, count);
    if (!nearest)
        nearest = spelling_nearest(key->text, names, count);
    findings_error(findings, key->line, key->column,
                   "unknown field '%.64s' in %s; %s%s%sits fields are %s", key->text, what,
                   nearest ? "did you mean '" : "", nearest ? nearest : "", nearest ? "'? " : "",
                   list);
}

void mapping_read(const struct yaml_tree *mapping, const char *what, const struct field *fields,
                  size_t count, void *out, struct findings *findings)
{
    const char *names[MAPPING_FIELDS_MAX];
    char list[256];

    assert(count <= MAPPING_FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        names[i] = fields[i].name;
    if (mapping->kind != TREE_MAPPING) {
        list_words(names, count, ", ", list, sizeof list);
        findings_error(findings, mapping->line, mapping->column,
                       "%s must be a mapping, FIELD: VALUE; its fields are %s", what, list);
        return;
    }
    for (const struct yaml_tree *entry = mapping->first; entry; entry = entry->next)
        if (!is_known(names, count, entry->key->text))
            unknown_field(entry->key, what, names, count, findings);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_tree *entry = entry_named(mapping, names[i]);
        if (entry)
            fields[i].read(entry, out, findings);
        else if (fields[i].required)
            findings_error(findings, mapping->line, mapping->column,
                           "the field '%s' is missing in %s; add %s: VALUE", names[i], what,
                           names[i]);
    }
}
