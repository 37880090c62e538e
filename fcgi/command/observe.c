/* observe.c - what the processes of this host do, from their shared memory. */
/* SPDX-License-Identifier: MIT */
#include "command/observe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "command/buckets.h"
#include "decide/status_page.h"
#include "shared/totals.h"

#define WATCH_STEP_US 50000 /* between two looks at the rings */
#define WISH_S        5.0   /* how long a wish lasts after a watcher has been killed */
#define TOP_STEP_S    2     /* of --watch */

struct region *observe_region(const struct options *options, bool watch, char *error, size_t size)
{
    /* As in the table of conf/operating.md. */
    static const char *const places[] = {
        "/run/ratelimit/shared/counters",      /* systemd */
        "/run/ratelimit/counters",             /* spawn-fcgi */
        "/run/lighttpd/ratelimit.sock.shared", /* lighttpd as a guard */
        "/dev/shm/ratelimit.shared",           /* the image */
    };

    if (options->shared)
        return region_open_to_read(options->shared, watch, error, size);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], F_OK) == 0)
            return region_open_to_read(places[i], watch, error, size);
    snprintf(error, size,
             "no process of this host counts in %s, %s, %s or %s; name the file with --shared or "
             "RATELIMIT_SHARED",
             places[0], places[1], places[2], places[3]);
    return NULL;
}

/* The same; what is wrong is written. */
static struct region *open_region(const struct options *options, bool watch)
{
    char error[REGION_PATH_SIZE + 128];
    struct region *region = observe_region(options, watch, error, sizeof error);

    if (!region)
        fprintf(stderr, "%s: %s\n", options->program, error);
    return region;
}

/* ---- status ---- */

static void print_overrides(const struct process *process)
{
    char loaded[CLOCK_SHOWN_SIZE] = "never";

    if (process->overrides_loaded_us > 0)
        clock_show(process->overrides_loaded_us, loaded);
    printf("  overrides in Redis: %" PRId64 " in force, loaded %s\n", process->override_count,
           loaded);
    if (process->override_foreign > 0)
        printf("  %" PRId64 " more overrides are for limits or keys that this file does not have\n",
               process->override_foreign);
    if (process->overrides_problem[0] != '\0')
        printf("  NEWER OVERRIDES ARE NOT IN FORCE: %s\n", process->overrides_problem);
}

static void print_process(const struct live_process *live)
{
    const struct process *process = &live->process;
    char started[CLOCK_SHOWN_SIZE], loaded[CLOCK_SHOWN_SIZE];

    printf("process %" PRId64 ", version %s, since %s\n", process->pid, process->version,
           clock_show(process->started_us, started));
    printf("  limits  %s (%" PRId64 " limit%s, sha256 %.12s), loaded %s%s\n",
           process->limits_file[0] ? process->limits_file : "the built-in limits",
           process->limit_count, process->limit_count == 1 ? "" : "s", process->sha256,
           clock_show(process->loaded_us, loaded),
           live->gauges.reload_failed ? "; the file has changed, and was refused: see the log"
                                      : "");
    if (process->overrides_loaded_us > 0 || process->overrides_problem[0] != '\0')
        print_overrides(process);
    printf("  redis   %s %s\n", process->redis,
           live->gauges.redis_ready ? "is connected"
                                    : "is LOST: requests are decided by on_redis_failure");
    printf("  now     %" PRIu64 " requests wait, %" PRIu64 " connections, %" PRIu64 " of %" PRIu64
           " descriptors\n",
           live->gauges.requests_open, live->gauges.connections_open, live->gauges.descriptors_open,
           live->gauges.descriptors_max);
}

