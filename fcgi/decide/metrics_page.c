/* metrics_page.c - counters.def, and what is known of processes and limits files, as metrics. */
/* SPDX-License-Identifier: MIT */
#include "decide/metrics_page.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

/* A page that is being written. */
struct page {
    FILE *out;
    bool openmetrics;
};

/* ---- Lines ---- */

/* Begin METRIC, unless HELP is "": then this is a further entry of the one before.  A counter's
 * family has no "_total" in OpenMetrics. */
static void write_head(const struct page *page, const char *metric, const char *type,
                       const char *help)
{
    size_t len = strlen(metric);

    if (help[0] == '\0')
        return;
    if (page->openmetrics && strcmp(type, "counter") == 0)
        len -= strlen("_total");
    fprintf(page->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, metric, help, (int)len, metric,
            type);
}

/* Write one sample.  LABELS is a list for braces, or "". */
static void write_sample(const struct page *page, const char *metric, const char *labels,
                         double value)
{
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";

    fprintf(page->out, "%s%s%s%s %.15g\n", metric, open, labels, close, value);
}

/* A label's value: backslash, quote and line feed are escaped. */
static void append_value(char *out, size_t size, const char *value)
{
    size_t len = 0;

    for (; *value && len + 3 < size; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            out[len++] = '\\';
        out[len++] = *value;
        if (*value == '\n')
            out[len - 1] = 'n';
    }
    out[len] = '\0';
}

/* ---- Of limits ---- */

/* The samples of the counter at OFFSET in struct limit_counters. */
static void write_limits(const struct page *page, const struct totals *totals, const char *metric,
                         const char *label, size_t offset)
{
    for (size_t i = 0; i < totals->limit_count; i++) {
        const struct limit_row *row = &totals->limit[i];
        char name[2 * TOP_LIMIT_SIZE], labels[2 * TOP_LIMIT_SIZE + 64];
        uint64_t value;

        memcpy(&value, (const char *)&row->counters + offset, sizeof value);
        append_value(name, sizeof name, row->name);
        snprintf(labels, sizeof labels, "limit=\"%s\"%s%s", name, label[0] ? "," : "", label);
        write_sample(page, metric, labels, (double)value);
    }
}

static void write_limit_counters(const struct page *page, const struct totals *totals)
{
#define LIMIT_COUNTER(field, metric, label, help)                                                  \
    write_head(page, metric, "counter", help);                                                     \
    write_limits(page, totals, metric, label, offsetof(struct limit_counters, field));
#include "shared/counters.def"
}

/* ---- Of processes ---- */

static void write_histogram(const struct page *page, const char *metric, const char *help,
                            const struct histogram *histogram)
{
    char name[64], labels[64];
    uint64_t sum = 0;

    write_head(page, metric, "histogram", help);
    snprintf(name, sizeof name, "%s_bucket", metric);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum += histogram->count[i];
        if (i < HISTOGRAM_BUCKETS - 1)
            snprintf(labels, sizeof labels, "le=\"%.6g\"", histogram_bounds_us[i] / 1e6);
        else
            strcpy(labels, "le=\"+Inf\"");
        write_sample(page, name, labels, (double)sum);
    }
    snprintf(name, sizeof name, "%s_sum", metric);
    write_sample(page, name, "", (double)histogram->sum_us / 1e6);
    snprintf(name, sizeof name, "%s_count", metric);
    write_sample(page, name, "", (double)sum);
}

static void write_process_counters(const struct page *page, const struct totals *totals)
{
    const struct process_counters *counters = &totals->counters;
    const struct process_gauges *gauges = &totals->gauges;

#define PROCESS_COUNTER(field, metric, label, divisor, help)                                       \
    write_head(page, metric, "counter", help);                                                     \
    write_sample(page, metric, label, (double)counters->field / (divisor));
#define PROCESS_GAUGE(field, metric, help)                                                         \
    write_head(page, metric, "gauge", help);                                                       \
    write_sample(page, metric, "", (double)gauges->field);
#define PROCESS_HISTOGRAM(field, metric, help)                                                     \
    write_histogram(page, metric, help, &counters->field);
#include "shared/counters.def"
}

/* What write_groups counts processes by. */
typedef const char *process_text(const struct process *process);

static const char *sha256_of(const struct process *process)
{
    return process->sha256;
}

static const char *version_of(const struct process *process)
{
    return process->version;
}

/* Write for each value that TEXT has among the processes, as LABEL, how many have it; or, if
 * LOADED, when the first of them loaded its limits. */
static void write_groups(const struct page *page, const struct totals *totals, const char *metric,
                         const char *label, process_text *text, bool loaded)
{
    for (size_t i = 0; i < totals->process_count; i++) {
        const char *value = text(&totals->process[i].process);
        int64_t first_us = totals->process[i].process.loaded_us;
        size_t before = 0, count = 0;
        char shown[2 * REGION_SHA256_SIZE], labels[2 * REGION_SHA256_SIZE + 32];

        for (size_t k = 0; k < totals->process_count; k++) {
            const struct process *other = &totals->process[k].process;
            if (strcmp(text(other), value) != 0)
                continue;
            before += k < i;
            count++;
            if (other->loaded_us < first_us)
                first_us = other->loaded_us;
        }
        if (before > 0)
            continue; /* written already */
        append_value(shown, sizeof shown, value);
        snprintf(labels, sizeof labels, "%s=\"%s\"", label, shown);
        write_sample(page, metric, labels, loaded ? (double)first_us / 1e6 : (double)count);
    }
}

static void write_processes(const struct page *page, const struct totals *totals)
{
    write_head(page, "ratelimit_processes", "gauge", "Processes that run on this host.");
    write_sample(page, "ratelimit_processes", "", (double)totals->process_count);
    write_head(page, "ratelimit_build_info", "gauge", "Processes by version of the program.");
    write_groups(page, totals, "ratelimit_build_info", "version", version_of, false);
    write_head(page, "ratelimit_limits_processes", "gauge",
               "Processes by the SHA-256 of the limits file that is in force.");
    write_groups(page, totals, "ratelimit_limits_processes", "sha256", sha256_of, false);
    write_head(page, "ratelimit_limits_loaded_timestamp_seconds", "gauge",
               "When the first process loaded the limits file, by its SHA-256.");
    write_groups(page, totals, "ratelimit_limits_loaded_timestamp_seconds", "sha256", sha256_of,
                 true);
}

/* Processes of a host read the same overrides, so that their sum would say nothing. */
static void write_overrides(const struct page *page, const struct totals *totals)
{
    int64_t most = 0;

    for (size_t i = 0; i < totals->process_count; i++)
        if (totals->process[i].process.override_count > most)
            most = totals->process[i].process.override_count;
    write_head(page, "ratelimit_overrides", "gauge",
               "Overrides in Redis that are in force: the most that a process has.");
    write_sample(page, "ratelimit_overrides", "", (double)most);
}

void metrics_page_write(FILE *out, const struct totals *totals, bool openmetrics)
{
    const struct page page = {out, openmetrics};

    write_limit_counters(&page, totals);
    write_process_counters(&page, totals);
    write_processes(&page, totals);
    write_overrides(&page, totals);
    if (openmetrics)
        fputs("# EOF\n", out);
}
