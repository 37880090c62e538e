/* clock.h - a monotonic clock: a step of the time of day must not prolong a timeout. */
#ifndef CLOCK_H
#define CLOCK_H

/* Seconds since a fixed but unspecified moment in the past (CLOCK_MONOTONIC). */
double clock_s(void);

#endif
