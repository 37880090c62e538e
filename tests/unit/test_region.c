/* test_region.c - the memory that the processes of a host share. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "shared/region.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "shared/slot.h"
#include "shared/totals.h"

static char folder[64], path[128];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_region.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    sprintf(path, "%s/shared", folder);
    return 0;
}

/* Each test leaves one file at most. */
static int remove_folder(void **state)
{
    (void)state;
    sprintf(path, "%s/shared", folder);
    unlink(path);
    return rmdir(folder);
}

#define TEST_IN_FOLDER(name) TEST_WITH(name, make_folder, remove_folder)

static struct region *opened(void)
{
    char error[256] = "";
    struct region *region = region_open(path, MIRROR_ROWS_DEFAULT, error, sizeof error);

    if (!region)
        fail_msg("%s", error);
    return region;
}

/* The index of the slot that is SLOT; -1: there is none. */
static int index_of(const struct region *region, const struct slot *slot)
{
    bool live;

    for (size_t i = 0; i < REGION_SLOTS; i++)
        if (region_slot(region, i, &live) == slot)
            return (int)i;
    return -1;
}

static bool is_live(const struct region *region, size_t i)
{
    bool live = false;

    return region_slot(region, i, &live) && live;
}

TEST_IN_FOLDER(each_process_has_a_slot_and_the_next_owner_goes_on)
{
    struct region *one = opened(), *other = opened(), *third;
    struct slot *slot = region_claim(one), *second = region_claim(other);

    assert_int_equal(index_of(one, slot), 0);
    assert_int_equal(index_of(other, second), 1);
    counter_add(&slot->counters.status_200, 7);
    counter_set(&slot->gauges.redis_ready, 1);
    counter_add(&slot_limit(slot, "a", 0)->counters.allowed, 3);
    assert_true(is_live(other, 0));
    region_free(one);
    assert_false(is_live(other, 0));
    third = opened();
    slot = region_claim(third);
    assert_int_equal(index_of(third, slot), 0);
    assert_int_equal(slot->counters.status_200, 7);
    assert_int_equal(slot->gauges.redis_ready, 0);
    assert_int_equal(slot_limit(slot, "a", 0)->counters.allowed, 3);
    region_free(other);
    region_free(third);
}

TEST_IN_FOLDER(a_slot_that_was_never_used_is_not_there)
{
    struct region *region = opened();
    bool live;

    assert_null(region_slot(region, 0, &live));
    region_claim(region);
    assert_non_null(region_slot(region, 0, &live));
    assert_null(region_slot(region, 1, &live));
    region_free(region);
}

TEST_IN_FOLDER(there_is_no_slot_for_more_processes_than_there_are_slots)
{
    struct region *regions[REGION_SLOTS + 1];

    for (size_t i = 0; i < REGION_SLOTS; i++) {
        regions[i] = opened();
        assert_non_null(region_claim(regions[i]));
    }
    regions[REGION_SLOTS] = opened();
    assert_null(region_claim(regions[REGION_SLOTS]));
    for (size_t i = 0; i <= REGION_SLOTS; i++)
        region_free(regions[i]);
}

TEST_IN_FOLDER(one_process_leads_and_another_follows_it)
{
    struct region *one = opened(), *other = opened();

    assert_true(region_lead(one));
    assert_false(region_lead(other));
    assert_true(region_lead(one));
    region_free(one);
    assert_true(region_lead(other));
    region_free(other);
}

