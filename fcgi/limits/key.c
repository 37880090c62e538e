/* key.c - from a request to the Redis key of its bucket. */
/* SPDX-License-Identifier: MIT */
#include "limits/key.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"

/* Bytes of an identity before it is shortened. */
#define PARTS_SIZE                                                                                 \
    (KEY_PARTS_MAX * (sizeof "+lower:header:=" + 3 * KEY_SOURCE_NAME_MAX + KEY_IDENTITY_MAX) + 1)

static bool is_plain(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != 0 && strchr("._~:/@-", byte));
}

void key_append_encoded(struct text *identity, struct span text, const char *plain)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.text[i];
        if (is_plain(byte) || (byte != 0 && strchr(plain, byte)))
            text_append_span(identity, (struct span){&text.text[i], 1});
        else
            text_append(identity, (const char[]){'%', hex[byte >> 4], hex[byte & 15], '\0'});
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

static void append_digest(struct text *identity, struct span text, struct memo *memo)
{
    char digest[MEMO_DIGEST_SIZE];

    memo_digest(memo, text, digest);
    text_append(identity, "#");
    text_append_span(identity, (struct span){digest, sizeof digest});
}

static void append_source(struct text *identity, const struct key_source *source)
{
    if (source->lower)
        text_append(identity, "lower:");
    text_append(identity, key_source_word(source->kind));
    if (source->name[0] != '\0') {
        text_append(identity, ":");
        key_append_encoded(identity, (struct span){source->name, strlen(source->name)}, "");
    }
    text_append(identity, "=");
}

static void append_part(struct text *identity, const struct key_source *source, struct span value,
                        struct memo *memo)
{
    size_t begin = identity->len;

    append_source(identity, source);
    if (is_long(value, identity->len - begin) || (source->secret && value.len > 0))
        append_digest(identity, value, memo);
    else
        key_append_encoded(identity, value, "");
}

static void shorten(struct text *identity)
{
    char bytes[MEMO_DIGEST_SIZE + 2];
    struct text digest = {bytes, 0, sizeof bytes};

    if (identity->len <= KEY_IDENTITY_MAX)
        return;
    append_digest(&digest, (struct span){identity->bytes, identity->len}, NULL);
    identity->len = 0;
    text_append(identity, bytes);
}

/* ---- Public ---- */

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
        const char *error =
            key_source_parse(span_trim((struct span){text, len}, " "), &part->source);
        if (error || text[len] == '\0')
            return error;
        alternative = text[len] == '|';
        text += len + 1;
    }
}

void key_show(struct key_spec *spec, bool show)
{
    for (size_t i = 0; i < spec->count; i++)
        key_source_show(&spec->part[i].source, show);
}

bool key_has_secret(const struct key_spec *spec)
{
    for (size_t i = 0; i < spec->count; i++)
        if (spec->part[i].source.secret)
            return true;
    return false;
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

size_t key_source_text(const struct key_source *source, char out[KEY_SOURCE_TEXT_SIZE])
{
    struct text text = {out, 0, KEY_SOURCE_TEXT_SIZE};

    append_source(&text, source);
    return text.len;
}

size_t key_build(const struct key_values *values, const char *limit_name, char out[KEY_SIZE])
{
    char bytes[PARTS_SIZE]; /* always enough, because a long value is a digest */
    struct text identity = {bytes, 0, sizeof bytes}, key = {out, 0, KEY_SIZE};

    for (size_t i = 0; i < values->count; i++) {
        if (i > 0)
            text_append(&identity, "+");
        append_part(&identity, values->source[i], values->value[i], values->memo);
    }
    shorten(&identity);
    text_append(&key, "rl:{");
    text_append_span(&key, (struct span){identity.bytes, identity.len});
    text_append(&key, "}:");
    text_append(&key, limit_name);
    return key.len;
}
