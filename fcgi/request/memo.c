/* memo.c - the lower case and the digest of a value, computed once per request. */
/* SPDX-License-Identifier: MIT */
#include "request/memo.h"

#include <nettle/sha2.h>
#include <string.h>

void memo_begin(struct memo *memo)
{
    memo->count = 0;
    memset(memo->slot, 0, sizeof memo->slot);
}

/* The entry of VALUE, which is added if it is missing; NULL if MEMO is full. */
static struct memo_entry *entry_of(struct memo *memo, struct span value)
{
    uintptr_t place = (uintptr_t)value.text;
    uint16_t *slot = &memo->slot[(place ^ place >> 8) % MEMO_SLOTS];

    for (unsigned at = *slot; at > 0; at = memo->entry[at - 1].next) {
        struct memo_entry *entry = &memo->entry[at - 1];
        if (entry->value.text == value.text && entry->value.len == value.len)
            return entry;
    }
    if (memo->count == MEMO_MAX)
        return NULL;
    struct memo_entry *entry = &memo->entry[memo->count++];
    entry->value = value;
    entry->lower = (struct span){NULL, 0};
    entry->digested = false;
    entry->next = *slot;
    *slot = (uint16_t)memo->count;
    return entry;
}

static struct span lower(struct span value, struct scratch *scratch)
{
    char *bytes = scratch_take(scratch, value.len);

    for (size_t i = 0; bytes && i < value.len; i++) {
        char byte = value.text[i];
        bytes[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
    }
    return (struct span){bytes, bytes ? value.len : 0};
}

struct span memo_lower(struct memo *memo, struct span value, struct scratch *scratch)
{
    struct memo_entry *entry = entry_of(memo, value);

    if (!entry)
        return lower(value, scratch);
    if (!entry->lower.text)
        entry->lower = lower(value, scratch);
    return entry->lower;
}

static void digest(struct span value, char out[MEMO_DIGEST_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[SHA256_DIGEST_SIZE];
    struct sha256_ctx context;

    sha256_init(&context);
    sha256_update(&context, value.len, (const uint8_t *)value.text);
    sha256_digest(&context, sizeof bytes, bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = hex[bytes[i] >> 4];
        out[2 * i + 1] = hex[bytes[i] & 15];
    }
}

void memo_digest(struct memo *memo, struct span value, char out[MEMO_DIGEST_SIZE])
{
    struct memo_entry *entry = memo ? entry_of(memo, value) : NULL;

    if (!entry) {
        digest(value, out);
        return;
    }
    if (!entry->digested)
        digest(value, entry->digest);
    entry->digested = true;
    memcpy(out, entry->digest, MEMO_DIGEST_SIZE);
}
