/* main.c - ratelimit.fcgi from start to stop. */
/* SPDX-License-Identifier: MIT */
#include <ev.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "command/explain.h"
#include "front/fcgi_server.h"
#include "decide/limiter.h"
#include "config/limits_file.h"
#include "front/listener.h"
#include "base/log.h"
#include "command/options.h"
#include "store/redis.h"
#include "config/reload.h"

#define EXIT_USAGE  2   /* wrong options or a wrong limits file */
#define DRAIN_S     5.0 /* how long a stop waits for what is in flight */
#define DESCRIPTORS 65536

struct server {
    struct ev_loop *loop;
    int listen_fd;
    const char *listen;                 /* its address; NULL where it was handed over */
    struct redis_address redis_of_file; /* the limits file's at the start ... */
    unsigned redis_timeout_ms;          /* ... and its timeout */
    struct redis *redis;
    struct limiter *limiter;
    struct fcgi_server *fcgi_server;
    struct reload *reload;
    ev_signal terminate, interrupt;
    ev_timer drained_out;
};

static void on_request(void *context, void *exchange, const struct request *request)
{
    struct server *server = context;

    limiter_handle(server->limiter, exchange, request);
}

/* While hundreds of requests are read, Redis works on those before them. */
static void on_batch(void *context)
{
    struct server *server = context;

    redis_turn(server->redis);
}

static bool same_redis(const struct server *server, const struct limits *limits)
{
    return server->redis_timeout_ms == limits->redis_timeout_ms &&
           memcmp(&server->redis_of_file, &limits->redis, sizeof limits->redis) == 0;
}

static void on_reload(void *context, struct limits *limits)
{
    struct server *server = context;

    if (!same_redis(server, limits))
        log_line("the limits file has other settings of redis, which take a restart");
    limiter_set_limits(server->limiter, limits);
    limits_unref(limits);
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
    fcgi_server_stop(server->fcgi_server, on_idle, loop);
    /* At once: a client that comes now is refused, or goes to a process that shares the socket. */
    listener_close(server->listen_fd, server->listen);
}

/* After FCGX_Init, whose own handlers only set a flag that the loop would never look at. */
static void watch_signals(struct server *server)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
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

/* A request that wakes this program up shall not have it interrupt the web server, who is about to
 * send the next: by sched(7) a program of SCHED_BATCH waits until who runs there pauses, and finds
 * several.  On a core that is idle it runs at once, as any.  A policy that somebody gave it stays,
 * and where none may be set it does without. */
static void wait_for_batches(void)
{
    if (sched_getscheduler(0) == SCHED_OTHER)
        sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){.sched_priority = 0});
}

/* The name of the limits file in messages. */
static const char *limits_name(const struct options *options)
{
    return options->limits ? options->limits : "the built-in limits";
}

/* PASSWORD for the address that OPTIONS have; "" where that has one of its own, which wins over the
 * limits file's. */
static const char *own_password(const struct options *options, const char *password)
{
    struct redis_address address;

    if (options->redis_password_file || redis_address_parse(options->redis, &address) ||
        address.password[0] == '\0')
        return password;
    return "";
}

/* Where Redis is, as OPTIONS say or else LIMITS, into *OUT.  False: said why not. */
static bool read_redis_address(const struct options *options, const struct limits *limits,
                               struct redis_address *out)
{
    char password[PASSWORD_SIZE];
    const char *error = NULL;
    bool open;

    strcpy(password, limits->redis_password);
    if (options->redis_password_file)
        error = password_file_read(options->redis_password_file, password, &open);
    if (error) {
        fprintf(stderr, "ratelimit.fcgi: REDIS_PASSWORD_FILE: %s: %s\n",
                options->redis_password_file, error);
        return false;
    }
    *out = limits->redis;
    if (options->redis)
        error = redis_address_parse_for(options->redis, own_password(options, password), out);
    else if (options->redis_password_file)
        strcpy(out->password, password);
    if (error)
        fprintf(stderr, "ratelimit.fcgi: the address of Redis (--redis or REDIS_ADDR): %s\n",
                error);
    return !error;
}

/* Read the limits file, and where Redis is into *REDIS.  Returns the limits, the caller's to
 * release; or NULL, said why. */
static struct limits *configure(const struct options *options, struct redis_address *redis)
{
    struct findings findings = {.file = limits_name(options)};
    struct limits *limits = limits_load(options->limits, &findings);

