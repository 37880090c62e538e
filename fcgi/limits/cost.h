/* cost.h - how many tokens a request takes.  Pure. */
#ifndef COST_H
#define COST_H

#include <stdbool.h>
#include <stdint.h>

#include "request/key_source.h"

#define COST_MAX 1000000

/* What a limit charges for a request. */
struct cost {
    int64_t tokens;           /* 1 .. COST_MAX; 0: as SOURCE says */
    struct key_source source; /* a query, header, cookie or env */
};

/* Read TEXT, "1" or "header:X-Cost", into *OUT. Returns NULL, or what is wrong and what would be
 * right (static string); *OUT is then undefined. */
const char *cost_parse(const char *text, struct cost *out);

/* The tokens that VALUE asks for, 1 .. COST_MAX: a whole number in decimal digits.  Missing, broken
 * or below 1 is 1: a client gains nothing by a wrong one.  Above COST_MAX is that. */
int64_t cost_read(struct span value);

/* The tokens that COST is for VIEW, 1 .. COST_MAX.  *AMBIGUOUS becomes whether its source is;
 * the cost is then 1. */
int64_t cost_of(const struct cost *cost, struct view *view, bool *ambiguous);

#endif
