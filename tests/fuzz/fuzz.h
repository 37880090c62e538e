/* fuzz.h - shared by the harnesses.  libFuzzer calls LLVMFuzzerTestOneInput with one input after
 * another.  An input consists of several texts, separated by NULs.  If a property does not hold,
 * the harness aborts and libFuzzer keeps the input.  Decoding here is implemented independently of
 * fcgi/, to compare the two. */
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

/* The rest of an input. */
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

/* Take the next text off INPUT; "" if none is left.  The caller frees it.  The allocation has
 * exactly the size of the text, so that sanitizers detect a read beyond it. */
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

/* Check that ERROR, a message of a parser, says how to correct the mistake. */
static inline void must_advise(const char *error)
{
    if (!strstr(error, "; "))
        fprintf(stderr, "%s\n", error);
    must(strstr(error, "; ") != NULL, "an error says what would be right");
}

/* Bytes that may include NULs.  The owner frees TEXT. */
struct bytes {
    char *text;
    size_t len;
};

static inline bool same_bytes(struct bytes one, struct bytes other)
{
    return one.len == other.len && (one.len == 0 || memcmp(one.text, other.text, one.len) == 0);
}

/* The LEN bytes at TEXT, percent-decoded.  If PLUS, a '+' is a space. */
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

/* BYTES percent-encoded, except letters, digits and slashes; NUL-terminated.  The caller frees
 * it. */
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

/* Check that KEY, of LEN bytes, is rl:{IDENTITY}:LIMIT, without bytes that are special to Redis, in
 * logs or in a shell. */
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
