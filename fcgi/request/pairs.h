/* pairs.h - the name-value pairs of a request (parameters, query, cookies), found by name.
 * Pure. */
#ifndef PAIRS_H
#define PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Maximum number of pairs of one kind in a request.  PHP and Express also read at most 1000
 * parameters of a query. */
#define PAIRS_MAX   1000
#define PAIRS_SLOTS 512 /* of the hash table; a power of two */

struct pair {
    struct span name, value; /* borrowed */
    uint64_t hash;
    uint16_t next;  /* the next pair in the same slot, as index + 1; 0 if there is none */
    bool ambiguous; /* backends would read different values from it */
};

/* Pairs in the order in which they were added.  Private to pairs.c, except that OVERFLOW may be set
 * by the caller to make every name ambiguous. */
struct pairs {
    size_t count;
    bool overflow;
    /* the last pair added to the slot, as index + 1; 0 if there is none */
    uint16_t slot[PAIRS_SLOTS];
    struct pair pair[PAIRS_MAX];
};

/* The result of a look-up by name. */
struct found {
    struct span value; /* text NULL: there is no value */
    bool ambiguous;    /* more than one value could be meant; VALUE is then { NULL, 0 } */
};

/* Make PAIRS empty. */
void pairs_begin(struct pairs *pairs);

/* Add a pair.  AMBIGUOUS: VALUE has more than one reading by itself.  Once more than PAIRS_MAX
 * pairs were added, every name is ambiguous, because a pair that was not kept could have that
 * name. */
void pairs_add(struct pairs *pairs, struct span name, struct span value, bool ambiguous);

/* Look up NAME, compared byte by byte.  A name that was added twice is ambiguous, even if both
 * values are equal, because a client must never be able to choose which of two values is counted.
 * The cost does not depend on the number of pairs.  The hash is seeded, so that a client cannot
 * choose names that share a slot. */
struct found pairs_find(const struct pairs *pairs, struct span name);

#endif
