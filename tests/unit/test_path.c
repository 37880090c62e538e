/* test_path.c - tests of request/path: normalised paths, and the readings of them by backends. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "request/path.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

#define ROUNDS   100000
#define TEXT_MAX 64

/* The path of URI, in a heap block of exactly PATH_SIZE bytes, so that a sanitizer sees a write
 * beyond it.  The caller frees it. */
static char *normalised(const char *uri, size_t *len)
{
    char *out = malloc(PATH_SIZE);

    assert_non_null(out);
    memset(out, 'x', PATH_SIZE);
    *len = path_normalise(uri, out);
    if (*len >= PATH_SIZE || out[*len] != '\0')
        fail_msg("\"%s\": no NUL behind its %zu bytes", uri, *len);
    return out;
}

static void want_path(const char *uri, const char *want, size_t want_len)
{
    size_t len;
    char *got = normalised(uri, &len);

    if (len != want_len || memcmp(got, want, len) != 0)
        fail_msg("\"%s\": got \"%s\", %zu bytes, want \"%s\", %zu bytes", uri, got, len, want,
                 want_len);
    free(got);
}

TEST(every_spelling_of_a_path_is_one_path)
{
    static const struct {
        const char *uri, *want;
    } cases[] = {
        {"/api/x", "/api/x"},
        {"//api/x", "/api/x"},
        {"http://example.com/api/x", "/api/x"},
        {"http://example.com//api/./x?q=1", "/api/x"},
        {"http://example.com", "/"},
        {"http://example.com?q=/a", "/"},
        {"/http://example.com/x", "/http:/example.com/x"},
        {"/api?u=http://example.com/x", "/api"},
        {"/api//x", "/api/x"},
        {"///api////x", "/api/x"},
        {"/./api/x", "/api/x"},
        {"/api/./x", "/api/x"},
        {"/api/././x", "/api/x"},
        {"/a/../api/x", "/api/x"},
        {"/a/b/../../api/x", "/api/x"},
        {"/a//../api/x", "/api/x"},
        {"/../api/x", "/api/x"},
        {"/../../api/x", "/api/x"},
        {"/api/y/../x", "/api/x"},
        {"/%61pi/x", "/api/x"},
        {"/%61%70%69/x", "/api/x"},
        {"/api%2Fx", "/api/x"},
        {"/api%2fx", "/api/x"},
        {"/%2Fapi/x", "/api/x"},
        {"/%2E/api/x", "/api/x"},
        {"/a/%2e%2E/api/x", "/api/x"},
        {"/a/.%2e%2Fapi/x", "/api/x"},
        {"/api/x?q", "/api/x"},
        {"/api/x?q=/../y", "/api/x"},
        {"/api/x#top", "/api/x"},
        {"/api/x#top?q", "/api/x"},
        /* A different path. */
        {"/API/x", "/API/x"},
        {"/api/x/", "/api/x/"},
        {"/api/x//", "/api/x/"},
        {"/api/x/.", "/api/x/"},
        {"/api/x/./", "/api/x/"},
        {"/api/x/y/..", "/api/x/"},
        {"/api/x/y/../", "/api/x/"},
        {"/api/x%2F", "/api/x/"},
    };

    FOR_EACH(c, cases)
        want_path(c->uri, c->want, strlen(c->want));
}

TEST(special_segments_are_removed_and_similar_ones_are_kept)
{
    static const struct {
        const char *uri, *want;
        size_t want_len;
    } cases[] = {
        {"", "/", 1},
        {"/", "/", 1},
        {"//", "/", 1},
        {"?q", "/", 1},
        {"#top", "/", 1},
        {"/?q", "/", 1},
        {"/.", "/", 1},
        {"/..", "/", 1},
        {"/./", "/", 1},
        {"/../", "/", 1},
        {"/../..", "/", 1},
        {"/../../x", "/x", 2},
        {"/a/..", "/", 1},
        {"/a/../", "/", 1},
        {"/a/../..", "/", 1},
        {"/a/../../x", "/x", 2},
        {"/a/.", "/a/", 3},
        {"/a/b/..", "/a/", 3},
        {"/...", "/...", 4},
        {"/.../x", "/.../x", 6},
        {"/.a", "/.a", 3},
        {"/..a", "/..a", 4},
        {"/a.", "/a.", 3},
        {"/a..", "/a..", 4},
        {"/.a/../x", "/x", 2},
        {"/a/.../..", "/a/", 3},
        {"/a+b", "/a+b", 4},
        {"/a%2Bb", "/a+b", 4},
        {"/a%20b", "/a b", 4},
        {"/%", "/%", 2},
        {"/%4", "/%4", 3},
        {"/%zz", "/%zz", 4},
        {"/%2", "/%2", 3},
        {"/%2?F", "/%2", 3},
        {"/%%2F", "/%/", 3},
        {"/%2561", "/%61", 4}, /* decoded once */
        {"/%252e%252e/x", "/%2e%2e/x", 9},
        {"/a%3Fb", "/a?b", 4},
        {"/a%23b", "/a#b", 4},
        {"/%00", "/\0", 2},
        {"/a%00/../b", "/b", 2},
        {"/a/%00../b", "/a/\0../b", 8},
        {"/a/..%00/b", "/a/..\0/b", 8},
        {"/\xc3\xa9%C3%A9", "/\xc3\xa9\xc3\xa9", 5},
        {"/a\\..\\b", "/a\\..\\b", 7},
    };

    FOR_EACH(c, cases)
        want_path(c->uri, c->want, c->want_len);
}

