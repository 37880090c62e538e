/* spelling.h - guess the word that a misspelled one was meant to be.  Pure. */
#ifndef SPELLING_H
#define SPELLING_H

#include <stddef.h>

#define SPELLING_WORD_MAX 32 /* longest word that is compared, in bytes, without the NUL */

/* The word among the COUNT WORDS that is closest to TEXT; those of over SPELLING_WORD_MAX bytes are
 * left out.
 * The distance is the number of typing errors: a character left out, inserted, replaced, or swapped
 * with the next one (the optimal string alignment distance).  At most one error plus one for every
 * four characters of TEXT is accepted as a typo.  Returns the word, or NULL if none is close
 * enough. */
const char *spelling_nearest(const char *text, const char *const words[], size_t count);

#define SPELLING_HINT_SIZE (SPELLING_WORD_MAX + 24)

/* Write "; did you mean 'WORD'?" with the word that spelling_nearest finds, or "" if there is none.
 * Returns OUT. */
const char *spelling_hint(const char *text, const char *const words[], size_t count,
                          char out[SPELLING_HINT_SIZE]);

#endif
