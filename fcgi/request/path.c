/* path.c - the path of a request, in the ways in which backends may read it. */
/* SPDX-License-Identifier: MIT */
#include "request/path.h"

#include <string.h>

#include "request/query.h"

/* The rules for reading a path.  A reading is a combination of them. */
enum {
    SPLIT_ENCODED = 1,   /* "%2F" separates segments; otherwise it stays "%2F" in a segment */
    MERGE_SLASHES = 2,   /* empty segments are dropped */
    REMOVE_DOTS = 4,     /* "." and ".." segments are resolved */
    SPLIT_BACKSLASH = 8, /* '\' separates segments */
    DROP_PARAMETERS = 16 /* a segment is cut at its ';' */
};

#define USUAL (SPLIT_ENCODED | MERGE_SLASHES | REMOVE_DOTS)

static const int readings[PATH_READINGS_MAX] = {
    USUAL,
    SPLIT_ENCODED | REMOVE_DOTS,
    MERGE_SLASHES | REMOVE_DOTS,
    REMOVE_DOTS,
    MERGE_SLASHES,
    0,
    USUAL | SPLIT_BACKSLASH,
    USUAL | DROP_PARAMETERS,
    USUAL | SPLIT_BACKSLASH | DROP_PARAMETERS,
};

/* A path that is being written by the rules HOW.  Its last segment begins at START, after a
 * slash. */
struct writer {
    char *out;
    int how;
    size_t start, len;
    bool full; /* a byte did not fit */
};

/* The length of the path without its last two segments and their slashes; at the root, ".." has no
 * effect. */
static size_t parent_of(const struct writer *writer)
{
    size_t parent = writer->start - 1;

    while (parent > 0 && writer->out[parent - 1] != '/')
        parent--;
    return parent > 0 ? parent - 1 : 0;
}

/* Finish the last segment.  Returns the length at which the path continues: without the segment and
 * its slash if it is empty or ".", without its parent as well if it is "..", or unchanged. */
static size_t end_segment(struct writer *writer)
{
    const char *segment = writer->out + writer->start;

    if (writer->how & DROP_PARAMETERS) {
        const char *mark = memchr(segment, ';', writer->len - writer->start);
        writer->len = mark ? (size_t)(mark - writer->out) : writer->len;
    }
    size_t len = writer->len - writer->start;
    if (len == 0)
        return writer->how & MERGE_SLASHES ? writer->start - 1 : writer->len;
    if (!(writer->how & REMOVE_DOTS) || segment[0] != '.' || len > 2)
        return writer->len;
    if (len == 1)
        return writer->start - 1;
    return segment[1] == '.' ? parent_of(writer) : writer->len;
}

static void add(struct writer *writer, int byte, bool separates)
{
    if (separates) {
        writer->len = end_segment(writer);
        writer->start = writer->len + 1;
        byte = '/';
    }
    writer->full = writer->full || writer->len + 1 >= PATH_SIZE;
    if (!writer->full)
        writer->out[writer->len++] = (char)byte;
}

/* Take one byte off RAW and add it, decoded.  Returns false at the end of RAW. */
static bool add_next(struct writer *writer, struct span *raw)
{
    bool encoded = raw->len > 0 && raw->text[0] == '%';
    int byte = query_next_path_byte(raw);
    bool splits = byte == '/' && (!encoded || (writer->how & SPLIT_ENCODED));

    if (byte < 0)
        return false;
    if (byte == '/' && !splits) {
        add(writer, '%', false);
        add(writer, '2', false);
        byte = 'F'; /* of "%2F" */
    }
    add(writer, byte, splits || (byte == '\\' && (writer->how & SPLIT_BACKSLASH)));
    return true;
}

/* Write RAW, an encoded path, to OUT by the rules HOW.  Returns the length; 0 if it does not
 * fit. */
static size_t normalise(struct span raw, int how, char *out)
{
    struct writer writer = {.out = out, .how = how, .start = 1, .len = 1};

    out[0] = '/';
    if (raw.len > 0 && raw.text[0] == '/')
        raw.text++, raw.len--;
    while (!writer.full && add_next(&writer, &raw))
        continue;
    if (writer.full) {
        out[0] = '\0';
        return 0;
    }
    size_t before = writer.len, ended = end_segment(&writer);
    if (ended != writer.len && before > writer.start) {
        writer.len = ended; /* "/a/." and "/a/b/.." are "/a/": a folder keeps its slash */
        out[writer.len++] = '/';
    }
    out[writer.len] = '\0';
    return writer.len;
}

size_t path_normalise(const char *uri, char out[PATH_SIZE])
{
    struct span raw = target_read(uri).path;

    out[0] = '\0';
    return raw.text ? normalise(raw, USUAL, out) : 0;
}

/* Whether RAW has bytes that the readings treat differently: '\', ';', "//", "/.", or one of '/',
 * '\', ';' and '.' encoded. */
static bool has_several_readings(struct span raw)
{
    for (size_t i = 0; i < raw.len; i++) {
        struct span rest = {raw.text + i, raw.len - i};
        bool encoded = raw.text[i] == '%';
        int byte = query_next_path_byte(&rest), next = rest.len > 0 ? rest.text[0] : 0;
        if (byte == '\\' || byte == ';' || (encoded && (byte == '/' || byte == '.')) ||
            (byte == '/' && (next == '/' || next == '.')))
            return true;
    }
    return false;
}

/* The LEN bytes at READING without trailing slashes.  One slash is written after the result. */
static struct span without_slash(char *reading, size_t len)
{
    while (len > 1 && reading[len - 1] == '/')
        len--;
    if (len > 1)
        reading[len] = '/';
    return (struct span){reading, len};
}

static bool is_known(const struct path *path, struct span reading)
{
    for (size_t i = 0; i < path->count; i++)
        if (path->reading[i].len == reading.len &&
            memcmp(path->reading[i].text, reading.text, reading.len) == 0)
            return true;
    return false;
}

void path_read(const struct target *target, struct path *out)
{
    size_t most = target->path.text && has_several_readings(target->path) ? PATH_READINGS_MAX : 1;

    out->count = 0;
    out->slash = false;
    for (size_t i = 0; target->path.text && i < most; i++) {
        size_t len = normalise(target->path, readings[i], out->bytes[i]);
        if (len == 0) {
            out->count = 0;
            return;
        }
        if (i == 0)
            out->slash = len > 1 && out->bytes[0][len - 1] == '/';
        struct span reading = without_slash(out->bytes[i], len);
        if (!is_known(out, reading))
            out->reading[out->count++] = reading;
    }
}

struct span path_with_slash(struct span reading)
{
    return (struct span){reading.text, reading.len > 1 ? reading.len + 1 : reading.len};
}