/* "/", then PIECE, which is one byte of the path, until the path has LEN bytes, then END.  The
 * caller frees it. */
static char *long_uri(size_t len, const char *piece, const char *end)
{
    size_t width = strlen(piece);
    char *uri = malloc(1 + (len - 1) * width + strlen(end) + 1), *at = uri;

    assert_non_null(uri);
    *at++ = '/';
    for (size_t i = 1; i < len; i++, at += width)
        memcpy(at, piece, width);
    strcpy(at, end);
    return uri;
}

TEST(a_path_that_does_not_fit_is_empty)
{
    static const struct {
        size_t len;
        bool fits;
    } cases[] = {
        {PATH_SIZE - 2, true}, {PATH_SIZE - 1, true}, /* and its NUL */
        {PATH_SIZE, false},    {PATH_SIZE + 1, false}, {3 * PATH_SIZE, false},
    };
    static const char *const pieces[] = {"a", "%61", "%"};
    static const char *const ends[] = {"", "?q=1", "#top"};

    for (size_t i = 0; i < LENGTH(cases) * LENGTH(pieces) * LENGTH(ends); i++) {
        size_t want = cases[i % LENGTH(cases)].len, len;
        bool fits = cases[i % LENGTH(cases)].fits;
        const char *piece = pieces[i / LENGTH(cases) % LENGTH(pieces)];
        char *uri = long_uri(want, piece, ends[i / LENGTH(cases) / LENGTH(pieces)]);
        char *got = normalised(uri, &len);

        if (len != (fits ? want : 0))
            fail_msg("%zu times \"%s\": %zu bytes", want, piece, len);
        for (size_t j = 1; j < len; j++)
            if (got[j] != (*piece == '%' && piece[1] ? 'a' : *piece))
                fail_msg("%zu times \"%s\": byte %zu is another", want, piece, j);
        free(got);
        free(uri);
    }
}

TEST(the_longest_folder_keeps_its_slash)
{
    static const char *const ends[] = {"/", "/."};

    FOR_EACH(end, ends) {
        size_t bytes = PATH_SIZE - 1 - strlen(*end), len;
        char *uri = long_uri(bytes, "a", *end);
        char *got = normalised(uri, &len);

        want_number(*end, (int64_t)len, (int64_t)bytes + 1);
        want_number(*end, got[len - 1], '/');
        free(got);
        free(uri);
    }
}

/* The path of URI by other means: decoded, split at its slashes, and its segments on a stack.
 * It does not handle a NUL. */
static void reference(const char *uri, char out[TEXT_MAX])
{
    char decoded[TEXT_MAX + 1], *stack[TEXT_MAX];
    size_t len = 0, depth = 0;
    bool folder = true;

    while (*uri && *uri != '?' && *uri != '#') {
        unsigned byte = (unsigned char)*uri;
        bool hex =
            *uri == '%' && isxdigit((unsigned char)uri[1]) && isxdigit((unsigned char)uri[2]);

        if (hex)
            sscanf(uri + 1, "%2x", &byte);
        decoded[len++] = (char)byte;
        uri += hex ? 3 : 1;
    }
    decoded[len] = '\0';
    for (char *rest = decoded, *segment; (segment = strsep(&rest, "/"));) {
        folder = true;
        if (strcmp(segment, "..") == 0) {
            depth -= depth > 0;
        } else if (strcmp(segment, ".") != 0 && *segment) {
            stack[depth++] = segment;
            folder = false;
        }
    }
    *out = '\0';
    for (size_t i = 0; i < depth; i++)
        out += sprintf(out, "/%s", stack[i]);
    if (folder || depth == 0)
        strcpy(out, "/");
}

/* A slash and up to SIZE - 2 characters out of ALPHABET, into OUT.  Returns OUT. */
static char *origin_form(uint64_t *seed, const char *alphabet, char *out, size_t size)
{
    out[0] = '/';
    random_text(seed, alphabet, out + 1, size - 1);
    return out;
}

