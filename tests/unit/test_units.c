/* test_units.c - tests of base/units: counts, durations and rates, and how they are rounded. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "base/units.h"

#include <stdio.h>

#define ROUNDS    20000
#define DAY_US    INT64_C(86400000000)
#define UNTOUCHED INT64_C(-77)

TEST(a_count_is_plain_digits)
{
    static const struct number_case cases[] = {
        {"0", 0},
        {"1", 1},
        {"5", 5},
        {"10", 10},
        {"1000000000", 1000000000},
        {"9223372036854775807", INT64_MAX},
    };

    FOR_EACH(c, cases) {
        int64_t got = UNTOUCHED;

        want_no_error(c->text, units_count(c->text, 0, INT64_MAX, &got));
        want_number(c->text, got, c->want);
    }
}

TEST(a_count_in_another_form_is_an_error_that_says_the_right_one)
{
    static const struct error_case cases[] = {
        {"", "empty: write a whole number"},
        {"-1", "a sign"},
        {"+5", "a sign"},
        {"5-", "a sign"},
        {"007", "a leading zero"},
        {"00", "a leading zero"},
        {" 5", "a space"},
        {"5 ", "a space"},
        {"5\n", "a space"},
        {"1 000", "a space"},
        {"1.5", "a fraction"},
        {".5", "a fraction"},
        {"1,000", "a separator"},
        {"1_000", "a separator"},
        {"1e309", "an exponent"},
        {"1E+3", "an exponent"},
        {"1e", "plain digits"},
        {"0x10", "plain digits"},
        {"five", "plain digits"},
        {"5s", "plain digits"},
        {"\xd9\xa5", "plain digits"},
        {"nan", "plain digits"},
        {"9223372036854775808", "too large"},
        {"99999999999999999999999999", "too large"},
    };

    FOR_EACH(c, cases) {
        int64_t got = UNTOUCHED;

        want_error(c->text, units_count(c->text, 0, INT64_MAX, &got), c->error);
        want_number(c->text, got, UNTOUCHED);
    }
}

TEST(a_count_outside_its_bounds_is_an_error)
{
    static const struct {
        const char *text;
        int64_t min, max;
        const char *error; /* NULL: none */
    } cases[] = {
        {"0", 1, 10, "too small"},  {"1", 1, 10, NULL}, {"10", 1, 10, NULL},
        {"11", 1, 10, "too large"}, {"3", 3, 3, NULL},  {"4", 3, 3, "too large"},
    };

    FOR_EACH(c, cases) {
        int64_t got = UNTOUCHED;
        const char *error = units_count(c->text, c->min, c->max, &got);

        want_error_or_none(c->text, error, c->error);
        assert_int_equal(got == UNTOUCHED, c->error != NULL);
    }
}

TEST(every_count_is_read_back_as_it_was_written)
{
    uint64_t seed = 1;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t got = UNTOUCHED, want = random_between(&seed, 0, INT64_MAX);
        char text[32];

        snprintf(text, sizeof text, "%lld", (long long)want);
        want_no_error(text, units_count(text, 0, INT64_MAX, &got));
        want_number(text, got, want);
    }
}

TEST(a_duration_is_a_number_and_a_unit)
{
    static const struct {
        const char *text;
        int64_t want_us;
    } cases[] = {
        {"1ms", 1000},
        {"50ms", 50000},
        {"1s", 1000000},
        {"12s", 12000000},
        {"1min", 60000000},
        {"90min", 5400000000},
        {"2h", 7200000000},
        {"1day", DAY_US},
        {"366day", 366 * DAY_US},
        {"8784h", 366 * DAY_US},
        {"31622400s", 366 * DAY_US},
        {"31622400000ms", 366 * DAY_US},
    };

    FOR_EACH(c, cases) {
        int64_t got = UNTOUCHED;

        want_no_error(c->text, units_duration(c->text, &got));
        want_number(c->text, got, c->want_us);
    }
}

