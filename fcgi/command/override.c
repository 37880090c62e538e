/* override.c - what a person types is read as the limits file is, and changed by a script. */
/* SPDX-License-Identifier: MIT */
#include "command/override.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/spelling.h"
#include "base/units.h"
#include "command/buckets.h"
#include "command/look.h"
#include "command/typed_key.h"
#include "config/stored_reader.h"
#include "limits/override_key.h"
#include "store/override_store.h"

#define SETTINGS_SIZE 256
#define PRUNE_MAX     1000 /* names in one script: Redis serves others in between */

/* A command that is carried out. */
struct work {
    const struct options *options;
    struct buckets configured; /* the limits and the address of Redis; no bucket */
    struct redis_client *client;
    struct stored_overrides *stored; /* what is in Redis */
};

/* What the operands name. */
struct clients {
    const struct limit *limit;
    size_t count;
    char *name[KEY_PARTS_MAX]; /* COUNT of them, owned: one for each alternative */
    bool secret, shown;        /* whether one has a secret source; one has none */
};

static int usage(const struct options *options, const char *what)
{
    fprintf(stderr, "%s: override %s; see --help\n", options->program, what);
    return EXIT_USAGE;
}

/* Say that Redis did not do it. */
static int failed(const struct work *work, const char *why)
{
    char shown[REDIS_CONFIG_SHOWN_SIZE];

    fprintf(stderr, "%s: redis %s: %s\n", work->options->program,
            redis_config_show(&work->configured.redis, shown), why);
    return EXIT_FAILURE;
}

/* ---- Reading ---- */

bool override_attach(struct limits *limits, const struct redis_config *config, char *error,
                     size_t size)
{
    const char *why;
    struct stored_sets sets;
    struct redis_client *client = redis_client_new(config, LOOK_TIMEOUT_MS, error, size);
    struct stored_overrides *stored = client ? override_store_read(client, &why) : NULL;

    if (client && !stored) {
        char shown[REDIS_CONFIG_SHOWN_SIZE];
        snprintf(error, size, "redis %s: %s", redis_config_show(config, shown), why);
    }
    redis_client_free(client);
    if (!stored)
        return false;
    stored_reader_read(stored, limits, &sets);
    limits_set_stored(limits, sets.of);
    free(sets.of);
    free(sets.state);
    override_store_free(stored);
    return true;
}

/* Read the limits and what is in Redis. */
static int begin(struct work *work)
{
    char error[512];
    const char *why;
    int status = buckets_configure(work->options, &work->configured);

    if (status != EXIT_SUCCESS)
        return status;
    work->client = redis_client_new(&work->configured.redis, LOOK_TIMEOUT_MS, error, sizeof error);
    if (!work->client) {
        fprintf(stderr, "%s: %s\n", work->options->program, error);
        return EXIT_FAILURE;
    }
    work->stored = override_store_read(work->client, &why);
    return work->stored ? EXIT_SUCCESS : failed(work, why);
}

static void end(struct work *work)
{
    override_store_free(work->stored);
    redis_client_free(work->client);
    buckets_free(&work->configured);
}

/* ---- The clients that are named ---- */

static void add_name(void *context, const struct override_text *text)
{
    struct clients *clients = context;
    char *name = memory_get(OVERRIDE_KEY_SIZE);
    bool secret = false;

    for (size_t i = 0; i < text->count; i++)
        secret = secret || text->spec->part[text->first + i].source.secret;
    override_key_write(text, clients->limit->name, name);
    clients->secret = clients->secret || secret;
    clients->shown = clients->shown || !secret;
    clients->name[clients->count++] = name;
}

/* Read KEY, the name of a bucket or of a stored override. */
static const char *read_name(const char *key, unsigned ipv6_prefix_bits, struct clients *clients)
{
    struct override_key parts;
    struct override override = {.capacity = 1, .interval_us = 1};

    if (!override_key_split(key, &parts) || strcmp(parts.limit.text, clients->limit->name) != 0)
        return "a name begins with rl:{ and ends with }: and the name of the limit";
    struct overrides *none = overrides_new();
    const char *error =
        override_key_add(none, &clients->limit->key, key, ipv6_prefix_bits, &override);
    overrides_free(none);
    if (!error)
        clients->name[clients->count++] = memory_text(key, strlen(key));
    return error;
}

