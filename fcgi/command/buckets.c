/* buckets.c - from the words of a person to Redis keys. */
/* SPDX-License-Identifier: MIT */
#include "command/buckets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/spelling.h"
#include "command/configure.h"
#include "command/observe.h"
#include "command/override.h"
#include "command/typed_key.h"
#include "command/typed_request.h"
#include "config/limits_file.h"
#include "limits/override_key.h"
#include "request/forward_auth.h"
#include "shared/totals.h"

static int wrong(const struct options *options, const char *text, const char *what)
{
    fprintf(stderr, "%s: '%s' %s\n", options->program, text, what);
    return EXIT_USAGE;
}

/* ---- The limits, and where Redis is ---- */

/* What the processes of this host use, for what OPTIONS leave open; into *OUT, whose strings are in
 * PROCESS. */
static void ask_host(const struct options *options, struct process *process, struct options *out)
{
    char error[REGION_PATH_SIZE + 128];
    struct region *region = observe_region(options, false, error, sizeof error);

    *out = *options;
    if (!region)
        return;
    struct totals *totals = totals_read(region);
    if (totals->process_count > 0) {
        *process = totals->process[0].process;
        if (!out->limits && process->limits_file[0] != '\0')
            out->limits = process->limits_file;
        if (!out->redis && process->redis[0] != '\0')
            out->redis = process->redis;
    }
    totals_free(totals);
    region_free(region);
}

/* The processes of this host show where their Redis is, and no password and no Sentinel's master in
 * a form that can be read: leave it to the limits file if that names the same Redis. */
static void prefer_file(struct options *options)
{
    char shown[REDIS_CONFIG_SHOWN_SIZE];
    struct findings findings = {.file = configure_name(options)};
    struct limits *limits = limits_load(options->limits, &findings);

    if (limits && strcmp(redis_config_show(&limits->redis, shown), options->redis) == 0)
        options->redis = NULL;
    findings_free(&findings);
    limits_unref(limits);
}

int buckets_configure(const struct options *options, struct buckets *out)
{
    struct process process = {.pid = 0};
    struct options found;

    ask_host(options, &process, &found);
    *out = (struct buckets){NULL};
    if (found.redis && !options->redis)
        prefer_file(&found);
    out->limits = configure(&found, FINDINGS_ERRORS, NULL, &out->redis);
    return out->limits ? EXIT_SUCCESS : EXIT_USAGE;
}

/* ---- Buckets ---- */

static void add(struct buckets *buckets, const struct limit *limit, enum apply_result result,
                const struct charge *charge)
{
    for (size_t i = 0; i < buckets->count; i++)
        if (strcmp(buckets->bucket[i].charge.key, charge->key) == 0)
            return; /* two alternatives with the same sources */
    buckets->bucket =
        memory_resize(buckets->bucket, (buckets->count + 1) * sizeof *buckets->bucket);
    buckets->bucket[buckets->count++] = (struct bucket){limit, result, *charge};
}

static bool is_chosen(const struct options *options, const struct limit *limit)
{
    return !options->limit || strcmp(options->limit, limit->name) == 0;
}

/* Add the buckets of REQUEST. */
static int find_by_request(const struct options *options, const struct request *request,
                           struct buckets *out)
{
    static struct forward_auth forward; /* too large for a stack, as the next */
    static struct view view;
    const struct limits *limits = out->limits;
    const struct forward_auth_rules rules = {limits->trusted_proxy, limits->proxy_count,
                                             limits->forward_auth};
    struct charge charge;
    struct applied applied;

    request = forward_auth_read(request, &rules, &forward);
    if (!request)
        return wrong(options, options->operands.text[0], forward.problem);
    view_begin(&view, request, (unsigned)limits->ipv6_prefix_bits);
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *limit = &limits->limit[i];
        if (!is_chosen(options, limit))
            continue;
        enum apply_result result = apply_limit(limit, &view, &charge, &applied);
        if (result == APPLY_AMBIGUOUS || result == APPLY_TOO_MUCH)
            return wrong(options, options->operands.text[0],
                         "is answered with 400; see ratelimit.fcgi --explain");
        if (result != APPLY_NOT)
            add(out, limit, result, &charge);
    }
    return EXIT_SUCCESS;
}

