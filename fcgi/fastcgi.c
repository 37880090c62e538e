#include "fastcgi.h"

#include <assert.h>
#include <errno.h>
#include <fcgiapp.h>
#include <fastcgi.h>
#include <fcgios.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "linger.h"
#include "listener.h"
#include "log.h"
#include "reply.h"

/* Connections accepted in one wake-up before those that are kept get their turn. */
#define ACCEPTS_PER_WAKE FASTCGI_BATCH
/* Accept fails, out of descriptors perhaps: to try again at once would only burn CPU. */
#define ACCEPT_PAUSE_S 0.1
/* libfcgi reads a request until it is whole.  A peer that sends none, or half of one, is let go after
 * this, as is one who keeps a connection and does not read; all others wait for it meanwhile. */
#define PEER_TIMEOUT_US      50000
#define PEER_TIMEOUT_SLACK_S 0.005

/* A connection, and the request on it from accept to answer.  Kept for the next one when it is closed. */
struct exchange {
    FCGX_Request request;
    struct fastcgi *fastcgi;
    LIST_ENTRY(exchange) entry; /* of the list that it is in: in_flight, idle or free */
    /* Of a connection that its peer keeps open; active while it is, but see on_kept_readable. */
    ev_io readable;
};

LIST_HEAD(exchange_list, exchange);

struct fastcgi {
    struct ev_loop *loop;
    int listen_fd;
    bool is_unix;            /* so is the listening socket */
    const char *web_servers; /* FCGI_WEB_SERVER_ADDRS: whom to accept; NULL: all */
    fastcgi_handler *handler;
    fastcgi_batch *batch;
    unsigned batch_count; /* requests since the last call of BATCH */
    void *context;
    ev_io readable;
    ev_timer pause;
    struct exchange_list in_flight; /* a request is being decided */
    struct exchange_list idle;      /* kept open, no request */
    struct exchange_list free;      /* no connection */
    bool stopping, incomplete_logged, descriptors_logged, accept_failed;
    void (*idle_done)(void *context); /* NULL until all that was waiting is taken */
    void *idle_context;
};

static void on_kept_readable(struct ev_loop *loop, ev_io *watcher, int events);

/* No connection is that of EXCHANGE any more.  Nor has libfcgi a socket to accept one from: FCGX_Accept_r reads the
 * next request of a connection that is open, and where that is none, for the peer has closed, it would go on to a new
 * connection; with this it fails. */
static void forget_connection(struct exchange *exchange)
{
    FCGX_InitRequest(&exchange->request, -1, FCGI_FAIL_ACCEPT_ON_INTR);
}

/* One that is in no list and has no connection. */
static struct exchange *exchange_get(struct fastcgi *fastcgi)
{
    struct exchange *exchange = LIST_FIRST(&fastcgi->free);

    if (exchange) {
        LIST_REMOVE(exchange, entry);
    } else {
        exchange = malloc(sizeof *exchange);
        assert(exchange);
        exchange->fastcgi = fastcgi;
        forget_connection(exchange);
        ev_init(&exchange->readable, on_kept_readable);
        exchange->readable.data = exchange;
    }
    return exchange;
}

/* EXCHANGE is in no list, and its connection is closed. */
static void exchange_put(struct exchange *exchange)
{
    struct fastcgi *fastcgi = exchange->fastcgi;

    ev_io_stop(fastcgi->loop, &exchange->readable);
    LIST_INSERT_HEAD(&fastcgi->free, exchange, entry);
}

static void move(struct exchange *exchange, struct exchange_list *to)
{
    LIST_REMOVE(exchange, entry);
    LIST_INSERT_HEAD(to, exchange, entry);
}

/* Close the connection of EXCHANGE, which is in a list. */
static void exchange_close(struct exchange *exchange)
{
    LIST_REMOVE(exchange, entry);
    FCGX_Free(&exchange->request, 1);
    exchange_put(exchange);
}

