/* status_page.c - the state of a host as JSON. */
/* SPDX-License-Identifier: MIT */
#include "decide/status_page.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "shared/totals.h"

#define RATE_SAMPLES 3  /* rates are those since the third sample from the end: 10 to 15 s */
#define HOST_SIZE    65 /* a name of Linux, NUL included */

static void write_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, "\"%s\":", name);
    json_string(out, text);
    fputc(',', out);
}

static void write_time(FILE *out, const char *name, int64_t us)
{
    fprintf(out, "\"%s\":", name);
    json_time(out, us);
    fputc(',', out);
}

/* ---- Latency ---- */

static struct histogram difference(const struct histogram *now, const struct histogram *before)
{
    struct histogram out;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        out.count[i] = now->count[i] - before->count[i];
    out.sum_us = now->sum_us - before->sum_us;
    return out;
}

/* "NAME":{"count":..,"mean":..,"p50":..,"p99":..}, times in milliseconds. */
static void write_latency(FILE *out, const char *name, const struct histogram *histogram)
{
    uint64_t count = histogram_count(histogram);

    fprintf(out, "\"%s\":{\"count\":%" PRIu64, name, count);
    if (count > 0)
        fprintf(out, ",\"mean\":%.3f,\"p50\":%.3f,\"p99\":%.3f",
                (double)histogram->sum_us / (double)count / 1e3,
                histogram_quantile(histogram, 0.5) * 1e3,
                histogram_quantile(histogram, 0.99) * 1e3);
    fputs("}", out);
}

/* ---- Processes ---- */

static void write_process(FILE *out, const struct live_process *live)
{
    const struct process *process = &live->process;
    const struct process_gauges *gauges = &live->gauges;

    fprintf(out, "{\"pid\":%" PRId64 ",", process->pid);
    write_text(out, "version", process->version);
    write_time(out, "started", process->started_us);
    write_text(out, "limits_file", process->limits_file);
    write_text(out, "sha256", process->sha256);
    fprintf(out, "\"limits\":%" PRId64 ",", process->limit_count);
    write_time(out, "loaded", process->loaded_us);
    fprintf(out, "\"reload_failed\":%s,", gauges->reload_failed ? "true" : "false");
    fprintf(out, "\"overrides\":{\"stored\":%" PRId64 ",\"foreign\":%" PRId64 ",",
            process->override_count, process->override_foreign);
    write_time(out, "loaded", process->overrides_loaded_us);
    fputs("\"problem\":", out);
    json_string(out, process->overrides_problem);
    fputs("},\"redis\":{", out);
    write_text(out, "address", process->redis);
    fprintf(out, "\"ready\":%s},", gauges->redis_ready ? "true" : "false");
    fprintf(out,
            "\"requests_open\":%" PRIu64 ",\"connections_open\":%" PRIu64
            ",\"descriptors_open\":%" PRIu64 ",\"descriptors_max\":%" PRIu64 "}",
            gauges->requests_open, gauges->connections_open, gauges->descriptors_open,
            gauges->descriptors_max);
}

static void write_processes(FILE *out, const struct totals *totals)
{
    fprintf(out, "\"drift\":%s,\"processes\":[", totals_has_drift(totals) ? "true" : "false");
    for (size_t i = 0; i < totals->process_count; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        write_process(out, &totals->process[i]);
    }
    fputs("],\n", out);
}

/* ---- Counters ---- */

