/* text.h - text that grows at its end, in a buffer whose size is known to be enough.  Pure. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* LEN bytes and a NUL in the SIZE bytes at BYTES, borrowed.  Begin with {bytes, 0, size}. */
struct text {
    char *bytes;
    size_t len, size;
};

/* Each appends to TEXT, which has room for it and the NUL: that is asserted. */

void text_append(struct text *text, const char *bytes);
void text_append_span(struct text *text, struct span span);
void text_append_number(struct text *text, int64_t number); /* >= -1 */

#endif
