/* redis_client.c - hiredis's blocking functions. */
/* SPDX-License-Identifier: MIT */
#include "store/redis_client.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/span.h"
#include "store/tls.h"

/* Keys and fields that one page looks at: Redis serves others within a millisecond. */
#define SCAN_COUNT  "1000"
#define HSCAN_COUNT "500"

struct redis_client {
    redisContext *redis;
    struct tls_stream *stream; /* of REDIS; NULL: without TLS */
    bool answered;             /* at least one reply has come */
    char prefix[REDIS_KEY_PREFIX_SIZE];
    char *key; /* the last one with the prefix, owned */
    char error[REDIS_TLS_PATH_SIZE + 128];
};

/* Keep why there is no reply. */
static void keep_broken(struct redis_client *client)
{
    bool reset = !client->answered && (errno == ECONNRESET || errno == EPIPE);
    char why[256];

    snprintf(why, sizeof why, "%s%s", client->redis->errstr,
             reset ? tls_hint(client->stream != NULL) : "");
    if (client->redis->err == REDIS_ERR_IO && strstr(why, "temporarily unavailable"))
        snprintf(client->error, sizeof client->error, "no reply in time");
    else if (client->stream)
        tls_explain(client->stream, why, client->error, sizeof client->error);
    else
        snprintf(client->error, sizeof client->error, "%s", why);
}

/* Keep what is wrong with REPLY, which is freed; NULL: with the connection.  Returns it. */
static const char *failed(struct redis_client *client, redisReply *reply)
{
    if (!reply)
        keep_broken(client);
    else
        snprintf(client->error, sizeof client->error, "%s",
                 reply->str ? reply->str : "an unexpected reply");
    freeReplyObject(reply);
    return client->error;
}

/* Run a command whose reply says only whether it worked. */
static const char *run(struct redis_client *client, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(client->redis, argc, argv, NULL);

    client->answered |= reply != NULL;
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
    if (address->user[0] != '\0')
        return run(client, 3, (const char *[]){"AUTH", address->user, address->password});
    if (address->password[0] != '\0')
        return run(client, 2, (const char *[]){"AUTH", address->password});
    return NULL;
}

static const char *select_database(struct redis_client *client, unsigned db)
{
    char text[16];

    snprintf(text, sizeof text, "%u", db);
    return db > 0 ? run(client, 2, (const char *[]){"SELECT", text}) : NULL;
}

/* Begin TLS, if ADDRESS says so. */
static const char *secure(struct redis_client *client, const struct redis_address *address,
                          const struct redis_tls *config)
{
    if (!address->tls)
        return NULL;
    struct tls *tls = tls_new(config);
    client->stream =
        tls_attach(tls, client->redis, address->host, client->error, sizeof client->error);
    tls_free(tls);
    return client->stream ? NULL : client->error;
}

struct redis_client *redis_client_connect(const struct redis_address *address,
                                          const struct redis_tls *tls, unsigned timeout_ms,
                                          char *error, size_t size)
{
    struct redis_client *client = memory_new(sizeof *client);
    const struct timeval timeout = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000 * 1000)};
    const char *why;

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
        why = secure(client, address, tls);
    if (!why)
        why = log_in(client, address);
    if (!why)
        return client;
    snprintf(error, size, "%s", why);
    redis_client_free(client);
    return NULL;
}

/* ---- Sentinels ---- */

/* Ask the Sentinel that CLIENT is connected to for the master NAME. */
static const char *get_master(struct redis_client *client, const char *name,
                              struct redis_address *out)
{
    redisReply *reply = redisCommandArgv(
        client->redis, 3, (const char *[]){"SENTINEL", "GET-MASTER-ADDR-BY-NAME", name}, NULL);
    unsigned port;

    if (reply && (reply->type == REDIS_REPLY_NIL ||
                  (reply->type == REDIS_REPLY_ARRAY && reply->elements == 0))) {
        freeReplyObject(reply);
        snprintf(client->error, sizeof client->error, "it knows no master '%s'", name);
        return client->error;
    }
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        (size_t)reply->element[0]->len >= sizeof out->host ||
        !span_is_number((struct span){reply->element[1]->str, (size_t)reply->element[1]->len},
                        65535, &port))
        return failed(client, reply);
    strcpy(out->host, reply->element[0]->str);
    out->port = port;
    freeReplyObject(reply);
    return NULL;
}

