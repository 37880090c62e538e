/* key.c - from a request to the Redis key of its bucket.
 * SPDX-License-Identifier: MIT */
#include "limits/key.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define PARTS_SIZE                                                                                 \
    (KEY_PARTS_MAX * (sizeof "+lower:header:=" + 3 * KEY_SOURCE_NAME_MAX + KEY_IDENTITY_MAX))

/* An identity while it is written: always enough room, because a long value is a digest. */
struct identity {
    size_t len;
    char text[PARTS_SIZE];
};

static void append(struct identity *identity, const char *text, size_t len)
{
    assert(len <= sizeof identity->text - identity->len);
    memcpy(identity->text + identity->len, text, len);
    identity->len += len;
}

static bool is_plain(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != 0 && strchr("._~:/@-", byte));
}

static void append_encoded(struct identity *identity, struct span text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.text[i];
        if (is_plain(byte))
            append(identity, (const char *)&byte, 1);
        else
            append(identity, (const char[]){'%', hex[byte >> 4], hex[byte & 15]}, 3);
    }
}

/* Whether the encoded form of VALUE, behind PREFIX bytes, ends beyond KEY_IDENTITY_MAX; looks no
 * further than that. */
static bool is_long(struct span value, size_t prefix)
{
    size_t len = prefix;

    for (size_t i = 0; i < value.len && len <= KEY_IDENTITY_MAX; i++)
        len += is_plain((unsigned char)value.text[i]) ? 1 : 3;
    return value.len > 0 && len > KEY_IDENTITY_MAX;
}

static void append_digest(struct identity *identity, struct span text, struct memo *memo)
{
    char digest[MEMO_DIGEST_SIZE];

    memo_digest(memo, text, digest);
    append(identity, "#", 1);
    append(identity, digest, sizeof digest);
}

static void append_part(struct identity *identity, const struct key_source *source,
                        struct span value, struct memo *memo)
{
    const char *word = key_source_word(source->kind);
    size_t begin = identity->len;

    if (source->lower)
        append(identity, "lower:", 6);
    append(identity, word, strlen(word));
    if (source->name[0] != '\0') {
        append(identity, ":", 1);
        append_encoded(identity, (struct span){source->name, strlen(source->name)});
    }
    append(identity, "=", 1);
    if (is_long(value, identity->len - begin))
        append_digest(identity, value, memo);
    else
        append_encoded(identity, value);
}

static void shorten(struct identity *identity)
{
    struct identity digest = {.len = 0};

    if (identity->len <= KEY_IDENTITY_MAX)
        return;
    append_digest(&digest, (struct span){identity->text, identity->len}, NULL);
    memcpy(identity->text, digest.text, digest.len);
    identity->len = digest.len;
}

/* ---- Public ---- */

static struct span trim(struct span text)
{
    while (text.len > 0 && text.text[0] == ' ')
        text.text++, text.len--;
    while (text.len > 0 && text.text[text.len - 1] == ' ')
        text.len--;
    return text;
}

const char *key_parse(const char *text, struct key_spec *out)
{
    bool alternative = true;

    *out = (struct key_spec){0};
    for (;;) {
        if (out->count == KEY_PARTS_MAX)
            return "too many sources in a key; the most is 8";
        size_t len = strcspn(text, "|+");
        struct key_part *part = &out->part[out->count++];
        part->alternative = alternative;
        const char *error = key_source_parse(trim((struct span){text, len}), &part->source);
        if (error || text[len] == '\0')
            return error;
        alternative = text[len] == '|';
        text += len + 1;
    }
}

size_t key_alternative_end(const struct key_spec *spec, size_t first)
{
    size_t end = first + 1;

    while (end < spec->count && !spec->part[end].alternative)
        end++;
    return end;
}

void key_find(const struct key_spec *spec, struct view *view, struct key_values *out)
{
    bool present = false;

    assert(spec->count > 0 && spec->part[0].alternative);
    out->ambiguous = NULL;
    out->memo = &view->memo;
    for (size_t i = 0; i < spec->count; i++) {
        const struct key_source *source = &spec->part[i].source;
        if (spec->part[i].alternative) {
            if (present)
                return;
            present = true;
            out->first = i;
            out->count = 0;
        }
        struct found found = key_source_value(source, view);
        if (found.ambiguous && !out->ambiguous)
            out->ambiguous = source;
        out->source[out->count] = source;
        out->value[out->count++] = found.value;
        present = present && (found.value.len > 0 || source->kind == KEY_SOURCE_GLOBAL);
    }
}

size_t key_build(const struct key_values *values, const char *limit_name, char out[KEY_SIZE])
{
    struct identity identity;
    size_t name_len = strlen(limit_name);

    identity.len = 0;
    for (size_t i = 0; i < values->count; i++) {
        if (i > 0)
            append(&identity, "+", 1);
        append_part(&identity, values->source[i], values->value[i], values->memo);
    }
    shorten(&identity);
    assert(4 + identity.len + 2 + name_len < KEY_SIZE);
    char *end = mempcpy(out, "rl:{", 4);
    end = mempcpy(end, identity.text, identity.len);
    end = mempcpy(end, "}:", 2);
    end = mempcpy(end, limit_name, name_len);
    *end = '\0';
    return (size_t)(end - out);
}
