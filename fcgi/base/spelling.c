/* spelling.c - the optimal string alignment distance, by dynamic programming over two rows. */
/* SPDX-License-Identifier: MIT */
#include "base/spelling.h"

#include <stdio.h>
#include <string.h>

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The distance between TEXT and WORD.  Three rows of the table are kept: ROW includes the current
 * character of TEXT, LAST ends one character before it and BEFORE two. */
static unsigned distance(const char *text, const char *word)
{
    unsigned rows[3][SPELLING_WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    size_t len = strlen(word);

    for (size_t j = 0; j <= len; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; text[i - 1] != '\0'; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= len; j++) {
            row[j] = smaller(last[j], row[j - 1]) + 1;
            row[j] = smaller(row[j], last[j - 1] + (text[i - 1] != word[j - 1]));
            if (i > 1 && j > 1 && text[i - 1] == word[j - 2] && text[i - 2] == word[j - 1])
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[len];
}

const char *spelling_nearest(const char *text, const char *const words[], size_t count)
{
    size_t len = strlen(text);
    unsigned least = (unsigned)(1 + len / 4) + 1;
    const char *nearest = NULL;

    if (len < 2 || len > SPELLING_WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (strlen(words[i]) > SPELLING_WORD_MAX)
            continue;
        unsigned slips = distance(text, words[i]);
        if (slips < least && slips < strlen(words[i])) {
            least = slips;
            nearest = words[i];
        }
    }
    return nearest;
}

const char *spelling_hint(const char *text, const char *const words[], size_t count,
                          char out[SPELLING_HINT_SIZE])
{
    const char *nearest = spelling_nearest(text, words, count);

    if (nearest)
        snprintf(out, SPELLING_HINT_SIZE, "; did you mean '%s'?", nearest);
    else
        out[0] = '\0';
    return out;
}
