/* yaml_tree.c - libyaml's events become a tree, and its errors messages that say what would be
 * right. */
/* SPDX-License-Identifier: MIT */
#include "config/yaml_tree.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/memory.h"
#include "base/span.h"

struct reader {
    yaml_parser_t parser;
    struct findings *findings;
    const char *text; /* what is parsed, of LEN bytes */
    size_t len;
    unsigned depth;
};

static struct yaml_tree *read_node(struct reader *reader, const yaml_event_t *event);

static void error_at(struct reader *reader, yaml_mark_t mark, const char *message)
{
    findings_error(reader->findings, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "%s",
                   message);
}

/* libyaml's reader is ahead of its parser, so the parser's mark is not the place of the bad
 * byte. */
static void reader_error(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    unsigned line = 1, column = 1;
    bool control = strcmp(parser->problem, "control characters are not allowed") == 0;

    for (size_t i = 0; i < parser->problem_offset && i < reader->len; i++) {
        unsigned char byte = (unsigned char)reader->text[i];
        if (byte == '\n')
            line++, column = 1;
        else if ((byte & 0xc0) != 0x80) /* the bytes after a character's first: RFC 3629, 3 */
            column++;
    }
    findings_error(reader->findings, line, column, "%s",
                   control ? "a control character; leave it out"
                           : "this is not UTF-8 text; write it as UTF-8");
}

/* The line NUMBER (from 0) of the text. */
static struct span line_of(const struct reader *reader, size_t number)
{
    const char *at = reader->text, *end = reader->text + reader->len;

    for (; number > 0 && at < end; number--) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : end;
    }
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return (struct span){at, (size_t)((newline ? newline : end) - at)};
}

/* How many of LINE's first bytes are in SET. */
static size_t run_of(struct span line, const char *set)
{
    size_t len = 0;

    while (len < line.len && line.text[len] != '\0' && strchr(set, line.text[len]))
        len++;
    return len;
}

/* If LINE is "NAME:VALUE" without a space after its colon: the column of VALUE, from 0; else 0. */
static size_t missing_space(struct span line)
{
    size_t begin = run_of(line, " -");
    struct span rest = {line.text + begin, line.len - begin};
    size_t name = run_of(rest, "abcdefghijklmnopqrstuvwxyz_");

    if (name == 0 || name + 1 >= rest.len || rest.text[name] != ':' || rest.text[name + 1] == ' ')
        return 0;
    return begin + name + 1;
}

/* "mapping values are not allowed in this context": libyaml reads a line and the one before it as
 * one text, because a colon has no space after it, or because the second line is indented more.
 * PLACE is that of the second line's colon. */
static void misplaced_field(struct reader *reader, yaml_mark_t place)
{
    struct span before = line_of(reader, place.line > 0 ? place.line - 1 : 0);
    struct span line = line_of(reader, place.line);
    size_t space = missing_space(before);

    const char *first = memchr(line.text, ':', line.len);

    if (first && (size_t)(first - line.text) < place.column)
        error_at(reader, place, "a ':' in a value; quote a value that holds ': ' or ends with ':'");
    else if (place.line > 0 && space > 0)
        findings_error(reader->findings, (unsigned)place.line, (unsigned)space + 1,
                       "no space behind the ':'; write NAME: VALUE");
    else
        findings_error(reader->findings, (unsigned)place.line + 1, (unsigned)run_of(line, " ") + 1,
                       "a field in the value of another; begin its line in the same column as the "
                       "fields beside it");
}

/* Report an error of libyaml's scanner or parser at its place, in our own words if we know it. */
static void syntax_error(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "out of memory";
    const char *context = parser->context ? parser->context : "";

    if (strcmp(problem, "mapping values are not allowed in this context") == 0)
        misplaced_field(reader, parser->problem_mark);
    else if (strstr(problem, "expected ':'"))
        error_at(reader, parser->context_mark, "no ':' behind a name; write NAME: VALUE");
    else if (strstr(context, "quoted scalar") && strstr(problem, "end of stream"))
        error_at(reader, parser->context_mark,
                 "this quote is never closed; close it, or leave it out");
    else if (strstr(problem, "tab") ||
             memchr(line_of(reader, parser->problem_mark.line).text, '\t',
                    run_of(line_of(reader, parser->problem_mark.line), " \t")))
        error_at(reader, parser->problem_mark, "a tab in front of a line; indent with spaces");
    else
        findings_error(
            reader->findings, (unsigned)parser->problem_mark.line + 1,
            (unsigned)parser->problem_mark.column + 1,
            "this is not YAML: %s%s%s; write NAME: VALUE, indent with spaces, and quote a "
            "value that holds any of [ ] { } # & * ! | > ' \" %% @ `",
            problem, context[0] ? " " : "", context);
}

/* The next event, the caller's to yaml_event_delete.  False after an error that is reported. */
static bool next_event(struct reader *reader, yaml_event_t *event)
{
    yaml_parser_t *parser = &reader->parser;

    if (yaml_parser_parse(parser, event))
        return true;
    if (parser->error == YAML_READER_ERROR)
        reader_error(reader);
    else
        syntax_error(reader);
    return false;
}

static struct yaml_tree *new_node(enum yaml_tree_kind kind, yaml_mark_t mark)
{
    struct yaml_tree *node = memory_new(sizeof *node);

    node->kind = kind;
    node->line = (unsigned)mark.line + 1;
    node->column = (unsigned)mark.column + 1;
    return node;
}

