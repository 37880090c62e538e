/* fuzz_query.c - a parameter is the one that is found by splitting the query, and decoding reverses
 * encoding */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "request/query.h"
#include "request/target.h"

/* The first parameter NAME in the query of URI, still encoded; text NULL if there is none. */
static struct span query_find(const char *uri, const char *name)
{
    struct span rest = target_read(uri).query, found, value;

    while (query_next(&rest, &found, &value)) {
        struct bytes decoded = percent_decode(found.text, found.len, true);
        bool same = same_bytes(decoded, (struct bytes){(char *)name, strlen(name)});
        free(decoded.text);
        if (same)
            return value;
    }
    return (struct span){NULL, 0};
}

/* The LEN bytes at TEXT, decoded by query.h.  The owner frees them. */
static struct bytes decoded_bytes(const char *text, size_t len)
{
    struct bytes out = {malloc(len + 1), 0};
    struct scratch scratch = {out.text, len, 0};

    out.len = query_decode((struct span){text, len}, &scratch).len;
    must(scratch.used == out.len, "what is not used is given back");
    return out;
}

/* Normalising a name again does not change it. */
static void has_one_name(const char *name)
{
    char *copy = strdup(name);
    struct span one = query_one_name(copy, strlen(copy));
    char *again = strndup(one.text, one.len);
    struct span same = query_one_name(again, one.len);

    must(same.len == one.len, "the one spelling of a name stays as it is");
    free(again);
    free(copy);
}

/* Find the parameter NAME of URI by splitting it, which changes URI; NULL if there is none. */
static const char *reference(char *uri, const char *name)
{
    char *rest = uri, *query = strsep(&rest, "#");
    struct bytes wanted = {(char *)name, strlen(name)};

    strsep(&query, "?");
    for (char *piece; (piece = strsep(&query, "&;"));) {
        char *value = piece, *encoded = *piece ? strsep(&value, "=") : NULL;
        if (!encoded)
            continue;
        struct bytes found = percent_decode(encoded, strlen(encoded), true);
        bool same = same_bytes(found, wanted);
        free(found.text);
        if (same)
            return value ? value : "";
    }
    return NULL;
}

/* What follows the LEN bytes at TEXT does not affect their decoding. */
static void decoded_as_by_reference(const char *text, size_t len)
{
    struct bytes got = decoded_bytes(text, len);
    struct bytes want = percent_decode(text, len, true);

    must(same_bytes(got, want), "a value is decoded as by strtoul");
    free(got.text);
    free(want.text);
}

static void found_as_by_reference(const char *name, const char *uri)
{
    char *copy = strdup(uri);
    const char *want = reference(copy, name);
    struct span got = query_find(uri, name);

    must(!want == !got.text, "a parameter is found where there is one");
    if (want) {
        must(got.len == strlen(want) && memcmp(got.text, want, got.len) == 0, "it is the first");
        decoded_as_by_reference(got.text, got.len);
    }
    free(copy);
}

static void comes_back(const char *name, struct bytes value)
{
    char *encoded_name = percent_encode((struct bytes){(char *)name, strlen(name)}), *uri;
    char *encoded = percent_encode(value);

    must(asprintf(&uri, "/a=b&?&x&%s=%s&%s=y#", encoded_name, encoded, encoded_name) > 0, "memory");
    struct span found = query_find(uri, name);
    struct bytes decoded = decoded_bytes(found.text, found.len);
    must(strcmp(name, "x") == 0 || (found.text && same_bytes(decoded, value)),
         "what is encoded comes back");
    free(decoded.text);
    free(encoded_name);
    free(encoded);
    free(uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *name = next_text(&input), *uri = next_text(&input);

    found_as_by_reference(name, uri);
    decoded_as_by_reference(uri, strlen(uri) / 2);
    comes_back(name, (struct bytes){(char *)data, size});
    has_one_name(name);
    free(name);
    free(uri);
    return 0;
}
