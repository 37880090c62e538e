/* fuzz_path.c - a path is normalised as by a stack of its segments, and normalising it again does
 * not change it, whatever its encoding */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "request/path.h"

/* Write the normal form of DECODED to OUT, which is used as a stack of segments.  Returns its
 * length. */
static size_t reference(struct bytes decoded, char *out)
{
    size_t len = 0;
    bool folder = true;

    for (size_t start = 0, end; start <= decoded.len; start = end + 1) {
        const char *segment = decoded.text + start;
        for (end = start; end < decoded.len && decoded.text[end] != '/';)
            end++;
        folder = true;
        if (end - start == 2 && memcmp(segment, "..", 2) == 0) {
            while (len > 0 && out[--len] != '/')
                ;
        } else if (end > start && !(end - start == 1 && segment[0] == '.')) {
            out[len++] = '/';
            memcpy(out + len, segment, end - start);
            len += end - start;
            folder = false;
        }
    }
    if (folder || len == 0)
        out[len++] = '/';
    return len;
}

/* The normalised path of URI.  The caller frees TEXT. */
static struct bytes normalised(const char *uri)
{
    char *out = malloc(PATH_SIZE);
    struct bytes path = {out, path_normalise(uri, out)};

    must(path.len < PATH_SIZE && out[path.len] == '\0', "a NUL is after a path");
    return path;
}

static void same_as_by_reference(const char *uri, struct bytes path)
{
    size_t len = strcspn(uri, "?#");
    char *raw = strndup(uri, len), *authority = raw[0] == '/' ? NULL : strstr(raw, "://");
    const char *encoded = authority ? strchrnul(authority + 3, '/') : raw;
    bool readable = raw[0] == '/' || raw[0] == '\0' ||
                    (authority && authority > raw && strcspn(authority + 3, "/") > 0 &&
                     isalpha((unsigned char)raw[0]) &&
                     strspn(raw, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "+-.") == (size_t)(authority - raw));
    struct bytes decoded = percent_decode(encoded, strlen(encoded), false);
    struct bytes want = {malloc(decoded.len + 2), 0};

    want.len = reference(decoded, want.text);
    if (path.len > 0)
        must(readable && same_bytes(path, want),
             "a path is what a stack of its segments makes of it");
    else if (readable)
        must(decoded.len >= PATH_SIZE - 1, "only a path that is too long is refused");
    free(want.text);
    free(decoded.text);
    free(raw);
}

/* Each reading is a path within its bounds, all readings differ, and the first is the usual one. */
static void has_its_readings(const char *uri, struct bytes usual)
{
    static struct path path;
    const struct target target = target_read(uri);

    path_read(&target, &path);
    must(path.count <= PATH_READINGS_MAX && (usual.len > 0 || path.count == 0),
         "a path that cannot be read has no reading");
    for (size_t i = 0; i < path.count; i++) {
        struct span whole = path_with_slash(path.reading[i]);
        must(whole.len > 0 && whole.text[0] == '/' && whole.text[whole.len - 1] == '/',
             "a reading is a path, and a slash can be put behind it");
        for (size_t j = 0; j < i; j++)
            must(path.reading[j].len != path.reading[i].len ||
                     memcmp(path.reading[j].text, path.reading[i].text, path.reading[i].len) != 0,
                 "readings differ");
    }
    if (path.count > 0)
        must(path.reading[0].len <= usual.len &&
                 memcmp(path.reading[0].text, usual.text, path.reading[0].len) == 0,
             "the first reading is the usual one");
}

static void is_its_own_normal_form(struct bytes path)
{
    char *encoded = percent_encode(path), *absolute;
    struct bytes again = normalised(encoded);

    must(same_bytes(again, path), "a normalised path is its own normal form");
    free(again.text);
    must(asprintf(&absolute, "http://h:80%s?/../q", encoded) > 0, "memory");
    again = normalised(absolute);
    must(same_bytes(again, path), "a URL has the path of its path");
    free(again.text);
    free(absolute);
    free(encoded);
}

/* If the first byte is '{' to '~', the rest is repeated up to a length close to PATH_SIZE. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = next_text(&input), *rest = *text ? text + 1 : text;
    size_t len = strlen(rest), want = len;

    if (*text >= '{' && len > 0)
        want = PATH_SIZE - 2 + (size_t)(*text - '{');
    char *uri = calloc(1, want + 1);
    for (size_t i = 0; i < want; i++)
        uri[i] = rest[i % len];
    struct bytes path = normalised(uri);
    same_as_by_reference(uri, path);
    has_its_readings(uri, path);
    if (path.len > 0)
        is_its_own_normal_form(path);
    free(path.text);
    free(uri);
    free(text);
    return 0;
}
