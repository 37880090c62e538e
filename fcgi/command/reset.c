/* reset.c - buckets are removed from Redis: one that is not there is full. */
/* SPDX-License-Identifier: MIT */
#include "command/reset.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "command/buckets.h"
#include "command/look.h"
#include "store/redis_client.h"

#define BATCH 100 /* keys in one UNLINK */

/* Keys that are to be removed. */
struct batch {
    const char *limit; /* NULL: of every limit */
    size_t count, room;
    char **key; /* COUNT of them, owned */
};

static void say_failed(const struct options *options, const char *why)
{
    fprintf(stderr, "%s: redis: %s\n", options->program, why);
}

static int say_done(const struct options *options, size_t removed)
{
    if (options->json)
        printf("{\"reset\":%zu}\n", removed);
    else
        printf("%zu bucket%s filled; those that were full already are not counted\n", removed,
               removed == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

/* ---- One client ---- */

static const char *unlink_buckets(struct redis_client *client, const struct buckets *buckets,
                                  size_t *removed)
{
    const char *key[BATCH], *why = NULL;
    size_t count = 0;

    for (size_t i = 0; i < buckets->count && !why; i++) {
        key[count++] = buckets->bucket[i].charge.key;
        if (count < BATCH && i + 1 < buckets->count)
            continue;
        why = redis_client_unlink(client, key, count, removed);
        count = 0;
    }
    return why;
}

static int reset_client(const struct options *options)
{
    struct buckets buckets;
    size_t removed = 0;
    char error[512];
    int status = buckets_find(options, false, &buckets);

    if (status != EXIT_SUCCESS)
        return status;
    struct redis_client *client =
        redis_client_new(&buckets.redis, LOOK_TIMEOUT_MS, error, sizeof error);
    if (!client)
        fprintf(stderr, "%s: %s\n", options->program, error);
    const char *why = client ? unlink_buckets(client, &buckets, &removed) : NULL;
    if (why)
        say_failed(options, why);
    status = !client || why ? EXIT_FAILURE : say_done(options, removed);
    redis_client_free(client);
    buckets_free(&buckets);
    return status;
}

/* ---- Every client ---- */

/* Whether KEY is that of a bucket, rl:{IDENTITY}:NAME, of LIMIT (NULL: of any).  The last "}:" ends
 * the identity, because neither is in a name, and '}' is encoded in an identity. */
static bool is_bucket(const char *key, size_t len, const char *limit)
{
    static const char begin[] = "rl:{";
    const char *end = len < KEY_SIZE ? strstr(key, "}:") : NULL;

    if (!end || strlen(key) != len || strncmp(key, begin, sizeof begin - 1) != 0 || end[2] == '\0')
        return false;
    return !limit || strcmp(end + 2, limit) == 0;
}

static void keep(void *context, const char *key, size_t len)
{
    struct batch *batch = context;

    if (!is_bucket(key, len, batch->limit))
        return;
    if (batch->count == batch->room) {
        batch->room = batch->room ? 2 * batch->room : 1024;
        batch->key = memory_resize(batch->key, batch->room * sizeof(char *));
    }
    batch->key[batch->count++] = memory_text(key, len);
}

static const char *unlink_batch(struct redis_client *client, struct batch *batch, size_t *removed)
{
    const char *why = NULL;

    for (size_t i = 0; i < batch->count && !why; i += BATCH)
        why = redis_client_unlink(client, (const char *const *)&batch->key[i],
                                  batch->count - i < BATCH ? batch->count - i : BATCH, removed);
    for (size_t i = 0; i < batch->count; i++)
        free(batch->key[i]);
    batch->count = 0;
    return why;
}

/* Page by page, so that Redis serves others in between. */
static const char *unlink_all(struct redis_client *client, const char *limit, size_t *removed)
{
    struct batch batch = {.limit = limit};
    char cursor[24] = "0";
    const char *why;

    do {
        why = redis_client_scan(client, cursor, "rl:{*}:*", keep, &batch);
        if (!why)
            why = unlink_batch(client, &batch, removed);
    } while (!why && strcmp(cursor, "0") != 0);
    free(batch.key);
    return why;
}

/* Whether the person at the terminal agrees. */
static bool is_confirmed(const struct options *options, const char *shown)
{
    char answer[16] = "";

    if (options->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "%s: reset --all asks first; without a terminal, add --yes\n",
                options->program);
        return false;
    }
    printf("Fill every bucket of %s%s in redis %s? [y/N] ", options->limit ? "limit " : "every ",
           options->limit ? options->limit : "limit", shown);
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int reset_all(const struct options *options)
{
    struct buckets configured;
    char error[512], shown[REDIS_CONFIG_SHOWN_SIZE];
    size_t removed = 0;
    int status = buckets_configure(options, &configured);

    if (status != EXIT_SUCCESS)
        return status;
    struct redis_client *client = NULL;
    const char *why = NULL;
    if (is_confirmed(options, redis_config_show(&configured.redis, shown))) {
        client = redis_client_new(&configured.redis, LOOK_TIMEOUT_MS, error, sizeof error);
        if (!client)
            fprintf(stderr, "%s: %s\n", options->program, error);
        else if ((why = unlink_all(client, options->limit, &removed)))
            say_failed(options, why);
    }
    status = client && !why ? say_done(options, removed) : EXIT_FAILURE;
    redis_client_free(client);
    buckets_free(&configured);
    return status;
}

int reset(const struct options *options)
{
    if (options->all && (options->key || options->operands.count > 0)) {
        fprintf(stderr, "%s: --all is for every client; leave the request and --key out\n",
                options->program);
        return EXIT_USAGE;
    }
    return options->all ? reset_all(options) : reset_client(options);
}