TEST(any_path_is_what_a_stack_of_segments_makes_of_it)
{
    static const char *const alphabets[] = {"/.%2Fa", "/.%2FaE", "/.", "/..a", "/.%2E?#a+"};
    uint64_t seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        char text[24], want[TEXT_MAX];
        /* A copy of exactly its size, so that a sanitizer sees a byte read beyond it. */
        char *uri = strdup(
            origin_form(&seed, alphabets[(size_t)round % LENGTH(alphabets)], text, sizeof text));

        reference(uri, want);
        want_path(uri, want, strlen(want));
        free(uri);
    }
}

/* Every byte of PATH but its first slash as %XX. */
static void encode(const char *path, size_t len, char *out)
{
    *out++ = '/';
    *out = '\0';
    for (size_t i = 1; i < len; i++)
        out += sprintf(out, "%%%02X", (unsigned)(unsigned char)path[i]);
}

static bool ends_in(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

TEST(a_normalised_path_has_nothing_left_to_normalise)
{
    uint64_t seed = 2;

    for (int round = 0; round < ROUNDS; round++) {
        char uri[32], encoded[3 * sizeof uri + 1];
        size_t len;
        char *got = normalised(origin_form(&seed, "/.%2FaE", uri, sizeof uri), &len);

        if (got[0] != '/' || strlen(got) != len || strstr(got, "//") || strstr(got, "/./") ||
            strstr(got, "/../") || ends_in(got, "/.") || ends_in(got, "/.."))
            fail_msg("\"%s\": \"%s\" is not normalised", uri, got);
        encode(got, len, encoded);
        want_path(encoded, got, len);
        free(got);
    }
}

TEST(any_bytes_that_are_encoded_come_back)
{
    uint64_t seed = 3;

    for (int round = 0; round < ROUNDS; round++) {
        char path[16] = "/a", uri[3 * sizeof path + 1];
        size_t len = 2 + random_number(&seed) % (sizeof path - 2);

        for (size_t i = 2; i < len; i++)
            do
                path[i] = (char)random_number(&seed);
            while (path[i] == '/');
        encode(path, len, uri);
        want_path(uri, path, len);
    }
}

/* All readings of the path of URI, separated by spaces. */
static const char *readings_of(const char *uri, char *out, size_t size)
{
    static struct path path;
    const struct target target = target_read(uri);
    size_t len = 0;

    path_read(&target, &path);
    *out = '\0';
    for (size_t i = 0; i < path.count; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%.*s", i > 0 ? " " : "",
                                (int)path.reading[i].len, path.reading[i].text);
    return out;
}

TEST(a_path_has_a_reading_for_each_kind_of_backend)
{
    static const struct {
        const char *uri, *want;
    } cases[] = {
        {"/login", "/login"},
        {"/login/", "/login"},
        {"/login/.", "/login /login/."},
        {"/login//", "/login"},
        {"/", "/"},
        {"http://example.com", "/"},
        {"/a%20b", "/a b"},
        {"/a//b", "/a/b /a//b"},
        {"/a/../b", "/b /a/../b"},
        {"/login//..", "/ /login /login/.. /login//.."},
        {"/s/foo%2fbar", "/s/foo/bar /s/foo%2Fbar"},
        {"/s/x%2f..%2f..%2f..", "/ /s/x%2F..%2F..%2F.."},
        {"/x\\..\\login", "/x\\..\\login /login"},
        {"/login;x=1", "/login;x=1 /login"},
        {"/x/..;/login", "/x/..;/login /login"},
        {"/x\\..;\\login", "/x\\..;\\login /x/..;/login /x\\.. /login"},
        {"http:/login", ""},
        {"http:///login", ""},
        {"login", ""},
        {"*", ""},
        {"host:443", ""},
        {"\\login", ""},
    };
    char got[256];

    FOR_EACH(c, cases)
        want_text(c->uri, readings_of(c->uri, got, sizeof got), c->want);
}

/* The first reading and its slash are the whole usual reading. */
TEST(the_first_reading_is_the_usual_one_without_its_slash)
{
    static struct path path;
    uint64_t seed = 4;

    for (int round = 0; round < ROUNDS; round++) {
        char uri[32];
        size_t len;
        char *usual = normalised(origin_form(&seed, "/.%2Fa5C;\\", uri, sizeof uri), &len);
        const struct target target = target_read(uri);

        path_read(&target, &path);
        assert_true(path.count >= 1);
        want_number(uri, path.slash, len > 1 && usual[len - 1] == '/');
        want_number(uri, (int64_t)path.reading[0].len + path.slash, (int64_t)len);
        struct span whole = path_with_slash(path.reading[0]);
        assert_memory_equal(whole.text, usual, len);
        free(usual);
    }
}

TESTS_MAIN