static void print_totals(const struct totals *totals)
{
    const struct process_counters *counters = &totals->counters;

    printf("\nredis: p50 %.2f ms, p99 %.2f ms; lost %" PRIu64 " times, %.1f s without it\n"
           "decided without it: %" PRIu64 " (lost %" PRIu64 ", late %" PRIu64 ", error %" PRIu64
           ")\n\n",
           histogram_quantile(&counters->redis_latency, 0.5) * 1e3,
           histogram_quantile(&counters->redis_latency, 0.99) * 1e3, counters->redis_losses,
           (double)counters->redis_down_us / 1e6, totals_undecided(counters),
           counters->undecided_lost, counters->undecided_late, counters->undecided_error);
    printf("%-24s %10s %10s %10s %10s %10s %10s\n", "LIMIT", "ALLOWED", "REFUSED", "BLOCKED",
           "SHADOW", "UNDECIDED", "TOKENS");
    for (size_t i = 0; i < totals->limit_count; i++) {
        const struct limit_counters *limit = &totals->limit[i].counters;
        printf("%-24s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64
               " %10" PRIu64 "%s\n",
               totals->limit[i].name, limit->allowed, limit->refused, limit->blocked,
               limit->shadow_refused, limit->undecided_allowed + limit->undecided_denied,
               limit->tokens_taken, totals->limit[i].in_force ? "" : "  (not in force)");
    }
}

int status(const struct options *options)
{
    struct region *region = open_region(options, false);

    if (!region)
        return EXIT_FAILURE;
    if (options->json) {
        status_page_write(stdout, region, NULL);
    } else {
        struct totals *totals = totals_read(region);
        if (totals->process_count == 0)
            puts("no process runs; these are the counters of those that did");
        for (size_t i = 0; i < totals->process_count; i++)
            print_process(&totals->process[i]);
        if (totals_has_drift(totals))
            puts("DRIFT: the processes decide by different limits");
        print_totals(totals);
        totals_free(totals);
    }
    region_free(region);
    return EXIT_SUCCESS;
}

/* ---- top ---- */

static void print_top_row(const struct top_row *row)
{
    char first[CLOCK_SHOWN_SIZE], last[CLOCK_SHOWN_SIZE], count[48];

    if (row->error > 0)
        snprintf(count, sizeof count, "%" PRIu64 "-%" PRIu64, row->count - row->error, row->count);
    else
        snprintf(count, sizeof count, "%" PRIu64, row->count);
    printf("%-10s %-20s %s  %s  %s\n", count, row->limit, clock_show(row->first_us, first),
           clock_show(row->last_us, last) + strlen("YYYY-MM-DD "), row->key);
}

static void print_top(const struct options *options, const struct region *region)
{
    struct top_list list = totals_top(region, options->shadow, clock_unix_us() - TOP_FORGET_US);
    size_t shown = 0;

    if (options->json)
        fputs("[", stdout);
    else
        printf("%-10s %-20s %-19s  %-8s  %s\n", "REFUSED", "LIMIT", "SINCE", "LAST", "KEY");
    for (size_t i = 0; i < list.count && shown < STATUS_TOP_MAX; i++) {
        const struct top_row *row = &list.row[i];
        if (options->limit && strcmp(options->limit, row->limit) != 0)
            continue;
        if (options->json) {
            fputs(shown > 0 ? ",\n" : "\n", stdout);
            status_page_write_row(stdout, row);
        } else {
            print_top_row(row);
        }
        shown++;
    }
    if (options->json)
        puts("]");
    top_list_free(&list);
}

int top(const struct options *options)
{
    struct region *region = open_region(options, false);

    if (!region)
        return EXIT_FAILURE;
    do {
        if (options->watch && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout); /* home, and clear */
        print_top(options, region);
    } while (fflush(stdout) == 0 && options->watch && sleep(TOP_STEP_S) == 0);
    region_free(region);
    return EXIT_SUCCESS;
}

/* ---- watch ---- */

static const char *const decisions[] = {"allowed",        "refused",           "blocked",
                                        "shadow_refused", "undecided_allowed", "undecided_denied"};

