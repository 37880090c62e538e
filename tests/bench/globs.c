/* globs.c - measure the most expensive limits files and requests: 64 limits with 256 globs each, on
 * texts that almost match.  Prints the slowest request, in microseconds of one core. */
/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "decide/limiter.h"
#include "config/limits_file.h"
#include "decide/reply.h"

#define URI_SIZE 8192
#define RUNS     20

#define TIMES_8(text)  text text text text text text text text
#define TIMES_64(text) TIMES_8(TIMES_8(text))

struct worst {
    double us;
    const char *pattern, *key, *unit;
    size_t len;
    char status[16];
};

static void allow(struct store *store, struct ask *ask)
{
    (void)store;
    for (size_t i = 0; i < ask->charge_count; i++)
        ask->charges[i].balance = (struct balance){.allowed = true, .remaining = 1};
    ask->settled_by = SETTLED_BY_REDIS;
    ask->done(ask);
}

static void keep_status(void *exchange, const char *text, size_t len)
{
    (void)len;
    snprintf(exchange, 16, "%.11s", text);
}

/* Make limits that count by KEY.  A '#' in PATTERN is replaced by a different number each time. */
static struct limits *make_limits(const char *pattern, const char *key)
{
    struct findings findings = {.file = "globs"};
    size_t before = strcspn(pattern, "#"), len;
    char *text;
    FILE *file = open_memstream(&text, &len);

    fputs("limits:\n", file);
    for (int i = 0; i < STORE_CHARGES_MAX; i++) {
        fprintf(file, "  - { name: l%d, key: '%s', capacity: 9, refill: 1/s, overrides: [\n", i,
                key);
        for (int j = 0; j < 256; j++)
            fprintf(file, "{ key: '%.*s%d%s', capacity: 3 },\n", (int)before, pattern, j,
                    pattern + before + 1);
        fputs("] }\n", file);
    }
    fclose(file);
    struct limits *limits = limits_parse(text, len, &findings);
    findings_write(&findings, FINDINGS_ERRORS, stderr);
    findings_free(&findings);
    free(text);
    if (!limits)
        exit(EXIT_FAILURE);
    return limits;
}

/* The fastest of RUNS runs, to exclude delays by other processes. */
static double time_us(struct limiter *limiter, const char *uri, char status[16])
{
    char *const none[] = {NULL};
    struct request request = {
        .method = "GET", .uri = uri, .remote_addr = "192.0.2.1", .parameters = none};
    double best = 1e9;

    for (int run = 0; run < RUNS; run++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        limiter_handle(limiter, status, &request, REPLY_WHOLE);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double us =
            (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
        best = us < best ? us : best;
    }
    return best;
}

static void try_texts(const char *pattern, const char *key, struct region *region,
                      struct worst *worst)
{
    static const char *const units[] = {"ab", "a", "x@", "abc%2f", "z1"};
    static const size_t lens[] = {64, 1000, URI_SIZE - 16};
    struct store store = {allow};
    struct limits *limits = make_limits(pattern, key);
    struct limiter *limiter = limiter_new(limits, &store, region, keep_status);

    for (size_t i = 0; i < 15; i++) {
        char uri[URI_SIZE], status[16];
        struct worst one = {
            .pattern = pattern, .key = key, .unit = units[i % 5], .len = lens[i / 5]};
        strcpy(uri, strcmp(key, "path") == 0 ? "/x%2f.;a//b\\c/" : "/?user=");
        while (strlen(uri) < one.len)
            strcat(uri, one.unit);
        one.us = time_us(limiter, uri, status);
        strcpy(one.status, status);
        if (one.us > worst->us)
            *worst = one;
    }
    limiter_free(limiter);
    limits_unref(limits);
}

int main(void)
{
    static const char *const patterns[] = {
        "*@domain#.com",
        "*ab#ab*abab*x#*",
        "*a*a*a*a*a*a*a*a*b#",
        "*a*ab*ab*ab*ab*#*b",
        "**/ab#/**",
        "*#*",
        "*b*#*a*",
        "*" TIMES_64("ab") "ac#*",
        "*" TIMES_64("ab*") "ac#*",
        "/**/adm#/**",
        "*#" TIMES_64("ab") "*",
    };
    struct worst worst = {0};
    char error[256];
    struct region *region = region_open(NULL, MIRROR_ROWS_DEFAULT, error, sizeof error);

    if (!region || !region_claim(region))
        return EXIT_FAILURE;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        try_texts(patterns[i], "query:user", region, &worst);
        try_texts(patterns[i], "path", region, &worst);
    }
    region_free(region);
    printf("worst request: %.0f us, %s, on %zu bytes of '%s' by %s, 64 x 256 globs like %.20s\n",
           worst.us, worst.status, worst.len, worst.unit, worst.key, worst.pattern);
    return EXIT_SUCCESS;
}
