/* units.c - read numbers digit by digit, so that each mistake has its own message. */
/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/spelling.h"

#define COUNT_MAX INT64_C(1000000000)

#define MS_US           INT64_C(1000)
#define SECOND_US       INT64_C(1000000)
#define MINUTE_US       (60 * SECOND_US)
#define HOUR_US         (60 * MINUTE_US)
#define DAY_US          (24 * HOUR_US)
#define DURATION_MAX_US (366 * DAY_US)

#define THE_UNITS "; the units are ms, s, min, h, day, in lower case"

/* Each unit has one spelling.  There is no "m", because it could mean minute, month or milli-. */
static const struct unit {
    const char *name;
    int64_t us;
    const char *meant[8]; /* other spellings, in lower case */
    const char *wrong;    /* the message for those spellings */
} UNITS[] = {
    {"ms",
     MS_US,
     {"msec", "msecs", "milli", "millis", "millisecond", "milliseconds"},
     "unknown unit: write ms for milliseconds" THE_UNITS},
    {"s",
     SECOND_US,
     {"sec", "secs", "second", "seconds"},
     "unknown unit: write s for seconds" THE_UNITS},
    {"min",
     MINUTE_US,
     {"mins", "minute", "minutes"},
     "unknown unit: write min for minutes" THE_UNITS},
    {"h", HOUR_US, {"hr", "hrs", "hour", "hours"}, "unknown unit: write h for hours" THE_UNITS},
    {"day", DAY_US, {"d", "days"}, "unknown unit: write day for days" THE_UNITS},
};

#define UNIT_COUNT (sizeof UNITS / sizeof *UNITS)

static const char NO_NUMBER[] = "not a whole number: write plain digits, such as 5";
static const char TOO_LARGE[] = "the number is too large";

/* Check the text at AT, where a number begins or has just ended, for number formats that are not
 * accepted.  Returns the message for it, or NULL if it is none of them. */
static const char *wrong_character(const char *at)
{
    if (strpbrk(at, " \t\r\n"))
        return "a space is not allowed: write 12s or 5/s, without spaces";
    switch (*at) {
    case '+':
    case '-':
        return "a sign is not allowed: write plain digits, such as 5";
    case '.':
        return "a fraction is not allowed: write whole numbers, 1500ms for 1.5s or 1/2s for 0.5/s";
    case ',':
    case '_':
    case '\'':
        return "a separator is not allowed: write 1000, plain digits";
    case 'e':
    case 'E':
        if (at[1] != '\0' && strchr("0123456789+-", at[1]))
            return "an exponent is not allowed: write 1000 for 1e3";
        return NULL;
    default:
        return NULL;
    }
}

static const char *not_a_number(const char *at)
{
    const char *wrong = wrong_character(at);

    return wrong ? wrong : NO_NUMBER;
}

/* Read the digits at *CURSOR into *OUT and move *CURSOR past them. */
static const char *scan_number(const char **cursor, int64_t *out)
{
    const char *digits = *cursor;
    size_t len = strspn(digits, "0123456789");
    int64_t value = 0;

    if (len == 0)
        return not_a_number(digits);
    /* Refuse leading zeros: some programs read them as octal, and a number should have one
     * spelling. */
    if (digits[0] == '0' && len > 1)
        return "a leading zero is not allowed: write 7 for 007";
    for (size_t i = 0; i < len; i++) {
        int digit = digits[i] - '0';

        if (value > (INT64_MAX - digit) / 10)
            return TOO_LARGE;
        value = value * 10 + digit;
    }
    *cursor = digits + len;
    *out = value;
    return NULL;
}

/* The unit that NAME, in any case, is another spelling or a typo of; NULL if there is none. */
static const struct unit *meant_unit(const char *name)
{
    const char *words[UNIT_COUNT];

    for (size_t i = 0; i < UNIT_COUNT; i++) {
        words[i] = UNITS[i].name;
        if (strcasecmp(name, UNITS[i].name) == 0)
            return &UNITS[i];
        for (const char *const *meant = UNITS[i].meant; *meant; meant++)
            if (strcasecmp(name, *meant) == 0)
                return &UNITS[i];
    }
    /* Two letters, such as "us", are too few to guess from. */
    const char *nearest = strlen(name) > 2 ? spelling_nearest(name, words, UNIT_COUNT) : NULL;
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (nearest == UNITS[i].name)
            return &UNITS[i];
    return NULL;
}