bool redis_client_find_master(const struct redis_config *config, unsigned *first,
                              unsigned timeout_ms, struct redis_address *out, char *error,
                              size_t size)
{
    char why[sizeof((struct redis_client *)0)->error], shown[REDIS_ADDRESS_SHOWN_SIZE];
    size_t len = 0;

    *out = config->address;
    error[0] = '\0';
    for (unsigned i = 0; i < config->server_count; i++) {
        unsigned which = (*first + i) % config->server_count;
        const struct redis_address *server = &config->server[which];
        struct redis_client *client =
            redis_client_connect(server, &config->tls, timeout_ms, why, sizeof why);
        const char *wrong = client ? get_master(client, config->master, out) : why;
        if (wrong && len < size)
            len += (size_t)snprintf(error + len, size - len, "%sSentinel %s: %s", i > 0 ? "; " : "",
                                    redis_address_show(server, shown), wrong);
        redis_client_free(client);
        if (!wrong) {
            *first = which;
            return true;
        }
    }
    return false;
}

const char *redis_client_subscribe(struct redis_client *client, const char *channel,
                                   const char *other)
{
    /* The confirmation of the second channel is read as a message of another kind. */
    return run(client, 3, (const char *[]){"SUBSCRIBE", channel, other});
}

int redis_client_fd(const struct redis_client *client)
{
    return client->redis->fd;
}

void redis_client_ping(struct redis_client *client)
{
    int done = 0;

    if (redisAppendCommand(client->redis, "PING") != REDIS_OK)
        return;
    while (!done && redisBufferWrite(client->redis, &done) == REDIS_OK)
        ;
}

/* With TLS a socket can have bytes and none of them for us: that is no error. */
static bool is_early(const redisContext *redis)
{
    return redis->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
}

const char *redis_client_messages(struct redis_client *client,
                                  void (*each)(void *context, const char *channel,
                                               const char *payload),
                                  void *context)
{
    void *object = NULL;

    if (redisBufferRead(client->redis) != REDIS_OK) {
        if (!is_early(client->redis))
            return failed(client, NULL);
        client->redis->err = 0;
    }
    while (redisReaderGetReply(client->redis->reader, &object) == REDIS_OK && object) {
        redisReply *reply = object;
        if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
            reply->element[0]->type == REDIS_REPLY_STRING &&
            reply->element[1]->type == REDIS_REPLY_STRING &&
            reply->element[2]->type == REDIS_REPLY_STRING &&
            strcmp(reply->element[0]->str, "message") == 0)
            each(context, reply->element[1]->str, reply->element[2]->str);
        freeReplyObject(reply);
    }
    return client->redis->reader->err ? "a reply that makes no sense" : NULL;
}

/* ---- Redis ---- */

/* Whether CLIENT is connected to a master: NULL; or what it is.  A server that does not say it
 * counts as one. */
static const char *judge_role(struct redis_client *client)
{
    redisReply *reply =
        redisCommandArgv(client->redis, 2, (const char *[]){"INFO", "replication"}, NULL);
    bool replica = reply && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "role:slave");

    if (!reply)
        return failed(client, NULL);
    freeReplyObject(reply);
    return replica ? "it is a replica, although the Sentinels call it the master" : NULL;
}

/* Connect to the one server of CONFIG, or to the master of its Sentinels. */
static struct redis_client *connect_to(const struct redis_config *config, unsigned timeout_ms,
                                       char *error, size_t size)
{
    struct redis_address address = config->address;
    unsigned first = 0;

    if (config->topology == REDIS_SENTINEL &&
        !redis_client_find_master(config, &first, timeout_ms, &address, error, size))
        return NULL;
    return redis_client_connect(&address, &config->tls, timeout_ms, error, size);
}

struct redis_client *redis_client_new(const struct redis_config *config, unsigned timeout_ms,
                                      char *error, size_t size)
{
    char why[sizeof((struct redis_client *)0)->error], shown[REDIS_CONFIG_SHOWN_SIZE];
    struct redis_client *client = connect_to(config, timeout_ms, why, sizeof why);
    const char *wrong = client ? NULL : why;

    if (client)
        strcpy(client->prefix, config->key_prefix);
    if (!wrong && config->topology == REDIS_SENTINEL)
        wrong = judge_role(client);
    if (!wrong)
        wrong = select_database(client, config->address.db);
    /* A command that take.lua uses, too, so that no access list forbids it. */
    if (!wrong)
        wrong = run(client, 1, (const char *[]){"TIME"});
    if (!wrong)
        return client;
    snprintf(error, size, "redis %s: %s", redis_config_show(config, shown), wrong);
    redis_client_free(client);
    return NULL;
}

/* ---- Commands ---- */

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
