/* span.c - a piece of a text that is owned elsewhere. */
/* SPDX-License-Identifier: MIT */
#include "base/span.h"

#include <string.h>

static bool is_any(char byte, const char *bytes)
{
    return byte != '\0' && strchr(bytes, byte);
}

struct span span_trim(struct span span, const char *blanks)
{
    while (span.len > 0 && is_any(span.text[0], blanks))
        span.text++, span.len--;
    while (span.len > 0 && is_any(span.text[span.len - 1], blanks))
        span.len--;
    return span;
}

bool span_is_number(struct span span, unsigned max, unsigned *out)
{
    unsigned value = 0;

    if (span.len == 0 || span.len > SPAN_DIGITS_MAX || (span.len > 1 && span.text[0] == '0'))
        return false;
    for (size_t i = 0; i < span.len; i++) {
        if (span.text[i] < '0' || span.text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(span.text[i] - '0');
    }
    *out = value;
    return value <= max;
}