static const char *wrong_unit(const char *name)
{
    const char *wrong = wrong_character(name);

    if (wrong)
        return wrong;
    if (*name == '\0')
        return "no unit: write ms, s, min, h or day after the number, such as 5s";
    if (strcmp(name, "m") == 0)
        return "'m' is ambiguous: write min for minutes, ms for milliseconds";
    if (strpbrk(name, "0123456789"))
        return "more than one unit: write 90min, not 1h30min";
    const struct unit *meant = meant_unit(name);
    return meant ? meant->wrong : "unknown unit: write ms, s, min, h or day, in lower case";
}

static const char *read_unit(const char *name, int64_t *out_us)
{
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (strcmp(name, UNITS[i].name) == 0) {
            *out_us = UNITS[i].us;
            return NULL;
        }
    }
    return wrong_unit(name);
}

/* Read the COUNT of "COUNT/PERIOD", which extends from TEXT to SLASH. */
static const char *read_count(const char *text, const char *slash, int64_t *out)
{
    int64_t count;
    const char *error = scan_number(&text, &count);

    if (error)
        return error;
    if (text != slash)
        return not_a_number(text);
    if (count < 1)
        return "the count is 0, so the bucket would never refill: write 1 or more";
    if (count > COUNT_MAX)
        return "the count is too large: write 1000000000 or less";
    *out = count;
    return NULL;
}

static const char *read_period(const char *text, int64_t *out_us)
{
    if (*text == '\0')
        return "no period after the '/': write COUNT/PERIOD, such as 5/s or 1/12s";
    if (strchr(text, '/'))
        return "more than one '/': write COUNT/PERIOD, such as 5/s or 1/12s";
    if (*text >= '0' && *text <= '9')
        return units_duration(text, out_us);
    return read_unit(text, out_us);
}

const char *units_count(const char *text, int64_t min, int64_t max, int64_t *out)
{
    int64_t count;
    const char *error;

    if (*text == '\0')
        return "empty: write a whole number, such as 5";
    error = scan_number(&text, &count);
    if (error)
        return error;
    if (*text != '\0')
        return not_a_number(text);
    if (count < min)
        return "the number is too small";
    if (count > max)
        return TOO_LARGE;
    *out = count;
    return NULL;
}

const char *units_duration(const char *text, int64_t *out_us)
{
    int64_t number, unit_us;
    const char *error;

    if (*text == '\0')
        return "empty: write a number and a unit, such as 50ms, 12s, 1min, 2h or 1day";
    error = scan_number(&text, &number);
    if (!error)
        error = read_unit(text, &unit_us);
    if (error)
        return error;
    if (number < 1)
        return "the duration is 0: write 1ms or more";
    /* Compare before multiplying, because the product may overflow. */
    if (number > DURATION_MAX_US / unit_us)
        return "the duration is too long: write 366day or less";
    *out_us = number * unit_us;
    return NULL;
}

const char *units_rate(const char *text, struct rate *out)
{
    struct rate rate;
    const char *slash = strchr(text, '/');
    const char *error;

    if (*text == '\0')
        return "empty: write COUNT/PERIOD, such as 5/s or 1/12s";
    if (!slash)
        return "no period: write COUNT/PERIOD, such as 5/s or 1/12s";
    if (slash == text)
        return "no count before the '/': write COUNT/PERIOD, such as 5/s or 1/12s";
    error = read_count(text, slash, &rate.count);
    if (!error)
        error = read_period(slash + 1, &rate.period_us);
    if (error)
        return error;
    if (rate.count > rate.period_us)
        return "the rate is too high: write one token a microsecond, 1000/ms, or less";
    *out = rate;
    return NULL;
}

int64_t units_interval_us(struct rate rate)
{
    assert(rate.count >= 1 && rate.period_us >= 1);
    return rate.period_us / rate.count + (rate.period_us % rate.count > 0);
}

size_t units_decimal(int64_t value, char out[UNITS_DECIMAL_MAX])
{
    char reversed[UNITS_DECIMAL_MAX];
    size_t digits = 0, len = 0;

    assert(value >= -1);
    if (value < 0) {
        out[len++] = '-';
        value = -value;
    }
    do {
        reversed[digits++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (digits > 0)
        out[len++] = reversed[--digits];
    return len;
}

int64_t units_seconds_up(int64_t microseconds)
{
    if (microseconds <= 0)
        return 0;
    return microseconds / SECOND_US + (microseconds % SECOND_US > 0);
}
