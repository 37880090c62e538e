/* hash.h - a hash of bytes, for tables and layouts; not for secrets.  Pure. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

/* The FNV-1a hash of the LEN bytes at TEXT, 64 bits (IETF draft-eastlake-fnv). */
uint64_t hash_of(const char *text, size_t len);

#endif
