/* record.h - a record in shared memory that one process writes and others read without a lock.
 *
 * A sequence number is odd while the record is written (a seqlock with one writer).  If the writer
 * dies in between, it stays odd: readers treat the record as absent, and the next owner of the
 * memory repairs it. */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The record at SEQUENCE is going to change. */
void record_begin(uint64_t *sequence);

/* It has changed. */
void record_end(uint64_t *sequence);

/* Whether the writer died while it wrote; for the next owner. */
bool record_is_broken(const uint64_t *sequence);

/* Copy the SIZE bytes at RECORD to COPY.  Returns false, and COPY is undefined, if the record is
 * being written all the time, or its writer died while it wrote. */
bool record_read(const uint64_t *sequence, const void *record, void *copy, size_t size);

#endif
