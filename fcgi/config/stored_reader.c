/* stored_reader.c - stored overrides are read by the code that reads those of the limits file. */
/* SPDX-License-Identifier: MIT */
#include "config/stored_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/units.h"
#include "config/override_reader.h"
#include "limits/override_key.h"

#define VALUE_SIZE 512
#define WORDS_MAX  8
#define TIME_MAX   INT64_C(4000000000000000000)

/* ---- One value ---- */

/* A value as the mapping that the limits file would have. */
struct mapping {
    char text[VALUE_SIZE];
    struct yaml_tree root, entry[WORDS_MAX], key[WORDS_MAX];
    size_t count;
};

static bool is_there(const struct mapping *mapping, const char *field)
{
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->key[i].text, field) == 0)
            return true;
    return false;
}

/* Add FIELD: TEXT. */
static void add_field(struct mapping *mapping, char *field, char *text)
{
    static char yes[] = "true";
    size_t i = mapping->count++;

    mapping->key[i] = (struct yaml_tree){.kind = TREE_SCALAR, .text = field};
    mapping->entry[i] =
        (struct yaml_tree){.kind = TREE_SCALAR, .text = text ? text : yes, .key = &mapping->key[i]};
    if (i == 0)
        mapping->root.first = &mapping->entry[i];
    else
        mapping->entry[i - 1].next = &mapping->entry[i];
}

/* Read one word of a value, FIELD=TEXT or FIELD. */
static void read_word(char *word, struct mapping *mapping, struct stored_times *times,
                      struct findings *findings)
{
    char *text = strchr(word, '=');
    const char *error = NULL;

    if (text)
        *text++ = '\0';
    if (text && strcmp(word, "set") == 0)
        error = units_count(text, 1, TIME_MAX, &times->set_us);
    else if (text && strcmp(word, "until") == 0)
        error = units_count(text, 1, TIME_MAX, &times->until_us);
    else if (is_there(mapping, word))
        error = "it is there twice; write it once";
    else if (mapping->count == WORDS_MAX)
        error = "too many words";
    else
        add_field(mapping, word, text);
    if (error)
        findings_error(findings, 0, 0, "%.64s: %s", word, error);
}

void stored_reader_value(const char *value, const struct limit *limit, struct override *out,
                         struct stored_times *times, struct findings *findings)
{
    struct mapping mapping = {.root = {.kind = TREE_MAPPING}};
    struct override_reading reading;
    char *rest = mapping.text, *word;

    *times = (struct stored_times){0};
    if (strlen(value) >= sizeof mapping.text) {
        findings_error(findings, 0, 0, "this override is too long; the most is 511 bytes");
        return;
    }
    strcpy(mapping.text, value);
    while ((word = strsep(&rest, " ")))
        if (*word != '\0')
            read_word(word, &mapping, times, findings);
    override_reader_read(&mapping.root, limit, false, &reading, findings);
    *out = reading.override;
}

void stored_reader_times(const char *value, struct stored_times *out)
{
    struct findings findings = {.file = ""};
    struct mapping mapping;
    char *rest = mapping.text, *word;

    *out = (struct stored_times){0};
    snprintf(mapping.text, sizeof mapping.text, "%s", value);
    while ((word = strsep(&rest, " ")))
        if (strncmp(word, "set=", 4) == 0 || strncmp(word, "until=", 6) == 0)
            read_word(word, &mapping, out, &findings);
    findings_free(&findings);
}

/* ---- All ---- */

/* A stored override that is being read, and its limit. */
struct item {
    const struct stored_override *stored;
    size_t limit; /* its index */
    struct override override;
    struct stored_times times;
};

struct reading {
    const struct stored_overrides *stored;
    const struct limits *limits;
    size_t *by_name; /* indices of the limits, sorted by their names */
    struct stored_sets *out;
};

static int by_name(const void *one, const void *other, void *context)
{
    const struct limits *limits = context;

    return strcmp(limits->limit[*(const size_t *)one].name,
                  limits->limit[*(const size_t *)other].name);
}

static int last_set_first(const void *one, const void *other)
{
    int64_t first = ((const struct item *)one)->times.set_us,
            second = ((const struct item *)other)->times.set_us;

    if (first != second)
        return first > second ? -1 : 1;
    return strcmp(((const struct item *)one)->stored->name,
                  ((const struct item *)other)->stored->name);
}

/* The index of the limit that is called NAME, or the number of limits. */
static size_t find_limit(const struct reading *reading, struct span name)
{
    size_t low = 0, high = reading->limits->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *at = reading->limits->limit[reading->by_name[middle]].name;
        int order = strncmp(at, name.text, name.len);
        if (order == 0 && at[name.len] == '\0')
            return reading->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return reading->limits->count;
}

/* STORED, of LIMIT (NULL: unknown), has a mistake.  A secret may be in the name if a person wrote
 * it. */
