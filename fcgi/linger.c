#include "linger.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct lingering {
    ev_io readable;
    ev_timer over;
};

static void end(struct ev_loop *loop, struct lingering *lingering)
{
    ev_io_stop(loop, &lingering->readable);
    ev_timer_stop(loop, &lingering->over);
    close(lingering->readable.fd);
    free(lingering);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    char thrown_away[65536];
    ssize_t len = recv(watcher->fd, thrown_away, sizeof thrown_away, MSG_DONTWAIT);

    (void)events;
    if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
        end(loop, watcher->data);
}

static void on_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    end(loop, watcher->data);
}

void linger(struct ev_loop *loop, int fd)
{
    if (fd < 0)
        return;
    struct lingering *lingering = malloc(sizeof *lingering);
    assert(lingering);
    ev_io_init(&lingering->readable, on_readable, fd, EV_READ);
    ev_timer_init(&lingering->over, on_over, LINGER_S, 0.);
    lingering->readable.data = lingering->over.data = lingering;
    ev_io_start(loop, &lingering->readable);
    ev_timer_start(loop, &lingering->over);
}
