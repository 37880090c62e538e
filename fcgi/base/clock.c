/* clock.c - CLOCK_MONOTONIC and CLOCK_REALTIME. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

/* Of each thread, because the threads that look names up and read files have no loop. */
static _Thread_local double recent_s;

double clock_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    recent_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    return recent_s;
}

double clock_recent_s(void)
{
    return recent_s;
}

const char *clock_show(int64_t us, char out[CLOCK_SHOWN_SIZE])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm local;

    strftime(out, CLOCK_SHOWN_SIZE, "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &local));
    return out;
}

int64_t clock_unix_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
