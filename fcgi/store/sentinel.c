/* sentinel.c - a thread that asks Sentinels, and listens to all of them. */
/* SPDX-License-Identifier: MIT */
#include "store/sentinel.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "store/redis_client.h"

#define TIMEOUT_MS  300 /* of a connection to a Sentinel, and of each of its replies */
#define PING_S      1.0 /* a subscription without a message is asked whether it is alive ... */
#define SILENT_S    2.0 /* ... and given up after so long without any */
#define RETRY_MIN_S 0.5 /* between attempts to subscribe to one Sentinel: doubles from here ... */
#define RETRY_MAX_S 8.0 /* ... to here, because each can take TIMEOUT_MS */

/* The ear at one Sentinel. */
struct subscription {
    struct redis_client *client; /* NULL: none */
    double heard_s, pinged_s;    /* on clock_s, as the next one */
    double next_s;               /* when to try again */
    double retry_s;              /* how long after that; 0: the last one worked */
};

/* An answer on its way to the loop. */
struct news {
    bool fresh;
    struct sentinel_answer answer;
};

struct sentinel {
    struct ev_loop *loop;
    const struct sentinel_events *events;
    void *context;
    ev_async heard; /* the thread has something for the loop */
    pthread_t thread;
    bool has_thread;
    int wake_fd; /* eventfd: the loop has something for the thread */

    pthread_mutex_t lock; /* of what follows */
    bool stop, asked;
    struct news found, switched;

    /* The thread's own. */
    struct redis_config config;
    unsigned answered; /* the Sentinel that has answered last */
    struct subscription subscription[REDIS_SERVERS_MAX];
};

/* ---- What the thread tells the loop ---- */

/* NEWS, one of SENTINEL's, is ANSWER. */
static void tell(struct sentinel *sentinel, struct news *news, const struct sentinel_answer *answer)
{
    pthread_mutex_lock(&sentinel->lock);
    *news = (struct news){true, *answer};
    if (!sentinel->stop)
        ev_async_send(sentinel->loop, &sentinel->heard);
    pthread_mutex_unlock(&sentinel->lock);
}

/* Read what a Sentinel has published on CHANNEL about the master NAME into *OUT.  False: it is
 * about another master.
 *   +switch-master   NAME OLD-IP OLD-PORT IP PORT
 *   +promoted-slave  slave ID IP PORT @ NAME OLD-IP OLD-PORT
 * The second is published by the Sentinel that leads the failover as soon as it has seen that the
 * replica is a master, which is up to seconds before the first.  From then on what the old master
 * is told is lost. */
static bool read_switch(const char *channel, const char *payload, const char *name,
                        struct sentinel_answer *out)
{
    char master[REDIS_MASTER_SIZE] = "";
    int count;

    *out = (struct sentinel_answer){.port = 0};
    if (strcmp(channel, "+switch-master") == 0)
        count = sscanf(payload, "%127s %*255s %*u %255s %u", master, out->host, &out->port);
    else
        count = sscanf(payload, "slave %*s %255s %u @ %127s", out->host, &out->port, master);
    return count == 3 && strcmp(master, name) == 0 && out->port >= 1 && out->port <= 65535;
}

static void on_message(void *context, const char *channel, const char *payload)
{
    struct sentinel *sentinel = context;
    struct sentinel_answer answer;

    if (read_switch(channel, payload, sentinel->config.master, &answer))
        tell(sentinel, &sentinel->switched, &answer);
}

/* ---- The thread ---- */

static void ask(struct sentinel *sentinel)
{
    struct sentinel_answer answer = {.port = 0};
    struct redis_address master;

    if (redis_client_find_master(&sentinel->config, &sentinel->answered, TIMEOUT_MS, &master,
                                 answer.error, sizeof answer.error)) {
        strcpy(answer.host, master.host);
        answer.port = master.port;
    }
    tell(sentinel, &sentinel->found, &answer);
}