TEST_IN_FOLDER(the_file_is_for_its_owner_alone)
{
    struct stat status;
    mode_t mask = umask(0);

    region_free(opened());
    umask(mask);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void want_refused(const char *want)
{
    char error[256] = "";
    struct region *region = region_open(path, MIRROR_ROWS_DEFAULT, error, sizeof error);

    assert_null(region);
    want_error(path, error, want);
}

TEST_IN_FOLDER(a_file_that_others_can_write_is_refused)
{
    region_free(opened());
    assert_int_equal(chmod(path, 0620), 0);
    want_refused("others can write to it");
    assert_int_equal(chmod(path, 0602), 0);
    want_refused("others can write to it");
}

TEST_IN_FOLDER(what_is_not_a_plain_file_is_refused)
{
    char target[160];

    sprintf(target, "%s/target", folder);
    assert_int_equal(symlink(target, path), 0);
    want_refused("it is a symbolic link");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    want_refused("it is not a plain file");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    want_refused("");
    rmdir(path);
    sprintf(path, "%s/missing/shared", folder);
    want_refused("No such file or directory");
}

TEST_IN_FOLDER(a_file_of_another_user_is_refused)
{
    region_free(opened());
    if (chown(path, 65534, 65534) != 0)
        skip(); /* only root can give a file away */
    want_refused("it belongs to another user");
}

TEST_IN_FOLDER(a_file_with_another_layout_is_replaced_and_its_users_go_on)
{
    struct region *old = opened();
    struct slot *slot = region_claim(old);
    struct stat before, after;
    uint64_t layout = 12345;

    counter_add(&slot->counters.status_200, 1);
    assert_int_equal(stat(path, &before), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &layout, sizeof layout, 8), sizeof layout);
    close(fd);

    struct region *new = opened();
    assert_int_equal(stat(path, &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    assert_int_equal(region_claim(new)->counters.status_200, 0);
    counter_add(&slot->counters.status_200, 1);
    assert_int_equal(slot->counters.status_200, 2);
    region_free(old);
    region_free(new);
}

TEST_IN_FOLDER(a_file_of_another_kind_is_replaced)
{
    FILE *file = fopen(path, "w");

    fputs("a small file", file);
    fclose(file);
    chmod(path, 0600);
    region_free(opened());
}

/* Many processes find an old file at once: all of them end up with the same new one. */
TEST_IN_FOLDER(processes_that_replace_the_file_at_once_share_one)
{
    enum { PROCESSES = 8 };
    FILE *file = fopen(path, "w");
    int done[2], go[2];
    char byte = 0;

    fclose(file);
    chmod(path, 0600);
    assert_int_equal(pipe(done), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() != 0)
            continue;
        char error[256];
        struct region *region = region_open(path, MIRROR_ROWS_DEFAULT, error, sizeof error);
        struct slot *slot = region ? region_claim(region) : NULL;
        if (slot)
            counter_add(&slot->counters.status_200, 1);
        close(go[1]);
        _exit(write(done[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 0 && slot ? 0 : 1);
    }
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(read(done[0], &byte, 1), 1);
    struct region *region = opened();
    struct totals *totals = totals_read(region);
    assert_int_equal(totals->counters.status_200, PROCESSES);
    totals_free(totals);
    region_free(region);
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_true(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    close(done[0]);
    close(done[1]);
}

/* ---- kill -9 ---- */

/* Count in a slot of the region without an end, with a key whose text says what it is. */
static void count_for_ever(void)
{
    char error[256], key[128];
    struct region *region = region_open(path, MIRROR_ROWS_DEFAULT, error, sizeof error);
    struct slot *slot = region ? region_claim(region) : NULL;
    struct process process = {.pid = getpid()};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; slot; i++) {
        struct limit_row *row = slot_limit(slot, i % 2 ? "one" : "two", i % 2);
        counter_add(&row->counters.allowed, 1);
        counter_add(&row->counters.tokens_taken, 1);
        size_t len = (size_t)sprintf(key, "rl:{user=%u}:%s", i % 1000, row->name);
        top_add(&slot->refused, row->name, key, len, clock_unix_us());
        snprintf(process.version, sizeof process.version, "%u", i);
        snprintf(process.sha256, sizeof process.sha256, "%u", i);
        slot_describe(slot, &process);
    }
    _exit(1);
}

static void want_consistent(const struct region *region)
{
    struct top_list list = totals_top(region, false, 0);

    for (size_t i = 0; i < list.count; i++) {
        const struct top_row *row = &list.row[i];
        size_t len = strlen(row->key), limit_len = strlen(row->limit);
        assert_true(strncmp(row->key, "rl:{user=", 9) == 0);
        want_text(row->key, row->key + len - limit_len, row->limit);
        assert_true(row->count > 0 && row->error < row->count && row->first_us <= row->last_us);
    }
    top_list_free(&list);
}

TEST_IN_FOLDER(a_process_that_is_killed_anywhere_leaves_no_lock_and_no_wrong_value)
{
    uint64_t before = 0;
    struct region *reader = opened();

    for (int round = 0; round < 200; round++) {
        pid_t pid = fork();
        if (pid == 0)
            count_for_ever();
        struct totals *totals = totals_read(reader);
        while (!totals_limit(totals, "two") || totals->process_count == 0 ||
               totals_limit(totals, "two")->counters.allowed < before / 2 + 100) {
            totals_free(totals);
            totals = totals_read(reader);
            want_consistent(reader);
        }
        totals_free(totals);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        totals = totals_read(reader);
        const struct limit_counters *one = &totals_limit(totals, "one")->counters,
                                    *two = &totals_limit(totals, "two")->counters;
        assert_int_equal(totals->process_count, 0);
        assert_true(one->allowed + two->allowed >= before);
        assert_in_range(one->allowed - one->tokens_taken + two->allowed - two->tokens_taken, 0,
                        round + 1);
        before = one->allowed + two->allowed;
        totals_free(totals);
        want_consistent(reader);
    }
    bool live;
    assert_null(region_slot(reader, 1, &live)); /* every process had the first slot */
    region_free(reader);
}

TEST(without_a_file_a_process_counts_on_its_own)
{
    char error[256];
    struct region *region = region_open(NULL, MIRROR_ROWS_DEFAULT, error, sizeof error);
    struct slot *slot = region_claim(region);
    bool live;

    counter_add(&slot->counters.status_200, 1);
    assert_ptr_equal(region_slot(region, 0, &live), slot);
    assert_true(live);
    assert_true(region_lead(region));
    region_free(region);
    region_free(NULL);
}

TEST(limits_beyond_the_rows_share_the_last_one)
{
    char error[256], name[32];
    struct region *region = region_open(NULL, MIRROR_ROWS_DEFAULT, error, sizeof error);
    struct slot *slot = region_claim(region);

    for (unsigned i = 0; i < REGION_LIMIT_ROWS + 10; i++) {
        sprintf(name, "limit-%u", i);
        counter_add(&slot_limit(slot, name, i)->counters.allowed, 1);
    }
    for (unsigned i = 0; i < REGION_LIMIT_ROWS - 1; i++)
        assert_int_equal(slot->limit[i].counters.allowed, 1);
    want_text("the last row", slot->limit[REGION_LIMIT_ROWS - 1].name, "(other limits)");
    assert_int_equal(slot->limit[REGION_LIMIT_ROWS - 1].counters.allowed, 11);
    region_free(region);
}

TESTS_MAIN
