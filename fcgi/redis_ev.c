#include "redis_ev.h"

#include <assert.h>
#include <string.h>

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct redis_ev *ev = watcher->data;

    (void)loop, (void)events;
    redisAsyncHandleRead(ev->context);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct redis_ev *ev = watcher->data;

    (void)loop, (void)events;
    redisAsyncHandleWrite(ev->context);
}

static void on_flush(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    struct redis_ev *ev = watcher->data;

    (void)events;
    if (!ev->wants_write || ev_is_active(&ev->writable))
        return;
    redisAsyncHandleWrite(ev->context);
    if (ev->wants_write) /* the socket is full: go on when it is not */
        ev_io_start(loop, &ev->writable);
}

static void add_read(void *data)
{
    struct redis_ev *ev = data;

    ev_io_start(ev->loop, &ev->readable);
}

static void delete_read(void *data)
{
    struct redis_ev *ev = data;

    ev_io_stop(ev->loop, &ev->readable);
}

static void add_write(void *data)
{
    struct redis_ev *ev = data;

    ev->wants_write = true;
}

static void delete_write(void *data)
{
    struct redis_ev *ev = data;

    ev->wants_write = false;
    ev_io_stop(ev->loop, &ev->writable);
}

static void clean_up(void *data)
{
    delete_read(data);
    delete_write(data);
}

void redis_ev_start(struct redis_ev *ev, struct ev_loop *loop)
{
    *ev = (struct redis_ev){.loop = loop};
    ev_init(&ev->readable, on_readable);
    ev_init(&ev->writable, on_writable);
    ev_prepare_init(&ev->flush, on_flush);
    ev->readable.data = ev->writable.data = ev->flush.data = ev;
    ev_prepare_start(loop, &ev->flush);
}

void redis_ev_attach(struct redis_ev *ev, redisAsyncContext *context)
{
    assert(!ev->context);
    ev->context = context;
    ev_io_set(&ev->readable, context->c.fd, EV_READ);
    ev_io_set(&ev->writable, context->c.fd, EV_WRITE);
    context->ev.addRead = add_read;
    context->ev.delRead = delete_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = delete_write;
    context->ev.cleanup = clean_up;
    context->ev.data = ev;
    ev_io_start(ev->loop, &ev->writable); /* connected, or refused, shows as writable */
}

void redis_ev_detach(struct redis_ev *ev)
{
    if (!ev->context)
        return;
    clean_up(ev);
    memset(&ev->context->ev, 0, sizeof ev->context->ev);
    ev->context = NULL;
}

void redis_ev_stop(struct redis_ev *ev)
{
    redis_ev_detach(ev);
    ev_prepare_stop(ev->loop, &ev->flush);
}
