/* units.h - numbers as people write them: counts, durations, rates.  Pure. */
#ifndef UNITS_H
#define UNITS_H

#include <stddef.h>
#include <stdint.h>

/* A refill rate: COUNT tokens every PERIOD_US microseconds.  Both are kept, because the interval
 * between tokens may not be a whole number of microseconds, as at 3 tokens a second. */
struct rate {
    int64_t count;     /* 1 .. 1,000,000,000 */
    int64_t period_us; /* 1,000 (1 ms) .. 366 days */
};

/* Read TEXT, a whole decimal number from MIN to MAX (both >= 0), into *OUT.  Only plain digits are
 * accepted: no sign, leading zero, fraction, exponent or surrounding spaces.
 * Returns NULL, or what is wrong with TEXT and how to correct it (static string).  The message for
 * a number outside MIN .. MAX does not name the bounds, which the caller knows. *OUT is then
 * untouched. */
const char *units_count(const char *text, int64_t min, int64_t max, int64_t *out);

/* Read TEXT, a duration such as "50ms", "12s", "1min", "2h", "1day", into *OUT_US, microseconds.
 * The units are ms, s, min, h and day; the number is in the form of units_count, at least 1.  The
 * longest duration is 366 days.  Returns NULL, or what is wrong (static string); *OUT_US is then
 * untouched. */
const char *units_duration(const char *text, int64_t *out_us);

/* Read TEXT, a rate "COUNT/PERIOD" such as "1/12s", "5/s", "1000/day", into *OUT.  PERIOD is a
 * duration, or a unit alone, which means one of it.  The highest rate is one token a microsecond.
 * Returns NULL, or what is wrong (static string); *OUT is then untouched. */
const char *units_rate(const char *text, struct rate *out);

/* Microseconds between two tokens of RATE, >= 1: interval = period / count, rounded up so that
 * rounding never favours the client ("The algorithm" in lua/README.md). */
int64_t units_interval_us(struct rate rate);

#define UNITS_DECIMAL_MAX 20 /* bytes of an int64_t >= -1 in decimal, without a NUL */

/* Write VALUE (>= -1) in decimal into OUT, without a NUL.  Returns the number of bytes written.
 * Every request writes a dozen numbers; printf took a quarter of the program's instructions. */
size_t units_decimal(int64_t value, char out[UNITS_DECIMAL_MAX]);

/* MICROSECONDS as whole seconds, rounded up so that a client never retries too early (RFC 9110,
 * 10.2.3).  Negative values give 0. */
int64_t units_seconds_up(int64_t microseconds);

#endif
