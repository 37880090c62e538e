/* region.c - the file, its layout, and the locks on it. */
/* SPDX-License-Identifier: MIT */
#include "shared/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "shared/record.h"

#define MAGIC      "rlregion"
#define LAYOUT     2 /* change it with a struct here, unless layout_of_program sees the change */
#define PAGE       4096
#define SLOT_SIZE  ((sizeof(struct slot) + PAGE - 1) / PAGE * PAGE)
#define SLOTS_END  (PAGE + REGION_SLOTS * SLOT_SIZE)
#define ROWS_MAX   (UINT64_C(1) << 24) /* of a mirror: more is no region of ours */
#define OPEN_TRIES 100                 /* other processes may replace the file at the same time */

/* Bytes of the file that are locked, and never read or written, because they are beyond its end:
 * that of slot I, and those of the leader, of the watcher, and of a process that replaces the file.
 * No version of the program may change REPLACE_LOCK, because old and new ones have to meet
 * there. */
#define SLOT_LOCK(i) ((off_t)1 << 40 | (off_t)(i))
#define LEADER_LOCK  ((off_t)1 << 41)
#define WATCH_LOCK   ((off_t)1 << 41 | 1)
#define REPLACE_LOCK ((off_t)1 << 42)

/* The first page. */
struct region_head {
    char magic[8];
    uint64_t layout;             /* see layout_of_program */
    uint64_t used[REGION_SLOTS]; /* whether the slot's pages have been allocated */
    struct watch_wish wish;
    uint64_t mirror_rows; /* of the mirror, which is behind the slots */
    uint64_t host_count;  /* hosts that share the limits, as Redis counted them last; 0: not yet */
    char host_id[REGION_HOST_ID_SIZE];
};

struct region {
    struct region_head *head; /* mapped; the slots follow on the next page */
    size_t size;
    int fd;  /* -1: the memory is not shared */
    int own; /* the slot of this process; -1: none */
    bool leads;
};

static uint64_t layout_of_program(void)
{
    return counters_layout() * 31 + sizeof(struct slot) * 7 + sizeof(struct mirror_row) * 3 +
           LAYOUT;
}

static size_t size_with(uint64_t mirror_rows)
{
    return SLOTS_END + mirror_bytes(mirror_rows);
}

static struct slot *slot_at(const struct region *region, size_t i)
{
    return (struct slot *)((char *)region->head + PAGE + i * SLOT_SIZE);
}

/* ---- Locks ---- */

static struct flock lock_of(off_t byte)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

/* Returns whether this open file has the lock now. */
static bool lock(int fd, off_t byte)
{
    struct flock flock = lock_of(byte);

    return fcntl(fd, F_OFD_SETLK, &flock) == 0;
}

static void unlock(int fd, off_t byte)
{
    struct flock flock = lock_of(byte);

    flock.l_type = F_UNLCK;
    fcntl(fd, F_OFD_SETLK, &flock);
}

static bool is_locked_by_another(int fd, off_t byte)
{
    struct flock flock = lock_of(byte);

    return fcntl(fd, F_OFD_GETLK, &flock) == 0 && flock.l_type != F_UNLCK;
}

/* ---- The file ---- */

/* Why the file of STATUS is refused; NULL: it is not. */
static const char *unsafe(const struct stat *status)
{
    if (!S_ISREG(status->st_mode))
        return "it is not a plain file";
    if (status->st_uid != geteuid())
        return "it belongs to another user";
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return "others can write to it; remove it, or chmod 600";
    return NULL;
}

/* Whether the file FD has the layout of this program, and a mirror of *MIRROR_ROWS rows; if that is
 * 0, it becomes the number that the file has. */
static bool is_ours(int fd, const struct stat *status, uint64_t *mirror_rows)
{
    struct region_head head;

    if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head.magic, MAGIC, sizeof head.magic) != 0 || head.layout != layout_of_program() ||
        head.mirror_rows == 0 || head.mirror_rows > ROWS_MAX)
        return false;
    if (*mirror_rows == 0)
        *mirror_rows = head.mirror_rows;
    return head.mirror_rows == *mirror_rows && status->st_size == (off_t)size_with(*mirror_rows);
}