/* The same where the peer may still be sending.  The descriptor itself is handed over and not a copy of it: while
 * the copy was open, epoll would go on to tell of the one that is closed, and libev then sets up its epoll anew
 * with every connection that there is. */
static void exchange_linger(struct exchange *exchange)
{
    int fd = exchange->request.ipcFd;

    LIST_REMOVE(exchange, entry);
    FCGX_Free(&exchange->request, 0);
    forget_connection(exchange);
    exchange_put(exchange);
    shutdown(fd, SHUT_WR);
    linger(exchange->fastcgi->loop, fd);
}

/* What a request must say about itself, or NULL: the name of a parameter that is missing. */
static const char *read_request(FCGX_Request *from, struct request *request)
{
    *request = (struct request){
        .method = FCGX_GetParam("REQUEST_METHOD", from->envp),
        .uri = FCGX_GetParam("REQUEST_URI", from->envp),
        .remote_addr = FCGX_GetParam("REMOTE_ADDR", from->envp),
        .parameters = from->envp,
        .authorizer = from->role == FCGI_AUTHORIZER,
    };
    if (!request->method)
        return "REQUEST_METHOD";
    if (!request->uri)
        return "REQUEST_URI";
    return request->remote_addr ? NULL : "REMOTE_ADDR";
}

static void reply_missing(struct exchange *exchange, const char *parameter)
{
    char text[REPLY_MAX];

    /* Once is enough: it is the web server's configuration, and stays so for every request. */
    if (!exchange->fastcgi->incomplete_logged)
        log_line("the web server sends no %s; include its standard fastcgi_params", parameter);
    exchange->fastcgi->incomplete_logged = true;
    fastcgi_reply(exchange, text, reply_incomplete(parameter, text));
}

/* ---- Connections that are kept open ---- */

/* The connection of EXCHANGE is to be kept: watch it from now on, in flight too, for to stop and start that
 * would be system calls for each request.  Nor shall a read wait longer than an alarm lets the first one:
 * what has begun to come is read until it is whole. */
static void keep_begin(struct exchange *exchange)
{
    static const struct timeval timeout = {.tv_usec = PEER_TIMEOUT_US};
    int fd = exchange->request.ipcFd;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    ev_io_set(&exchange->readable, fd, EV_READ);
    ev_io_start(exchange->fastcgi->loop, &exchange->readable);
}

/* Whether the peer of REQUEST wants its connection kept.  An authorizer's does not end a body: lighttpd 1.4. */
static bool wants_to_be_kept(const FCGX_Request *request)
{
    return request->keepConnection && request->role == FCGI_RESPONDER;
}

/* Whether the body of REQUEST has ended.  It is nothing to a limiter; but what is left of it would be taken for the
 * beginning of the next request, and the peer may still be sending it.  What headers say of it may be wrong; its end
 * in the stream is not.
 * The end of none, or of a small one, comes with the parameters and is read along with them.  Where a web server passes a
 * body on as it comes, the end comes when the client likes, and nobody here waits for a client: without a
 * descriptor libfcgi looks at what it has read, and fails to read more. */
static bool body_has_ended(FCGX_Request *request)
{
    int fd = request->ipcFd;
    char skipped[1024];

    request->ipcFd = -1;
    while (FCGX_GetStr(skipped, sizeof skipped, request->in) == sizeof skipped)
        continue;
    request->ipcFd = fd;
    return FCGX_GetError(request->in) == 0;
}

/* ---- Requests ---- */

/* The role of the request ID of EXCHANGE is none of those served here: say so as the FastCGI specification has it
 * (5.5, FCGI_UNKNOWN_ROLE), and close, when the peer has sent what comes with it.  libfcgi has no call for that. */
