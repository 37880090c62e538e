/* fuzz.h - what the harnesses share.  libFuzzer calls LLVMFuzzerTestOneInput with one input after
 * another, each a few texts with a NUL between them.  A property that does not hold ends the
 * program, and the input is kept.  What is decoded here is decoded by other means than in fcgi/. */
#ifndef FUZZ_H
#define FUZZ_H

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of an input. */
struct input {
    const uint8_t *data;
    size_t size;
};

static inline void must(bool holds, const char *property)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s\n", property);
    abort();
}

/* Take the next text off INPUT; "" where none is left.  The caller's to free: it has exactly its
 * size, so that a byte read beyond it is seen. */
static inline char *next_text(struct input *input)
{
    char *text = strndup(input->size > 0 ? (const char *)input->data : "", input->size);
    size_t taken = strlen(text) + 1;

    if (taken > input->size)
        taken = input->size;
    input->data += taken;
    input->size -= taken;
    return text;
}

/* ERROR, a message of a parser, says what would be right. */
static inline void must_advise(const char *error)
{
    if (!strstr(error, "; "))
        fprintf(stderr, "%s\n", error);
    must(strstr(error, "; ") != NULL, "an error says what would be right");
}

/* Bytes of our own, NULs among them; TEXT is the owner's to free. */
struct bytes {
    char *text;
    size_t len;
};

static inline bool same_bytes(struct bytes one, struct bytes other)
{
    return one.len == other.len && (one.len == 0 || memcmp(one.text, other.text, one.len) == 0);
}

/* The LEN bytes at TEXT, percent-decoded; with PLUS, a '+' is a space. */
static inline struct bytes percent_decode(const char *text, size_t len, bool plus)
{
    struct bytes out = {malloc(len + 1), 0};

    for (size_t i = 0; i < len; i++) {
        char byte = text[i];
        if (byte == '%' && i + 2 < len && isxdigit((unsigned char)text[i + 1]) &&
            isxdigit((unsigned char)text[i + 2])) {
            byte = (char)strtoul((const char[]){text[i + 1], text[i + 2], '\0'}, NULL, 16);
            i += 2;
        } else if (plus && byte == '+') {
            byte = ' ';
        }
        out.text[out.len++] = byte;
    }
    return out;
}

/* BYTES percent-encoded, NUL-terminated: letters, digits and slashes are themselves.  The caller's
 * to free. */
static inline char *percent_encode(struct bytes bytes)
{
    static const char hex[2][17] = {"0123456789ABCDEF", "0123456789abcdef"};
    char *out = malloc(3 * bytes.len + 1), *end = out;

    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.text[i];
        if (isalnum(byte) || byte == '/')
            *end++ = (char)byte;
        else
            end = mempcpy(end, (char[]){'%', hex[i % 2][byte >> 4], hex[i % 2][byte & 15]}, 3);
    }
    *end = '\0';
    return out;
}

/* KEY, of LEN bytes, is rl:{IDENTITY}:LIMIT, and no byte of it means anything to Redis, a log or a
 * shell's reader. */
static inline void must_be_key(const char *key, size_t len, const char *limit)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "._~:/@-%+=#";
    size_t identity = strspn(key + 4, plain);

    must(strlen(key) == len && len < KEY_SIZE, "a key's length is that of its text");
    must(strncmp(key, "rl:{", 4) == 0 && identity > 0 && identity <= KEY_IDENTITY_MAX &&
             strncmp(key + 4 + identity, "}:", 2) == 0 && strcmp(key + 6 + identity, limit) == 0,
         "a key is rl:{IDENTITY}:LIMIT");
}

#endif
