#include "fastcgi.h"

#include <assert.h>
#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "linger.h"
#include "listener.h"
#include "log.h"
#include "reply.h"

/* Requests taken in one wake-up before Redis' replies get their turn. */
#define ACCEPTS_PER_WAKE 64
/* Accept fails, out of descriptors perhaps: to try again at once would only burn CPU. */
#define ACCEPT_PAUSE_S 0.1
/* libfcgi reads a request until it is whole.  A peer that sends none, or half of one, is let go after
 * this; all others wait for it meanwhile. */
#define READ_TIMEOUT_US 50000

/* One request from accept to answer.  Kept for the next one when it is answered. */
struct exchange {
    FCGX_Request request;
    struct fastcgi *fastcgi;
    struct exchange *previous, *next; /* among those in flight, or (next) those that are free */
};

struct fastcgi {
    struct ev_loop *loop;
    int listen_fd;
    fastcgi_handler *handler;
    void *context;
    ev_io readable;
    ev_timer pause;
    struct exchange *free, *in_flight;
    bool stopping, incomplete_logged, accept_failed;
    void (*idle)(void *context);
    void *idle_context;
};

static struct exchange *exchange_get(struct fastcgi *fastcgi)
{
    struct exchange *exchange = fastcgi->free;

    if (exchange) {
        fastcgi->free = exchange->next;
    } else {
        exchange = malloc(sizeof *exchange);
        assert(exchange);
        exchange->fastcgi = fastcgi;
        FCGX_InitRequest(&exchange->request, fastcgi->listen_fd, FCGI_FAIL_ACCEPT_ON_INTR);
    }
    return exchange;
}

static void exchange_put(struct exchange *exchange)
{
    exchange->next = exchange->fastcgi->free;
    exchange->fastcgi->free = exchange;
}

static void link_in_flight(struct exchange *exchange)
{
    struct fastcgi *fastcgi = exchange->fastcgi;

    exchange->previous = NULL;
    exchange->next = fastcgi->in_flight;
    if (exchange->next)
        exchange->next->previous = exchange;
    fastcgi->in_flight = exchange;
}

static void unlink_in_flight(struct exchange *exchange)
{
    if (exchange->previous)
        exchange->previous->next = exchange->next;
    else
        exchange->fastcgi->in_flight = exchange->next;
    if (exchange->next)
        exchange->next->previous = exchange->previous;
}

/* What a request must say about itself, or NULL: the name of a parameter that is missing. */
static const char *read_request(FCGX_Request *from, struct request *request)
{
    *request = (struct request){
        .method = FCGX_GetParam("REQUEST_METHOD", from->envp),
        .uri = FCGX_GetParam("REQUEST_URI", from->envp),
        .remote_addr = FCGX_GetParam("REMOTE_ADDR", from->envp),
        .parameters = from->envp,
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

static void handle(struct exchange *exchange)
{
    struct request request;
    const char *missing = read_request(&exchange->request, &request);

    link_in_flight(exchange);
    if (FCGX_GetError(exchange->request.in)) {
        /* The peer went away in the middle of its parameters: nobody waits for an answer. */
        unlink_in_flight(exchange);
        FCGX_Free(&exchange->request, 1);
        exchange_put(exchange);
    } else if (missing) {
        reply_missing(exchange, missing);
    } else {
        exchange->fastcgi->handler(exchange->fastcgi->context, exchange, &request);
    }
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

/* Returns whether a request was accepted. */
static bool accept_one(struct fastcgi *fastcgi)
{
    struct exchange *exchange = exchange_get(fastcgi);
    int error = FCGX_Accept_r(&exchange->request);

    if (error == 0) {
        fastcgi->accept_failed = false;
        handle(exchange);
        return true;
    }
    exchange_put(exchange);
    if (error != -EAGAIN && error != -EINTR)
        pause_accepting(fastcgi, -error);
    return false;
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

static void accept_waiting(struct fastcgi *fastcgi, int most)
{
    set_read_timeout(READ_TIMEOUT_US);
    while (most > 0 && accept_one(fastcgi))
        most--;
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

struct fastcgi *fastcgi_new(struct ev_loop *loop, int listen_fd, fastcgi_handler *handler,
                            void *context)
{
    /* libfcgi waits in poll(2) for a peer to close and for a new peer to speak, 2 s each by default.
     * In a loop that serves everybody, nobody is waited for; 50 ms bound a peer that is silent. */
    setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "0", 1);
    setenv("LIBFCGI_IS_AF_UNIX_KEEPER_POLL_TIMEOUT", "50", 1);
    if (FCGX_Init() != 0 || fcntl(listen_fd, F_SETFL, O_NONBLOCK) != 0)
        return NULL;

    /* Without SA_RESTART, unlike signal(2)'s. */
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
    struct fastcgi *fastcgi = calloc(1, sizeof *fastcgi);
    assert(fastcgi);
    fastcgi->loop = loop;
    fastcgi->listen_fd = listen_fd;
    fastcgi->handler = handler;
    fastcgi->context = context;
    ev_io_init(&fastcgi->readable, on_readable, listen_fd, EV_READ);
    ev_timer_init(&fastcgi->pause, on_pause_over, 0., 0.);
    fastcgi->readable.data = fastcgi->pause.data = fastcgi;
    ev_io_start(loop, &fastcgi->readable);
    return fastcgi;
}

/* The body of a request is nothing to a limiter and is never read; but the web server may still be
 * sending it when the answer is out, and libfcgi closes then. */
static bool may_still_send(FCGX_Request *request)
{
    const char *length = FCGX_GetParam("CONTENT_LENGTH", request->envp);

    return (length && length[0] != '\0' && strcmp(length, "0") != 0) ||
           FCGX_GetParam("HTTP_TRANSFER_ENCODING", request->envp);
}

void fastcgi_reply(void *context, const char *text, size_t len)
{
    struct exchange *exchange = context;
    struct fastcgi *fastcgi = exchange->fastcgi;

    FCGX_PutStr(text, (int)len, exchange->request.out);
    if (may_still_send(&exchange->request))
        linger(fastcgi->loop, dup(exchange->request.ipcFd));
    FCGX_Finish_r(&exchange->request);
    if (exchange->request.ipcFd >= 0)
        FCGX_Free(&exchange->request, 1); /* a peer that wanted to keep it opens another */
    unlink_in_flight(exchange);
    exchange_put(exchange);
    if (fastcgi->stopping && !fastcgi->in_flight)
        fastcgi->idle(fastcgi->idle_context);
}

void fastcgi_stop(struct fastcgi *fastcgi, void (*idle)(void *context), void *context)
{
    accept_waiting(fastcgi, LISTENER_BACKLOG);
    ev_io_stop(fastcgi->loop, &fastcgi->readable);
    ev_timer_stop(fastcgi->loop, &fastcgi->pause);
    fastcgi->stopping = true;
    fastcgi->idle = idle;
    fastcgi->idle_context = context;
    if (!fastcgi->in_flight)
        idle(context);
}

void fastcgi_free(struct fastcgi *fastcgi)
{
    if (!fastcgi)
        return;
    ev_io_stop(fastcgi->loop, &fastcgi->readable);
    ev_timer_stop(fastcgi->loop, &fastcgi->pause);
    while (fastcgi->in_flight) {
        struct exchange *exchange = fastcgi->in_flight;
        unlink_in_flight(exchange);
        FCGX_Free(&exchange->request, 1);
        exchange_put(exchange);
    }
    while (fastcgi->free) {
        struct exchange *exchange = fastcgi->free;
        fastcgi->free = exchange->next;
        free(exchange);
    }
    free(fastcgi);
}
