/* record.c - a seqlock with one writer. */
/* SPDX-License-Identifier: MIT */
#include "shared/record.h"

#include <string.h>

#define TRIES 1000 /* a writer takes far less than a microsecond */

void record_begin(uint64_t *sequence)
{
    __atomic_store_n(sequence, *sequence | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

void record_end(uint64_t *sequence)
{
    __atomic_store_n(sequence, (*sequence | 1) + 1, __ATOMIC_RELEASE);
}

bool record_is_broken(const uint64_t *sequence)
{
    return *sequence & 1;
}

bool record_read(const uint64_t *sequence, const void *record, void *copy, size_t size)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
        if (before & 1)
            continue;
        memcpy(copy, record, size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(sequence, __ATOMIC_RELAXED) == before)
            return true;
    }
    return false;
}
