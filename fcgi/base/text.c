/* text.c - text that grows at its end. */
/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <assert.h>
#include <string.h>

#include "base/units.h"

void text_append_span(struct text *text, struct span span)
{
    assert(span.len < text->size - text->len);
    memcpy(text->bytes + text->len, span.text, span.len);
    text->len += span.len;
    text->bytes[text->len] = '\0';
}

void text_append(struct text *text, const char *bytes)
{
    text_append_span(text, (struct span){bytes, strlen(bytes)});
}

void text_append_number(struct text *text, int64_t number)
{
    assert(UNITS_DECIMAL_MAX < text->size - text->len);
    text->len += units_decimal(number, text->bytes + text->len);
    text->bytes[text->len] = '\0';
}
