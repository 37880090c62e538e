#include "key.h"

#include <assert.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "query.h"
#include "span.h"

#define IPV6_PREFIX_BITS 64 /* what one subscriber owns: RFC 6177, 2 */

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

/* Append "ip=ADDRESS".  Returns whether REQUEST has an address at all. */
static bool append_ip(struct identity *identity, const struct request *request)
{
    char address[ADDRESS_MAX];
    const char *text = request->remote_addr;

    /* What is no address, such as a unix socket's path, is still somebody's. */
    if (address_client(text, IPV6_PREFIX_BITS, address))
        text = address;
    identity_append(identity, "ip=", 3);
    for (const char *byte = text; *byte; byte++)
        identity_append_byte(identity, (unsigned char)*byte);
    return *text != '\0';
}

/* Append "query:NAME=VALUE".  Returns whether REQUEST has that parameter, and not an empty one. */
static bool append_query(struct identity *identity, const char *name, const struct request *request)
{
    struct span value = query_find(request->uri, name);
    bool present = value.len > 0;

    identity_append(identity, "query:", 6);
    for (const char *byte = name; *byte; byte++)
        identity_append_byte(identity, (unsigned char)*byte);
    identity_append(identity, "=", 1);
    for (int byte = query_next_byte(&value); byte >= 0; byte = query_next_byte(&value))
        identity_append_byte(identity, (unsigned char)byte);
    return present;
}

static void identify(const struct key_spec *spec, const struct request *request,
                     struct identity *identity)
{
    assert(spec->count > 0);
    for (size_t i = 0; i < spec->count; i++) {
        const struct key_part *part = &spec->alternative[i];
        identity->len = 0;
        identity->digested = false;
        if (part->source == KEY_IP ? append_ip(identity, request)
                                   : append_query(identity, part->name, request))
            break;
    }
    identity_finish(identity);
}

static const char *parse_part(struct span text, struct key_part *out)
{
    static const char wrong_source[] = "unknown source in a key; the sources are ip and query:NAME";

    *out = (struct key_part){.source = KEY_IP};
    if (text.len == 0)
        return "an empty source in a key; write SOURCE or SOURCE | SOURCE, "
               "the sources are ip and query:NAME";
    if (text.len == 2 && memcmp(text.text, "ip", 2) == 0)
        return NULL;
    if (text.len < 6 || memcmp(text.text, "query:", 6) != 0)
        return wrong_source;

    struct span name = {text.text + 6, text.len - 6};
    if (name.len == 0)
        return "query: names no parameter; write query:NAME, such as query:user";
    if (name.len > KEY_NAME_MAX)
        return "the name of a query parameter is too long; the most is 64 bytes";
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.text[i] <= ' ' || name.text[i] == 0x7f)
            return "a space or a control character in the name of a query parameter; "
                   "write it decoded and without them";
    out->source = KEY_QUERY;
    memcpy(out->name, name.text, name.len);
    return NULL;
}

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
    out->count = 0;
    for (;;) {
        if (out->count == KEY_ALTERNATIVES_MAX)
            return "too many sources in a key; the most is 8";
        size_t len = strcspn(text, "|");
        const char *error =
            parse_part(trim((struct span){text, len}), &out->alternative[out->count]);
        if (error)
            return error;
        out->count++;
        if (text[len] == '\0')
            return NULL;
        text += len + 1;
    }
}

size_t key_build(const struct key_spec *spec, const char *limit_name, const struct request *request,
                 char out[KEY_MAX])
{
    struct identity identity;

    size_t len = 0, name_len = strlen(limit_name);

    identify(spec, request, &identity);
    assert(4 + identity.len + 2 + name_len < KEY_MAX);
    memcpy(out, "rl:{", 4);
    len += 4;
    memcpy(out + len, identity.text, identity.len);
    len += identity.len;
    memcpy(out + len, "}:", 2);
    len += 2;
    memcpy(out + len, limit_name, name_len + 1);
    return len + name_len;
}