static void write_decisions(FILE *out, const struct limit_counters *counters)
{
    bool first = true;

#define LIMIT_COUNTER(field, metric, label, help)                                                  \
    fprintf(out, "%s\"" #field "\":%" PRIu64, first ? "" : ",", counters->field);                  \
    first = false;
#include "shared/counters.def"
}

static void write_rates(FILE *out, const struct limit_counters *now,
                        const struct limit_counters *before, double seconds)
{
    bool first = true;

    fputs(",\"per_second\":{", out);
#define LIMIT_COUNTER(field, metric, label, help)                                                  \
    fprintf(out, "%s\"" #field "\":%.1f", first ? "" : ",",                                        \
            (double)(now->field - before->field) / seconds);                                       \
    first = false;
#include "shared/counters.def"
    fputs("}", out);
}

static void write_limits(FILE *out, const struct totals *totals, const struct recent_sample *before)
{
    bool first = true;

    fputs("\"limits\":[", out);
    for (size_t i = 0; i < totals->limit_count; i++) {
        const struct limit_row *row = &totals->limit[i];
        const struct limit_counters *old = before ? recent_limit(before, row->name) : NULL;
        fputs(first ? "\n{" : ",\n{", out);
        first = false;
        write_text(out, "name", row->name);
        fprintf(out, "\"in_force\":%s,", row->in_force ? "true" : "false");
        write_decisions(out, &row->counters);
        if (old && totals->now_us > before->at_us)
            write_rates(out, &row->counters, old, (double)(totals->now_us - before->at_us) / 1e6);
        fputs("}", out);
    }
    fputs("],\n", out);
}

static void write_redis(FILE *out, const struct totals *totals, const struct recent_sample *before)
{
    const struct process_counters *now = &totals->counters;
    struct histogram latency = now->redis_latency;

    if (before)
        latency = difference(&latency, &before->counters.redis_latency);
    fprintf(out, "\"redis\":{\"ready\":%" PRIu64 ",\"processes\":%zu,", totals->gauges.redis_ready,
            totals->process_count);
    write_latency(out, "latency_ms", &latency);
    fprintf(out,
            ",\"connects\":%" PRIu64 ",\"losses\":%" PRIu64 ",\"down_seconds\":%.1f},\n"
            "\"undecided\":{\"lost\":%" PRIu64 ",\"late\":%" PRIu64 ",\"error\":%" PRIu64 "},\n",
            now->redis_connects, now->redis_losses, (double)now->redis_down_us / 1e6,
            now->undecided_lost, now->undecided_late, now->undecided_error);
}

/* The answers by status of NOW that are not among those of BEFORE. */
static void write_responses(FILE *out, const struct process_counters *now,
                            const struct process_counters *before)
{
    fprintf(out,
            "\"responses\":{\"200\":%" PRIu64 ",\"400\":%" PRIu64 ",\"403\":%" PRIu64
            ",\"429\":%" PRIu64 ",\"431\":%" PRIu64 ",\"500\":%" PRIu64 ",\"503\":%" PRIu64 "},",
            now->status_200 - before->status_200, now->status_400 - before->status_400,
            now->status_403 - before->status_403, now->status_429 - before->status_429,
            now->status_431 - before->status_431, now->status_500 - before->status_500,
            now->status_503 - before->status_503);
}

static void write_answers(FILE *out, const struct totals *totals,
                          const struct recent_sample *before)
{
    static const struct process_counters none;
    struct histogram duration = totals->counters.request_duration;

    if (before)
        duration = difference(&duration, &before->counters.request_duration);
    write_responses(out, &totals->counters, &none);
    fputc('\n', out);
    write_latency(out, "request_ms", &duration);
    fputs(",\n", out);
}

/* ---- Clients ---- */

void status_page_write_row(FILE *out, const struct top_row *row)
{
    fputc('{', out);
    write_text(out, "key", row->key);
    write_text(out, "limit", row->limit);
    write_time(out, "first", row->first_us);
    write_time(out, "last", row->last_us);
    fprintf(out, "\"count\":%" PRIu64 ",\"error\":%" PRIu64 "}", row->count, row->error);
}

static void write_top(FILE *out, const struct region *region, bool shadow, int64_t since_us)
{
    struct top_list list = totals_top(region, shadow, since_us);

    fprintf(out, "\"%s\":[", shadow ? "shadow_refused" : "refused");
    for (size_t i = 0; i < list.count && i < STATUS_TOP_MAX; i++) {
        fputs(i > 0 ? ",\n" : "\n", out);
        status_page_write_row(out, &list.row[i]);
    }
    fputs("]", out);
    top_list_free(&list);
}

/* ---- The last five minutes ---- */

static void write_sample(FILE *out, const struct recent_sample *sample,
                         const struct recent_sample *before)
{
    struct histogram latency =
        difference(&sample->counters.redis_latency, &before->counters.redis_latency);

    fprintf(out, "{\"at\":%.3f,\"seconds\":%.3f,", (double)sample->at_us / 1e6,
            (double)(sample->at_us - before->at_us) / 1e6);
    write_latency(out, "redis_ms", &latency);
    fprintf(out, ",\"redis_down_seconds\":%.3f,\"undecided\":%" PRIu64 ",",
            (double)(sample->counters.redis_down_us - before->counters.redis_down_us) / 1e6,
            totals_undecided(&sample->counters) - totals_undecided(&before->counters));
    write_responses(out, &sample->counters, &before->counters);
    fputs("\"limits\":{", out);
    for (size_t i = 0; i < sample->limit_count; i++) {
        const struct limit_counters *now = &sample->limit[i].counters,
                                    *old = recent_limit(before, sample->limit[i].name);
        old = old ? old : now; /* a limit that is new since BEFORE begins with the next sample */
        if (i > 0)
            fputc(',', out);
        json_string(out, sample->limit[i].name);
        fprintf(out, ":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]",
                now->allowed - old->allowed, now->refused - old->refused,
                now->blocked - old->blocked, now->shadow_refused - old->shadow_refused,
                now->undecided_allowed - old->undecided_allowed,
                now->undecided_denied - old->undecided_denied);
    }
    fputs("}}", out);
}

static void write_samples(FILE *out, const struct recent *recent)
{
    fputs("\"recent\":[", out);
    for (size_t i = 1; recent && i < recent_count(recent); i++) {
        fputs(i > 1 ? ",\n" : "\n", out);
        write_sample(out, recent_sample(recent, i), recent_sample(recent, i - 1));
    }
    fputs("]", out);
}

/* The host's own name, because a page that comes through a tunnel is from "localhost". */
static void write_host(FILE *out)
{
    char host[HOST_SIZE] = "";

    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    write_text(out, "host", host);
}

void status_page_write(FILE *out, const struct region *region, const struct recent *recent)
{
    struct totals *totals = totals_read(region);
    const struct recent_sample *before = NULL;
    int64_t since_us = totals->now_us - TOP_FORGET_US;

    if (recent)
        before = recent_sample(
            recent, recent_count(recent) > RATE_SAMPLES ? recent_count(recent) - RATE_SAMPLES : 0);
    fputs("{", out);
    write_host(out);
    write_time(out, "time", totals->now_us);
    write_processes(out, totals);
    write_limits(out, totals, before);
    write_redis(out, totals, before);
    write_answers(out, totals, before);
    fputs("\"top\":{", out);
    write_top(out, region, false, since_us);
    fputs(",\n", out);
    write_top(out, region, true, since_us);
    fputs("},\n", out);
    write_samples(out, recent);
    fputs("}\n", out);
    totals_free(totals);
}