static void unsubscribe(struct subscription *subscription)
{
    redis_client_free(subscription->client);
    subscription->client = NULL;
    subscription->retry_s = subscription->retry_s > 0 ? 2 * subscription->retry_s : RETRY_MIN_S;
    if (subscription->retry_s > RETRY_MAX_S)
        subscription->retry_s = RETRY_MAX_S;
    subscription->next_s = clock_s() + subscription->retry_s;
}

/* A switch that happened before there was a subscription was not heard: ask for the master that
 * Sentinel I has now. */
static void catch_up(struct sentinel *sentinel, unsigned i)
{
    struct redis_config one = sentinel->config;
    struct sentinel_answer answer = {.port = 0};
    struct redis_address master;
    unsigned first = 0;

    one.server[0] = one.server[i];
    one.server_count = 1;
    if (!redis_client_find_master(&one, &first, TIMEOUT_MS, &master, answer.error,
                                  sizeof answer.error))
        return;
    strcpy(answer.host, master.host);
    answer.port = master.port;
    tell(sentinel, &sentinel->switched, &answer);
}

/* Try to subscribe to Sentinel I. */
static void subscribe(struct sentinel *sentinel, unsigned i)
{
    struct subscription *subscription = &sentinel->subscription[i];
    char error[512];

    subscription->client = redis_client_connect(&sentinel->config.server[i], &sentinel->config.tls,
                                                TIMEOUT_MS, error, sizeof error);
    if (!subscription->client ||
        redis_client_subscribe(subscription->client, "+switch-master", "+promoted-slave")) {
        unsubscribe(subscription);
        return;
    }
    subscription->heard_s = subscription->pinged_s = clock_s();
    subscription->retry_s = 0;
    catch_up(sentinel, i);
}

/* Handle what has come from a Sentinel. */
static void listen_to(struct sentinel *sentinel, struct subscription *subscription)
{
    subscription->heard_s = clock_s();
    if (redis_client_messages(subscription->client, on_message, sentinel))
        unsubscribe(subscription);
}

/* Ping a silent subscription, and give up one that stays silent. */
static void judge_silence(struct subscription *subscription)
{
    double now_s = clock_s();

    if (!subscription->client)
        return;
    if (now_s >= subscription->heard_s + SILENT_S) {
        unsubscribe(subscription);
    } else if (now_s >= subscription->heard_s + PING_S &&
               subscription->pinged_s <= subscription->heard_s) {
        subscription->pinged_s = now_s;
        redis_client_ping(subscription->client);
    }
}

/* Subscribe to at most one Sentinel, because the loop may ask meanwhile; give up silent ones. */
static void tend(struct sentinel *sentinel)
{
    bool tried = false;

    for (unsigned i = 0; i < sentinel->config.server_count; i++) {
        struct subscription *subscription = &sentinel->subscription[i];

        judge_silence(subscription);
        if (!tried && !subscription->client && clock_s() >= subscription->next_s) {
            tried = true;
            subscribe(sentinel, i);
        }
    }
}

/* Take what the loop wants.  Returns whether to go on. */
static bool take_orders(struct sentinel *sentinel, bool *asked)
{
    pthread_mutex_lock(&sentinel->lock);
    bool stop = sentinel->stop;
    *asked = sentinel->asked;
    sentinel->asked = false;
    pthread_mutex_unlock(&sentinel->lock);
    return !stop;
}

/* How long to wait: not at all if a subscription is to be tried now. */
static int patience_ms(const struct sentinel *sentinel)
{
    for (unsigned i = 0; i < sentinel->config.server_count; i++)
        if (!sentinel->subscription[i].client && clock_s() >= sentinel->subscription[i].next_s)
            return 0;
    return (int)(RETRY_MIN_S * 1e3);
}