static void print_decision(const struct options *options, const struct watch_row *row)
{
    const char *decision =
        row->decision < sizeof decisions / sizeof *decisions ? decisions[row->decision] : "unknown";
    char day[CLOCK_SHOWN_SIZE];

    if (options->json) {
        printf("{\"at\":%.6f,\"decision\":\"%s\",\"limit\":", (double)row->at_us / 1e6, decision);
        json_string(stdout, row->limit);
        fputs(",\"key\":", stdout);
        json_string(stdout, row->key);
        if (row->remaining >= 0)
            printf(",\"remaining\":%" PRId64, row->remaining);
        puts("}");
        return;
    }
    printf("%s.%03d %-18s", clock_show(row->at_us, day) + strlen("YYYY-MM-DD "),
           (int)(row->at_us / 1000 % 1000), decision);
    if (row->remaining >= 0)
        printf(" %8" PRId64 " left", row->remaining);
    else
        printf(" %13s", "");
    printf("  %s\n", row->key);
}

/* Whether ROW is about one of the BUCKETS, if any are wanted. */
static bool is_about(const struct buckets *buckets, const struct watch_row *row)
{
    for (size_t i = 0; i < buckets->count; i++)
        if (strcmp(buckets->bucket[i].charge.key, row->key) == 0)
            return true;
    return buckets->count == 0;
}

/* Print what is new in the rings, of which SEEN rows each were printed. */
static void print_new(const struct options *options, const struct buckets *buckets,
                      const struct region *region, uint64_t seen[REGION_SLOTS])
{
    struct watch_row row;
    bool live;

    for (size_t i = 0; i < REGION_SLOTS; i++) {
        const struct slot *slot = region_slot(region, i, &live);
        while (slot && watch_next(&slot->watched, &seen[i], &row))
            if (is_about(buckets, &row))
                print_decision(options, &row);
    }
}

static void skip_old(const struct region *region, uint64_t seen[REGION_SLOTS])
{
    bool live;

    for (size_t i = 0; i < REGION_SLOTS; i++) {
        const struct slot *slot = region_slot(region, i, &live);
        seen[i] = slot ? counter_get(&slot->watched.count) : 0;
    }
}

/* What the processes are asked for: LIMIT, and keys that begin as those of all BUCKETS do. */
static struct watch_filter filter_of(const struct options *options, const struct buckets *buckets)
{
    struct watch_filter filter = {0};
    size_t len = 0;

    if (options->limit)
        snprintf(filter.limit, sizeof filter.limit, "%s", options->limit);
    if (buckets->count > 0) {
        strcpy(filter.key, buckets->bucket[0].charge.key);
        len = strlen(filter.key);
    }
    for (size_t i = 1; i < buckets->count; i++)
        while (strncmp(filter.key, buckets->bucket[i].charge.key, len) != 0)
            len--;
    filter.key[len] = '\0';
    return filter;
}

/* Until a signal, or until standard output is closed. */
static void watch_on(const struct options *options, const struct buckets *buckets,
                     struct region *region)
{
    struct watch_filter filter = filter_of(options, buckets);
    uint64_t seen[REGION_SLOTS];

    skip_old(region, seen);
    do {
        filter.until_ms = (int64_t)((clock_s() + WISH_S) * 1e3);
        watch_want(region_wish(region), &filter);
        print_new(options, buckets, region, seen);
    } while (fflush(stdout) == 0 && usleep(WATCH_STEP_US) == 0);
}

int watch(const struct options *options)
{
    struct buckets buckets = {NULL};
    int status = EXIT_SUCCESS;

    if (options->key || options->operands.count > 0)
        status = buckets_find(options, false, &buckets);
    struct region *region = status == EXIT_SUCCESS ? open_region(options, true) : NULL;
    if (region && region_watch(region))
        watch_on(options, &buckets, region);
    else if (region)
        fprintf(stderr, "%s: another watch runs on this host; there can be one\n",
                options->program);
    region_free(region);
    buckets_free(&buckets);
    return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}
