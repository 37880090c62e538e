/* scratch.h - bytes that are written during a request and stay until its end.  Pure. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stddef.h>

struct scratch {
    char *bytes; /* SIZE of them, borrowed; the first USED are taken */
    size_t size, used;
};

/* Take LEN bytes of SCRATCH.  Returns them; NULL where so many are not left. */
char *scratch_take(struct scratch *scratch, size_t len);

/* Give the last LEN bytes that were taken back. */
void scratch_give_back(struct scratch *scratch, size_t len);

#endif
