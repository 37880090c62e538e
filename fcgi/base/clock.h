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

#define CLOCK_SHOWN_SIZE 32 /* of a time as shown, NUL included */

/* Write the time US of clock_unix_us in the local time zone, such as "2026-01-31 23:59:59".
 * Returns OUT. */
const char *clock_show(int64_t us, char out[CLOCK_SHOWN_SIZE]);

#endif
