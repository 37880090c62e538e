/* scratch.c - memory for values that are made during a request and last until its end. */
/* SPDX-License-Identifier: MIT */
#include "base/scratch.h"

char *scratch_take(struct scratch *scratch, size_t len)
{
    if (len > scratch->size - scratch->used)
        return NULL;
    char *taken = scratch->bytes + scratch->used;
    scratch->used += len;
    return taken;
}

void scratch_give_back(struct scratch *scratch, size_t len)
{
    scratch->used -= len;
}
