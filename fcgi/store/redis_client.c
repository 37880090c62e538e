/* redis_client.c - hiredis's blocking functions. */
/* SPDX-License-Identifier: MIT */
#include "store/redis_client.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/tls.h"

/* Keys and fields that one page looks at: Redis serves others within a millisecond. */
#define SCAN_COUNT  "1000"
#define HSCAN_COUNT "500"

struct redis_client {
    redisContext *redis;
    char prefix[REDIS_KEY_PREFIX_SIZE];
    char *key; /* the last one with the prefix, owned */
    char error[REDIS_TLS_PATH_SIZE + 128];
};

/* Keep what is wrong with REPLY, which is freed; NULL: with the connection.  Returns it. */
static const char *failed(struct redis_client *client, redisReply *reply)
{
    const char *why = reply ? reply->str
                      : client->redis->err == REDIS_ERR_IO &&
                              strstr(client->redis->errstr, "temporarily unavailable")
                          ? "no reply in time"
                          : client->redis->errstr;

    snprintf(client->error, sizeof client->error, "%s", why ? why : "an unexpected reply");
    freeReplyObject(reply);
    return client->error;
}

/* Run a command whose reply says only whether it worked. */
static const char *run(struct redis_client *client, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(client->redis, argc, argv, NULL);

    if (!reply || reply->type == REDIS_REPLY_ERROR)
        return failed(client, reply);
    freeReplyObject(reply);
    return NULL;
}

/* KEY with the prefix; borrowed until the next call. */
static const char *prefixed(struct redis_client *client, const char *key)
{
    size_t size = strlen(client->prefix) + strlen(key) + 1;

    client->key = memory_resize(client->key, size);
    snprintf(client->key, size, "%s%s", client->prefix, key);
    return client->key;
}

static const char *log_in(struct redis_client *client, const struct redis_address *address)
{
    const char *error = NULL;
    char db[16];

    if (address->user[0] != '\0')
        error = run(client, 3, (const char *[]){"AUTH", address->user, address->password});
    else if (address->password[0] != '\0')
        error = run(client, 2, (const char *[]){"AUTH", address->password});
    snprintf(db, sizeof db, "%u", address->db);
    if (!error && address->db > 0)
        error = run(client, 2, (const char *[]){"SELECT", db});
    /* A command that take.lua uses, too, so that no access list forbids it. */
    return error ? error : run(client, 1, (const char *[]){"TIME"});
}

/* Begin TLS, if CONFIG says so. */
static const char *secure(struct redis_client *client, const struct redis_config *config)
{
    if (!config->address.tls)
        return NULL;
    struct tls *tls = tls_new(&config->tls);
    struct tls_stream *stream =
        tls_attach(tls, client->redis, config->address.host, client->error, sizeof client->error);
    tls_free(tls);
    return stream ? NULL : client->error;
}

struct redis_client *redis_client_new(const struct redis_config *config, unsigned timeout_ms,
                                      char *error, size_t size)
{
    const struct redis_address *address = &config->address;
    struct redis_client *client = memory_new(sizeof *client);
    const struct timeval timeout = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000 * 1000)};
    char shown[REDIS_CONFIG_SHOWN_SIZE];
    const char *why;

    strcpy(client->prefix, config->key_prefix);

    client->redis = address->path[0] != '\0'
                        ? redisConnectUnixWithTimeout(address->path, timeout)
                        : redisConnectWithTimeout(address->host, (int)address->port, timeout);
    if (!client->redis)
        why = "there is no memory";
    else if (client->redis->err)
        why = client->redis->errstr;
    else if (redisSetTimeout(client->redis, timeout) != REDIS_OK)
        why = failed(client, NULL);
    else
        why = secure(client, config);
    if (!why)
        why = log_in(client, address);
    if (!why)
        return client;
    snprintf(error, size, "redis %s: %s", redis_config_show(config, shown), why);
    redis_client_free(client);
    return NULL;
}

/* Read the page that SCAN or HSCAN has replied with: the next CURSOR, and at *ITEMS the COUNT
 * strings of the page, which REPLY owns.  False: it is something else. */
static bool read_page(const redisReply *reply, char cursor[24], redisReply ***items, size_t *count)
{
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len > 20 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    strcpy(cursor, reply->element[0]->str);
    *items = reply->element[1]->element;
    *count = reply->element[1]->elements;
    return true;
}

