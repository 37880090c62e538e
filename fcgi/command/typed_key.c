/* typed_key.c - a typed key is split, and read for each alternative of a limit's key. */
/* SPDX-License-Identifier: MIT */
#include "command/typed_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define JOINT " + "

/* Split TEXT, which is changed, into PARTS.  Returns how many there are; or 0: too many. */
static size_t split(char *text, const char *parts[KEY_PARTS_MAX])
{
    size_t count = 0;

    for (char *next = text; next; count++) {
        char *joint = strstr(next, JOINT);
        if (count == KEY_PARTS_MAX)
            return 0;
        parts[count] = next;
        if (joint)
            *joint = '\0';
        next = joint ? joint + strlen(JOINT) : NULL;
    }
    return count;
}

/* Take the names of the sources of the alternative that TEXT is for off the COUNT PARTS, into OUT.
 * Returns how many were there. */
static size_t take_names(struct override_text *text, const char *const parts[],
                         const char *out[KEY_PARTS_MAX])
{
    char name[KEY_SOURCE_TEXT_SIZE];
    size_t taken = 0;

    text->digests = 0;
    for (size_t i = 0; i < text->count; i++) {
        size_t len = key_source_text(&text->spec->part[text->first + i].source, name);
        bool named = strncmp(parts[i], name, len) == 0;
        bool digest = named && parts[i][len] == '#';
        out[i] = parts[i] + (named ? len + digest : 0);
        text->digests |= digest ? 1U << i : 0;
        taken += named;
    }
    return taken;
}

/* Whether a part names a source of one of the alternatives that have as many. */
static bool has_names(struct override_text *text, const char *const parts[])
{
    const char *bare[KEY_PARTS_MAX];

    for (size_t first = 0, end; first < text->spec->count; first = end) {
        end = key_alternative_end(text->spec, first);
        text->first = first;
        if (end - first == text->count && take_names(text, parts, bare) > 0)
            return true;
    }
    return false;
}

/* Read PARTS for the alternative that TEXT is for. */
static const char *read_alternative(struct override_text *text, const char *const parts[],
                                    bool named)
{
    static const char *bare[KEY_PARTS_MAX]; /* TEXT borrows it */
    const char *error = NULL;

    if (take_names(text, parts, bare) == 0 && named)
        return "it names the source of another alternative";
    for (size_t i = 0; i < text->count && !error; i++)
        error = override_text_check(bare[i]);
    text->text = bare;
    return error ? error : override_text_read(text);
}

const char *typed_key_read(const char *key, const struct key_spec *spec, unsigned ipv6_prefix_bits,
                           typed_key_each *each, void *context)
{
    static struct override_text text; /* too large for a stack */
    const char *parts[KEY_PARTS_MAX] = {"", "", "", "", "", "", "", ""},
               *why = "the key of the limit has another number of sources";
    char *copy = memory_text(key, strlen(key));
    bool found = false;

    text = (struct override_text){
        .spec = spec, .ipv6_prefix_bits = ipv6_prefix_bits, .count = split(copy, parts)};
    bool named = has_names(&text, parts);
    for (size_t first = 0, end; first < spec->count; first = end) {
        end = key_alternative_end(spec, first);
        if (end - first != text.count)
            continue;
        text.first = first;
        const char *error = read_alternative(&text, parts, named);
        found = found || !error;
        why = error ? error : why;
        if (!error)
            each(context, &text);
    }
    free(copy);
    return found ? NULL : why;
}