/* Wait for an order, a message, or for a time at which something is due. */
static void wait(struct sentinel *sentinel)
{
    struct pollfd fds[1 + REDIS_SERVERS_MAX] = {{.fd = sentinel->wake_fd, .events = POLLIN}};
    unsigned count = sentinel->config.server_count;
    uint64_t orders;

    for (unsigned i = 0; i < count; i++) {
        struct redis_client *client = sentinel->subscription[i].client;
        fds[1 + i] = (struct pollfd){client ? redis_client_fd(client) : -1, POLLIN, 0};
    }
    if (poll(fds, 1 + count, patience_ms(sentinel)) <= 0)
        return;
    if (fds[0].revents && read(sentinel->wake_fd, &orders, sizeof orders) < 0)
        return;
    for (unsigned i = 0; i < count; i++)
        if (fds[1 + i].revents)
            listen_to(sentinel, &sentinel->subscription[i]);
}

static void *run(void *context)
{
    struct sentinel *sentinel = context;
    bool asked;

    while (take_orders(sentinel, &asked)) {
        if (asked)
            ask(sentinel);
        else
            tend(sentinel);
        wait(sentinel);
    }
    for (unsigned i = 0; i < sentinel->config.server_count; i++)
        redis_client_free(sentinel->subscription[i].client);
    return NULL;
}

/* ---- The loop ---- */

static void on_heard(struct ev_loop *loop, ev_async *watcher, int events)
{
    struct sentinel *sentinel = watcher->data;
    struct news found, switched;

    (void)loop, (void)events;
    pthread_mutex_lock(&sentinel->lock);
    found = sentinel->found;
    switched = sentinel->switched;
    sentinel->found.fresh = sentinel->switched.fresh = false;
    pthread_mutex_unlock(&sentinel->lock);
    if (found.fresh)
        sentinel->events->found(sentinel->context, &found.answer);
    if (switched.fresh)
        sentinel->events->switched(sentinel->context, &switched.answer);
}

static void wake(struct sentinel *sentinel)
{
    const uint64_t one = 1;
    ssize_t written = write(sentinel->wake_fd, &one, sizeof one);

    (void)written; /* a full counter wakes the thread as well */
}

struct sentinel *sentinel_new(struct ev_loop *loop, const struct redis_config *config,
                              const struct sentinel_events *events, void *context)
{
    struct sentinel *sentinel = memory_new(sizeof *sentinel);

    sentinel->loop = loop;
    sentinel->config = *config;
    sentinel->events = events;
    sentinel->context = context;
    pthread_mutex_init(&sentinel->lock, NULL);
    ev_async_init(&sentinel->heard, on_heard);
    sentinel->heard.data = sentinel;
    ev_async_start(loop, &sentinel->heard);
    sentinel->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sentinel->has_thread = sentinel->wake_fd >= 0 && thread_start(&sentinel->thread, run, sentinel);
    return sentinel;
}

void sentinel_ask(struct sentinel *sentinel)
{
    const struct sentinel_answer no_thread = {.error = "there is no thread to ask the Sentinels"};

    if (!sentinel->has_thread) {
        tell(sentinel, &sentinel->found, &no_thread);
        return;
    }
    pthread_mutex_lock(&sentinel->lock);
    sentinel->asked = true;
    pthread_mutex_unlock(&sentinel->lock);
    wake(sentinel);
}

/* Let the thread end.  False: it is busy, because looking a name up can take seconds. */
static bool end_thread(struct sentinel *sentinel)
{
    struct timespec until;

    pthread_mutex_lock(&sentinel->lock);
    sentinel->stop = true;
    pthread_mutex_unlock(&sentinel->lock);
    wake(sentinel);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    return pthread_timedjoin_np(sentinel->thread, NULL, &until) == 0;
}

void sentinel_free(struct sentinel *sentinel)
{
    if (!sentinel)
        return;
    ev_async_stop(sentinel->loop, &sentinel->heard);
    if (sentinel->has_thread && !end_thread(sentinel))
        return; /* it is the thread's, and the process is about to end */
    if (sentinel->wake_fd >= 0)
        close(sentinel->wake_fd);
    pthread_mutex_destroy(&sentinel->lock);
    free(sentinel);
}
