/* mirror.h - what a host knows of buckets: one table in shared memory for all of its processes.
 *
 * A row has what Redis said last about a bucket, and the bucket that the host keeps itself while
 * Redis is away.  Each number that changes is one 64-bit word that is read and changed atomically,
 * so that there is no lock, and a process that dies or stops at any instruction leaves a table that
 * others can use.  Only a new row takes several writes: they are made under a claim of its set, of
 * MIRROR_WAYS rows, which another process takes over after a second. */
#ifndef MIRROR_H
#define MIRROR_H

#include <stddef.h>
#include <stdint.h>

#define MIRROR_ROWS_DEFAULT 16384
#define MIRROR_WAYS         8   /* rows of a set: a key is in one set */
#define MIRROR_KEY_SIZE     256 /* a Redis key, NUL included: STORE_KEY_SIZE */

/* Times are microseconds on CLOCK_MONOTONIC, which all processes of a host share. */
struct mirror_row {
    int64_t interval_us, window_us; /* of the limit, as it was when the row was written last */
    int64_t full_at_us;        /* Redis: when the bucket is full, if nothing is taken; 0: it is */
    int64_t local_empty_at_us; /* the host's own bucket, as take.lua has empty_at; 0: it is full */
    int64_t owed; /* tokens that the host has handed out and that Redis has not been told of */
    char key[MIRROR_KEY_SIZE];
};

/* All bytes 0 is an empty table, once mirror_begin has been called. */
struct mirror;

/* The bytes of a table with ROWS rows, which are rounded up to whole sets. */
size_t mirror_bytes(uint64_t rows);

/* Use the memory at MIRROR, of mirror_bytes(ROWS) bytes, as a table.  Every process does so. */
void mirror_begin(struct mirror *mirror, uint64_t rows);

/* The row of KEY (LEN < MIRROR_KEY_SIZE bytes), borrowed; NULL: there is none. */
struct mirror_row *mirror_find(struct mirror *mirror, const char *key, size_t len);

/* The same, and a new row if there is none: in the place of the fullest bucket of its set, and of
 * one that owes tokens only if all of them do.  NOW_US tells which are full.  NULL: another process
 * has claimed the set, and has not released it within PATIENCE_US (0: do not wait). */
struct mirror_row *mirror_get(struct mirror *mirror, const char *key, size_t len, int64_t now_us,
                              int64_t patience_us);

/* Say that rows owe tokens: mirror_take_owing returns true once after that, to one process. */
void mirror_set_owing(struct mirror *mirror);
int mirror_take_owing(struct mirror *mirror);

/* Row I of the table; NULL: it is free, or there are no more (I is mirror_rows or above). */
struct mirror_row *mirror_row(struct mirror *mirror, uint64_t i);
uint64_t mirror_rows(const struct mirror *mirror);

/* Rows with a bucket that was not full, or that owed tokens, which had to give way to others. */
uint64_t mirror_evicted(const struct mirror *mirror);

#endif
