/* check.c - a limits file is read, and no more. */
/* SPDX-License-Identifier: MIT */
#include "command/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "command/configure.h"

int check(const struct options *options)
{
    const char *name = configure_name(options);
    unsigned warning_count;
    struct redis_config redis;
    struct limits *limits = configure(options, FINDINGS_ALL, &warning_count, &redis);
    bool fine = limits != NULL;

    if (fine && options->strict && warning_count > 0) {
        fprintf(stderr, "%s: refused for %u warning%s, as --strict says\n", name, warning_count,
                warning_count == 1 ? "" : "s");
        fine = false;
    }
    if (fine)
        printf("%s: fine, %zu limit%s\n", name, limits->count, limits->count == 1 ? "" : "s");
    limits_unref(limits);
    return fine ? EXIT_SUCCESS : EXIT_USAGE;
}