static void clients_free(struct clients *clients)
{
    for (size_t i = 0; i < clients->count; i++)
        free(clients->name[i]);
}

/* Read the operands LIMIT and KEY into *CLIENTS, whose names the caller frees with clients_free. */
static int read_clients(struct work *work, const char *key, struct clients *clients)
{
    const struct limits *limits = work->configured.limits;
    unsigned bits = (unsigned)limits->ipv6_prefix_bits;
    struct options named = *work->options;

    named.limit = work->options->operands.text[1];
    *clients = (struct clients){.limit = buckets_limit(&named, limits)};
    if (!clients->limit)
        return EXIT_USAGE;
    const char *error = strncmp(key, "rl:{", 4) == 0
                            ? read_name(key, bits, clients)
                            : typed_key_read(key, &clients->limit->key, bits, add_name, clients);
    /* The value of a secret source must not get into Redis as that of another one. */
    if (!error && clients->secret && clients->shown)
        error = "it can be a secret value or one that is shown; name its source, such as "
                "header:x-api-key=KEY or query:user=KEY";
    if (!error)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s: KEY '%s': %s\n", work->options->program, key, error);
    clients_free(clients);
    return EXIT_USAGE;
}

/* ---- set ---- */

/* The settings among the operands, joined, into OUT. */
static int read_settings(const struct options *options, const struct limit *limit,
                         char out[SETTINGS_SIZE])
{
    struct findings findings = {.file = "override"};
    struct stored_times times;
    struct override override;
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 3; i < options->operands.count; i++) {
        const char *word = options->operands.text[i];
        if (strchr(word, ' ') || strncmp(word, "set=", 4) == 0 || strncmp(word, "until=", 6) == 0)
            return usage(options, "set takes capacity=N, refill=RATE, unlimited or blocked, and "
                                  "--for DURATION");
        if (len + strlen(word) + 2 > SETTINGS_SIZE)
            return usage(options, "set has too many words");
        len += (size_t)sprintf(out + len, "%s%s", len > 0 ? " " : "", word);
    }
    stored_reader_value(out, limit, &override, &times, &findings);
    findings_write(&findings, FINDINGS_ERRORS, stderr);
    int status = findings.error_count == 0 ? EXIT_SUCCESS : EXIT_USAGE;
    findings_free(&findings);
    return status;
}

static int read_duration(const struct options *options, int64_t *out_us)
{
    const char *error = NULL;

    *out_us = 0;
    if (options->lasts)
        error = units_duration(options->lasts, out_us);
    if (error)
        fprintf(stderr, "%s: --for '%s': %s\n", options->program, options->lasts, error);
    return error ? EXIT_USAGE : EXIT_SUCCESS;
}

/* Put NAME with VALUE among STORED, as it will be in Redis. */
static void add_entry(struct stored_overrides *stored, const char *name, const char *value)
{
    size_t len = strlen(name) + 1, i = 0;
    char *both = memory_get(len + strlen(value) + 1);

    strcpy(both, name);
    strcpy(both + len, value);
    while (i < stored->count && strcmp(stored->entry[i].name, name) != 0)
        i++;
    if (i == stored->count)
        stored->entry = memory_resize(stored->entry, ++stored->count * sizeof *stored->entry);
    else
        free(stored->entry[i].name);
    stored->entry[i] = (struct stored_override){both, both + len};
}

/* Delete the stored overrides whose time is over.  This is done here because only `set` makes the
 * hash grow. */
static const char *prune(struct work *work, const struct stored_sets *sets)
{
    const char *names[PRUNE_MAX], *why = NULL;
    size_t count = 0;

    for (size_t i = 0; i < work->stored->count && !why; i++) {
        if (sets->state[i] == STORED_OVER)
            names[count++] = work->stored->entry[i].name;
        if (count == PRUNE_MAX || (count > 0 && i + 1 == work->stored->count)) {
            why = override_store_prune(work->client, names, count);
            count = 0;
        }
    }
    return why;
}

