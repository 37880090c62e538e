/* memory.h - allocation that never fails: without memory, the program ends. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

/* Each function returns memory of SIZE bytes, which the caller frees with free(3); never NULL.  If
 * there is no memory, the program writes one line to standard error and exits with status 1. */

/* Not initialised. */
void *memory_get(size_t size);

/* All bytes are 0. */
void *memory_new(size_t size);

/* Resize MEMORY, which may be NULL, to SIZE bytes, as realloc(3) does. */
void *memory_resize(void *memory, size_t size);

/* A copy of the LEN bytes at TEXT, or of those before its first NUL, followed by a NUL. */
char *memory_text(const char *text, size_t len);

#endif
