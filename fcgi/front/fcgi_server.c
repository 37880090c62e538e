/* fcgi_server.c - each connection is a peer, in the state that says what it waits for; only
 * settle() changes that state. */
/* SPDX-License-Identifier: MIT */
#include "front/fcgi_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "front/drain.h"
#include "front/fcgi_head.h"
#include "front/fcgi_request.h"
#include "front/listener.h"
#include "base/log.h"

/* Connections accepted in one wake-up before open connections get a turn. */
#define ACCEPTS_PER_WAKE FCGI_SERVER_BATCH
/* Seconds to wait after accept has failed, for lack of memory for example, because an immediate
 * retry would only use CPU time. */
#define ACCEPT_PAUSE_S 0.1
/* Seconds between two checks for peers whose time is over. */
#define SWEEP_S 0.25
/* Bytes that are read from one peer before the others get a turn. */
#define INPUT_SIZE 65536
/* Incomplete requests that are dropped at once when there are no descriptors for a new
 * connection. */
#define HEADS_CUT 16
/* Seconds before an incomplete request may be dropped; a normal one is complete within
 * milliseconds. */
#define HEAD_GRACE_S 1.0

enum peer_state {
    PEER_HEAD,      /* waiting for a head, with a time limit */
    PEER_IN_FLIGHT, /* waiting for the decision on its request */
    PEER_WRITING,   /* waiting until the peer reads what was sent */
    PEER_BODY,      /* answered and kept; waiting for the end of the body */
    PEER_IDLE,      /* kept open, without a request */
    PEER_STATES,
};

/* A connection. */
struct peer {
    struct fcgi_server *server;
    TAILQ_ENTRY(peer) entry; /* in the queue of its state */
    enum peer_state state;
    double since_s; /* when it entered its state, on clock_s */
    ev_io io;       /* active while the descriptor is watched */
    int fd;
    struct fcgi_head head;
    /* the parameters of an incomplete head; NULL: there are none */
    unsigned char *partial;
    struct fcgi_request *request; /* waiting for its answer; NULL: there is none */
    char *unsent;                 /* UNSENT_LEN bytes; NULL: there are none */
    size_t unsent_len;
    bool reading;  /* its input is being processed; settle is called afterwards */
    bool ended;    /* the peer sends no more */
    bool broken;   /* the peer has sent something that is not FastCGI */
    bool failed;   /* sending to it has failed */
    bool closing;  /* no more requests are read from it */
    bool last;     /* close it instead of keeping it idle */
    bool answered; /* an answer was sent: it is not a new connection */
};

TAILQ_HEAD(peer_queue, peer);

struct fcgi_server {
    struct ev_loop *loop;
    int listen_fd;
    bool is_unix; /* whether the listening socket is a unix socket */
    fcgi_server_handler *handler;
    fcgi_server_batch *batch;
    unsigned batch_count; /* requests since the last call of BATCH */
    void *context;
    ev_io readable;
    ev_timer pause, sweep;
    struct peer_queue peers[PEER_STATES]; /* by state, the oldest first */
    struct drain *drain;
    size_t partial_bytes; /* in PARTIAL of all peers */
    size_t open_count;
    uint64_t accepted_count;
    bool stopping, broken_logged, descriptors_logged, accept_failed;
    void (*idle)(void *context); /* NULL until all waiting connections are accepted */
    void *idle_context;
    unsigned char params[FCGI_HEAD_SIZE]; /* of the head that is being read */
    char input[INPUT_SIZE];
};

static void on_io(struct ev_loop *loop, ev_io *watcher, int events);

/* ---- A peer's resources ---- */

static struct peer *peer_new(struct fcgi_server *server, int fd)
{
    struct peer *peer = memory_new(sizeof *peer);