/* Would the processes take what is stored, and CLIENTS with SETTINGS?  Those whose time is over are
 * deleted. */
static int rehearse(struct work *work, const struct clients *clients, const char *settings)
{
    const struct limits *limits = work->configured.limits;
    struct stored_sets sets;

    for (size_t i = 0; i < clients->count; i++)
        add_entry(work->stored, clients->name[i], settings);
    stored_reader_read(work->stored, limits, &sets);
    if (sets.broken_count > 0)
        fprintf(stderr,
                "%s: nothing was set, because processes would refuse the stored overrides: %s\n"
                "%s: delete it with: override delete NAME\n",
                work->options->program, sets.problem, work->options->program);
    const char *why = sets.broken_count > 0 ? NULL : prune(work, &sets);
    int status = sets.broken_count > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    stored_reader_free(&sets, limits->count);
    return why ? failed(work, why) : status;
}

static void say_set(const struct options *options, const struct clients *clients,
                    const char *settings, int64_t lasts_us)
{
    char until[CLOCK_SHOWN_SIZE];

    for (size_t i = 0; i < clients->count; i++) {
        if (options->json) {
            fputs(i == 0 ? "{\"set\":[" : ",", stdout);
            json_string(stdout, clients->name[i]);
            continue;
        }
        printf("%s: %s", clients->name[i], settings);
        if (lasts_us > 0)
            printf(", until %s", clock_show(clock_unix_us() + lasts_us, until));
        puts("");
    }
    puts(options->json ? "]}" : "in force on every process of every host within two seconds");
}

static int set(struct work *work)
{
    const struct options *options = work->options;
    char settings[SETTINGS_SIZE];
    int64_t lasts_us;
    struct clients clients;

    if (options->operands.count < 4)
        return usage(options, "set needs LIMIT, KEY and what is to be in force: capacity=N, "
                              "refill=RATE, unlimited or blocked");
    int status = read_duration(options, &lasts_us);
    if (status == EXIT_SUCCESS)
        status = begin(work);
    if (status == EXIT_SUCCESS)
        status = read_clients(work, options->operands.text[2], &clients);
    if (status != EXIT_SUCCESS)
        return status;
    status = read_settings(options, clients.limit, settings);
    if (status == EXIT_SUCCESS)
        status = rehearse(work, &clients, settings);
    if (status == EXIT_SUCCESS) {
        const char *why = override_store_set(work->client, (const char *const *)clients.name,
                                             clients.count, settings, lasts_us);
        status = why ? failed(work, why) : EXIT_SUCCESS;
    }
    if (status == EXIT_SUCCESS)
        say_set(options, &clients, settings, lasts_us);
    clients_free(&clients);
    return status;
}

/* ---- delete ---- */

