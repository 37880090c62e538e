/* override_key.c - names of stored overrides: written, and read again. */
/* SPDX-License-Identifier: MIT */
#include "limits/override_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/percent.h"
#include "base/text.h"

static const char begin[] = "rl:{", end[] = "}:";

const char override_key_is_foreign[] = "the limit does not count by these sources";

bool override_key_split(const char *name, struct override_key *out)
{
    const char *close = strstr(name, end);
    size_t len = sizeof begin - 1;

    if (strncmp(name, begin, len) != 0 || !close || close == name + len ||
        close[sizeof end - 1] == '\0')
        return false;
    out->identity = (struct span){name + len, (size_t)(close - name) - len};
    out->limit = (struct span){close + 2, strlen(close + 2)};
    return true;
}

/* ---- Writing ---- */

static void write_digest(struct text *name, const char *value)
{
    char digest[MEMO_DIGEST_SIZE];

    memo_digest(NULL, (struct span){value, strlen(value)}, digest);
    text_append(name, "#");
    text_append_span(name, (struct span){digest, sizeof digest});
}

/* Write the value of source I of a pattern. */
static void write_value(struct text *name, const struct override_text *text, size_t i)
{
    const struct pattern *part = &text->part[i];
    const struct key_source *source = &text->spec->part[text->first + i].source;
    struct span value = {part->is_network ? text->text[i] : text->value[i], 0};

    value.len = strlen(value.text);
    if (part->is_digest) {
        text_append(name, "#");
        text_append_span(name, value);
    } else if (source->secret && !strchr(value.text, '*')) {
        write_digest(name, value.text);
    } else {
        key_append_encoded(name, value, "*");
    }
}

static size_t write_pattern(const struct override_text *text, const char *limit_name,
                            char out[OVERRIDE_KEY_SIZE])
{
    struct text name = {out, 0, OVERRIDE_KEY_SIZE};
    char source[KEY_SOURCE_TEXT_SIZE];

    text_append(&name, begin);
    for (size_t i = 0; i < text->count; i++) {
        key_source_text(&text->spec->part[text->first + i].source, source);
        text_append(&name, i > 0 ? "+" : "");
        text_append(&name, source);
        write_value(&name, text, i);
    }
    text_append(&name, end);
    text_append(&name, limit_name);
    return name.len;
}

/* Put a slash behind the path, or behind a digest of the whole identity. */
static size_t insert_slash(const struct override_text *text, char name[OVERRIDE_KEY_SIZE],
                           size_t len)
{
    char *at = name + sizeof begin - 1;
    size_t path = 0;

    while (text->spec->part[text->first + path].source.kind != KEY_SOURCE_PATH)
        path++;
    for (size_t i = 0; i < path && *at != '#'; i++)
        at += strcspn(at, "+") + 1;
    at += strcspn(at, "+}");
    memmove(at + 1, at, len - (size_t)(at - name) + 1);
    *at = '/';
    return len + 1;
}

size_t override_key_write(const struct override_text *text, const char *limit_name,
                          char out[OVERRIDE_KEY_SIZE])
{
    bool slash;

    if (!text->is_exact)
        return write_pattern(text, limit_name, out);
    size_t len = override_text_key(text, limit_name, out, &slash);
    return slash ? insert_slash(text, out, len) : len;
}

/* ---- Reading ---- */

/* A name that is being read, as one alternative of a key has it. */
struct reading {
    struct override_text text;
    const char *part[KEY_PARTS_MAX];                  /* what TEXT borrows ... */
    char value[KEY_PARTS_MAX][3 * OVERRIDE_TEXT_MAX]; /* ... from here */
    struct span raw[KEY_PARTS_MAX];                   /* the values as in the name */
};

/* Split IDENTITY into the values of the alternative of SPEC that begins at FIRST.  False: it is for
 * another one. */
static bool split(struct span identity, const struct key_spec *spec, size_t first,
                  struct reading *out)
{
    size_t stop = key_alternative_end(spec, first);
    const char *at = identity.text, *last = identity.text + identity.len;
    char source[KEY_SOURCE_TEXT_SIZE];

    out->text.first = first;
    out->text.count = stop - first;
    for (size_t i = first; i < stop; i++) {
        size_t len = key_source_text(&spec->part[i].source, source);
        if ((size_t)(last - at) < len || memcmp(at, source, len) != 0)
            return false;
        at += len;
        const char *plus = memchr(at, '+', (size_t)(last - at));
        size_t value_len = plus ? (size_t)(plus - at) : (size_t)(last - at);
        out->raw[i - first] = (struct span){at, value_len};
        if ((plus != NULL) != (i + 1 < stop))
            return false;
        at += value_len + (plus ? 1 : 0);
    }
    return true;
}