    findings_write(&findings, FINDINGS_ERRORS, stderr);
    findings_free(&findings);
    if (limits && !read_redis_address(options, limits, redis)) {
        limits_unref(limits);
        return NULL;
    }
    return limits;
}

static int check(const struct options *options)
{
    struct findings findings = {.file = limits_name(options)};
    struct limits *limits = limits_load(options->limits, &findings);
    struct redis_address redis;
    bool fine = limits && read_redis_address(options, limits, &redis);

    findings_write(&findings, FINDINGS_ALL, stderr);
    if (fine && options->strict && findings.warning_count > 0) {
        fprintf(stderr, "%s: refused for %u warning%s, as --strict says\n", findings.file,
                findings.warning_count, findings.warning_count == 1 ? "" : "s");
        fine = false;
    }
    if (fine)
        printf("%s: fine, %zu limit%s\n", findings.file, limits->count,
               limits->count == 1 ? "" : "s");
    findings_free(&findings);
    limits_unref(limits);
    return fine ? EXIT_SUCCESS : EXIT_USAGE;
}

static int explain_one(const struct options *options)
{
    struct redis_address redis;
    struct limits *limits = configure(options, &redis);

    if (!limits)
        return EXIT_USAGE;
    int status = explain(limits, options->redis_given ? &redis : NULL, options, stdout);
    limits_unref(limits);
    return status;
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

/* What is wrong in a parser, ours or a library's, is worse in a process that may do anything. */
static void warn_of_root(void)
{
    if (geteuid() == 0)
        log_line(
            "running as root, which a rate limiter never needs; start it as the user of the web "
            "server, or as one of its own");
}

/* Make SERVER ready to serve by LIMITS (borrowed).  False: said why not. */
static bool prepare(struct server *server, const struct options *options, struct limits *limits,
                    const struct redis_address *redis)
{
    const char *error;

    server->listen = options->listen;
    server->listen_fd = open_socket(options);
    if (server->listen_fd < 0)
        return false;
    warn_of_root();
    srand48(time(NULL) ^ getpid());
    raise_descriptor_limit();
    wait_for_batches();
    server->redis_of_file = limits->redis;
    server->redis_timeout_ms = limits->redis_timeout_ms;
    server->redis = redis_new(server->loop, redis, limits->redis_timeout_ms);
    server->limiter = limiter_new(limits, redis_take, server->redis, fcgi_server_reply);
    server->fcgi_server =
        fcgi_server_new(server->loop, server->listen_fd, on_request, on_batch, server, &error);
    if (!server->fcgi_server) {
        fprintf(stderr, "ratelimit.fcgi: %s\n", error);
        listener_close(server->listen_fd, server->listen);
    }
    return server->fcgi_server;
}

/* Serve until a signal. */
static void serve(struct server *server)
{
    watch_signals(server);
    ev_run(server->loop, 0);
    redis_free(server->redis);
    fcgi_server_free(server->fcgi_server);
    limiter_free(server->limiter);
}

static int start(const struct options *options)
{
    struct server server = {.loop = ev_default_loop(EVFLAG_AUTO)};
    struct redis_address redis;
    int status = EXIT_USAGE;

    if (!options->listen && !listener_is_listening(STDIN_FILENO)) {
        fputs("ratelimit.fcgi is run by a web server or by spawn-fcgi, with a listening socket on\n"
              "standard input, or with --listen unix:/PATH or --listen HOST:PORT; see --help\n",
              stderr);
        return EXIT_USAGE;
    }
    if (!server.loop) {
        fputs("ratelimit.fcgi: libev finds no way to wait for events\n", stderr);
        return EXIT_FAILURE;
    }
    /* Before the file is read: what is written to it from now on is seen. */
    server.reload = reload_new(server.loop, options->limits, on_reload, &server);
    struct limits *limits = configure(options, &redis);
    bool ready = limits && prepare(&server, options, limits, &redis);
    if (limits)
        status = ready ? EXIT_SUCCESS : EXIT_FAILURE;
    limits_unref(limits); /* the limiter holds them */
    if (ready)
        serve(&server);
    reload_free(server.reload);
    ev_loop_destroy(server.loop);
    return status;
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
    case OPTIONS_EXPLAIN:
        return explain_one(&options);
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