static int delete_names(struct work *work, const char *const names[], size_t count)
{
    int64_t removed = 0;
    const char *why = override_store_delete(work->client, names, count, &removed);

    if (why)
        return failed(work, why);
    if (removed == 0) {
        fprintf(stderr, "%s: there is no such override; see override list\n",
                work->options->program);
        return EXIT_FAILURE;
    }
    if (work->options->json)
        printf("{\"deleted\":%" PRId64 "}\n", removed);
    else
        printf("%" PRId64 " override%s deleted; in force within two seconds\n", removed,
               removed == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

/* NAME alone is taken as it is, so that one which cannot be read can be deleted. */
static int delete (struct work *work)
{
    const struct options *options = work->options;
    struct clients clients;

    if (options->lasts)
        return usage(options, "delete takes no --for");
    if (options->operands.count != 2 && options->operands.count != 3)
        return usage(options, "delete needs LIMIT and KEY, or the NAME that override list shows");
    int status = begin(work);
    if (status != EXIT_SUCCESS)
        return status;
    if (options->operands.count == 2)
        return delete_names(work, &options->operands.text[1], 1);
    status = read_clients(work, options->operands.text[2], &clients);
    if (status != EXIT_SUCCESS)
        return status;
    status = delete_names(work, (const char *const *)clients.name, clients.count);
    clients_free(&clients);
    return status;
}

/* ---- list ---- */

static const char *const states[] = {"in force", "over", "foreign", "broken"};

/* A time on Redis's clock, on that of this host. */
static int64_t here_us(const struct stored_overrides *stored, int64_t us)
{
    double ago_s = clock_s() - stored->read_s;

    return us == 0 ? 0 : clock_unix_us() - (int64_t)(ago_s * 1e6) + us - stored->now_us;
}

/* The settings alone, of VALUE. */
static void settings_of(const char *value, char out[SETTINGS_SIZE])
{
    const char *end = strstr(value, " set=");

    snprintf(out, SETTINGS_SIZE, "%.*s", end ? (int)(end - value) : SETTINGS_SIZE - 1, value);
}

static void print_entry(const struct work *work, const struct stored_override *entry,
                        enum stored_state state, bool first)
{
    char settings[SETTINGS_SIZE], since[CLOCK_SHOWN_SIZE] = "-", until[CLOCK_SHOWN_SIZE] = "-";
    struct stored_times times;

    settings_of(entry->value, settings);
    stored_reader_times(entry->value, &times);
    int64_t since_us = here_us(work->stored, times.set_us);
    int64_t until_us = here_us(work->stored, times.until_us);
    if (work->options->json) {
        fputs(first ? "\n{\"name\":" : ",\n{\"name\":", stdout);
        json_string(stdout, entry->name);
        fputs(",\"settings\":", stdout);
        json_string(stdout, settings);
        fputs(",\"since\":", stdout);
        json_time(stdout, since_us);
        fputs(",\"until\":", stdout);
        json_time(stdout, until_us);
        printf(",\"state\":\"%s\"}", states[state]);
        return;
    }
    if (since_us > 0)
        clock_show(since_us, since);
    if (until_us > 0)
        clock_show(until_us, until);
    printf("%-30s %-9s %-19s  %-19s  %s\n", settings, states[state], since, until, entry->name);
}

static bool is_chosen(const struct options *options, const struct stored_override *entry)
{
    struct override_key key;

    return !options->limit ||
           (override_key_split(entry->name, &key) && strcmp(key.limit.text, options->limit) == 0);
}

static int list(struct work *work)
{
    const struct options *options = work->options;
    struct stored_sets sets;
    bool first = true;
    int status;

    if (options->operands.count > 1 || options->lasts)
        return usage(options, "list takes --limit NAME alone");
    status = begin(work);
    if (status != EXIT_SUCCESS)
        return status;
    stored_reader_read(work->stored, work->configured.limits, &sets);
    if (options->json)
        fputs("[", stdout);
    else
        printf("%-30s %-9s %-19s  %-19s  %s\n", "OVERRIDE", "STATE", "SINCE", "UNTIL", "NAME");
    for (size_t i = 0; i < work->stored->count; i++) {
        if (!is_chosen(options, &work->stored->entry[i]))
            continue;
        print_entry(work, &work->stored->entry[i], sets.state[i], first);
        first = false;
    }
    if (options->json)
        puts(first ? "]" : "\n]");
    if (sets.broken_count > 0)
        fprintf(stderr, "%s: processes refuse the stored overrides: %s\n", options->program,
                sets.problem);
    stored_reader_free(&sets, work->configured.limits->count);
    return EXIT_SUCCESS;
}

/* ---- Public ---- */

int override(const struct options *options)
{
    static const char *const words[] = {"set", "delete", "list"};
    static int (*const commands[])(struct work *) = {set, delete, list};
    const char *word = options->operands.count > 0 ? options->operands.text[0] : "";
    struct work work = {.options = options};
    char what[128], hint[SPELLING_HINT_SIZE];

    for (size_t i = 0; i < 3; i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        int status = commands[i](&work);
        end(&work);
        return status;
    }
    snprintf(what, sizeof what, "needs set, delete or list%s",
             word[0] ? spelling_hint(word, words, 3, hint) : "");
    return usage(options, what);
}
