/* proxy.c - each connection is a pair of sockets, with a queue for each direction. */
/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fcgi_client.h"
#include "load.h"

enum { PAIRS_MAX = 64, PIECE_SIZE = 65536, LOOK_MS = 1 };

struct piece {
    struct piece *next;
    int64_t due_us;
    size_t len;
    char bytes[];
};

struct queue {
    struct piece *first, *last;
};

/* A connection of a program; fd[PROXY_REQUESTS] is the program's end.  An unused pair has -1. */
struct pair {
    int fd[2];
    struct queue queue[2]; /* by direction */
};

struct proxy {
    char redis_path[SERVERS_PATH_SIZE];
    int listener;
    pthread_t thread;
    atomic_bool stop, cut, hold[2];
    atomic_int delay_ms;
    struct pair pairs[PAIRS_MAX];
};

static void close_pair(struct pair *pair)
{
    for (int side = 0; side < 2; side++) {
        for (struct piece *piece; (piece = pair->queue[side].first);) {
            pair->queue[side].first = piece->next;
            free(piece);
        }
        close(pair->fd[side]);
        pair->fd[side] = -1;
    }
}

static void accept_one(struct proxy *proxy)
{
    int fd = accept(proxy->listener, NULL, NULL), redis = fcgi_client_connect(proxy->redis_path);
    size_t i = 0;

    while (i < PAIRS_MAX && proxy->pairs[i].fd[0] >= 0)
        i++;
    if (fd >= 0 && redis >= 0 && i < PAIRS_MAX) {
        proxy->pairs[i] = (struct pair){.fd = {fd, redis}};
        return;
    }
    if (fd >= 0)
        close(fd);
    if (redis >= 0)
        close(redis);
}

/* Read from SIDE of PAIR.  Returns false if the connection is over. */
static bool take(struct proxy *proxy, struct pair *pair, int side)
{
    char bytes[PIECE_SIZE];
    struct queue *queue = &pair->queue[side];
    ssize_t got = recv(pair->fd[side], bytes, sizeof bytes, MSG_DONTWAIT);

    if (got <= 0)
        return false;
    if (side == PROXY_REPLIES && proxy->cut) {
        send(pair->fd[PROXY_REQUESTS], bytes, (size_t)got / 2, MSG_NOSIGNAL);
        return false;
    }
    struct piece *piece = malloc(sizeof *piece + (size_t)got);
    if (!piece)
        abort();
    *piece = (struct piece){.due_us = load_now_us() + proxy->delay_ms * INT64_C(1000),
                            .len = (size_t)got};
    memcpy(piece->bytes, bytes, piece->len);
    if (queue->first)
        queue->last->next = piece;
    else
        queue->first = piece;
    queue->last = piece;
    return true;
}

/* Deliver what is due to the other side.  Returns false if the connection is over. */
static bool deliver(const struct proxy *proxy, struct pair *pair, int side)
{
    struct queue *queue = &pair->queue[side];
    int64_t now_us = load_now_us();

    while (queue->first && !proxy->hold[side] && queue->first->due_us <= now_us) {
        struct piece *piece = queue->first;
        bool sent =
            send(pair->fd[!side], piece->bytes, piece->len, MSG_NOSIGNAL) == (ssize_t)piece->len;
        queue->first = piece->next;
        free(piece);
        if (!sent)
            return false;
    }
    return true;
}

static void serve_pair(struct proxy *proxy, struct pair *pair, const struct pollfd looks[2])
{
    bool open = true;

    for (int side = 0; side < 2 && open; side++)
        open = (looks[side].revents == 0 || take(proxy, pair, side)) && deliver(proxy, pair, side);
    if (!open)
        close_pair(pair);
}

static void *run(void *context)
{
    struct proxy *proxy = context;
    struct pollfd looks[2 * PAIRS_MAX + 1];

    while (!proxy->stop) {
        for (size_t i = 0; i < PAIRS_MAX; i++)
            for (size_t side = 0; side < 2; side++)
                looks[2 * i + side] =
                    (struct pollfd){.fd = proxy->pairs[i].fd[side], .events = POLLIN};
        looks[2 * PAIRS_MAX] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
        if (poll(looks, 2 * PAIRS_MAX + 1, LOOK_MS) < 0)
            continue;
        for (size_t i = 0; i < PAIRS_MAX; i++)
            if (proxy->pairs[i].fd[0] >= 0)
                serve_pair(proxy, &proxy->pairs[i], &looks[2 * i]);
        if (looks[2 * PAIRS_MAX].revents)
            accept_one(proxy);
    }
    return NULL;
}

struct proxy *proxy_start(const char *listen_path, const char *redis_path)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!proxy)
        abort();
    snprintf(proxy->redis_path, sizeof proxy->redis_path, "%s", redis_path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", listen_path);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        proxy->pairs[i].fd[0] = proxy->pairs[i].fd[1] = -1;
    proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy->listener < 0 ||
        bind(proxy->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(proxy->listener, PAIRS_MAX) < 0 ||
        pthread_create(&proxy->thread, NULL, run, proxy) != 0) {
        perror(listen_path);
        exit(2);
    }
    return proxy;
}

void proxy_stop(struct proxy *proxy)
{
    if (!proxy)
        return;
    proxy->stop = true;
    pthread_join(proxy->thread, NULL);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        if (proxy->pairs[i].fd[0] >= 0)
            close_pair(&proxy->pairs[i]);
    close(proxy->listener);
    free(proxy);
}

void proxy_delay(struct proxy *proxy, int ms)
{
    proxy->delay_ms = ms;
}

void proxy_hold(struct proxy *proxy, enum proxy_direction direction, bool hold)
{
    proxy->hold[direction] = hold;
}

void proxy_cut(struct proxy *proxy, bool cut)
{
    proxy->cut = cut;
}
