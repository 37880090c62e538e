/* spelling.h - guess the word that a misspelled one was meant to be.  Pure. */
#ifndef SPELLING_H
#define SPELLING_H

#include <stddef.h>

#define SPELLING_WORD_MAX 32 /* longest word that is compared, in bytes, without the NUL */

/* The word among the COUNT WORDS (each at most SPELLING_WORD_MAX bytes) that is closest to TEXT.
 * The distance is the number of typing errors: a character left out, inserted, replaced, or swapped
 * with the next one (the optimal string alignment distance).  At most one error plus one for every
 * four characters of TEXT is accepted as a typo.  Returns the word, or NULL if none is close
 * enough. */
const char *spelling_nearest(const char *text, const char *const words[], size_t count);

#endif
