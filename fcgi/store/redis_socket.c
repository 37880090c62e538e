/* redis_socket.c - a socket to Redis: connect, write, read replies. */
/* SPDX-License-Identifier: MIT */
#include "store/redis_socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define REASON_SIZE 640   /* with the path of a file */
#define READ_BYTES  16384 /* what redisBufferRead takes at most; less means that nothing is left */

/* Close, and tell the owner why.  REASON may be text of the hiredis context. */
static void fail(struct redis_socket *socket, const char *reason, bool unfit)
{
    char kept[REASON_SIZE];

    snprintf(kept, sizeof kept, "%s", reason);
    redis_socket_close(socket);
    socket->events->closed(socket->context, kept, unfit);
}

/* Reading or writing has failed. */
static void fail_io(struct redis_socket *socket)
{
    bool reset = !socket->answered && (errno == ECONNRESET || errno == EPIPE);
    bool unfit = reset && socket->stream;
    char text[192], reason[REASON_SIZE];

    snprintf(text, sizeof text, "%s%s", socket->redis->errstr,
             reset ? tls_hint(socket->stream != NULL) : "");
    if (socket->stream)
        unfit |= tls_explain(socket->stream, text, reason, sizeof reason);
    fail(socket, socket->stream ? reason : text, unfit);
}

/* Handle the replies that have been read.  False if a callback has closed the connection. */
static bool handle_replies(struct redis_socket *socket)
{
    unsigned generation = socket->generation;

    for (;;) {
        switch (redis_reply_next(socket->redis->reader)) {
        case REDIS_REPLY_PARTIAL:
            return true;
        case REDIS_REPLY_UNFIT:
            fail(socket, "a reply that makes no sense", true);
            return false;
        case REDIS_REPLY_COMPLETE:
            socket->answered = true;
            socket->events->reply(socket->context, &socket->reply);
            if (socket->generation != generation)
                return false;
        }
    }
}

/* Whether what was read at the beginning of a reply is an alert of TLS (RFC 8446, 5.1): the server
 * has taken a command for a handshake. */
static bool is_alert(const redisReader *reader)
{
    return reader->len - reader->pos >= 2 && memcmp(reader->buf + reader->pos, "\x15\x03", 2) == 0;
}

static void shake(struct redis_socket *socket);

void redis_socket_read(struct redis_socket *socket)
{
    if (socket->shaking)
        shake(socket);
    if (!socket->redis || socket->connecting || socket->shaking || socket->reading)
        return;
    socket->reading = true;
    for (int i = 0; i < REDIS_SOCKET_READS_MAX; i++) {
        redisContext *redis = socket->redis;
        size_t before = redis->reader->len;

        if (redisBufferRead(redis) != REDIS_OK) {
            fail_io(socket);
            break;
        }
        size_t count = redis->reader->len - before;
        if (before == 0 && !socket->stream && is_alert(redis->reader)) {
            fail(socket, "the server speaks TLS; write an address with rediss://", true);
            break;
        }
        /* With TLS a read is one record, and more may have come. */
        if (count == 0 || !handle_replies(socket) || (count < READ_BYTES && !socket->stream))
            break;
    }
    socket->reading = false;
    if (socket->stream && tls_wants_write(socket->stream))
        ev_io_start(socket->loop, &socket->writable);
}

bool redis_socket_write(struct redis_socket *socket)
{
    int done = 0;

    if (!socket->redis)
        return false;
    if (!socket->gathered || ev_is_active(&socket->writable))
        return true;
    if (redisBufferWrite(socket->redis, &done) != REDIS_OK) {
        fail_io(socket);
        return false;
    }
    socket->gathered = !done;
    socket->write_needs_read = !done && socket->stream && tls_wants_read(socket->stream);
    if (!done && !socket->write_needs_read)
        ev_io_start(socket->loop, &socket->writable);
    return true;
}

/* Go on with the handshake of TLS, and wait for what it waits for. */
static void shake(struct redis_socket *socket)
{
    char reason[REASON_SIZE];

    switch (tls_handshake(socket->stream, reason, sizeof reason)) {
    case TLS_READY:
        socket->shaking = false;
        ev_io_stop(socket->loop, &socket->writable);
        socket->events->opened(socket->context);
        break;
    case TLS_WANTS_READ:
        ev_io_stop(socket->loop, &socket->writable);
        break;
    case TLS_WANTS_WRITE:
        ev_io_start(socket->loop, &socket->writable);
        break;
    case TLS_FAILED:
        fail(socket, reason, true);
    }
}