static int read_request(const struct options *options, struct buckets *out)
{
    struct typed_request text;
    int status;

    const char *error = typed_request_of(options, options->operands.text[0], &text);
    if (error)
        fprintf(stderr, "%s: %s\n", options->program, error);
    status = error ? EXIT_USAGE : find_by_request(options, &text.request, out);
    typed_request_free(&text);
    return status;
}

/* Add the bucket of LIMIT that CHARGE is for, with what OVERRIDE (NULL: none) makes of it. */
static void add_bucket(struct buckets *out, const struct limit *limit,
                       const struct override *override, struct charge *charge)
{
    if (override && override->kind == OVERRIDE_LIMITED) {
        charge->capacity = override->capacity;
        charge->interval_us = override->interval_us;
    }
    add(out, limit,
        !override || override->kind == OVERRIDE_LIMITED ? APPLY_CHARGE
        : override->kind == OVERRIDE_BLOCKED            ? APPLY_BLOCKED
                                                        : APPLY_UNLIMITED,
        charge);
}

/* A request from the client that TEXT means, of which only the address and the path count: patterns
 * are compared with those of the request. */
struct sample {
    struct request request;
    char address[ADDRESS_SIZE], path[3 * OVERRIDE_TEXT_MAX + 1];
};

static void make_sample(const struct override_text *text, struct sample *out)
{
    static char *const no_parameters[] = {NULL};
    struct text path = {out->path, 0, sizeof out->path};

    strcpy(out->address, "");
    for (size_t i = 0; i < text->count; i++) {
        enum key_source_kind kind = text->spec->part[text->first + i].source.kind;
        const char *value = text->value[i];
        if (kind == KEY_SOURCE_IP)
            snprintf(out->address, sizeof out->address, "%.*s", (int)strcspn(value, "/"), value);
        if (kind == KEY_SOURCE_PATH && path.len == 0)
            key_append_encoded(&path, (struct span){value, strlen(value)}, "");
    }
    if (path.len == 0)
        text_append(&path, "/");
    out->request = (struct request){"GET", out->path, out->address, no_parameters};
}

/* The bucket of LIMIT for the client that TEXT means: what an override makes of it, too. */
static void add_client(struct buckets *out, const struct limit *limit,
                       const struct override_text *text)
{
    static struct view view; /* too large for a stack, as the next */
    static struct sample sample;
    struct key_values values = {.first = text->first, .count = text->count};
    struct charge charge = {.capacity = limit->capacity, .interval_us = limit->interval_us};
    bool slash;

    make_sample(text, &sample);
    view_begin(&view, &sample.request, text->ipv6_prefix_bits);
    values.memo = &view.memo;
    for (size_t i = 0; i < text->count; i++) {
        values.source[i] = &limit->key.part[text->first + i].source;
        values.value[i] = (struct span){text->value[i], strlen(text->value[i])};
    }
    charge.key_len = override_text_key(text, limit->name, charge.key, &slash);
    add_bucket(out, limit, limit_override(limit, charge.key, charge.key_len, &values, &view),
               &charge);
}

/* The client that --key names, in one limit. */
struct client {
    struct buckets *out;
    const struct limit *limit;
    bool found, several;
};

static void add_alternative(void *context, const struct override_text *text)
{
    struct client *client = context;

    client->found = client->found || text->is_exact;
    client->several = client->several || !text->is_exact;
    if (text->is_exact)
        add_client(client->out, client->limit, text);
}

/* Add the buckets of LIMIT for the client KEY.  Returns NULL if there is one, or why there is
 * none. */