/* Write a random name for the host into OUT. */
static void make_host_id(char out[REGION_HOST_ID_SIZE])
{
    unsigned char bytes[(REGION_HOST_ID_SIZE - 1) / 2];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

/* Make a file beside PATH, ready for use, and give it its name TEMPORARY.  The pages of the slots
 * are allocated as they are claimed, those of the mirror now, because a write to a page for which
 * there is no room would kill the process.  Returns a descriptor; -1 and errno. */
static int make_file(const char *path, uint64_t mirror_rows, char temporary[REGION_PATH_SIZE + 16])
{
    struct region_head head = {.layout = layout_of_program(), .mirror_rows = mirror_rows};

    make_host_id(head.host_id);
    memcpy(head.magic, MAGIC, sizeof head.magic);
    snprintf(temporary, REGION_PATH_SIZE + 16, "%s.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size_with(mirror_rows)) == 0 && posix_fallocate(fd, 0, PAGE) == 0 &&
        posix_fallocate(fd, (off_t)SLOTS_END, (off_t)mirror_bytes(mirror_rows)) == 0 &&
        pwrite(fd, &head, sizeof head, 0) == (ssize_t)sizeof head)
        return fd;
    int error = errno;
    unlink(temporary);
    close(fd);
    errno = error;
    return -1;
}

/* Put a new file at PATH, where there is none, or OLD_FD with another layout.  Another process may
 * be faster, and so the caller looks at PATH again.  Returns whether there was no error. */
static bool place_file(const char *path, uint64_t mirror_rows, int old_fd)
{
    char temporary[REGION_PATH_SIZE + 16];
    int fd = make_file(path, mirror_rows, temporary);

    if (fd < 0)
        return false;
    close(fd);
    bool placed =
        old_fd >= 0 ? rename(temporary, path) == 0 : link(temporary, path) == 0 || errno == EEXIST;
    int error = errno;
    unlink(temporary);
    errno = error;
    return placed;
}

/* Whether PATH still names the file FD. */
static bool is_at(const char *path, int fd)
{
    struct stat named, opened;

    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

/* The file FD at PATH has the layout of another program.  One process at a time replaces it. */
static bool replace_file(const char *path, uint64_t mirror_rows, int fd)
{
    if (!lock(fd, REPLACE_LOCK)) {
        usleep(1000); /* another process does it now */
        return true;
    }
    bool fine = !is_at(path, fd) || place_file(path, mirror_rows, fd);
    unlock(fd, REPLACE_LOCK);
    return fine;
}

/* Open the file at PATH, and create or replace it if need be.  Returns a descriptor; -1 if it
 * cannot be opened: *WHY says why if it is not errno. */
static int open_file(const char *path, uint64_t mirror_rows, const char **why)
{
    for (int i = 0; i < OPEN_TRIES; i++) {
        struct stat status;
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 && (errno != ENOENT || !place_file(path, mirror_rows, -1))) {
            *why = errno == ELOOP ? "it is a symbolic link" : NULL;
            return -1;
        }
        if (fd < 0)
            continue;
        *why = fstat(fd, &status) == 0 ? unsafe(&status) : "it cannot be examined";
        if (!*why && is_ours(fd, &status, &mirror_rows))
            return fd;
        bool again = !*why && replace_file(path, mirror_rows, fd);
        int error = errno;
        close(fd);
        errno = error;
        if (!again)
            return -1;
    }
    *why = "other processes replace it all the time";
    return -1;
}

static struct region *map(int fd, uint64_t mirror_rows, int protection)
{
    struct region *region = memory_new(sizeof *region);
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;

    region->fd = fd;
    region->own = -1;
    region->size = size_with(mirror_rows);
    region->head = mmap(NULL, region->size, protection, flags | MAP_NORESERVE, fd, 0);
    if (region->head != MAP_FAILED)
        return region;
    free(region);
    return NULL;
}

static struct region *open_failed(const char *path, const char *why, char *error, size_t size)
{
    snprintf(error, size, "%s: %s", path, why ? why : strerror(errno));
    return NULL;
}

struct region *region_open(const char *path, uint64_t mirror_rows, char *error, size_t size)
{
    const char *why = NULL;
    int fd = -1;

    if (path && strlen(path) >= REGION_PATH_SIZE)
        return open_failed(path, "the path is too long", error, size);
    if (path && (fd = open_file(path, mirror_rows, &why)) < 0)
        return open_failed(path, why, error, size);
    struct region *region = map(fd, mirror_rows, PROT_READ | PROT_WRITE);
    if (region) {
        if (!path)
            make_host_id(region->head->host_id);
        mirror_begin(region_mirror(region), mirror_rows);
        return region;
    }
    open_failed(path ? path : "memory", NULL, error, size);
    if (fd >= 0)
        close(fd);
    return NULL;
}

struct region *region_open_to_read(const char *path, bool watch, char *error, size_t size)
{
    int fd = open(path, (watch ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    uint64_t mirror_rows = 0;
    struct stat status;

    if (fd < 0)
        return open_failed(path, NULL, error, size);
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && is_ours(fd, &status, &mirror_rows)) {
        struct region *region = map(fd, mirror_rows, watch ? PROT_READ | PROT_WRITE : PROT_READ);
        if (region)
            return region;
        open_failed(path, NULL, error, size);
    } else {
        open_failed(path, "it is not the shared memory of this version of ratelimit.fcgi", error,
                    size);
    }
    close(fd);
    return NULL;
}

/* ---- Slots ---- */

/* Clear what describes a process; its counters stay. */
static void take_over(struct slot *slot)
{
    record_begin(&slot->process_sequence);
    memset(&slot->process, 0, sizeof slot->process);
    record_end(&slot->process_sequence);
    memset(&slot->gauges, 0, sizeof slot->gauges);
    if (slot->limit_count > REGION_LIMIT_ROWS)
        slot->limit_count = 0; /* not by this program */
    for (size_t i = 0; i < slot->limit_count; i++) {
        slot->limit[i].name[TOP_LIMIT_SIZE - 1] = '\0';
        counter_set(&slot->limit[i].in_force, 0);
    }
    top_repair(&slot->refused);
    top_repair(&slot->shadow_refused);
}

/* Allocate the pages of slot I, because a write to a page for which the file system has no room
 * would kill the process (SIGBUS). */
static bool allocate(struct region *region, size_t i)
{
    off_t at = (off_t)(PAGE + i * SLOT_SIZE);

    if (region->fd >= 0 && posix_fallocate(region->fd, at, (off_t)SLOT_SIZE) != 0)
        return false;
    counter_set(&region->head->used[i], 1);
    return true;
}

struct slot *region_claim(struct region *region)
{
    for (size_t i = 0; i < REGION_SLOTS; i++) {
        if (region->fd >= 0 && !lock(region->fd, SLOT_LOCK(i)))
            continue;
        if (!allocate(region, i)) {
            unlock(region->fd, SLOT_LOCK(i));
            return NULL;
        }
        region->own = (int)i;
        take_over(slot_at(region, i));
        return slot_at(region, i);
    }
    return NULL;
}

struct slot *region_own(const struct region *region)
{
    return region->own < 0 ? NULL : slot_at(region, (size_t)region->own);
}

struct mirror *region_mirror(const struct region *region)
{
    return (struct mirror *)((char *)region->head + SLOTS_END);
}

uint64_t *region_host_count(const struct region *region)
{
    return &region->head->host_count;
}

const char *region_host_id(const struct region *region)
{
    return region->head->host_id;
}

struct watch_wish *region_wish(const struct region *region)
{
    return &region->head->wish;
}

bool region_watch(struct region *region)
{
    return lock(region->fd, WATCH_LOCK);
}

const struct slot *region_slot(const struct region *region, size_t i, bool *live)
{
    if (!counter_get(&region->head->used[i]))
        return NULL;
    *live = region->own == (int)i || is_locked_by_another(region->fd, SLOT_LOCK(i));
    return slot_at(region, i);
}

bool region_lead(struct region *region)
{
    if (!region->leads)
        region->leads = region->fd < 0 || lock(region->fd, LEADER_LOCK);
    return region->leads;
}

void region_free(struct region *region)
{
    if (!region)
        return;
    munmap(region->head, region->size);
    if (region->fd >= 0)
        close(region->fd);
    free(region);
}