static void on_connected(struct redis_socket *socket)
{
    char reason[REASON_SIZE];
    int error = 0;

    if (getsockopt(socket->redis->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error}))
        error = errno;
    if (error != 0) {
        fail(socket, strerror(error), false);
        return;
    }
    socket->connecting = false;
    ev_io_start(socket->loop, &socket->readable);
    if (!socket->tls) {
        socket->events->opened(socket->context);
        return;
    }
    socket->stream = tls_attach(socket->tls, socket->redis, socket->host, reason, sizeof reason);
    if (!socket->stream) {
        fail(socket, reason, true);
        return;
    }
    socket->shaking = true;
    socket->events->accepted(socket->context);
    shake(socket);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct redis_socket *socket = watcher->data;

    (void)events;
    ev_io_stop(loop, watcher);
    if (socket->connecting)
        on_connected(socket);
    else if (socket->shaking)
        shake(socket);
    else if (redis_socket_write(socket) && socket->stream)
        redis_socket_read(socket); /* it may have waited to write */
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct redis_socket *socket = watcher->data;

    (void)loop, (void)events;
    redis_socket_read(socket);
    if (socket->write_needs_read)
        redis_socket_write(socket);
}

static void keep_alive(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, REDIS_SOCKET_KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, REDIS_SOCKET_KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, REDIS_SOCKET_KEEPALIVE_PROBES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, REDIS_SOCKET_USER_TIMEOUT_MS},
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                   sizeof options[i].value);
}

void redis_socket_init(struct redis_socket *socket, struct ev_loop *loop,
                       const struct redis_socket_events *events, void *context)
{
    *socket = (struct redis_socket){.loop = loop, .events = events, .context = context};
    ev_init(&socket->readable, on_readable);
    ev_init(&socket->writable, on_writable);
    /* Replies are read before more requests are: libev calls the watchers that are due by their
     * priority. */
    ev_set_priority(&socket->readable, EV_MAXPRI);
    ev_set_priority(&socket->writable, EV_MAXPRI);
    socket->readable.data = socket->writable.data = socket;
}

bool redis_socket_open(struct redis_socket *socket, const struct redis_place *place, char *reason,
                       size_t size)
{
    redisContext *redis = place->path ? redisConnectUnixNonBlock(place->path)
                                      : redisConnectNonBlock(place->ip, (int)place->port);

    assert(!socket->redis);
    if (!redis || redis->err) {
        snprintf(reason, size, "%s", redis ? redis->errstr : "out of memory");
        if (redis)
            redisFree(redis);
        return false;
    }
    if (!place->path)
        keep_alive(redis->fd);
    socket->redis = redis;
    socket->connecting = true;
    socket->gathered = false;
    socket->tls = place->tls;
    socket->host = place->host;
    redis_reply_store(redis->reader, &socket->reply);
    ev_io_set(&socket->readable, redis->fd, EV_READ);
    ev_io_set(&socket->writable, redis->fd, EV_WRITE);
    ev_io_start(socket->loop, &socket->writable); /* connected, or refused, is writable */
    return true;
}

bool redis_socket_is_shaking(const struct redis_socket *socket)
{
    return socket->shaking;
}

void redis_socket_command(struct redis_socket *socket, int argc, const char **argv,
                          const size_t *len)
{
    int status = redisAppendCommandArgv(socket->redis, argc, argv, len);

    assert(status == REDIS_OK); /* out of memory */
    (void)status;
    socket->gathered = true;
}

void redis_socket_close(struct redis_socket *socket)
{
    if (!socket->redis)
        return;
    ev_io_stop(socket->loop, &socket->readable);
    ev_io_stop(socket->loop, &socket->writable);
    redisFree(socket->redis);
    socket->redis = NULL;
    socket->stream = NULL; /* hiredis has freed it */
    socket->connecting = socket->shaking = false;
    socket->gathered = socket->write_needs_read = socket->answered = false;
    socket->generation++;
}
