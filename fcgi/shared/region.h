/* region.h - what the processes of one host share: a mapped file in which each process has a slot.
 *
 * Only the owner of a slot writes it, so counting needs no lock.  A slot is claimed with a lock of
 * its own on the file (F_OFD_SETLK, fcntl(2)), which the kernel releases when the process ends in
 * any way.  The next owner continues the counters, so that sums over all slots never decrease.
 *
 * The file begins with a struct region_head; slots follow, each on pages of its own.  A program
 * with another layout makes a file of its own and renames it into place; processes that have the
 * old one mapped go on with that. */
#ifndef REGION_H
#define REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/counters.h"
#include "shared/mirror.h"
#include "shared/top.h"
#include "shared/watch.h"

#define REGION_SLOTS        64   /* processes of one host */
#define REGION_LIMIT_ROWS   1024 /* names of limits that one slot can count */
#define REGION_SHOWN_SIZE   320  /* an address of Redis without its password, NUL included */
#define REGION_PATH_SIZE    512
#define REGION_PROBLEM_SIZE 512
#define REGION_VERSION_SIZE 32
#define REGION_SHA256_SIZE  65
#define REGION_HOST_ID_SIZE 33

/* What a process says of itself. */
struct process {
    int64_t pid;
    int64_t started_us; /* microseconds since 1970, as all times here */
    char version[REGION_VERSION_SIZE];
    char limits_file[REGION_PATH_SIZE]; /* as it was named; "" for the built-in limits */
    char sha256[REGION_SHA256_SIZE];    /* of the limits that are in force, in hexadecimal */
    int64_t limit_count;
    int64_t loaded_us;             /* when these limits came into force */
    char redis[REGION_SHOWN_SIZE]; /* its address, without a password */
    int64_t override_count;        /* overrides that are stored in Redis and in force */
    int64_t override_foreign;      /* stored ones for limits or keys that the file does not have */
    int64_t overrides_loaded_us;   /* when they came into force; 0: none did */
    char overrides_problem[REGION_PROBLEM_SIZE]; /* why newer ones are not; "": there are none */
};

/* The counters of one limit in one process. */
struct limit_row {
    char name[TOP_LIMIT_SIZE]; /* written once, before it is counted in limit_count */
    uint64_t in_force;         /* whether the owner's limits have it */
    struct limit_counters counters;
};

/* The part of one process. */
struct slot {
    uint64_t process_sequence; /* of PROCESS: record.h */
    struct process process;
    struct process_gauges gauges;
    struct process_counters counters;
    uint64_t limit_count; /* rows of LIMIT in use */
    struct limit_row limit[REGION_LIMIT_ROWS];
    struct top refused, shadow_refused;
    struct watch_ring watched;
};

struct region;

/* Open the region at PATH, which is created if there is none; NULL: memory of this process alone.
 * Its mirror has MIRROR_ROWS (> 0) rows; a file with another number is replaced, as one of another
 * version is.
 * The file has mode 0600.  It is refused if it is a link, is not a plain file, belongs to another
 * user, or if others can write to it.  Returns the region, the caller's to free with region_free;
 * or NULL, and ERROR (SIZE bytes) says what is wrong. */
struct region *region_open(const char *path, uint64_t mirror_rows, char *error, size_t size);

/* The same without creating it; it may belong to another user.  WATCH: also to write its wish. */
struct region *region_open_to_read(const char *path, bool watch, char *error, size_t size);

/* Claim a slot of REGION for this process.  Its counters are those of the last owner; the rest is
 * cleared.  Returns the slot, borrowed until region_free; or NULL: all of them are taken, or there
 * is no room on the file system. */
struct slot *region_claim(struct region *region);

/* The slot that this process has claimed; NULL: none. */
struct slot *region_own(const struct region *region);

/* What the host knows of buckets. */
struct mirror *region_mirror(const struct region *region);

/* How many hosts share the limits, as Redis counted them last; 0: it has not.  Read and written
 * atomically. */
uint64_t *region_host_count(const struct region *region);

/* A random name of this region, and so of the host, in hexadecimal. */
const char *region_host_id(const struct region *region);

/* What the watcher of the host wants to see. */
struct watch_wish *region_wish(const struct region *region);

/* Become the one watcher of the host.  Returns whether there is no other; until region_free. */
bool region_watch(struct region *region);

/* Slot I (< REGION_SLOTS) of REGION for a reader; NULL if it was never used.  *LIVE: whether a
 * process owns it now. */
const struct slot *region_slot(const struct region *region, size_t i, bool *live);

/* Try to become the one process of the host that does what is to be done once, such as logging.
 * Returns whether this process is that one, until it ends. */
bool region_lead(struct region *region);

/* Unmap REGION; this process's slot is free then.  NULL is fine. */
void region_free(struct region *region);

#endif
