/* keys.c - measure what the digest of a secret value costs: the keys of a request that has an API
 * key, in clear and as digests, in turns.  Prints the medians, in ns of CPU time. */
/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "limits/key.h"

#define ROUNDS   21
#define REQUESTS 100000

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The time that a request with PARAMETER takes, from its parameters to the keys of LIMITS limits
 * that count by SPEC. */
static double time_ns(const struct key_spec *spec, char *parameter, unsigned limits)
{
    static struct view view;
    char *const parameters[] = {parameter, NULL};
    const struct request request = {"GET", "/", "192.0.2.7", parameters};
    double begin = now_ns();

    for (unsigned i = 0; i < REQUESTS; i++) {
        struct key_values values;
        char key[KEY_SIZE];
        view_begin(&view, &request, 64);
        for (unsigned j = 0; j < limits; j++) {
            key_find(spec, &view, &values);
            key_build(&values, "per-key", key);
        }
    }
    return (now_ns() - begin) / REQUESTS;
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

static double median(double *times)
{
    qsort(times, ROUNDS, sizeof *times, by_size);
    return times[ROUNDS / 2];
}

/* Compare the keys of LIMITS limits by a header of LEN bytes, at most 40. */
static void compare(size_t len, unsigned limits)
{
    char parameter[] = "HTTP_X_API_KEY=sk_live_4eC39HqLyjWDarjtT1zdp7dcAbCdEfGh";
    struct key_spec shown, secret;
    double clear[ROUNDS], digest[ROUNDS];

    if (key_parse("header:X-API-Key", &shown) || key_parse("header:X-API-Key", &secret))
        abort();
    key_show(&shown, true);
    parameter[strlen("HTTP_X_API_KEY=") + len] = '\0';
    for (unsigned i = 0; i < ROUNDS; i++) {
        clear[i] = time_ns(&shown, parameter, limits);
        digest[i] = time_ns(&secret, parameter, limits);
    }
    printf("keys of %u limit%s by a header of %zu bytes: %.0f ns in clear, %.0f ns as digests\n",
           limits, limits == 1 ? "" : "s", len, median(clear), median(digest));
}

int main(void)
{
    compare(8, 1);
    compare(40, 1);
    compare(40, 4);
    return EXIT_SUCCESS;
}
