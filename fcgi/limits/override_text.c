/* override_text.c - what a text of an override means for each source of a key. */
/* SPDX-License-Identifier: MIT */
#include "limits/override_text.h"

#include <ctype.h>
#include <string.h>

#include "base/glob.h"
#include "request/cookie.h"

const char *override_text_check(const char *text)
{
    if (text[0] == '\0')
        return "an empty key; write a value, an address, a CIDR or a glob";
    if (strchr(text, '*') && strlen(text) > GLOB_MAX)
        return "this glob is too long; the most is 256 bytes";
    if (strlen(text) > OVERRIDE_TEXT_MAX)
        return "this key is too long; the most is 1024 bytes";
    return NULL;
}

/* ---- One text for one source.  Each returns NULL, or why it cannot be for that source ---- */

const char override_text_is_address[] =
    "an address is for the source ip; write it in the place of ip";

static const char *read_network(const char *text, size_t i, struct override_text *out)
{
    struct pattern *part = &out->part[i];
    unsigned client_bits = out->ipv6_prefix_bits;
    const char *error = network_parse(text, &part->network);

    if (error)
        return error;
    if (address_is_ipv4(&part->network.address))
        client_bits = ADDRESS_BITS;
    else if (part->network.bits > client_bits)
        return "an IPv6 client is its whole prefix, of ipv6_prefix bits; write that prefix, such "
               "as "
               "2001:db8:1:2::/64, or set ipv6_prefix";
    part->is_network = true;
    out->is_exact = out->is_exact && part->network.bits == client_bits;
    address_format(&part->network.address, out->ipv6_prefix_bits, out->value[i]);
    return NULL;
}

/* Every value of the source: "**", because an IPv6 client has a slash and "*" must fit it, too. */
static const char *read_all(size_t i, struct override_text *out)
{
    out->part[i].glob = strcpy(out->value[i], "**");
    out->is_exact = false;
    return NULL;
}

/* Spell VALUE, the text of an override, as the values of SOURCE are spelled. */
static void spell_as(const struct key_source *source, char *value)
{
    char bytes[OVERRIDE_TEXT_MAX];
    struct scratch scratch = {bytes, sizeof bytes, 0};
    struct span cookie = {NULL, 0};

    if (source->kind == KEY_SOURCE_COOKIE)
        cookie = cookie_value((struct span){value, strlen(value)}, &scratch);
    if (cookie.text && !memchr(cookie.text, '\0', cookie.len))
        *(char *)mempcpy(value, cookie.text, cookie.len) = '\0';
    for (char *byte = value; (source->kind == KEY_SOURCE_HOST || source->lower) && *byte; byte++)
        *byte = (char)tolower((unsigned char)*byte);
    if (source->kind == KEY_SOURCE_METHOD && strcmp(value, "HEAD") == 0)
        strcpy(value, "GET");
}

static const char *read_text(const char *text, const struct key_source *source, size_t i,
                             struct override_text *out)
{
    char *value = out->value[i];

    if (source->kind == KEY_SOURCE_PATH && text[0] != '/' && text[0] != '*')
        return "a path begins with a slash; write /api/x, /api/** or **/x";
    strcpy(value, text);
    spell_as(source, value);
    out->part[i].glob = value;
    out->is_exact = out->is_exact && !strchr(value, '*');
    return NULL;
}

/* Whether an alternative of as many sources has ip at position I, so that an address there is a
 * client's. */
static bool address_is_client(const struct override_text *out, size_t i)
{
    const struct key_spec *spec = out->spec;

    for (size_t first = 0, end; first < spec->count; first = end) {
        end = key_alternative_end(spec, first);
        if (end - first == out->count && spec->part[first + i].source.kind == KEY_SOURCE_IP)
            return true;
    }
    return false;
}

/* Whether TEXT is an address, or is written like one: 10.0.0.*, 10.0.0/8, 10.0.0.256.  If the key
 * has ip there, it must not become the name of a user, which any client can claim. */
static bool is_like_address(const char *text)
{
    size_t dots = 0;

    for (const char *at = text; *at; at++)
        dots += *at == '.';
    return network_is_meant(text) ||
           (isdigit((unsigned char)text[0]) && text[strspn(text, "0123456789.*/")] == '\0' &&
            dots >= 2 && (dots == 3 || strpbrk(text, "*/")));
}

/* A digest stands for one value, whose key cannot be built from it. */
static const char *read_digest(const char *text, size_t i, struct override_text *out)
{
    if (strlen(text) != MEMO_DIGEST_SIZE || text[strspn(text, "0123456789abcdef")] != '\0')
        return "a digest is 64 hexadecimal digits in lower case";
    out->part[i].is_digest = true;
    out->part[i].glob = strcpy(out->value[i], text);
    return NULL;
}

static const char *read_part(size_t i, struct override_text *out)
{
    const struct key_source *source = &out->spec->part[out->first + i].source;
    const char *text = out->text[i];

    if (out->digests & 1U << i)
        return read_digest(text, i, out);
    bool all = strcmp(text, "*") == 0 || strcmp(text, "**") == 0;

    if (all && (source->kind == KEY_SOURCE_IP || source->kind == KEY_SOURCE_GLOBAL))
        return read_all(i, out);
    if (source->kind == KEY_SOURCE_IP)
        return read_network(text, i, out);
    if (source->kind == KEY_SOURCE_GLOBAL)
        return "the source global has no value; write * there";
    if (is_like_address(text) && address_is_client(out, i))
        return override_text_is_address;
    if (network_is_meant(text) && strchr(text, '/'))
        return "a CIDR is for the source ip, which the limit's key does not have there; write an "
               "exact key or a glob, or add ip to the limit's key";
    return read_text(text, source, i, out);
}

/* Beside a pattern, a text without one is compared as a glob that has no '*'. */
static const char *check_part(const struct pattern *part)
{
    if (part->glob && strlen(part->glob) > GLOB_MAX)
        return "this key is too long beside a glob or a CIDR; the most is 256 bytes";
    return NULL;
}

const char *override_text_read(struct override_text *out)
{
    const char *error = NULL;

    out->is_exact = out->digests == 0;
    memset(out->part, 0, sizeof out->part);
    for (size_t i = 0; i < out->count && !error; i++)
        error = read_part(i, out);
    for (size_t i = 0; i < out->count && !out->is_exact && !error; i++)
        error = check_part(&out->part[i]);
    return error;
}

/* Take the slash off the end of PATH, as a key has it (path.h).  Returns whether there was one. */
static bool take_slash(struct span *path)
{
    bool slash = path->len > 1 && path->text[path->len - 1] == '/';

    path->len -= slash;
    return slash;
}

size_t override_text_key(const struct override_text *text, const char *limit_name,
                         char out[KEY_SIZE], bool *slash)
{
    struct key_values values = {.count = text->count};

    *slash = false;
    for (size_t i = 0; i < text->count; i++) {
        values.source[i] = &text->spec->part[text->first + i].source;
        values.value[i] = (struct span){text->value[i], strlen(text->value[i])};
        if (values.source[i]->kind == KEY_SOURCE_PATH)
            *slash = take_slash(&values.value[i]);
    }
    return key_build(&values, limit_name, out);
}