/* Whether RAW is the identity of one client at an address. */
static bool is_client(struct span raw, unsigned ipv6_prefix_bits)
{
    char text[ADDRESS_SIZE], canonical[ADDRESS_SIZE];
    struct network network;

    if (raw.len >= sizeof text)
        return false;
    *(char *)mempcpy(text, raw.text, raw.len) = '\0';
    if (network_parse(text, &network))
        return false;
    address_format(&network.address, ipv6_prefix_bits, canonical);
    return strcmp(text, canonical) == 0;
}

/* Whether the name is the key of a bucket, and no pattern. */
static bool is_key(const struct reading *reading)
{
    const struct override_text *text = &reading->text;

    for (size_t i = 0; i < text->count; i++) {
        const struct key_source *source = &text->spec->part[text->first + i].source;
        if (memchr(reading->raw[i].text, '*', reading->raw[i].len) ||
            (source->kind == KEY_SOURCE_IP && !is_client(reading->raw[i], text->ipv6_prefix_bits)))
            return false;
    }
    return true;
}

/* Add the override for the bucket whose key NAME is, but for a slash at the end of a path. */
static const char *add_key(struct overrides *overrides, const struct key_spec *spec,
                           const char *name, struct span path, const struct override *override)
{
    char key[KEY_SIZE + 1];
    size_t len = strlen(name), before = (size_t)(path.text - name) + path.len;
    bool slash = path.len > 1 && path.text[path.len - 1] == '/';

    if (len - slash >= KEY_SIZE)
        return "no bucket has so long a key; write the name as ratelimitctl does";
    memcpy(key, name, before - slash);
    strcpy(key + before - slash, name + before);
    overrides_add_key(overrides, spec, key, len - slash, slash, override);
    return NULL;
}

/* Decode RAW into OUT.  Returns NULL, or what is wrong. */
static const char *decode(struct span raw, char out[3 * OVERRIDE_TEXT_MAX])
{
    size_t len = 0;

    if (raw.len >= 3 * OVERRIDE_TEXT_MAX)
        return "this name is too long";
    for (size_t i = 0; i < raw.len; i++) {
        int byte = raw.text[i] == '%' ? percent_byte(raw.text + i, raw.len - i) : 0;
        if (byte < 0 || (raw.text[i] == '%' && (byte == 0 || byte == '*')))
            return "beside a glob or a network, % is followed by two hexadecimal digits, and not "
                   "by "
                   "00 or 2A";
        if (byte > 0) {
            out[len++] = (char)byte;
            i += 2;
        } else {
            out[len++] = raw.text[i];
        }
    }
    out[len] = '\0';
    return NULL;
}

/* Add the override for all clients of the pattern in READING. */
static const char *add_pattern(struct overrides *overrides, struct reading *reading,
                               const char *limit_name, const struct override *override)
{
    struct override_text *text = &reading->text;
    const char *error = NULL;

    text->digests = 0;
    for (size_t i = 0; i < text->count && !error; i++) {
        struct span raw = reading->raw[i];
        bool digest = raw.len > 0 && raw.text[0] == '#';
        text->digests |= digest ? 1U << i : 0;
        error = decode((struct span){raw.text + digest, raw.len - digest}, reading->value[i]);
        reading->part[i] = reading->value[i];
        error = error ? error : override_text_check(reading->value[i]);
    }
    text->text = reading->part;
    error = error ? error : override_text_read(text);
    return error ? error : overrides_add_text(overrides, text, limit_name, override);
}

/* The path among the values of READING, or an empty span at the end of IDENTITY. */
static struct span path_of(const struct reading *reading, struct span identity)
{
    const struct override_text *text = &reading->text;

    for (size_t i = 0; i < text->count; i++)
        if (text->spec->part[text->first + i].source.kind == KEY_SOURCE_PATH)
            return reading->raw[i];
    return (struct span){identity.text + identity.len, 0};
}

const char *override_key_add(struct overrides *overrides, const struct key_spec *spec,
                             const char *name, unsigned ipv6_prefix_bits,
                             const struct override *override)
{
    static _Thread_local struct reading reading; /* too large for the stack of a thread */
    const char *error = override_key_is_foreign;
    struct override_key key;

    if (!override_key_split(name, &key))
        return "a name is such as rl:{query:user=alice}:per-user";
    if (key.identity.text[0] == '#')
        return add_key(overrides, spec, name, key.identity, override);
    reading.text.spec = spec;
    reading.text.ipv6_prefix_bits = ipv6_prefix_bits;
    for (size_t first = 0; first < spec->count; first = key_alternative_end(spec, first)) {
        if (!split(key.identity, spec, first, &reading))
            continue;
        if (is_key(&reading))
            return add_key(overrides, spec, name, path_of(&reading, key.identity), override);
        error = add_pattern(overrides, &reading, key.limit.text, override);
        if (error)
            return error;
        /* A later alternative can have the same sources. */
    }
    return error;
}