static void refuse_role(struct exchange *exchange, int id)
{
    const FCGI_EndRequestRecord end = {
        .header = {.version = FCGI_VERSION_1,
                   .type = FCGI_END_REQUEST,
                   .requestIdB1 = (unsigned char)(id >> 8),
                   .requestIdB0 = (unsigned char)id,
                   .contentLengthB0 = sizeof end.body},
        .body = {.protocolStatus = FCGI_UNKNOWN_ROLE},
    };

    send(exchange->request.ipcFd, &end, sizeof end, MSG_NOSIGNAL | MSG_DONTWAIT);
    exchange_linger(exchange);
}

/* Kept connections are ready one by one, and new ones come in a loop: whichever it is, Redis must not wait for all of
 * them.  EXCHANGE may be gone when this returns. */
static void count_request(struct fastcgi *fastcgi)
{
    if (++fastcgi->batch_count < FASTCGI_BATCH)
        return;
    fastcgi->batch_count = 0;
    fastcgi->batch(fastcgi->context);
}

/* Decide about the request of EXCHANGE, which is in a list. */
static void decide(struct exchange *exchange)
{
    struct fastcgi *fastcgi = exchange->fastcgi;
    struct request request;

    move(exchange, &fastcgi->in_flight);
    if (FCGX_GetError(exchange->request.in)) {
        exchange_close(exchange); /* in the middle of its parameters the peer went away */
        return;
    }
    if (exchange->request.role == FCGI_FILTER) {
        refuse_role(exchange, exchange->request.requestId); /* there is nothing here to filter */
        return;
    }
    if (!ev_is_active(&exchange->readable) && wants_to_be_kept(&exchange->request))
        keep_begin(exchange);
    const char *missing = read_request(&exchange->request, &request);
    if (missing)
        reply_missing(exchange, missing);
    else
        fastcgi->handler(fastcgi->context, exchange, &request);
}

static void handle(struct exchange *exchange)
{
    struct fastcgi *fastcgi = exchange->fastcgi;

    decide(exchange);
    count_request(fastcgi);
}

/* Read the request that comes on EXCHANGE, which is idle, and decide about it; or close. */
static void take_next(struct exchange *exchange)
{
    if (FCGX_Accept_r(&exchange->request) == 0) {
        handle(exchange);
        return;
    }
    LIST_REMOVE(exchange, entry);
    exchange_put(exchange);
}

/* Close the connections that are kept without a request; those that one has come on are served. */
static void close_idle(struct fastcgi *fastcgi)
{
    struct exchange *next;

    for (struct exchange *exchange = LIST_FIRST(&fastcgi->idle); exchange; exchange = next) {
        struct pollfd readable = {.fd = exchange->request.ipcFd, .events = POLLIN};

        next = LIST_NEXT(exchange, entry);
        if (poll(&readable, 1, 0) > 0)
            take_next(exchange);
        else
            exchange_close(exchange);
    }
}

/* Out of descriptors: to keep a connection is a favour, to answer on a new one is not. */
static void free_descriptors(struct fastcgi *fastcgi)
{
    if (!fastcgi->descriptors_logged)
        log_line("out of descriptors: closing the connections that the web server keeps open");
    fastcgi->descriptors_logged = true;
    close_idle(fastcgi);
}

static void pause_accepting(struct fastcgi *fastcgi, int error)
{
    if (!fastcgi->accept_failed)
        log_line("cannot accept connections: %s; trying again", strerror(error));
    fastcgi->accept_failed = true;
    ev_io_stop(fastcgi->loop, &fastcgi->readable);
    ev_timer_set(&fastcgi->pause, ACCEPT_PAUSE_S, 0.);
    ev_timer_start(fastcgi->loop, &fastcgi->pause);
}

/* libfcgi's accept heeds FCGI_WEB_SERVER_ADDRS (FastCGI specification, 3.2), which is about IPv4; on a unix socket it
 * would wait in poll(2) for what accept_one waits for as well. */
