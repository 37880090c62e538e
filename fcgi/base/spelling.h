/* spelling.h - the word that somebody may have meant.  Pure. */
#ifndef SPELLING_H
#define SPELLING_H

#include <stddef.h>

#define SPELLING_WORD_MAX 32 /* bytes of a word worth a guess, without the NUL */

/* The one of the COUNT WORDS (each at most SPELLING_WORD_MAX bytes) from which TEXT differs by the
 * fewest slips: a character left out, put in, replaced, or swapped with the next (the optimal
 * string alignment distance).  More than one slip and one for every four characters is no typo.
 * Returns it, or NULL where none is near. */
const char *spelling_nearest(const char *text, const char *const words[], size_t count);

#endif
