/* pairs.h - the name-value pairs of a request (parameters, query, cookies), found by name.
 * Pure. */
#ifndef PAIRS_H
#define PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Pairs of one kind in a request.  PHP and Express read at most 1000 of a query, too. */
#define PAIRS_MAX   1000
#define PAIRS_SLOTS 512 /* of the hash table; a power of two */

struct pair {
    struct span name, value; /* borrowed */
    uint64_t hash;
    uint16_t next;  /* the next pair in the same slot, as index + 1; 0: none */
    bool ambiguous; /* backends would read different values in it */
};

/* Pairs in the order in which they were added.  The fields are this file's own. */
struct pairs {
    size_t count;
    bool overflow;
    uint16_t slot[PAIRS_SLOTS]; /* the last pair added to it, as index + 1; 0: none */
    struct pair pair[PAIRS_MAX];
};

/* What a request has at a name. */
struct found {
    struct span value; /* text NULL: it has nothing there */
    bool ambiguous;    /* more than one value could be meant; VALUE is then { NULL, 0 } */
};

/* Make PAIRS empty. */
void pairs_begin(struct pairs *pairs);

/* Add a pair.  AMBIGUOUS: its value alone has two readings already.  From the pair after PAIRS_MAX
 * on, every name counts as ambiguous, because a pair that is not kept could be any of them. */
void pairs_add(struct pairs *pairs, struct span name, struct span value, bool ambiguous);

/* What is at NAME, compared byte by byte.  A name that was added twice is ambiguous, also where
 * both values are equal: the client must never choose which of two values is counted. The cost does
 * not grow with the number of pairs; the hash is seeded, so that no client can choose names that
 * share a slot. */
struct found pairs_find(const struct pairs *pairs, struct span name);

#endif
