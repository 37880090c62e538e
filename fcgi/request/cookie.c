/* cookie.c - the cookies of a request. */
/* SPDX-License-Identifier: MIT */
#include "request/cookie.h"

#include <string.h>

#include "request/query.h"

/* Take the piece up to the first ';' off *REST and return it. */
static struct span cut_piece(struct span *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->text, ';', rest->len) : NULL;
    struct span piece = {rest->text, end ? (size_t)(end - rest->text) : rest->len};

    *rest = end ? (struct span){end + 1, rest->len - piece.len - 1} : (struct span){NULL, 0};
    return piece;
}

bool cookie_next(struct span *rest, struct span *name, struct span *value)
{
    while (rest->text) {
        struct span piece = cut_piece(rest);
        const char *equals = piece.len > 0 ? memchr(piece.text, '=', piece.len) : NULL;
        if (!equals)
            continue;
        size_t len = (size_t)(equals - piece.text);
        *name = span_trim((struct span){piece.text, len}, " \t");
        *value = span_trim((struct span){equals + 1, piece.len - len - 1}, " \t");
        return true;
    }
    return false;
}

static bool is_octal(char byte, char most)
{
    return byte >= '0' && byte <= most;
}

/* Take one decoded byte off the front of *QUOTED, the inside of a quoted string. */
static char next_quoted(struct span *quoted)
{
    const char *text = quoted->text;
    size_t taken = 1;
    char byte = text[0];

    if (byte == '\\' && quoted->len >= 4 && is_octal(text[1], '3') && is_octal(text[2], '7') &&
        is_octal(text[3], '7')) {
        byte = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
        taken = 4;
    } else if (byte == '\\' && quoted->len >= 2) {
        byte = text[1];
        taken = 2;
    }
    quoted->text += taken;
    quoted->len -= taken;
    return byte;
}

/* Percent-decode the LEN bytes at TEXT in place.  Returns the new length. */
static size_t decode_in_place(char *text, size_t len)
{
    struct span rest = {text, len};
    size_t out = 0;

    for (int byte = query_next_path_byte(&rest); byte >= 0; byte = query_next_path_byte(&rest))
        text[out++] = (char)byte;
    return out;
}

struct span cookie_value(struct span value, struct scratch *scratch)
{
    bool quoted = value.len > 0 && value.text[0] == '"';
    size_t len = 0, most = value.len;

    if (quoted && (value.len < 2 || value.text[value.len - 1] != '"'))
        return (struct span){NULL, 0};
    char *out = scratch_take(scratch, most);
    if (!out)
        return (struct span){NULL, 0};
    if (quoted)
        value = (struct span){value.text + 1, value.len - 2};
    while (quoted && value.len > 0)
        out[len++] = next_quoted(&value);
    if (!quoted && value.len > 0) {
        memcpy(out, value.text, value.len);
        len = value.len;
    }
    len = decode_in_place(out, len);
    scratch_give_back(scratch, most - len);
    return (struct span){out, len};
}
