/* drain.c - a queue of closing connections, ordered by deadline. */
/* SPDX-License-Identifier: MIT */
#include "front/drain.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

struct drained {
    struct drain *drain;
    ev_io readable;
    double until_s; /* the deadline, on clock_s */
    TAILQ_ENTRY(drained) entry;
};

TAILQ_HEAD(drained_queue, drained);

struct drain {
    struct ev_loop *loop;
    struct drained_queue queue; /* the oldest first */
    size_t count;
    ev_timer oldest; /* active while QUEUE is not empty */
    void (*emptied)(void *context);
    void *context;
};

static void end(struct drained *drained)
{
    struct drain *drain = drained->drain;

    ev_io_stop(drain->loop, &drained->readable);
    close(drained->readable.fd);
    TAILQ_REMOVE(&drain->queue, drained, entry);
    drain->count--;
    free(drained);
    if (drain->count == 0) {
        ev_timer_stop(drain->loop, &drain->oldest);
        drain->emptied(drain->context);
    }
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    char discarded[65536];
    ssize_t len = recv(watcher->fd, discarded, sizeof discarded, MSG_DONTWAIT);

    (void)loop, (void)events;
    if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
        end(watcher->data);
}

/* The timer was set for the connection that was the oldest then.  That one may have been closed
 * since; if so, restart the timer for the one that is the oldest now. */
static void on_oldest(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct drain *drain = watcher->data;
    struct drained *drained, *next;
    double now_s = clock_s();

    (void)events;
    for (drained = TAILQ_FIRST(&drain->queue); drained && drained->until_s <= now_s;
         drained = next) {
        next = TAILQ_NEXT(drained, entry);
        end(drained);
    }
    if (!drained)
        return;
    ev_timer_set(watcher, drained->until_s - now_s, 0.);
    ev_timer_start(loop, watcher);
}

struct drain *drain_new(struct ev_loop *loop, void (*emptied)(void *context), void *context)
{
    struct drain *drain = memory_new(sizeof *drain);

    drain->loop = loop;
    drain->emptied = emptied;
    drain->context = context;
    TAILQ_INIT(&drain->queue);
    ev_timer_init(&drain->oldest, on_oldest, DRAIN_S, 0.);
    drain->oldest.data = drain;
    return drain;
}

void drain_add(struct drain *drain, int fd)
{
    struct drained *drained = memory_get(sizeof *drained);

    shutdown(fd, SHUT_WR);
    drained->drain = drain;
    drained->until_s = clock_s() + DRAIN_S;
    ev_io_init(&drained->readable, on_readable, fd, EV_READ);
    drained->readable.data = drained;
    ev_io_start(drain->loop, &drained->readable);
    TAILQ_INSERT_TAIL(&drain->queue, drained, entry);
    if (drain->count++ == 0) {
        ev_timer_set(&drain->oldest, DRAIN_S, 0.);
        ev_timer_start(drain->loop, &drain->oldest);
    }
    if (drain->count > DRAIN_MAX)
        end(TAILQ_FIRST(&drain->queue));
}

bool drain_is_empty(const struct drain *drain)
{
    return drain->count == 0;
}

void drain_cut(struct drain *drain)
{
    struct drained *next;

    for (struct drained *drained = TAILQ_FIRST(&drain->queue); drained; drained = next) {
        next = TAILQ_NEXT(drained, entry);
        end(drained);
    }
}

void drain_free(struct drain *drain)
{
    if (!drain)
        return;
    drain_cut(drain);
    free(drain);
}
