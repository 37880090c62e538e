/* span.h - a piece of a text that is owned elsewhere.  Pure. */
#ifndef SPAN_H
#define SPAN_H

#include <stdbool.h>
#include <stddef.h>

#define SPAN_DIGITS_MAX 5 /* of a number such as a port */

/* LEN bytes at TEXT, borrowed, not NUL-terminated, any byte value.  If TEXT is NULL, there is
 * none. */
struct span {
    const char *text;
    size_t len;
};

/* SPAN without any of BLANKS, such as " \t", at its ends. */
struct span span_trim(struct span span, const char *blanks);

/* Whether SPAN is a decimal number up to MAX, in its only spelling: at most SPAN_DIGITS_MAX digits,
 * without a sign or a leading zero.  *OUT then becomes it; otherwise *OUT may have changed. */
bool span_is_number(struct span span, unsigned max, unsigned *out);

#endif
