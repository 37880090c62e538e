#include "key.h"

#include <assert.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* An identity while it is written: its bytes as long as they fit, their digest once they do not.
 * So the longest input takes no more memory than the shortest. */
struct identity {
    size_t len;
    bool digested;
    struct sha256_ctx digest;
    char text[KEY_IDENTITY_MAX];
};

static void identity_append(struct identity *identity, const char *text, size_t len)
{
    if (!identity->digested && identity->len + len > sizeof identity->text) {
        sha256_init(&identity->digest);
        sha256_update(&identity->digest, identity->len, (const uint8_t *)identity->text);
        identity->digested = true;
    }
    if (identity->digested) {
        sha256_update(&identity->digest, len, (const uint8_t *)text);
        return;
    }
    memcpy(identity->text + identity->len, text, len);
    identity->len += len;
}

static void identity_append_byte(struct identity *identity, unsigned char byte)
{
    static const char hex[] = "0123456789ABCDEF";
    bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                 (byte >= '0' && byte <= '9') || (byte != 0 && strchr("._~:/@-", byte));

    if (plain)
        identity_append(identity, (const char *)&byte, 1);
    else
        identity_append(identity, (const char[]){'%', hex[byte >> 4], hex[byte & 15]}, 3);
}

static void identity_finish(struct identity *identity)
{
    uint8_t digest[SHA256_DIGEST_SIZE];

    if (!identity->digested)
        return;
    sha256_digest(&identity->digest, sizeof digest, digest);
    identity->text[0] = '#';
    identity->len = 1;
    for (size_t i = 0; i < sizeof digest; i++) {
        char pair[3];
        snprintf(pair, sizeof pair, "%02x", digest[i]);
        memcpy(identity->text + identity->len, pair, 2);
        identity->len += 2;
    }
}

static void append_text(struct identity *identity, const char *text)
{
    for (; *text; text++)
        identity_append_byte(identity, (unsigned char)*text);
}

static void append_part(struct identity *identity, const struct source *source, struct value value)
{
    const char *word = source_word(source->kind);

    identity_append(identity, word, strlen(word));
    if (source->name[0] != '\0') {
        identity_append(identity, ":", 1);
        append_text(identity, source->name);
    }
    identity_append(identity, "=", 1);
    for (int byte = value_next_byte(&value); byte >= 0; byte = value_next_byte(&value))
        identity_append_byte(identity, (unsigned char)byte);
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
        const char *error = source_parse(trim((struct span){text, len}), &part->source);
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

void key_find(const struct key_spec *spec, struct subject *subject, struct key_values *out)
{
    bool present = false;

    assert(spec->count > 0 && spec->part[0].alternative);
    for (size_t i = 0; i < spec->count; i++) {
        const struct source *source = &spec->part[i].source;
        if (spec->part[i].alternative) {
            if (present)
                return;
            present = true;
            out->first = i;
            out->count = 0;
        }
        struct value value = source_value(source, subject);
        out->source[out->count] = source;
        out->value[out->count++] = value;
        present = present && (value.text.len > 0 || source->kind == SOURCE_GLOBAL);
    }
}

size_t key_build(const struct key_values *values, const char *limit_name, char out[KEY_MAX])
{
    struct identity identity;
    size_t name_len = strlen(limit_name);

    identity.len = 0;
    identity.digested = false;
    for (size_t i = 0; i < values->count; i++) {
        if (i > 0)
            identity_append(&identity, "+", 1);
        append_part(&identity, values->source[i], values->value[i]);
    }
    identity_finish(&identity);
    assert(4 + identity.len + 2 + name_len < KEY_MAX);
    char *end = mempcpy(out, "rl:{", 4);
    end = mempcpy(end, identity.text, identity.len);
    end = mempcpy(end, "}:", 2);
    end = mempcpy(end, limit_name, name_len);
    *end = '\0';
    return (size_t)(end - out);
}
