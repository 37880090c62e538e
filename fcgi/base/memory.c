/* memory.c - the allocator of the C library; a failure ends the program. */
/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef NDEBUG
#error "assert checks what the functions of this program promise each other: build without NDEBUG"
#endif

static void *must(void *memory)
{
    if (!memory) {
        fputs("ratelimit.fcgi: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return memory;
}

void *memory_get(size_t size)
{
    return must(malloc(size));
}

void *memory_new(size_t size)
{
    return must(calloc(1, size));
}

void *memory_resize(void *memory, size_t size)
{
    return must(realloc(memory, size));
}

char *memory_text(const char *text, size_t len)
{
    return must(strndup(text, len));
}
