#include "key.h"

#include <assert.h>
#include <ctype.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "host.h"
#include "path.h"
#include "query.h"
#include "span.h"

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

static void append_bytes(struct identity *identity, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        identity_append_byte(identity, (unsigned char)bytes.text[i]);
}

static struct span span_of(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

/* ---- The sources: each appends its value in REQUEST, and returns whether there is one ---- */

static bool append_ip(struct identity *identity, const struct request *request,
                      unsigned prefix_bits)
{
    char address[ADDRESS_MAX];
    /* What is no address, such as a unix socket's path, is still somebody's. */
    bool is_address = address_client(request->remote_addr, prefix_bits, address);
    struct span value = span_of(is_address ? address : request->remote_addr);

    append_bytes(identity, value);
    return value.len > 0;
}

static bool append_query(struct identity *identity, const char *name, const struct request *request)
{
    struct span value = query_find(request->uri, name);
    bool present = value.len > 0;

    for (int byte = query_next_byte(&value); byte >= 0; byte = query_next_byte(&value))
        identity_append_byte(identity, (unsigned char)byte);
    return present;
}

static bool append_parameter(struct identity *identity, const char *name,
                             const struct request *request)
{
    struct span value = span_of(request_parameter(request, name));

    append_bytes(identity, value);
    return value.len > 0;
}

/* The first cookie NAME in HEADER, "a=1; b=2" (RFC 6265, 4.2.1), as it stands there. */
static struct span find_cookie(const char *header, const char *name)
{
    size_t name_len = strlen(name);

    while (header && *header) {
        header += strspn(header, "; \t");
        size_t len = strcspn(header, ";");
        if (len > name_len && strncmp(header, name, name_len) == 0 && header[name_len] == '=')
            return (struct span){header + name_len + 1, len - name_len - 1};
        header += len;
    }
    return (struct span){NULL, 0};
}

static bool append_cookie(struct identity *identity, const struct key_part *part,
                          const struct request *request)
{
    struct span value = find_cookie(request_parameter(request, part->parameter), part->name);

    while (value.len > 0 && (value.text[value.len - 1] == ' ' || value.text[value.len - 1] == '\t'))
        value.len--;
    append_bytes(identity, value);
    return value.len > 0;
}

/* A path too long to be normalised is an empty one, and shares its bucket with all others like it. */
static bool append_path(struct identity *identity, const struct request *request)
{
    char path[PATH_BYTES_MAX];
    struct span value = {path, path_normalise(request->uri, path)};

    append_bytes(identity, value);
    return value.len > 0;
}

static bool append_host(struct identity *identity, const struct key_part *part,
                        const struct request *request)
{
    char host[HOST_MAX];
    struct span value = {host, host_normalise(request_parameter(request, part->parameter), host)};

    append_bytes(identity, value);
    return value.len > 0;
}

static bool append_value(struct identity *identity, const struct key_spec *spec,
                         const struct key_part *part, const struct request *request)
{
    switch (part->source) {
    case KEY_IP:
        return append_ip(identity, request, spec->ipv6_prefix_bits);
    case KEY_QUERY:
        return append_query(identity, part->name, request);
    case KEY_HEADER:
    case KEY_ENV:
        return append_parameter(identity, part->parameter, request);
    case KEY_COOKIE:
        return append_cookie(identity, part, request);
    case KEY_PATH:
        return append_path(identity, request);
    case KEY_METHOD:
        append_bytes(identity, span_of(request->method));
        return *request->method != '\0';
    case KEY_HOST:
        return append_host(identity, part, request);
    case KEY_GLOBAL:
        break;
    }
    return true;
}

/* ---- The identity ---- */

/* What may stand in a key. */
static const struct {
    const char *name; /* before the ':' */
    bool named;       /* a ':' and a NAME follow */
} sources[] = {
    [KEY_IP] = {"ip", false},         [KEY_QUERY] = {"query", true},
    [KEY_HEADER] = {"header", true},  [KEY_COOKIE] = {"cookie", true},
    [KEY_PATH] = {"path", false},     [KEY_METHOD] = {"method", false},
    [KEY_HOST] = {"host", false},     [KEY_ENV] = {"env", true},
    [KEY_GLOBAL] = {"global", false},
};

#define SOURCES (sizeof sources / sizeof *sources)

static bool append_part(struct identity *identity, const struct key_spec *spec,
                        const struct key_part *part, const struct request *request)
{
    const char *source = sources[part->source].name;

    identity_append(identity, source, strlen(source));
    if (sources[part->source].named) {
        identity_append(identity, ":", 1);
        append_bytes(identity, span_of(part->name));
    }
    identity_append(identity, "=", 1);
    return append_value(identity, spec, part, request);
}

static void identify(const struct key_spec *spec, const struct request *request,
                     struct identity *identity)
{
    bool present = false;

    assert(spec->count > 0 && spec->part[0].alternative);
    for (size_t i = 0; i < spec->count; i++) {
        const struct key_part *part = &spec->part[i];
        if (part->alternative) {
            if (present)
                break;
            present = true;
            identity->len = 0;
            identity->digested = false;
        } else {
            identity_append(identity, "+", 1);
        }
        present = append_part(identity, spec, part, request) && present;
    }
    identity_finish(identity);
}

/* ---- Reading a key of the limits file ---- */

#define THE_SOURCES                                                                                \
    "the sources are ip, query:NAME, header:NAME, cookie:NAME, path, method, host, env:NAME, "     \
    "global"

static struct span trim(struct span text)
{
    while (text.len > 0 && text.text[0] == ' ')
        text.text++, text.len--;
    while (text.len > 0 && text.text[text.len - 1] == ' ')
        text.len--;
    return text;
}

/* The FastCGI parameter of header NAME, in lower case (RFC 3875, 4.1.18): HTTP_ and the name in capitals, '-' as '_'.
 * Two have a name of their own. */
static void header_parameter(const char *name, char *out)
{
    bool bare = strcmp(name, "content-type") == 0 || strcmp(name, "content-length") == 0;

    strcpy(out, bare ? "" : "HTTP_");
    for (out += strlen(out); *name; name++)
        *out++ = (char)(*name == '-' ? '_' : toupper((unsigned char)*name));
    *out = '\0';
}

static const char *parse_header_name(struct key_part *part)
{
    for (char *byte = part->name; *byte; byte++) {
        if (!isalnum((unsigned char)*byte) && *byte != '-')
            return "a header's name in a key is letters, digits and '-'; write it as in "
                   "header:X-API-Key";
        *byte = (char)tolower((unsigned char)*byte);
    }
    header_parameter(part->name, part->parameter);
    return NULL;
}

static const char *parse_env_name(struct key_part *part)
{
    for (const char *byte = part->name; *byte; byte++)
        if (!isalnum((unsigned char)*byte) && *byte != '_')
            return "the name of a FastCGI parameter is letters, digits and '_'; write it as in "
                   "env:REMOTE_USER";
    strcpy(part->parameter, part->name);
    return NULL;
}

static const char *parse_name(struct span name, struct key_part *part)
{
    if (name.len == 0)
        return "a source without the name it needs; write query:NAME, header:NAME, cookie:NAME or "
               "env:NAME, such as query:user";
    if (name.len > KEY_NAME_MAX)
        return "the name of a source is too long; the most is 64 bytes";
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.text[i] <= ' ' || name.text[i] == 0x7f)
            return "a space or a control character in the name of a source; "
                   "write it decoded and without them";
    memcpy(part->name, name.text, name.len);
    if (part->source == KEY_HEADER)
        return parse_header_name(part);
    if (part->source == KEY_ENV)
        return parse_env_name(part);
    if (part->source == KEY_COOKIE && strpbrk(part->name, "=;,\""))
        return "a cookie's name in a key holds none of = ; , and \"; write it as in cookie:session";
    return NULL;
}

