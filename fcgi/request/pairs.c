/* pairs.c - the name-value pairs of a request, found by name with a hash table. */
/* SPDX-License-Identifier: MIT */
#include "request/pairs.h"

#include <string.h>
#include <sys/auxv.h>

/* 8 of the 16 random bytes that the kernel gives to each process (AT_RANDOM in getauxval(3)). */
static uint64_t seed(void)
{
    uint64_t bytes = 0;
    const void *random = (const void *)getauxval(AT_RANDOM); // NOLINT(performance-no-int-to-ptr)

    if (random)
        memcpy(&bytes, random, sizeof bytes);
    return bytes;
}

/* Multiply and mix, one byte at a time.  The multiplier is 2^64 divided by the golden ratio. */
static uint64_t hash_of(struct span name)
{
    static uint64_t start;
    static bool started;

    if (!started) {
        start = seed();
        started = true;
    }
    uint64_t hash = start;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ (unsigned char)name.text[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return hash;
}

void pairs_begin(struct pairs *pairs)
{
    pairs->count = 0;
    pairs->overflow = false;
    memset(pairs->slot, 0, sizeof pairs->slot);
}

void pairs_add(struct pairs *pairs, struct span name, struct span value, bool ambiguous)
{
    if (pairs->count == PAIRS_MAX) {
        pairs->overflow = true;
        return;
    }
    struct pair *pair = &pairs->pair[pairs->count++];
    *pair =
        (struct pair){.name = name, .value = value, .hash = hash_of(name), .ambiguous = ambiguous};
    uint16_t *slot = &pairs->slot[pair->hash % PAIRS_SLOTS];
    pair->next = *slot;
    *slot = (uint16_t)pairs->count;
}

static bool has_name(const struct pair *pair, uint64_t hash, struct span name)
{
    return pair->hash == hash && pair->name.len == name.len &&
           (name.len == 0 || memcmp(pair->name.text, name.text, name.len) == 0);
}

struct found pairs_find(const struct pairs *pairs, struct span name)
{
    uint64_t hash = hash_of(name);
    struct found found = {.ambiguous = pairs->overflow};
    bool any = false;

    for (unsigned at = pairs->slot[hash % PAIRS_SLOTS]; at > 0; at = pairs->pair[at - 1].next) {
        const struct pair *pair = &pairs->pair[at - 1];
        if (!has_name(pair, hash, name))
            continue;
        found.ambiguous = found.ambiguous || any || pair->ambiguous;
        found.value = pair->value;
        any = true;
    }
    if (found.ambiguous)
        found.value = (struct span){NULL, 0};
    return found;
}
