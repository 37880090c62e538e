/* connection.c - a socket to Redis: connect, write, read replies. */
/* SPDX-License-Identifier: MIT */
#include "store/connection.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define READ_BYTES 16384 /* what redisBufferRead takes at most; less means that nothing is left */

/* Close, and tell the owner why.  REASON may be text of the hiredis context. */
static void fail(struct connection *connection, const char *reason, bool unfit)
{
    char kept[128];

    snprintf(kept, sizeof kept, "%s", reason);
    connection_close(connection);
    connection->events->closed(connection->context, kept, unfit);
}

/* Handle the replies that have been read.  False if the connection is no longer the one that it
 * was. */
static bool handle_replies(struct connection *connection)
{
    unsigned generation = connection->generation;

    for (;;) {
        switch (redis_reply_next(connection->redis->reader)) {
        case REDIS_REPLY_PARTIAL:
            return true;
        case REDIS_REPLY_UNFIT:
            fail(connection, "a reply that makes no sense", true);
            return false;
        case REDIS_REPLY_COMPLETE:
            connection->events->reply(connection->context, &connection->reply);
            if (connection->generation != generation)
                return false;
        }
    }
}

void connection_read(struct connection *connection)
{
    if (!connection->redis || connection->connecting || connection->reading)
        return;
    connection->reading = true;
    for (int i = 0; i < CONNECTION_READS_MAX; i++) {
        redisContext *redis = connection->redis;
        size_t before = redis->reader->len;

        if (redisBufferRead(redis) != REDIS_OK) {
            fail(connection, redis->errstr, false);
            break;
        }
        size_t count = redis->reader->len - before;
        if (count == 0 || !handle_replies(connection) || count < READ_BYTES)
            break;
    }
    connection->reading = false;
}

bool connection_write(struct connection *connection)
{
    int done = 0;

    if (!connection->redis)
        return false;
    if (!connection->gathered || ev_is_active(&connection->writable))
        return true;
    if (redisBufferWrite(connection->redis, &done) != REDIS_OK) {
        fail(connection, connection->redis->errstr, false);
        return false;
    }
    connection->gathered = !done;
    if (!done)
        ev_io_start(connection->loop, &connection->writable);
    return true;
}

static void on_connected(struct connection *connection)
{
    int error = 0;

    if (getsockopt(connection->redis->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error}))
        error = errno;
    if (error != 0) {
        fail(connection, strerror(error), false);
        return;
    }
    connection->connecting = false;
    ev_io_start(connection->loop, &connection->readable);
    connection->events->opened(connection->context);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct connection *connection = watcher->data;

    (void)events;
    ev_io_stop(loop, watcher);
    if (connection->connecting)
        on_connected(connection);
    else
        connection_write(connection);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    connection_read(watcher->data);
}

static void keep_alive(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, CONNECTION_KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, CONNECTION_KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, CONNECTION_KEEPALIVE_PROBES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, CONNECTION_USER_TIMEOUT_MS},
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                   sizeof options[i].value);
}

void connection_init(struct connection *connection, struct ev_loop *loop,
                     const struct connection_events *events, void *context)
{
    *connection = (struct connection){.loop = loop, .events = events, .context = context};
    ev_init(&connection->readable, on_readable);
    ev_init(&connection->writable, on_writable);
    /* Replies are read before more requests are: libev calls the watchers that are due by their
     * priority. */
    ev_set_priority(&connection->readable, EV_MAXPRI);
    ev_set_priority(&connection->writable, EV_MAXPRI);
    connection->readable.data = connection->writable.data = connection;
}

bool connection_open(struct connection *connection, const char *path, const char *ip, unsigned port,
                     char *reason, size_t size)
{
    redisContext *redis =
        path ? redisConnectUnixNonBlock(path) : redisConnectNonBlock(ip, (int)port);

    assert(!connection->redis);
    if (!redis || redis->err) {
        snprintf(reason, size, "%s", redis ? redis->errstr : "out of memory");
        if (redis)
            redisFree(redis);
        return false;
    }
    if (!path)
        keep_alive(redis->fd);
    connection->redis = redis;
    connection->connecting = true;
    connection->gathered = false;
    redis_reply_store(redis->reader, &connection->reply);
    ev_io_set(&connection->readable, redis->fd, EV_READ);
    ev_io_set(&connection->writable, redis->fd, EV_WRITE);
    ev_io_start(connection->loop, &connection->writable); /* connected, or refused, is writable */
    return true;
}

bool connection_is_open(const struct connection *connection)
{
    return connection->redis != NULL;
}

void connection_command(struct connection *connection, int argc, const char **argv,
                        const size_t *len)
{
    int status = redisAppendCommandArgv(connection->redis, argc, argv, len);

    assert(status == REDIS_OK); /* out of memory */
    (void)status;
    connection->gathered = true;
}

void connection_close(struct connection *connection)
{
    if (!connection->redis)
        return;
    ev_io_stop(connection->loop, &connection->readable);
    ev_io_stop(connection->loop, &connection->writable);
    redisFree(connection->redis);
    connection->redis = NULL;
    connection->connecting = connection->gathered = false;
    connection->generation++;
}
