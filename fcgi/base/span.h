/* span.h - a piece of a text that is owned elsewhere.  Plain data. */
#ifndef SPAN_H
#define SPAN_H

#include <stddef.h>

/* LEN bytes at TEXT, borrowed, not NUL-terminated, any byte value.  If TEXT is NULL, there is
 * none. */
struct span {
    const char *text;
    size_t len;
};

#endif
