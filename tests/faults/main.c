/* main.c - make faults: each fault in turn, and a table of what came of it. */
/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nemesis.h"

/* What is no bound of a bucket: the last answer of 1000 comes this much after the timeout, and what
 * the load itself was late on a busy machine. */
#define LATE_MS 10.
/* What the processes may hold more after a fault than before: descriptors are those of a connection
 * that is being opened, memory is that of buffers. */
#define DESCRIPTORS_MORE 8
#define RESIDENT_MORE_KB 8192

static void breach(struct result *result, const char *what, double is, double most)
{
    printf("VIOLATION: %s: %.1f, where at most %.1f is right\n", what, is, most);
    result->violations++;
}

static void check_whole(const struct fault *fault, const struct scene *scene, struct result *result,
                        const long before[2], const long after[2])
{
    double losses = (double)scene->weather.losses_begun;

    result->bound = fault->rules.extra_capacities + losses;
    double late_ms = SERVERS_TIMEOUT_MS + LATE_MS + result->lag_ms;
    if (result->p999_ms > late_ms)
        breach(result, "ms of the 99.9th percentile", result->p999_ms, late_ms);
    if (after[0] > before[0] + DESCRIPTORS_MORE)
        breach(result, "open descriptors", (double)after[0], (double)before[0] + DESCRIPTORS_MORE);
    if (after[1] > before[1] + RESIDENT_MORE_KB)
        breach(result, "kB of memory", (double)after[1], (double)before[1] + RESIDENT_MORE_KB);
    if (result->decisions == 0)
        breach(result, "runs without a decision", 1, 0);
}

static void print_row(const struct fault *fault, const struct scene *scene,
                      const struct result *result)
{
    char bound[16] = "none";

    if (!fault->rules.allow)
        snprintf(bound, sizeof bound, "%.0f", result->bound);
    printf("%-28s %5d %9llu %9llu %8llu %5llu %6.2f %5s %6.2f %6.1f %6.1f %7.0f %s\n", fault->name,
           scene->turn, (unsigned long long)result->decisions, (unsigned long long)result->admitted,
           (unsigned long long)result->undecided, (unsigned long long)result->lost, result->over,
           bound, result->under, result->p999_ms, result->worst_ms, result->recover_ms,
           result->violations ? "VIOLATED" : "");
    fflush(stdout);
}

static struct proxy *start_proxy(const struct servers *servers)
{
    char proxy[SERVERS_PATH_SIZE], redis[SERVERS_PATH_SIZE];

    servers_path(servers, "proxy.sock", proxy);
    servers_path(servers, "redis.sock", redis);
    return proxy_start(proxy, redis);
}

/* Run FAULT for SECONDS, in the new folder DIRECTORY, which is kept after a violation.  Adds what
 * came of it to TOTAL. */
static void run_fault(const struct fault *fault, const char *program, const char *directory,
                      double seconds, unsigned seed, struct result *total)
{
    struct scene scene = {.servers = {.directory = directory,
                                      .program = program,
                                      .policy = fault->policy,
                                      .aof = fault->aof,
                                      .proxied = fault->proxied}};
    struct result result;
    long before[2], after[2];

    servers_make(&scene.servers);
    if (fault->proxied)
        scene.proxy = start_proxy(&scene.servers);
    servers_start(&scene.servers);
    struct load *load = load_start(&scene.servers, &scene.weather, &fault->rules, seed);
    usleep(500000); /* the load opens its connections */
    servers_usage(&scene.servers, &before[0], &before[1]);
    nemesis_run(fault, &scene, seconds, seed);
    usleep(500000); /* the last fault is over */
    servers_usage(&scene.servers, &after[0], &after[1]);
    load_stop(load, &result);
    if (!servers_are_idle(&scene.servers))
        breach(&result, "processes in which requests wait after the load", 1, 0);
    servers_stop(&scene.servers);
    proxy_stop(scene.proxy);
    check_whole(fault, &scene, &result, before, after);
    print_row(fault, &scene, &result);
    if (result.violations == 0)
        servers_remove(&scene.servers);
    total->decisions += result.decisions;
    total->violations += result.violations;
}

static double number(const char *name, double otherwise)
{
    const char *text = getenv(name);

    return text && text[0] != '\0' ? strtod(text, NULL) : otherwise;
}

/* Run the faults whose names contain FAULT (NULL: all), SECONDS together. */
static void run_all(const char *program, const char *directory, const char *fault, double seconds,
                    unsigned seed, struct result *total)
{
    size_t chosen = 0;
    char path[SERVERS_PATH_SIZE + 24];

    for (size_t i = 0; i < nemesis_fault_count; i++)
        chosen += !fault || strstr(nemesis_faults[i].name, fault);
    printf("%-28s %5s %9s %9s %8s %5s %6s %5s %6s %6s %6s %7s\n", "", "times", "decisions",
           "admitted", "without", "lost", "over", "bound", "under", "p99.9", "worst", "recover");
    for (size_t i = 0; i < nemesis_fault_count; i++) {
        if (fault && !strstr(nemesis_faults[i].name, fault))
            continue;
        snprintf(path, sizeof path, "%s/%zu", directory, i);
        run_fault(&nemesis_faults[i], program, path, seconds / (double)chosen, seed + (unsigned)i,
                  total);
    }
}

int main(int argc, char **argv)
{
    const char *temporary = getenv("TMPDIR");
    char directory[SERVERS_PATH_SIZE];
    struct result total = {0};
    unsigned seed = (unsigned)number("SEED", (double)(time(NULL) % 1000000));
    double seconds = number("FAULTS_S", 600);

    if (argc != 2) {
        fprintf(stderr, "usage: [FAULTS_S=600] [SEED=n] [FAULT=part of a name] faults PROGRAM\n");
        return 2;
    }
    /* A socket's path has at most 107 bytes. */
    if (!temporary || strlen(temporary) > 50)
        temporary = "/tmp";
    snprintf(directory, sizeof directory, "%s/ratelimit-faults-XXXXXX", temporary);
    if (!mkdtemp(directory)) {
        perror(directory);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    printf("make faults FAULTS_S=%.0f SEED=%u\n", seconds, seed);
    run_all(argv[1], directory, getenv("FAULT"), seconds, seed, &total);
    printf("%llu decisions, %llu violations, seed %u\n", (unsigned long long)total.decisions,
           (unsigned long long)total.violations, seed);
    if (total.violations)
        printf("the logs are in %s\n", directory);
    else
        rmdir(directory);
    return total.violations ? 1 : 0;
}
