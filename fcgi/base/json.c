/* json.c - JSON strings and times. */
/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

/* The length of the UTF-8 sequence at TEXT (RFC 3629, 4), 0 if it is not one.  A NUL ends TEXT, and
 * is no continuation byte. */
static size_t sequence_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80                       ? 1
                    : text[0] >= 0xc2 && text[0] <= 0xdf ? 2
                    : (text[0] & 0xf0) == 0xe0           ? 3
                    : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
                                                         : 0;

    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0; /* too long, a surrogate, or beyond U+10FFFF */
    return length;
}

void json_string(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    fputc('"', out);
    while (*at) {
        size_t length = sequence_length(at);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else
            fwrite(at, 1, length, out);
        at += length ? length : 1;
    }
    fputc('"', out);
}

void json_time(FILE *out, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm utc;
    char text[40];

    if (us == 0) {
        fputs("null", out);
        return;
    }
    strftime(text, sizeof text, "\"%Y-%m-%dT%H:%M:%SZ\"", gmtime_r(&seconds, &utc));
    fputs(text, out);
}