static int accept_connection(const struct fastcgi *fastcgi)
{
    if (fastcgi->is_unix)
        return accept(fastcgi->listen_fd, NULL, NULL);
    return OS_Accept(fastcgi->listen_fd, true, fastcgi->web_servers);
}

static void on_accept_failed(struct fastcgi *fastcgi, int error)
{
    if ((error == EMFILE || error == ENFILE) && !LIST_EMPTY(&fastcgi->idle))
        free_descriptors(fastcgi);
    else if (error != EAGAIN && error != EINTR)
        pause_accepting(fastcgi, error);
}

/* Whether RECORD begins a request in a role that libfcgi does not know: it would close the connection without a word. */
static bool begins_unknown_role(const FCGI_BeginRequestRecord *record)
{
    int role = record->body.roleB1 << 8 | record->body.roleB0;

    return record->header.version == FCGI_VERSION_1 && record->header.type == FCGI_BEGIN_REQUEST &&
           (role < FCGI_RESPONDER || role > FCGI_FILTER);
}

/* Returns whether there was a connection to accept. */
static bool accept_one(struct fastcgi *fastcgi)
{
    FCGI_BeginRequestRecord first;
    int fd = accept_connection(fastcgi);

    if (fd < 0) {
        on_accept_failed(fastcgi, errno);
        return false;
    }
    fastcgi->accept_failed = false;
    struct exchange *exchange = exchange_get(fastcgi);
    LIST_INSERT_HEAD(&fastcgi->idle, exchange, entry);
    exchange->request.ipcFd = fd;
    exchange->request.keepConnection = true; /* or libfcgi closes it before it reads */
    ssize_t len = recv(fd, &first, sizeof first, MSG_PEEK);
    if (len <= 0)
        exchange_close(exchange); /* the peer is silent, or has gone */
    else if (len == sizeof first && begins_unknown_role(&first))
        refuse_role(exchange, first.header.requestIdB1 << 8 | first.header.requestIdB0);
    else
        take_next(exchange);
    return true;
}

/* The signal does nothing but interrupt the read(2) that libfcgi waits in; it comes again and again, for
 * the next read may wait as well. */
static void set_read_timeout(long us)
{
    struct itimerval timer = {.it_value.tv_usec = us, .it_interval.tv_usec = us};

    setitimer(ITIMER_REAL, &timer, NULL);
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* Each peer has PEER_TIMEOUT_US, less PEER_TIMEOUT_SLACK_S at most: to set the alarm anew for each would be a system
 * call for each request, and most take no time at all. */
static void accept_waiting(struct fastcgi *fastcgi, int most)
{
    double set_s = -PEER_TIMEOUT_SLACK_S;

    do {
        double now_s = clock_s();
        if (now_s >= set_s + PEER_TIMEOUT_SLACK_S) {
            set_read_timeout(PEER_TIMEOUT_US);
            set_s = now_s;
        }
    } while (most-- > 0 && accept_one(fastcgi));
    set_read_timeout(0);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    accept_waiting(watcher->data, ACCEPTS_PER_WAKE);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct fastcgi *fastcgi = watcher->data;

    (void)events;
    ev_io_start(loop, &fastcgi->readable);
}

/* EXCHANGE is in flight, and its peer goes on sending or has closed.  Some send the end of the body after all else.
 * With that read, the connection may be kept; with any other thing it may not, and to be told so once is enough. */
static void read_on(struct exchange *exchange)
{
    FCGX_Stream *in = exchange->request.in;

    if (FCGX_HasSeenEOF(in) || FCGX_GetChar(in) != EOF || FCGX_GetError(in) != 0)
        ev_io_stop(exchange->fastcgi->loop, &exchange->readable);
}

static void on_kept_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct exchange *exchange = watcher->data;

    (void)loop, (void)events;
    if (exchange->request.in)
        read_on(exchange);
    else
        take_next(exchange);
}

/* ---- Public ---- */

