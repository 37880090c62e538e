/* clock.c - CLOCK_MONOTONIC and CLOCK_REALTIME. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

double clock_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int64_t clock_unix_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