static struct yaml_tree *read_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;

    if (memchr(text, '\0', len)) {
        error_at(reader, event->start_mark, "a NUL character in a value; leave it out");
        return NULL;
    }
    struct yaml_tree *node = new_node(TREE_SCALAR, event->start_mark);
    node->text = memory_text(text, len);
    return node;
}

static bool stands_already(const struct yaml_tree *mapping, const struct yaml_tree *key)
{
    for (const struct yaml_tree *entry = mapping->first; entry; entry = entry->next)
        if (strcmp(entry->key->text, key->text) == 0)
            return true;
    return false;
}

/* Read the value that belongs to the key in EVENT. */
static struct yaml_tree *read_entry(struct reader *reader, const struct yaml_tree *mapping,
                                    const yaml_event_t *event)
{
    yaml_event_t value_event;

    if (event->type != YAML_SCALAR_EVENT) {
        error_at(reader, event->start_mark,
                 "a mapping's key must be plain text; write NAME: VALUE");
        return NULL;
    }
    struct yaml_tree *key = read_node(reader, event), *value = NULL;
    if (key && stands_already(mapping, key))
        findings_error(reader->findings, key->line, key->column,
                       "duplicate field; keep one of them");
    if (key && next_event(reader, &value_event)) {
        value = read_node(reader, &value_event);
        yaml_event_delete(&value_event);
    }
    if (!value) {
        yaml_tree_free(key);
        return NULL;
    }
    value->key = key;
    return value;
}

/* Read the entries of the sequence or mapping that EVENT began, up to its end. */
static struct yaml_tree *read_collection(struct reader *reader, const yaml_event_t *event)
{
    bool mapping = event->type == YAML_MAPPING_START_EVENT;
    struct yaml_tree *node = new_node(mapping ? TREE_MAPPING : TREE_SEQUENCE, event->start_mark);
    struct yaml_tree **end = &node->first;
    size_t count = 0;
    yaml_event_t entry;

    while (next_event(reader, &entry)) {
        if (entry.type == YAML_MAPPING_END_EVENT || entry.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&entry);
            return node;
        }
        if (mapping && count++ == YAML_TREE_FIELDS_MAX)
            error_at(reader, entry.start_mark,
                     "too many fields; no mapping here has more than ten");
        else
            *end = mapping ? read_entry(reader, node, &entry) : read_node(reader, &entry);
        yaml_event_delete(&entry);
        if (!*end)
            break;
        end = &(*end)->next;
    }
    yaml_tree_free(node);
    return NULL;
}

static const char *unwanted(const yaml_event_t *event)
{
    const unsigned char *anchor = NULL, *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return "an alias (*name); write the value out";
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return "an anchor (&name); leave it out, and write each value where it belongs";
    return tag ? "a tag (!name); leave it out, every type here is known" : NULL;
}

static struct yaml_tree *read_node(struct reader *reader, const yaml_event_t *event)
{
    const char *refused = unwanted(event);

    if (refused) {
        error_at(reader, event->start_mark, refused);
        if (event->type == YAML_ALIAS_EVENT)
            return NULL;
    }
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reader, event);
    /* The recursion is bounded before the parser's own stack could grow without end. */
    if (reader->depth == YAML_TREE_DEPTH_MAX) {
        error_at(reader, event->start_mark, "nested too deeply; a limits file needs six levels");
        return NULL;
    }
    reader->depth++;
    struct yaml_tree *node = read_collection(reader, event);
    reader->depth--;
    return node;
}

/* Read up to the root node of the first document, then make sure that nothing follows it. */
static struct yaml_tree *read_document(struct reader *reader)
{
    struct yaml_tree *root = NULL;
    yaml_event_t event;

    while (next_event(reader, &event)) {
        bool last = event.type == YAML_STREAM_END_EVENT;
        bool structure = event.type == YAML_STREAM_START_EVENT ||
                         event.type == YAML_DOCUMENT_START_EVENT ||
                         event.type == YAML_DOCUMENT_END_EVENT || last;
        bool more = root != NULL && event.type == YAML_DOCUMENT_START_EVENT;

        if (more)
            error_at(reader, event.start_mark, "a second document; put everything in the first");
        if (!structure) {
            assert(!root); /* a document has one root */
            root = read_node(reader, &event);
        }
        yaml_event_delete(&event);
        if (last && !root)
            findings_error(reader->findings, 0, 0, "the file is empty; it needs limits:");
        if (last || more)
            return root;
        if (!structure && !root)
            break;
    }
    yaml_tree_free(root);
    return NULL;
}

struct yaml_tree *yaml_tree_parse(const char *text, size_t len, struct findings *findings)
{
    /* A byte order mark, as some editors write it, would count as a column. */
    size_t mark = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct reader reader = {.findings = findings, .text = text + mark, .len = len - mark};
    unsigned errors = findings->error_count;

    if (len > YAML_TREE_BYTES_MAX) {
        findings_error(
            findings, 0, 0,
            "the file is larger than 4 MiB; write fewer overrides, ten thousand take less than "
            "1 MiB");
        return NULL;
    }
    int ready = yaml_parser_initialize(&reader.parser);
    assert(ready);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)reader.text, reader.len);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    struct yaml_tree *root = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    assert(root || findings->error_count > errors);
    return root;
}

void yaml_tree_free(struct yaml_tree *root)
{
    while (root) {
        struct yaml_tree *next = root->next;
        yaml_tree_free(root->first);
        yaml_tree_free(root->key);
        free(root->text);
        free(root);
        root = next;
    }
}