struct fastcgi *fastcgi_new(struct ev_loop *loop, int listen_fd, fastcgi_handler *handler,
                            fastcgi_batch *batch, void *context)
{
    /* libfcgi waits in poll(2) for a peer to close, 2 s by default.  In a loop that serves everybody, nobody is
     * waited for. */
    setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "0", 1);
    if (FCGX_Init() != 0 || fcntl(listen_fd, F_SETFL, O_NONBLOCK) != 0)
        return NULL;

    /* Without SA_RESTART, unlike signal(2)'s. */
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
    struct fastcgi *fastcgi = calloc(1, sizeof *fastcgi);
    assert(fastcgi);
    fastcgi->loop = loop;
    fastcgi->listen_fd = listen_fd;
    fastcgi->is_unix = listener_is_unix(listen_fd);
    fastcgi->web_servers = getenv("FCGI_WEB_SERVER_ADDRS");
    fastcgi->handler = handler;
    fastcgi->batch = batch;
    fastcgi->context = context;
    LIST_INIT(&fastcgi->in_flight);
    LIST_INIT(&fastcgi->idle);
    LIST_INIT(&fastcgi->free);
    ev_io_init(&fastcgi->readable, on_readable, listen_fd, EV_READ);
    ev_timer_init(&fastcgi->pause, on_pause_over, 0., 0.);
    fastcgi->readable.data = fastcgi->pause.data = fastcgi;
    ev_io_start(loop, &fastcgi->readable);
    return fastcgi;
}

void fastcgi_reply(void *context, const char *text, size_t len)
{
    struct exchange *exchange = context;
    struct fastcgi *fastcgi = exchange->fastcgi;
    FCGX_Request *request = &exchange->request;
    bool ended = body_has_ended(request);
    bool kept = ended && !fastcgi->stopping && wants_to_be_kept(request) &&
                ev_is_active(&exchange->readable);

    FCGX_PutStr(text, (int)len, request->out);
    if (!ended) {
        /* Or libfcgi closes, and before that reads what comes, for as long as more comes. */
        request->keepConnection = true;
        FCGX_ClearError(request->in);
    }
    FCGX_Finish_r(request);
    if (request->ipcFd >= 0 && !ended)
        exchange_linger(exchange);
    else if (request->ipcFd >= 0 && kept)
        move(exchange, &fastcgi->idle);
    else
        exchange_close(exchange);
    if (fastcgi->idle_done && LIST_EMPTY(&fastcgi->in_flight))
        fastcgi->idle_done(fastcgi->idle_context);
}

void fastcgi_stop(struct fastcgi *fastcgi, void (*idle)(void *context), void *context)
{
    fastcgi->stopping = true;
    accept_waiting(fastcgi, LISTENER_BACKLOG);
    close_idle(fastcgi);
    ev_io_stop(fastcgi->loop, &fastcgi->readable);
    ev_timer_stop(fastcgi->loop, &fastcgi->pause);
    fastcgi->idle_done = idle;
    fastcgi->idle_context = context;
    if (LIST_EMPTY(&fastcgi->in_flight))
        idle(context);
}

void fastcgi_free(struct fastcgi *fastcgi)
{
    if (!fastcgi)
        return;
    ev_io_stop(fastcgi->loop, &fastcgi->readable);
    ev_timer_stop(fastcgi->loop, &fastcgi->pause);
    while (!LIST_EMPTY(&fastcgi->in_flight))
        exchange_close(LIST_FIRST(&fastcgi->in_flight));
    while (!LIST_EMPTY(&fastcgi->idle))
        exchange_close(LIST_FIRST(&fastcgi->idle));
    while (!LIST_EMPTY(&fastcgi->free)) {
        struct exchange *exchange = LIST_FIRST(&fastcgi->free);
        LIST_REMOVE(exchange, entry);
        free(exchange);
    }
    free(fastcgi);
}