static void break_off(struct stored_sets *out, const struct stored_override *stored,
                      const struct limit *limit, const char *why)
{
    if (out->broken_count++ > 0)
        return;
    if (limit && key_has_secret(&limit->key))
        snprintf(out->problem, sizeof out->problem, "an override of %s: %.300s", limit->name, why);
    else
        snprintf(out->problem, sizeof out->problem, "%.160s: %.300s", stored->name, why);
    log_make_printable(out->problem);
}

/* Say what FINDINGS have about STORED. */
static void break_off_for(struct stored_sets *out, const struct stored_override *stored,
                          const struct limit *limit, struct findings *findings)
{
    char *text;
    size_t size;
    FILE *lines = open_memstream(&text, &size);

    findings->file = "";
    if (!lines)
        abort();
    findings_write(findings, FINDINGS_ERRORS, lines);
    fclose(lines);
    text[strcspn(text, "\n")] = '\0';
    break_off(out, stored, limit, text + strspn(text, ": "));
    free(text);
}

/* Read STORED into *ITEM.  Returns what becomes of it. */
static enum stored_state read_item(const struct reading *reading,
                                   const struct stored_override *stored, struct item *item)
{
    struct override_key key;
    struct findings findings = {.file = ""};

    if (!override_key_split(stored->name, &key)) {
        break_off(reading->out, stored, NULL, "a name is such as rl:{query:user=alice}:per-user");
        return STORED_BROKEN;
    }
    item->stored = stored;
    item->limit = find_limit(reading, key.limit);
    if (item->limit == reading->limits->count)
        return STORED_FOREIGN;
    const struct limit *limit = &reading->limits->limit[item->limit];
    stored_reader_value(stored->value, limit, &item->override, &item->times, &findings);
    if (findings.error_count > 0)
        break_off_for(reading->out, stored, limit, &findings);
    bool broken = findings.error_count > 0;
    findings_free(&findings);
    if (item->times.until_us > 0)
        item->override.until_s = reading->stored->read_s +
                                 (double)(item->times.until_us - reading->stored->now_us) / 1e6;
    bool over = item->times.until_us > 0 && item->override.until_s <= clock_recent_s();
    return broken ? STORED_BROKEN : over ? STORED_OVER : STORED_IN_FORCE;
}

/* Add ITEM to the overrides of its limit.  Returns what becomes of it. */
static enum stored_state add_item(const struct reading *reading, const struct item *item)
{
    const struct limit *limit = &reading->limits->limit[item->limit];
    struct overrides **of = &reading->out->of[item->limit];

    if (!*of)
        *of = overrides_new();
    const char *error =
        override_key_add(*of, &limit->key, item->stored->name,
                         (unsigned)reading->limits->ipv6_prefix_bits, &item->override);
    if (!error)
        return STORED_IN_FORCE;
    if (error == override_key_is_foreign)
        return STORED_FOREIGN;
    break_off(reading->out, item->stored, limit, error);
    return STORED_BROKEN;
}

/* Read all that is stored into ITEMS.  Returns how many may come into force. */
static size_t read_items(const struct reading *reading, struct item *items)
{
    size_t count = 0;

    clock_s(); /* for read_item */
    for (size_t i = 0; i < reading->stored->count; i++) {
        reading->out->state[i] = read_item(reading, &reading->stored->entry[i], &items[count]);
        count += reading->out->state[i] == STORED_IN_FORCE;
    }
    return count;
}

static void count_states(const struct stored_overrides *stored, struct stored_sets *out)
{
    for (size_t i = 0; i < stored->count; i++) {
        out->count += out->state[i] == STORED_IN_FORCE;
        out->foreign_count += out->state[i] == STORED_FOREIGN;
    }
}

void stored_reader_read(const struct stored_overrides *stored, const struct limits *limits,
                        struct stored_sets *out)
{
    struct reading reading = {stored, limits, memory_get(limits->count * sizeof(size_t)), out};
    struct item *items = memory_get((stored->count + 1) * sizeof *items);

    *out = (struct stored_sets){.of = memory_new(limits->count * sizeof(struct overrides *)),
                                .state = memory_new(stored->count * sizeof *out->state + 1)};
    for (size_t i = 0; i < limits->count; i++)
        reading.by_name[i] = i;
    qsort_r(reading.by_name, limits->count, sizeof(size_t), by_name, (void *)limits);
    size_t count = read_items(&reading, items);
    if (count > 0)
        qsort(items, count, sizeof *items, last_set_first);
    for (size_t i = 0; i < count; i++)
        out->state[items[i].stored - stored->entry] = add_item(&reading, &items[i]);
    count_states(stored, out);
    free(items);
    free(reading.by_name);
}

void stored_reader_free(struct stored_sets *sets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        overrides_free(sets->of[i]);
    free(sets->of);
    free(sets->state);
    *sets = (struct stored_sets){NULL};
}