    peer->server = server;
    peer->fd = fd;
    peer->since_s = clock_s();
    server->accepted_count++;
    server->open_count++;
    ev_init(&peer->io, on_io);
    peer->io.data = peer;
    TAILQ_INSERT_TAIL(&server->peers[PEER_HEAD], peer, entry);
    return peer;
}

static void partial_free(struct peer *peer)
{
    if (!peer->partial)
        return;
    peer->server->partial_bytes -= peer->head.params_len;
    free(peer->partial);
    peer->partial = NULL;
}

/* Free PEER, but leave its descriptor open. */
static void peer_free(struct peer *peer)
{
    ev_io_stop(peer->server->loop, &peer->io);
    peer->server->open_count--;
    TAILQ_REMOVE(&peer->server->peers[peer->state], peer, entry);
    partial_free(peer);
    free(peer->unsent);
    fcgi_request_free(peer->request);
    free(peer);
}

static void peer_close(struct peer *peer)
{
    int fd = peer->fd;

    peer_free(peer);
    close(fd);
}

/* Close the connection through the drain, so that the peer can read what was sent to it although
 * some of its own input was not read.  The descriptor itself is handed over, not a copy: while a
 * copy is open, epoll keeps reporting the closed one, and libev would recreate its epoll set for
 * every connection. */
static void peer_drain(struct peer *peer)
{
    struct drain *drain = peer->server->drain;
    int fd = peer->fd;

    peer_free(peer);
    drain_add(drain, fd);
}

/* Watch the connection for EVENTS; 0 stops watching. */
static void watch(struct peer *peer, int events)
{
    struct ev_loop *loop = peer->server->loop;
    int watched = ev_is_active(&peer->io) ? peer->io.events & (EV_READ | EV_WRITE) : 0;

    if (watched == events)
        return;
    ev_io_stop(loop, &peer->io);
    ev_io_set(&peer->io, peer->fd, events);
    if (events)
        ev_io_start(loop, &peer->io);
}

/* ---- Output ---- */

static void unsent_add(struct peer *peer, const char *text, size_t len)
{
    peer->unsent = memory_resize(peer->unsent, peer->unsent_len + len);
    memcpy(peer->unsent + peer->unsent_len, text, len);
    peer->unsent_len += len;
}