TEST(a_duration_in_another_form_is_an_error_that_says_the_right_one)
{
    static const struct error_case cases[] = {
        {"", "write a number and a unit"},
        {"5", "no unit: write ms, s, min, h or day"},
        {"5m", "'m' is ambiguous: write min"},
        {"5sec", "write s for seconds; the units are ms, s, min, h, day"},
        {"5days", "write day for days; the units are ms, s, min, h, day"},
        {"5Hours", "write h for hours"},
        {"5D", "write day for days"},
        {"5mins", "write min for minutes"},
        {"5msec", "write ms for milliseconds"},
        {"5dya", "write day for days"},
        {"5weeks", "write ms, s, min, h or day"},
        {"5S", "lower case"},
        {"5us", "write ms, s, min, h or day"},
        {"5\xc2\xb5s", "write ms, s, min, h or day"},
        {"s", "plain digits"},
        {"0s", "the duration is 0"},
        {"0ms", "the duration is 0"},
        {"05s", "a leading zero"},
        {"-5s", "a sign"},
        {"5 s", "a space"},
        {"5s ", "a space"},
        {"1.5s", "1500ms for 1.5s"},
        {"1e3s", "an exponent"},
        {"1h30min", "90min, not 1h30min"},
        {"367day", "366day or less"},
        {"8785h", "366day or less"},
        {"31622400001ms", "366day or less"},
        {"9223372036854775807day", "366day or less"},
        {"9223372036854775808ms", "too large"},
    };

    FOR_EACH(c, cases) {
        int64_t got = UNTOUCHED;

        want_error(c->text, units_duration(c->text, &got), c->error);
        want_number(c->text, got, UNTOUCHED);
    }
}

TEST(a_rate_is_a_count_and_a_period)
{
    static const struct {
        const char *text;
        struct rate want;
    } cases[] = {
        {"1/12s", {1, 12000000}},
        {"5/s", {5, 1000000}},
        {"5/1s", {5, 1000000}},
        {"3/s", {3, 1000000}},
        {"100/min", {100, 60000000}},
        {"10/h", {10, 3600000000}},
        {"1000/day", {1000, DAY_US}},
        {"1000/ms", {1000, 1000}},
        {"1000000/s", {1000000, 1000000}},
        {"1000000000/day", {1000000000, DAY_US}},
        {"1/366day", {1, 366 * DAY_US}},
    };

    FOR_EACH(c, cases) {
        struct rate got = {UNTOUCHED, UNTOUCHED};

        want_no_error(c->text, units_rate(c->text, &got));
        want_number(c->text, got.count, c->want.count);
        want_number(c->text, got.period_us, c->want.period_us);
    }
}

TEST(a_rate_in_another_form_is_an_error_that_says_the_right_one)
{
    static const struct error_case cases[] = {
        {"", "empty: write COUNT/PERIOD"},
        {"5", "no period: write COUNT/PERIOD"},
        {"5s", "no period: write COUNT/PERIOD"},
        {"5/", "no period after the '/'"},
        {"/", "no count before the '/'"},
        {"/s", "no count before the '/'"},
        {"5/5/s", "more than one '/'"},
        {"5//s", "more than one '/'"},
        {"0/5s", "the count is 0"},
        {"5/0s", "the duration is 0"},
        {"-1/s", "a sign"},
        {"+5/s", "a sign"},
        {"5/-1s", "a sign"},
        {"007/s", "a leading zero"},
        {"5/05s", "a leading zero"},
        {"1e309/s", "an exponent"},
        {"5/1e3s", "an exponent"},
        {"0.5/s", "1/2s for 0.5/s"},
        {"5/0.5s", "a fraction"},
        {"1,000/s", "a separator"},
        {"5/ s", "a space"},
        {"5 /s", "a space"},
        {" 5/s", "a space"},
        {"5/s\n", "a space"},
        {"5r/s", "plain digits"},
        {"five/s", "plain digits"},
        {"5/5", "no unit: write ms, s, min, h or day"},
        {"5/m", "'m' is ambiguous: write min"},
        {"5/1m", "'m' is ambiguous: write min"},
        {"5/sec", "write s for seconds; the units are ms, s, min, h, day"},
        {"5/S", "lower case"},
        {"5/1h30min", "90min, not 1h30min"},
        {"1/999999999day", "366day or less"},
        {"1/367day", "366day or less"},
        {"1/99999999999999999999s", "too large"},
        {"99999999999999999999/s", "too large"},
        {"1000000001/day", "1000000000 or less"},
        {"1001/ms", "1000/ms, or less"},
        {"1000001/s", "1000/ms, or less"},
    };

    FOR_EACH(c, cases) {
        struct rate got = {UNTOUCHED, UNTOUCHED};

        want_error(c->text, units_rate(c->text, &got), c->error);
        want_number(c->text, got.count, UNTOUCHED);
        want_number(c->text, got.period_us, UNTOUCHED);
    }
}

