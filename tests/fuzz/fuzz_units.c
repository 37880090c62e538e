/* fuzz_units.c - a rate is parsed as by sscanf, is in the form that printf writes, and is within
 * its bounds */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "base/units.h"

static const struct {
    const char *name;
    int64_t us;
} units[] = {
    {"ms", 1000}, {"s", 1000000}, {"min", 60000000}, {"h", 3600000000}, {"day", 86400000000}};

/* Parse the duration TEXT independently.  Returns microseconds, or -1 if it is not a duration.  A
 * unit alone means one of it. */
static int64_t reference_duration(const char *text)
{
    long long number = 1;
    char written[64];
    bool bare = !isdigit((unsigned char)text[0]);

    if (!bare && (strlen(text) > 20 || sscanf(text, "%lld", &number) != 1 || number < 1))
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        snprintf(written, sizeof written, "%lld%s", number, units[i].name);
        if (strcmp(text, bare ? units[i].name : written) == 0)
            return number <= 366 * 86400000000 / units[i].us ? number * units[i].us : -1;
    }
    return -1;
}

static struct rate reference_rate(const char *text)
{
    const char *slash = strchr(text, '/');
    char written[64];
    long long count;

    if (!slash || slash - text > 10 || sscanf(text, "%lld", &count) != 1)
        return (struct rate){0, -1};
    snprintf(written, sizeof written, "%lld/", count);
    struct rate rate = {count, reference_duration(slash + 1)};
    bool right = strncmp(text, written, strlen(written)) == 0 && count >= 1 && count <= 1000000000;
    return right && count <= rate.period_us ? rate : (struct rate){0, -1};
}

static void rate_as_by_reference(const char *text)
{
    struct rate got = {0, -1}, want = reference_rate(text);
    const char *error = units_rate(text, &got);

    must(!error == (want.count > 0), "a rate is what sscanf reads");
    must(got.count == want.count && got.period_us == want.period_us, "and as much");
    if (error)
        return;
    int64_t interval = units_interval_us(got);
    must(interval * got.count >= got.period_us && (interval - 1) * got.count < got.period_us,
         "an interval is the period's part, rounded up");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = next_text(&input);
    int64_t us = -1, count = -1;
    bool number = isdigit((unsigned char)text[0]);
    char written[UNITS_DECIMAL_MAX + 1];

    must(!units_duration(text, &us) == (number && reference_duration(text) > 0),
         "a duration is what sscanf reads");
    must(us == (number ? reference_duration(text) : -1), "and as long");
    if (!units_count(text, 0, INT64_MAX, &count)) {
        written[units_decimal(count, written)] = '\0';
        must(count >= 0 && strcmp(written, text) == 0, "a number is written one way");
    }
    rate_as_by_reference(text);
    free(text);
    return 0;
}