/* Send as much as the socket takes.  Returns the number of bytes. */
static size_t send_some(struct peer *peer, const char *text, size_t len)
{
    ssize_t sent = send(peer->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        peer->failed = true;
    return sent > 0 ? (size_t)sent : 0;
}

/* An fcgi_write: send TEXT, and keep what the socket does not take. */
static void peer_write(void *context, const char *text, size_t len)
{
    struct peer *peer = context;
    size_t sent = peer->unsent || peer->failed ? 0 : send_some(peer, text, len);

    if (sent < len && !peer->failed)
        unsent_add(peer, text + sent, len - sent);
}

static void send_unsent(struct peer *peer)
{
    size_t sent = send_some(peer, peer->unsent, peer->unsent_len);

    peer->unsent_len -= sent;
    memmove(peer->unsent, peer->unsent + sent, peer->unsent_len);
    if (peer->unsent_len > 0)
        return;
    free(peer->unsent);
    peer->unsent = NULL;
}

/* ---- States ---- */

/* Seconds that a peer may stay in STATE; 0 means without limit. */
static double state_bound_s(const struct fcgi_server *server, enum peer_state state)
{
    switch (state) {
    case PEER_HEAD:
        return server->stopping ? FCGI_SERVER_STOP_HEAD_S : FCGI_SERVER_HEAD_S;
    case PEER_WRITING:
    case PEER_BODY:
        return FCGI_SERVER_ANSWERED_S;
    case PEER_IDLE:
        return server->stopping ? FCGI_SERVER_STOP_IDLE_S : 0.;
    case PEER_IN_FLIGHT: /* the limiter itself bounds this time */
    case PEER_STATES:
        break;
    }
    return 0.;
}

/* Move PEER to the queue of STATE and watch it for EVENTS. */
static void enter(struct peer *peer, enum peer_state state, int events)
{
    struct fcgi_server *server = peer->server;

    if (state != peer->state) {
        TAILQ_REMOVE(&server->peers[peer->state], peer, entry);
        TAILQ_INSERT_TAIL(&server->peers[state], peer, entry);
        peer->state = state;
        if (state_bound_s(server, state) > 0)
            peer->since_s = clock_s();
    }
    watch(peer, events);
    if (state_bound_s(server, state) > 0 && !ev_is_active(&server->sweep))
        ev_timer_again(server->loop, &server->sweep);
}

/* Whether to keep reading from PEER while its request waits for a decision.  Only needed if the end
 * of the body decides whether the connection can be used again, because watching costs system
 * calls. */
static bool reads_in_flight(const struct peer *peer)
{
    return peer->head.keep && !peer->ended && !peer->broken && !peer->failed && !peer->unsent;
}

/* Whether PEER is kept open, and only another request may follow. */
static bool is_idle(const struct peer *peer)
{
    return peer->answered && peer->head.body_id == 0 && fcgi_head_is_between(&peer->head);
}

/* Whether PEER can be closed at once, without losing an answer that was not read. */
static bool is_over(const struct peer *peer)
{
    if (peer->failed || peer->ended)
        return true;
    if (peer->closing)
        return !peer->broken && peer->head.body_id == 0;
    return peer->last && is_idle(peer);
}

/* Put PEER into the state that says what it waits for.  PEER may be freed when this returns. */
static void settle(struct peer *peer)
{
    if (peer->reading)
        return;
    if (peer->request)
        enter(peer, PEER_IN_FLIGHT, reads_in_flight(peer) ? EV_READ : 0);
    else if (peer->unsent && !peer->failed)
        enter(peer, PEER_WRITING, EV_WRITE);
    else if (is_over(peer))
        peer_close(peer);
    else if (peer->broken || peer->closing)
        peer_drain(peer);
    else if (is_idle(peer))
        enter(peer, PEER_IDLE, EV_READ);
    else if (peer->answered && peer->head.body_id != 0 && peer->head.phase == FCGI_PHASE_BETWEEN)
        enter(peer, PEER_BODY, EV_READ);
    else
        enter(peer, PEER_HEAD, EV_READ);
}

/* If a stop was requested and no connection is left, report it. */
static void check_idle(void *context)
{
    struct fcgi_server *server = context;

    if (!server->idle || !drain_is_empty(server->drain))
        return;
    for (enum peer_state state = 0; state < PEER_STATES; state++)
        if (!TAILQ_EMPTY(&server->peers[state]))
            return;
    server->idle(server->idle_context);
}

static void peer_read(struct peer *peer);

/* Close PEER, which is idle, after the request that it may have sent. */
static void read_last(struct peer *peer)
{
    peer->last = true;
    peer_read(peer);
}

/* Close PEER, which has used up the time of its state. */
static void expire(struct peer *peer)
{
    if (peer->state == PEER_IDLE)
        read_last(peer);
    else if (peer->state == PEER_BODY)
        peer_drain(peer);
    else
        peer_close(peer);
}

static void on_sweep(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct fcgi_server *server = watcher->data;
    double now_s = clock_s();
    bool timed = false;

    (void)events;
    for (enum peer_state state = 0; state < PEER_STATES; state++) {
        double bound_s = state_bound_s(server, state);
        struct peer *peer = bound_s > 0 ? TAILQ_FIRST(&server->peers[state]) : NULL, *next;
        for (; peer && peer->since_s + bound_s <= now_s; peer = next) {
            next = TAILQ_NEXT(peer, entry);
            expire(peer);
        }
        timed = timed || peer;
    }
    if (!timed)
        ev_timer_stop(loop, watcher);
    check_idle(server);
}

/* ---- Input ---- */

/* Count a request, so that commands go to Redis after every batch and not only after hundreds of
 * requests. */
static void count_request(struct fcgi_server *server)
{
    if (++server->batch_count < FCGI_SERVER_BATCH)
        return;
    server->batch_count = 0;
    server->batch(server->context);
}

/* Pass the request, whose head is complete, to the handler. */
static void take_request(struct peer *peer)
{
    struct fcgi_server *server = peer->server;
    struct request request;

    peer->request = fcgi_request_read(&peer->head, &request);
    if (!peer->request) {
        peer->broken = true;
        return;
    }
    server->handler(server->context, peer, &request);
    count_request(server);
}

static void log_broken(struct fcgi_server *server, const char *problem)
{
    if (!server->broken_logged)
        log_line(LOG_WARNING, "closing a connection that sent invalid FastCGI: %s", problem);
    server->broken_logged = true;
}

/* Act on EVENT. */
static void handle(struct peer *peer, enum fcgi_event event)
{
    unsigned char reply[FCGI_HEAD_REPLY_SIZE];
    size_t len = fcgi_head_reply(&peer->head, event, reply);

    if (len > 0) {
        peer->failed |= peer->unsent_len + len > FCGI_SERVER_UNSENT_MAX;
        peer_write(peer, (const char *)reply, len);
        peer->answered = true;
    }
    if (event == FCGI_EVENT_REQUEST) {
        take_request(peer);
    } else if (event == FCGI_EVENT_BROKEN) {
        log_broken(peer->server, peer->head.problem);
        peer->broken = true;
    } else if (event == FCGI_EVENT_UNKNOWN_ROLE || event == FCGI_EVENT_ABORTED) {
        peer->closing = !peer->head.event_keep;
    }
}

static bool reads_on(const struct peer *peer)
{
    return !peer->broken && !peer->failed;
}

/* Move the parameters of an incomplete head from PARTIAL to the server's buffer, where they are
 * read. */
static void partial_take(struct peer *peer)
{
    peer->head.params = peer->server->params;
    if (peer->partial)
        memcpy(peer->head.params, peer->partial, peer->head.params_len);
    partial_free(peer);
}

static void partial_keep(struct peer *peer)
{
    struct fcgi_server *server = peer->server;
    size_t len = peer->head.params_len;

    if (peer->head.phase != FCGI_PHASE_PARAMS || len == 0 || !reads_on(peer))
        return;
    peer->partial = memory_get(len);
    memcpy(peer->partial, peer->head.params, len);
    server->partial_bytes += len;
    peer->head.params = NULL;
}

/* While incomplete heads use too much memory, disconnect the oldest peer, which is the slowest. */
static void bound_partial(struct fcgi_server *server)
{
    struct peer *next;

    for (struct peer *peer = TAILQ_FIRST(&server->peers[PEER_HEAD]);
         peer && server->partial_bytes > FCGI_SERVER_PARTIAL_MAX; peer = next) {
        next = TAILQ_NEXT(peer, entry);
        peer_close(peer);
    }
}

/* Process BYTES, which PEER has sent. */
static void read_bytes(struct peer *peer, struct span bytes)
{
    enum fcgi_event event = FCGI_EVENT_REQUEST;

    partial_take(peer);
    peer->reading = true;
    while (event != FCGI_EVENT_MORE && reads_on(peer) && !peer->closing) {
        event = fcgi_head_read(&peer->head, &bytes);
        handle(peer, event);
    }
    /* What follows the last request is its body. */
    while (event != FCGI_EVENT_MORE && event != FCGI_EVENT_BROKEN && reads_on(peer))
        event = fcgi_head_read(&peer->head, &bytes);
    peer->reading = false;
    partial_keep(peer);
}

/* Read from PEER once, and process the input. */
static void peer_read(struct peer *peer)
{
    struct fcgi_server *server = peer->server;
    ssize_t len = recv(peer->fd, server->input, sizeof server->input, MSG_DONTWAIT);

    if (len > 0)
        read_bytes(peer, (struct span){server->input, (size_t)len});
    else if (len == 0)
        peer->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        peer->ended = peer->failed = true;
    settle(peer);
    bound_partial(server);
}

static void on_io(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct peer *peer = watcher->data;
    struct fcgi_server *server = peer->server;

    (void)loop;
    if (events & EV_WRITE) {
        send_unsent(peer);
        settle(peer);
    } else {
        peer_read(peer);
    }
    check_idle(server);
}

/* ---- New connections ---- */

/* Close the kept connections without a request.  Those on which a request has arrived are served
 * first. */
static void close_idle(struct fcgi_server *server)
{
    struct peer *next;

    for (struct peer *peer = TAILQ_FIRST(&server->peers[PEER_IDLE]); peer; peer = next) {
        next = TAILQ_NEXT(peer, entry);
        read_last(peer);
    }
}

/* Begin the time that idle connections have in a stop. */
static void bound_idle(struct fcgi_server *server)
{
    struct peer *peer;

    TAILQ_FOREACH(peer, &server->peers[PEER_IDLE], entry)
    {
        peer->since_s = clock_s();
    }
    ev_timer_again(server->loop, &server->sweep);
}

/* Close new connections that have sent nothing. */
static void close_silent(struct fcgi_server *server)
{
    struct peer *next;

    for (struct peer *peer = TAILQ_FIRST(&server->peers[PEER_HEAD]); peer; peer = next) {
        next = TAILQ_NEXT(peer, entry);
        if (!peer->answered && fcgi_head_is_between(&peer->head))
            peer_close(peer);
    }
}

/* Close the peers with the oldest incomplete requests.  Returns whether there were any. */
static bool close_slow(struct fcgi_server *server)
{
    struct peer *peer = TAILQ_FIRST(&server->peers[PEER_HEAD]), *next;
    double before_s = clock_s() - HEAD_GRACE_S;
    int count = 0;

    for (; peer && peer->since_s <= before_s && count < HEADS_CUT; peer = next, count++) {
        next = TAILQ_NEXT(peer, entry);
        peer_close(peer);
    }
    return count > 0;
}

/* Out of descriptors: close connections that are kept without a request, because a new connection
 * is more urgent.  Returns whether any was closed. */
static bool free_descriptors(struct fcgi_server *server)
{
    if (!server->descriptors_logged)
        log_line(LOG_WARNING, "out of descriptors: closing connections that are idle or slow");
    server->descriptors_logged = true;
    if (drain_is_empty(server->drain) && TAILQ_EMPTY(&server->peers[PEER_IDLE]))
        return close_slow(server);
    drain_cut(server->drain);
    close_idle(server);
    return true;
}

static void pause_accepting(struct fcgi_server *server, int error)
{
    if (!server->accept_failed)
        log_line(LOG_ERR, "cannot accept connections: %s; trying again", strerror(error));
    server->accept_failed = true;
    ev_io_stop(server->loop, &server->readable);
    ev_timer_set(&server->pause, ACCEPT_PAUSE_S, 0.);
    ev_timer_start(server->loop, &server->pause);
}

static void on_accept_failed(struct fcgi_server *server, int error)
{
    if (error == EAGAIN || error == EINTR)
        return;
    if ((error == EMFILE || error == ENFILE) && free_descriptors(server))
        return;
    pause_accepting(server, error);
}

/* Accept one connection and read from it.  Returns whether there was one. */
static bool accept_one(struct fcgi_server *server)
{
    int fd = fcgi_request_accept(server->listen_fd, server->is_unix);

    if (fd < 0) {
        on_accept_failed(server, errno);
        return false;
    }
    server->accept_failed = false;
    peer_read(peer_new(server, fd));
    return true;
}

/* Prevent accept from blocking.  The O_NONBLOCK flag is shared by all processes that use the
 * socket, and systemd clears it when it starts one of them.  If that happens just before we accept,
 * the receive time-out bounds the wait. */
static bool set_nonblocking(int listen_fd)
{
    static const struct timeval timeout = {.tv_usec = 1000};

    return fcntl(listen_fd, F_SETFL, O_NONBLOCK) == 0 &&
           setsockopt(listen_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0;
}

static void accept_waiting(struct fcgi_server *server, int most)
{
    fcntl(server->listen_fd, F_SETFL, O_NONBLOCK);
    while (most-- > 0 && accept_one(server))
        continue;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    accept_waiting(watcher->data, ACCEPTS_PER_WAKE);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct fcgi_server *server = watcher->data;

    (void)events;
    ev_io_start(loop, &server->readable);
}

/* ---- Public ---- */

struct fcgi_server *fcgi_server_new(struct ev_loop *loop, int listen_fd,
                                    fcgi_server_handler *handler, fcgi_server_batch *batch,
                                    void *context, const char **error)
{
    *error = fcgi_request_init();
    if (!*error && !set_nonblocking(listen_fd))
        *error = strerror(errno);
    if (*error)
        return NULL;

    struct fcgi_server *server = memory_new(sizeof *server);
    server->loop = loop;
    server->listen_fd = listen_fd;
    server->is_unix = listener_is_unix(listen_fd);
    server->handler = handler;
    server->batch = batch;
    server->context = context;
    for (enum peer_state state = 0; state < PEER_STATES; state++)
        TAILQ_INIT(&server->peers[state]);
    server->drain = drain_new(loop, check_idle, server);
    ev_io_init(&server->readable, on_readable, listen_fd, EV_READ);
    ev_timer_init(&server->pause, on_pause_over, 0., 0.);
    ev_timer_init(&server->sweep, on_sweep, 0., SWEEP_S);
    server->readable.data = server->pause.data = server->sweep.data = server;
    ev_io_start(loop, &server->readable);
    return server;
}

void fcgi_server_reply(void *exchange, const char *text, size_t len)
{
    struct peer *peer = exchange;
    struct fcgi_server *server = peer->server;
    struct fcgi_request *request = peer->request;

    /* A page may be larger than what a peer may leave unread: one answer is always accepted. */
    peer->failed |= peer->unsent_len > FCGI_SERVER_UNSENT_MAX;
    fcgi_request_reply(request, text, len, peer_write, peer);
    peer->request = NULL;
    peer->answered = true;
    peer->closing = !peer->head.keep || peer->last || server->stopping;
    fcgi_head_answered(&peer->head);
    settle(peer);
    check_idle(server);
}

size_t fcgi_server_open(const struct fcgi_server *server, uint64_t *accepted)
{
    *accepted = server->accepted_count;
    return server->open_count;
}

void fcgi_server_stop(struct fcgi_server *server, void (*idle)(void *context), void *context)
{
    server->stopping = true;
    accept_waiting(server, LISTENER_BACKLOG);
    bound_idle(server);
    close_silent(server);
    ev_io_stop(server->loop, &server->readable);
    ev_timer_stop(server->loop, &server->pause);
    server->idle = idle;
    server->idle_context = context;
    check_idle(server);
}

void fcgi_server_free(struct fcgi_server *server)
{
    if (!server)
        return;
    server->idle = NULL;
    drain_free(server->drain);
    ev_io_stop(server->loop, &server->readable);
    ev_timer_stop(server->loop, &server->pause);
    ev_timer_stop(server->loop, &server->sweep);
    for (enum peer_state state = 0; state < PEER_STATES; state++) {
        struct peer *next;
        for (struct peer *peer = TAILQ_FIRST(&server->peers[state]); peer; peer = next) {
            next = TAILQ_NEXT(peer, entry);
            peer_close(peer);
        }
    }
    free(server);
}
