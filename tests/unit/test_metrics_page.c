/* test_metrics_page.c - the text of the page of metrics. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "decide/metrics_page.h"

#include <stdio.h>

#include "shared/slot.h"
#include "unit_slot.h"

/* The page for the region of the test; owned. */
static char *page(bool openmetrics)
{
    struct totals *totals = totals_read(unit_region());
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    metrics_page_write(out, totals, openmetrics);
    fclose(out);
    totals_free(totals);
    return text;
}

/* TEXT has LINE, whole. */
static void want_line(const char *text, const char *line)
{
    size_t len = strlen(line);

    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return;
    fail_msg("no line \"%s\" in:\n%s", line, text);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

TEST(each_counter_of_a_limit_is_a_sample_with_its_name)
{
    static const struct {
        const char *name, *shown; /* SHOWN: as the value of a label */
    } cases[] = {
        {"per-user", "per-user"},      {"quote\"d", "quote\\\"d"}, {"back\\slash", "back\\\\slash"},
        {"two\nlines", "two\\nlines"}, {"\xc3\xa9", "\xc3\xa9"},
    };
    char *text, line[256];
    uint64_t value = 1;

    FOR_EACH(c, cases) {
        struct limit_row *row = slot_limit(unit_slot(), c->name, 0);
        counter_set(&row->counters.refused, value++);
        counter_set(&row->counters.tokens_taken, UINT64_C(1000000000000000) - value);
    }
    text = page(false);
    value = 1;
    FOR_EACH(c, cases) {
        sprintf(line, "ratelimit_decisions_total{limit=\"%s\",decision=\"refused\"} %d", c->shown,
                (int)value++);
        want_line(text, line);
        sprintf(line, "ratelimit_tokens_taken_total{limit=\"%s\"} %lld", c->shown,
                (long long)(UINT64_C(1000000000000000) - value));
        want_line(text, line);
    }
    free(text);
}

TEST(a_metric_has_one_help_and_one_type)
{
    static const struct {
        const char *metric, *type;
    } cases[] = {
#define LIMIT_COUNTER(field, metric, label, help)            {metric, "counter"},
#define PROCESS_COUNTER(field, metric, label, divisor, help) {metric, "counter"},
#define PROCESS_GAUGE(field, metric, help)                   {metric, "gauge"},
#define PROCESS_HISTOGRAM(field, metric, help)               {metric, "histogram"},
#include "shared/counters.def"
        {"ratelimit_processes", "gauge"},
        {"ratelimit_build_info", "gauge"},
        {"ratelimit_limits_processes", "gauge"},
        {"ratelimit_limits_loaded_timestamp_seconds", "gauge"},
    };
    char *text = page(false), line[256];

    FOR_EACH(c, cases) {
        sprintf(line, "# TYPE %s %s\n", c->metric, c->type);
        assert_int_equal(count_of(text, line), 1);
        sprintf(line, "# HELP %s ", c->metric);
        assert_int_equal(count_of(text, line), 1);
    }
    assert_int_equal(count_of(text, "# EOF"), 0);
    free(text);
}

TEST(microseconds_are_shown_in_seconds)
{
    char *text;

    counter_set(&unit_slot()->counters.redis_down_us, 1250000);
    text = page(false);
    want_line(text, "ratelimit_redis_down_seconds_total 1.25");
    free(text);
}

TEST(the_buckets_of_a_histogram_are_cumulative)
{
    static const double seconds[] = {0.00005, 0.0001, 0.0002, 0.3, 7};
    char *text;

    FOR_EACH(s, seconds)
        histogram_add(&unit_slot()->counters.redis_latency, *s);
    text = page(false);
    want_line(text, "ratelimit_redis_latency_seconds_bucket{le=\"0.0001\"} 2");
    want_line(text, "ratelimit_redis_latency_seconds_bucket{le=\"0.00025\"} 3");
    want_line(text, "ratelimit_redis_latency_seconds_bucket{le=\"0.25\"} 3");
    want_line(text, "ratelimit_redis_latency_seconds_bucket{le=\"0.5\"} 4");
    want_line(text, "ratelimit_redis_latency_seconds_bucket{le=\"1\"} 4");
    want_line(text, "ratelimit_redis_latency_seconds_bucket{le=\"+Inf\"} 5");
    want_line(text, "ratelimit_redis_latency_seconds_count 5");
    want_line(text, "ratelimit_redis_latency_seconds_sum 7.30035");
    free(text);
}

TEST(processes_are_counted_by_version_and_by_their_limits)
{
    struct totals *totals = totals_read(unit_region());
    static const struct process processes[] = {
        {.version = "1.0", .sha256 = "aa", .loaded_us = 1700000002000000},
        {.version = "1.1", .sha256 = "bb", .loaded_us = 1700000003000000},
        {.version = "1.1", .sha256 = "aa", .loaded_us = 1700000001500000},
    };
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    totals->process_count = 0;
    FOR_EACH(process, processes)
        totals->process[totals->process_count++].process = *process;
    metrics_page_write(out, totals, false);
    fclose(out);
    want_line(text, "ratelimit_processes 3");
    want_line(text, "ratelimit_build_info{version=\"1.0\"} 1");
    want_line(text, "ratelimit_build_info{version=\"1.1\"} 2");
    want_line(text, "ratelimit_limits_processes{sha256=\"aa\"} 2");
    want_line(text, "ratelimit_limits_processes{sha256=\"bb\"} 1");
    want_line(text, "ratelimit_limits_loaded_timestamp_seconds{sha256=\"aa\"} 1700000001.5");
    assert_int_equal(count_of(text, "ratelimit_limits_processes{"), 2);
    free(text);
    totals_free(totals);
}

TEST(openmetrics_names_counters_without_total_and_has_an_end)
{
    char *text = page(true);

    want_line(text, "# TYPE ratelimit_decisions counter");
    want_line(text, "# TYPE ratelimit_redis_losses counter");
    want_line(text, "# TYPE ratelimit_redis_ready gauge");
    want_line(text, "ratelimit_redis_losses_total 0");
    assert_int_equal(count_of(text, "# EOF\n"), 1);
    want_text("the end", text + strlen(text) - 6, "# EOF\n");
    free(text);
}

TESTS_MAIN
