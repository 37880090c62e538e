/* main.c - ratelimit.fcgi from start to stop. */
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fastcgi.h"
#include "limiter.h"
#include "limits.h"
#include "listener.h"
#include "options.h"
#include "redis.h"

#define EXIT_USAGE  2   /* wrong options or a wrong limits file */
#define DRAIN_S     5.0 /* how long a stop waits for what is in flight */
#define DESCRIPTORS 65536

struct server {
    struct ev_loop *loop;
    int listen_fd;
    const char *listen; /* its address; NULL where it was handed over */
    struct redis *redis;
    struct limiter *limiter;
    struct fastcgi *fastcgi;
    ev_signal terminate, interrupt;
    ev_timer drained_out;
};

static void on_request(void *context, void *exchange, const struct request *request)
{
    limiter_handle(context, exchange, request);
}

static void on_idle(void *context)
{
    ev_break(context, EVBREAK_ALL);
}

static void on_drained_out(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)watcher, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void on_stop(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct server *server = watcher->data;

    (void)events;
    if (ev_is_active(&server->drained_out))
        return; /* stopping already */
    ev_timer_start(loop, &server->drained_out);
    fastcgi_stop(server->fastcgi, on_idle, loop);
    /* At once: a client that comes now is refused, or goes to a process that shares the socket. */
    listener_close(server->listen_fd, server->listen);
}

/* After FCGX_Init, whose own handlers only set a flag that the loop would never look at. */
static void watch_signals(struct server *server)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    ev_signal_init(&server->terminate, on_stop, SIGTERM);
    ev_signal_init(&server->interrupt, on_stop, SIGINT);
    ev_timer_init(&server->drained_out, on_drained_out, DRAIN_S, 0.);
    server->terminate.data = server->interrupt.data = server;
    ev_signal_start(server->loop, &server->terminate);
    ev_signal_start(server->loop, &server->interrupt);
}

/* A request in flight holds a descriptor, and the usual soft limit of 1024 is soon reached. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* The limits file, with the address of Redis that OPTIONS put in its place.  False: said why. */
static bool configure(const struct options *options, struct limits *limits)
{
    if (limits_load(options->limits, stderr, limits) > 0)
        return false;
    if (!options->redis)
        return true;
    const char *error = redis_address_parse(options->redis, &limits->redis);
    if (error)
        fprintf(stderr, "ratelimit.fcgi: the address of Redis (--redis or REDIS_ADDR): %s\n",
                error);
    return !error;
}

static int check(const struct options *options)
{
    static struct limits limits;

    if (!configure(options, &limits))
        return EXIT_USAGE;
    printf("%s: fine, %zu limit%s\n", options->limits ? options->limits : "the built-in limits",
           limits.count, limits.count == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

static int open_socket(const struct options *options)
{
    char error[512];

    if (!options->listen)
        return STDIN_FILENO;
    int fd = listener_open(options->listen, error, sizeof error);
    if (fd < 0)
        fprintf(stderr, "ratelimit.fcgi: cannot listen on %s\n", error);
    return fd;
}

static int serve(const struct options *options, const struct limits *limits)
{
    struct server server = {.loop = ev_default_loop(EVFLAG_AUTO), .listen = options->listen};

    if (!server.loop) {
        fputs("ratelimit.fcgi: libev finds no way to wait for events\n", stderr);
        return EXIT_FAILURE;
    }
    server.listen_fd = open_socket(options);
    if (server.listen_fd < 0)
        return EXIT_FAILURE;
    srand48(time(NULL) ^ getpid());
    raise_descriptor_limit();
    server.redis = redis_new(server.loop, &limits->redis, limits->redis_timeout_ms);
    server.limiter = limiter_new(limits, redis_take, server.redis, fastcgi_reply);
    server.fastcgi = fastcgi_new(server.loop, server.listen_fd, on_request, server.limiter);
    if (!server.fastcgi) {
        fprintf(stderr, "ratelimit.fcgi: libfcgi cannot be initialised\n");
        listener_close(server.listen_fd, server.listen);
        return EXIT_FAILURE;
    }
    watch_signals(&server);

    ev_run(server.loop, 0);

    redis_free(server.redis);
    fastcgi_free(server.fastcgi);
    limiter_free(server.limiter);
    ev_loop_destroy(server.loop);
    return EXIT_SUCCESS;
}

static int start(const struct options *options)
{
    static struct limits limits; /* too large for a stack, and it lives as long as the process */

    if (!options->listen && !listener_is_listening(STDIN_FILENO)) {
        fputs("ratelimit.fcgi is run by a web server or by spawn-fcgi, with a listening socket on\n"
              "standard input, or with --listen unix:/PATH or --listen HOST:PORT; see --help\n",
              stderr);
        return EXIT_USAGE;
    }
    return configure(options, &limits) ? serve(options, &limits) : EXIT_USAGE;
}

/* Descriptors 0 to 2 are taken from here on, so that no connection becomes "standard error". */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    struct options options = options_read(argc, argv);

    switch (options.action) {
    case OPTIONS_CHECK:
        return check(&options);
    case OPTIONS_VERSION:
        puts("ratelimit.fcgi " VERSION);
        return EXIT_SUCCESS;
    case OPTIONS_HELP:
        fputs(options_help, stdout);
        return EXIT_SUCCESS;
    case OPTIONS_SERVE:
        return start(&options);
    case OPTIONS_WRONG:
        break;
    }
    return EXIT_USAGE;
}
