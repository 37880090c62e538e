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
#include "command/typed_request.h"
#include "limits/override_text.h"
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

/* The password that the limits file has for its address is not in the region: use the file's
 * address if it is the one that the process shows. */
static void prefer_file(const struct limits *limits, const struct options *options,
                        struct redis_address *redis)
{
    char shown[REDIS_ADDRESS_SHOWN_SIZE];

    if (options->redis && strcmp(redis_address_show(&limits->redis, shown), options->redis) == 0 &&
        redis->password[0] == '\0')
        *redis = limits->redis;
}

int buckets_configure(const struct options *options, struct buckets *out)
{
    struct process process = {.pid = 0};
    struct options found;

    ask_host(options, &process, &found);
    *out = (struct buckets){NULL};
    out->limits = configure(&found, FINDINGS_ERRORS, NULL, &out->redis);
    if (!out->limits)
        return EXIT_USAGE;
    if (!options->redis)
        prefer_file(out->limits, &found, &out->redis);
    return EXIT_SUCCESS;
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

/* The bucket of LIMIT for the values that TEXT means: what an override of the file makes of it,
 * too. */
static void add_client(struct buckets *out, const struct limit *limit,
                       const struct override_text *text)
{
    static struct view view;
    char *const parameters[] = {NULL};
    const struct request none = {.method = "GET", .uri = "/", .parameters = parameters};
    struct key_values values = {.first = text->first, .count = text->count};
    struct charge charge = {.capacity = limit->capacity, .interval_us = limit->interval_us};
    const struct override *override = NULL;

    view_begin(&view, &none, text->ipv6_prefix_bits);
    for (size_t i = 0; i < text->count; i++) {
        values.source[i] = &limit->key.part[text->first + i].source;
        values.value[i] = (struct span){text->value[i], strlen(text->value[i])};
    }
    charge.key_len = key_build(&values, limit->name, charge.key);
    if (limit->overrides)
        override = overrides_find(limit->overrides, charge.key, charge.key_len, &values, &view);
    if (override && override->kind == OVERRIDE_LIMITED) {
        charge.capacity = override->capacity;
        charge.interval_us = override->interval_us;
    }
    add(out, limit,
        !override || override->kind == OVERRIDE_LIMITED ? APPLY_CHARGE
        : override->kind == OVERRIDE_BLOCKED            ? APPLY_BLOCKED
                                                        : APPLY_UNLIMITED,
        &charge);
}

/* Add the buckets of LIMIT for the client TEXTS (COUNT).  Returns NULL if there is one, or why
 * there is none. */
static const char *add_alternatives(struct buckets *out, const struct limit *limit,
                                    const char *const texts[], size_t count)
{
    const char *why = "the key of the limit has another number of sources";
    bool found = false, several = false;

    for (size_t first = 0; first < limit->key.count;) {
        size_t end = key_alternative_end(&limit->key, first);
        static struct override_text text; /* too large for a stack */
        text = (struct override_text){.text = texts,
                                      .count = count,
                                      .spec = &limit->key,
                                      .first = first,
                                      .ipv6_prefix_bits = (unsigned)out->limits->ipv6_prefix_bits};
        const char *error = end - first != count ? why : override_text_read(&text);
        first = end;
        found = found || (!error && text.is_exact);
        several = several || (!error && !text.is_exact);
        if (!error && text.is_exact)
            add_client(out, limit, &text);
        else if (error)
            why = error;
    }
    why = several ? "it is for several clients; name one" : why;
    return found ? NULL : why;
}

/* Split --key at " + ", which is between the values of several sources. */
static size_t split(char *text, const char *parts[KEY_PARTS_MAX])
{
    size_t count = 0;

    for (char *next = text; next && count < KEY_PARTS_MAX;) {
        char *plus = strstr(next, " + ");
        parts[count++] = next;
        if (plus)
            *plus = '\0';
        next = plus ? plus + 3 : NULL;
    }
    return count;
}

static int find_by_key(const struct options *options, struct buckets *out)
{
    const char *parts[KEY_PARTS_MAX], *why = "there is no limit";
    char *text = memory_text(options->key, strlen(options->key));
    size_t count = split(text, parts);
    const char *error = NULL;

    for (size_t i = 0; i < count && !error; i++)
        error = override_text_check(parts[i]);
    for (size_t i = 0; i < out->limits->count && !error; i++) {
        const struct limit *limit = &out->limits->limit[i];
        const char *none =
            is_chosen(options, limit) ? add_alternatives(out, limit, parts, count) : NULL;
        why = none ? none : why;
    }
    free(text);
    if (!error && out->count > 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s: --key '%s': %s\n", options->program, options->key, error ? error : why);
    return EXIT_USAGE;
}

/* Say that --limit names none of LIMITS. */
static int no_such_limit(const struct options *options, const struct limits *limits)
{
    const char **names = memory_get(limits->count * sizeof(const char *));
    char what[128], hint[SPELLING_HINT_SIZE];

    for (size_t i = 0; i < limits->count; i++)
        names[i] = limits->limit[i].name;
    snprintf(what, sizeof what, "is no limit of the limits file%s",
             spelling_hint(options->limit, names, limits->count, hint));
    free(names);
    return wrong(options, options->limit, what);
}

/* Whether --limit, if it is given, names a limit. */
static int check_limit(const struct options *options, const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++)
        if (is_chosen(options, &limits->limit[i]))
            return EXIT_SUCCESS;
    return no_such_limit(options, limits);
}

int buckets_find(const struct options *options, struct buckets *out)
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
    if (status == EXIT_SUCCESS)
        status = check_limit(options, out->limits);
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
