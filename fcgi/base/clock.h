/* clock.h - a clock that nobody sets: the time of day may step back, and keep somebody waiting. */
#ifndef CLOCK_H
#define CLOCK_H

/* Seconds since some moment in the past that stays the same (CLOCK_MONOTONIC). */
double clock_s(void);

#endif