TEST(any_text_that_is_accepted_as_a_rate_is_within_the_bounds)
{
    uint64_t seed = 2;
    int accepted = 0;

    for (int i = 0; i < 50 * ROUNDS; i++) {
        char text[12];
        struct rate rate;
        const char *error =
            units_rate(random_text(&seed, "0159/smhinday .-e", text, sizeof text), &rate);

        if (error)
            continue;
        accepted++;
        if (rate.count < 1 || rate.count > 1000000000 || rate.period_us < 1000 ||
            rate.period_us > 366 * DAY_US || rate.count > rate.period_us)
            fail_msg("\"%s\": accepted as %lld every %lld us", text, (long long)rate.count,
                     (long long)rate.period_us);
    }
    assert_true(accepted > 100);
}

TEST(an_interval_is_rounded_up_so_that_a_client_never_gains)
{
    static const struct {
        const char *text;
        int64_t want_us;
    } cases[] = {
        {"1/12s", 12000000},        {"5/s", 200000}, {"3/s", 333334},
        {"1000/day", 86400000},     {"1000/ms", 1},  {"999/ms", 2},
        {"1/366day", 366 * DAY_US},
    };

    FOR_EACH(c, cases) {
        struct rate rate;

        want_no_error(c->text, units_rate(c->text, &rate));
        want_number(c->text, units_interval_us(rate), c->want_us);
    }
}

TEST(the_smallest_interval_that_never_gains_is_taken)
{
    uint64_t seed = 3;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t period_us = random_between(&seed, 1000, 366 * DAY_US);
        int64_t most = period_us < 1000000000 ? period_us : 1000000000;
        struct rate rate = {random_between(&seed, 1, most), period_us};
        int64_t interval_us = units_interval_us(rate);

        if (interval_us * rate.count < period_us || (interval_us - 1) * rate.count >= period_us)
            fail_msg("%lld every %lld us: interval %lld us", (long long)rate.count,
                     (long long)period_us, (long long)interval_us);
    }
}

TEST(seconds_are_rounded_up)
{
    static const struct {
        int64_t us, want;
    } cases[] = {
        {INT64_MIN, 0}, {-1, 0},      {0, 0},       {1, 1},
        {999999, 1},    {1000000, 1}, {1000001, 2}, {INT64_MAX, 9223372036855},
    };

    FOR_EACH(c, cases)
        assert_int_equal(units_seconds_up(c->us), c->want);
}

TEST(seconds_are_never_early_and_less_than_one_late)
{
    uint64_t seed = 4;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t us = random_between(&seed, 0, INT64_MAX - 1000000);
        int64_t late_us = units_seconds_up(us) * 1000000 - us;

        if (late_us < 0 || late_us >= 1000000)
            fail_msg("%lld us: %lld us late", (long long)us, (long long)late_us);
    }
}

TESTS_MAIN
