/* clock.h - a monotonic clock, because a step of the time of day must not prolong a timeout; and
 * the time of day. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Seconds since a fixed but unspecified moment in the past (CLOCK_MONOTONIC). */
double clock_s(void);

/* What clock_s returned last, without reading the clock, which takes 0.1 us.  The loop of the
 * server reads it when it wakes up. */
double clock_recent_s(void);

/* The time of day in microseconds since 1970 (CLOCK_REALTIME), for people and records only. */
int64_t clock_unix_us(void);

#endif