static const char *parse_part(struct span text, struct key_part *part)
{
    const char *colon = memchr(text.text, ':', text.len);
    size_t word = colon ? (size_t)(colon - text.text) : text.len;

    if (text.len == 0)
        return "an empty source in a key; write SOURCE, SOURCE + SOURCE or SOURCE | "
               "SOURCE; " THE_SOURCES;
    for (size_t i = 0; i < SOURCES; i++) {
        if (strlen(sources[i].name) != word || memcmp(sources[i].name, text.text, word) != 0)
            continue;
        part->source = (enum key_source)i;
        if (part->source == KEY_HOST)
            strcpy(part->parameter, "HTTP_HOST");
        if (part->source == KEY_COOKIE)
            strcpy(part->parameter, "HTTP_COOKIE");
        if (sources[i].named)
            return parse_name(colon ? (struct span){colon + 1, text.len - word - 1}
                                    : (struct span){text.text, 0},
                              part);
        return colon ? "a name after a source that has none; " THE_SOURCES : NULL;
    }
    return "unknown source in a key; " THE_SOURCES;
}

const char *key_parse(const char *text, struct key_spec *out)
{
    bool alternative = true;

    *out = (struct key_spec){.ipv6_prefix_bits = 64};
    for (;;) {
        if (out->count == KEY_PARTS_MAX)
            return "too many sources in a key; the most is 8";
        size_t len = strcspn(text, "|+");
        struct key_part *part = &out->part[out->count++];
        part->alternative = alternative;
        const char *error = parse_part(trim((struct span){text, len}), part);
        if (error || text[len] == '\0')
            return error;
        alternative = text[len] == '|';
        text += len + 1;
    }
}

size_t key_build(const struct key_spec *spec, const char *limit_name, const struct request *request,
                 char out[KEY_MAX])
{
    struct identity identity;
    size_t name_len = strlen(limit_name);

    identify(spec, request, &identity);
    assert(4 + identity.len + 2 + name_len < KEY_MAX);
    char *end = mempcpy(out, "rl:{", 4);
    end = mempcpy(end, identity.text, identity.len);
    end = mempcpy(end, "}:", 2);
    end = mempcpy(end, limit_name, name_len);
    *end = '\0';
    return (size_t)(end - out);
}
