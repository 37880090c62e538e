/* memory.h - memory, or the end of the program: there is nothing that could be done without it. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

/* Each returns memory of SIZE bytes, the caller's to free(3); never NULL.  If there is none, the
 * program writes one line to standard error and exits with 1. */

/* Not initialised. */
void *memory_get(size_t size);

/* All bytes are 0. */
void *memory_new(size_t size);

/* MEMORY, which may be NULL, moved to a place of SIZE bytes, as realloc(3) does. */
void *memory_resize(void *memory, size_t size);

/* A copy of the LEN bytes at TEXT, or of those before its first NUL, and a NUL behind them. */
char *memory_text(const char *text, size_t len);

#endif
