/* scratch.h - memory for values that are made during a request and last until its end.  Pure. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stddef.h>

struct scratch {
    char *bytes; /* SIZE bytes, borrowed; the first USED are allocated */
    size_t size, used;
};

/* Allocate LEN bytes from SCRATCH.  Returns them, or NULL if fewer are left. */
char *scratch_take(struct scratch *scratch, size_t len);

/* Give back the last LEN bytes that were allocated. */
void scratch_give_back(struct scratch *scratch, size_t len);

#endif