const char *redis_client_scan(struct redis_client *client, char cursor[24], const char *pattern,
                              void (*each)(void *context, const char *key, size_t len),
                              void *context)
{
    redisReply *reply = redisCommandArgv(
        client->redis, 6,
        (const char *[]){"SCAN", cursor, "MATCH", prefixed(client, pattern), "COUNT", SCAN_COUNT},
        NULL);
    size_t prefix_len = strlen(client->prefix);

    redisReply **items;
    size_t count;

    if (!read_page(reply, cursor, &items, &count))
        return failed(client, reply);
    for (size_t i = 0; i < count; i++)
        if ((size_t)items[i]->len >= prefix_len)
            each(context, items[i]->str + prefix_len, (size_t)items[i]->len - prefix_len);
    freeReplyObject(reply);
    return NULL;
}

const char *redis_client_unlink(struct redis_client *client, const char *const key[], size_t count,
                                size_t *removed)
{
    char **argv = memory_get((count + 1) * sizeof(char *));

    argv[0] = memory_text("UNLINK", 6);
    for (size_t i = 0; i < count; i++)
        argv[i + 1] = memory_text(prefixed(client, key[i]), SIZE_MAX);
    redisReply *reply = redisCommandArgv(client->redis, (int)count + 1, (const char **)argv, NULL);
    for (size_t i = 0; i <= count; i++)
        free(argv[i]);
    free(argv);
    if (!reply || reply->type != REDIS_REPLY_INTEGER)
        return failed(client, reply);
    *removed += (size_t)reply->integer;
    freeReplyObject(reply);
    return NULL;
}

const char *redis_client_hscan(struct redis_client *client, char cursor[24], const char *key,
                               void (*each)(void *context, const char *field, size_t field_len,
                                            const char *value, size_t value_len),
                               void *context)
{
    redisReply *reply = redisCommandArgv(
        client->redis, 5,
        (const char *[]){"HSCAN", prefixed(client, key), cursor, "COUNT", HSCAN_COUNT}, NULL);
    redisReply **items;
    size_t count;

    if (!read_page(reply, cursor, &items, &count))
        return failed(client, reply);
    for (size_t i = 0; i + 1 < count; i += 2)
        each(context, items[i]->str, (size_t)items[i]->len, items[i + 1]->str,
             (size_t)items[i + 1]->len);
    freeReplyObject(reply);
    return NULL;
}

const char *redis_client_hget(struct redis_client *client, const char *key, const char *field,
                              char *out, size_t size)
{
    redisReply *reply = redisCommandArgv(
        client->redis, 3, (const char *[]){"HGET", prefixed(client, key), field}, NULL);
    bool is_text = reply && reply->type == REDIS_REPLY_STRING && (size_t)reply->len < size;

    if (!is_text && (!reply || reply->type != REDIS_REPLY_NIL))
        return failed(client, reply);
    snprintf(out, size, "%s", is_text ? reply->str : "");
    freeReplyObject(reply);
    return NULL;
}

const char *redis_client_time(struct redis_client *client, int64_t *out_us)
{
    redisReply *reply = redisCommandArgv(client->redis, 1, (const char *[]){"TIME"}, NULL);

    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return failed(client, reply);
    *out_us = strtoll(reply->element[0]->str, NULL, 10) * 1000000 +
              strtoll(reply->element[1]->str, NULL, 10);
    freeReplyObject(reply);
    return NULL;
}

const char *redis_client_eval(struct redis_client *client, const char *script, size_t len,
                              const char *key, const char *const arguments[], size_t count,
                              int64_t *out)
{
    const char **argv = memory_get((count + 4) * sizeof(const char *));
    size_t *lens = memory_get((count + 4) * sizeof *lens);

    memcpy(argv, (const char *[]){"EVAL", script, "1", prefixed(client, key)}, 4 * sizeof *argv);
    for (size_t i = 0; i < count; i++)
        argv[4 + i] = arguments[i];
    for (size_t i = 0; i < count + 4; i++)
        lens[i] = argv[i] == script ? len : strlen(argv[i]);
    redisReply *reply = redisCommandArgv(client->redis, (int)count + 4, argv, lens);
    free(argv);
    free(lens);
    if (!reply || reply->type != REDIS_REPLY_INTEGER)
        return failed(client, reply);
    *out = reply->integer;
    freeReplyObject(reply);
    return NULL;
}

void redis_client_free(struct redis_client *client)
{
    if (!client)
        return;
    if (client->redis)
        redisFree(client->redis);
    free(client->key);
    free(client);
}