static const char *find_in(struct buckets *out, const struct limit *limit, const char *key)
{
    struct client client = {out, limit, false, false};
    const char *error = typed_key_read(key, &limit->key, (unsigned)out->limits->ipv6_prefix_bits,
                                       add_alternative, &client);

    return client.found ? NULL : client.several ? "it is for several clients; name one" : error;
}

/* Add the bucket whose key KEY is. */
static const char *find_bucket(struct buckets *out, const char *key)
{
    const struct key_values none = {.first = SIZE_MAX}; /* of no alternative: no pattern fits */
    static struct view view;                            /* too large for a stack, and not read */
    struct override_key parts;
    struct charge charge;

    if (!override_key_split(key, &parts) || strlen(key) >= sizeof charge.key || strchr(key, '*'))
        return "the key of a bucket is such as rl:{query:user=alice}:per-user";
    for (size_t i = 0; i < out->limits->count; i++) {
        const struct limit *limit = &out->limits->limit[i];
        if (strcmp(limit->name, parts.limit.text) != 0)
            continue;
        charge = (struct charge){.capacity = limit->capacity, .interval_us = limit->interval_us};
        charge.key_len = strlen(strcpy(charge.key, key));
        add_bucket(out, limit, limit_override(limit, key, charge.key_len, &none, &view), &charge);
        return NULL;
    }
    return "the limits file has no such limit";
}

static int find_by_key(const struct options *options, struct buckets *out)
{
    const char *why = "there is no limit";

    if (strncmp(options->key, "rl:{", 4) == 0)
        why = find_bucket(out, options->key);
    else
        for (size_t i = 0; i < out->limits->count; i++) {
            const struct limit *limit = &out->limits->limit[i];
            const char *none = is_chosen(options, limit) ? find_in(out, limit, options->key) : NULL;
            why = none ? none : why;
        }
    if (out->count > 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s: --key '%s': %s\n", options->program, options->key, why);
    return EXIT_USAGE;
}

/* Say that --limit names none of LIMITS. */
static void no_such_limit(const struct options *options, const struct limits *limits)
{
    const char **names = memory_get(limits->count * sizeof(const char *));
    char what[128], hint[SPELLING_HINT_SIZE];

    for (size_t i = 0; i < limits->count; i++)
        names[i] = limits->limit[i].name;
    snprintf(what, sizeof what, "is no limit of the limits file%s",
             spelling_hint(options->limit, names, limits->count, hint));
    free(names);
    wrong(options, options->limit, what);
}

const struct limit *buckets_limit(const struct options *options, const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        if (is_chosen(options, &limits->limit[i]))
            return &limits->limit[i];
    no_such_limit(options, limits);
    return NULL;
}

/* Give the limits what is stored in Redis. */
static int attach(const struct options *options, struct buckets *buckets)
{
    char error[512];

    if (override_attach(buckets->limits, &buckets->redis, error, sizeof error))
        return EXIT_SUCCESS;
    fprintf(stderr, "%s: %s\n", options->program, error);
    return EXIT_FAILURE;
}

int buckets_find(const struct options *options, bool stored, struct buckets *out)
{
    int status;

    *out = (struct buckets){NULL};
    if ((options->operands.count == 1) == (options->key != NULL) || options->operands.count > 1) {
        fprintf(stderr,
                "%s: name a request, such as 'GET /x?user=alice', or a client, with --key; see "
                "--help\n",
                options->program);
        return EXIT_USAGE;
    }
    status = buckets_configure(options, out);
    if (status == EXIT_SUCCESS && !buckets_limit(options, out->limits))
        status = EXIT_USAGE;
    if (status == EXIT_SUCCESS && stored)
        status = attach(options, out);
    if (status == EXIT_SUCCESS)
        status = options->key ? find_by_key(options, out) : read_request(options, out);
    if (status != EXIT_SUCCESS)
        buckets_free(out);
    return status;
}

void buckets_free(struct buckets *buckets)
{
    limits_unref(buckets->limits);
    free(buckets->bucket);
    *buckets = (struct buckets){NULL};
}
