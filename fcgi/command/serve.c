/* serve.c - the server is made ready, and the loop runs until a signal. */
/* SPDX-License-Identifier: MIT */
#include "command/serve.h"

#include <ev.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "command/configure.h"
#include "command/live_overrides.h"
#include "command/monitor.h"
#include "config/reload.h"
#include "decide/limiter.h"
#include "decide/pages.h"
#include "decide/router.h"
#include "front/fcgi_server.h"
#include "front/listener.h"
#include "shared/counters.h"
#include "shared/recent.h"
#include "shared/region.h"
#include "shared/slot.h"
#include "store/local.h"
#include "store/redis.h"

#define DRAIN_S     5.0 /* how long a stop waits for what is in flight */
#define OVERRIDES_S 0.3 /* how long the start waits for the overrides that are stored in Redis */
#define DESCRIPTORS 65536

struct server {
    struct ev_loop *loop;
    int listen_fd;
    const char *listen;                /* its address; NULL if it was handed over */
    struct redis_config redis_of_file; /* that the limits file had at the start */
    struct process process;            /* what this process says of itself */
    struct region *region;
    struct slot *slot;
    struct recent *recent;
    struct redis *redis;
    struct local *local;
    struct limiter *limiter;
    struct live_overrides *live_overrides;
    struct pages *pages;
    struct router *router;
    struct fcgi_server *fcgi_server;
    struct monitor *monitor;
    struct reload *reload;
    ev_check woken;
    ev_signal terminate, interrupt;
    ev_timer drained_out;
};

static void on_request(void *context, void *exchange, const struct request *request)
{
    struct server *server = context;

    router_handle(server->router, exchange, request);
}

/* While hundreds of requests are read, Redis works on those before them. */
static void on_batch(void *context)
{
    struct server *server = context;

    redis_turn(server->redis);
}

/* Say in the process that LIMITS are in force from now on. */
static void describe_limits(struct process *process, const struct limits *limits)
{
    snprintf(process->sha256, sizeof process->sha256, "%s", limits->sha256);
    process->limit_count = (int64_t)limits->count;
    process->loaded_us = clock_unix_us();
}

/* Say in the process, and count, which stored overrides are in force. */
static void describe_overrides(struct server *server)
{
    const struct live_overrides_state *state = live_overrides_state(server->live_overrides);
    struct process *process = &server->process;
    struct slot *slot = server->slot;
    bool refused = state->problem[0] != '\0';

    if (state->loaded_us != process->overrides_loaded_us)
        counter_add(&slot->counters.overrides_loads, 1);
    if (refused && strcmp(process->overrides_problem, state->problem) != 0)
        counter_add(&slot->counters.overrides_refused, 1);
    counter_set(&slot->gauges.overrides_old, refused);
    process->override_count = (int64_t)state->count;
    process->override_foreign = (int64_t)state->foreign_count;
    process->overrides_loaded_us = state->loaded_us;
    snprintf(process->overrides_problem, sizeof process->overrides_problem, "%s", state->problem);
}

/* LIMITS are to decide from now on, with the stored overrides that they have. */
static void on_overrides(void *context, struct limits *limits)
{
    struct server *server = context;

    if (limits != limiter_limits(server->limiter)) {
        limiter_set_limits(server->limiter, limits);
        describe_limits(&server->process, limits);
    }
    describe_overrides(server);
    slot_describe(server->slot, &server->process);
}

static void on_reload(void *context, struct limits *limits)
{
    struct server *server = context;

    counter_set(&server->slot->gauges.reload_failed, !limits);
    counter_add(limits ? &server->slot->counters.reloads : &server->slot->counters.reloads_failed,
                1);
    if (!limits)
        return;
    if (!redis_config_equal(&server->redis_of_file, &limits->redis))
        log_line(LOG_WARNING, "the limits file has other settings of redis, which take a restart");
    live_overrides_use(server->live_overrides, limits);
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
    /* At once, so that a client which connects now is refused, or reaches a process that shares the
     * socket. */
    listener_close(server->listen_fd, server->listen);
}

/* Read the clock once for all that is ready: clock_recent_s. */
static void on_woken(struct ev_loop *loop, ev_check *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    clock_s();
}

static void watch_wake_ups(struct server *server)
{
    ev_check_init(&server->woken, on_woken);
    ev_set_priority(&server->woken, EV_MAXPRI);
    ev_check_start(server->loop, &server->woken);
}

/* After FCGX_Init, because its handlers only set a flag, which the loop would never look at. */
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

/* Each request in flight needs a descriptor, and the usual soft limit is only 1024. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Use SCHED_BATCH so that a wake-up does not preempt the web server while it sends more requests
 * (sched(7)).  An idle core still runs us at once.  Keep an operator's policy; ignore failure. */
static void wait_for_batches(void)
{
    if (sched_getscheduler(0) == SCHED_OTHER)
        sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){.sched_priority = 0});
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

/* A fault in a parser, ours or a library's, does more harm in a process that may do anything. */
static void warn_of_root(void)
{
    if (geteuid() == 0)
        log_line(
            LOG_WARNING,
            "running as root, which a rate limiter never needs; start it as the user of the web "
            "server, or as one of its own");
}

/* --check warns of it, too, but not everyone runs that. */
static void warn_of_insecure(const struct redis_config *redis)
{
    if (redis->address.tls && redis->tls.insecure)
        log_line(LOG_WARNING,
                 "redis: tls has insecure: true: certificates are not checked, so that anyone on "
                 "the way can be Redis and read its password");
}

/* Open the region at PATH (NULL: none), whose mirror has MIRROR_ROWS rows, and claim a slot.
 * Without it, the process counts on its own.  False: what is wrong was written. */
static bool open_region(struct server *server, const char *path, uint64_t mirror_rows)
{
    char error[REGION_PATH_SIZE + 128];

    server->region = region_open(path, mirror_rows, error, sizeof error);
    server->slot = server->region ? region_claim(server->region) : NULL;
    if (server->slot)
        return true;
    if (server->region)
        snprintf(error, sizeof error, "%s: there is no room for another process", path);
    log_line(LOG_WARNING, "the shared memory cannot be used (%s): this process counts on its own",
             error);
    region_free(server->region);
    server->region = region_open(NULL, mirror_rows, error, sizeof error);
    if (!server->region)
        fprintf(stderr, "ratelimit.fcgi: no memory for counters: %s\n", error);
    else
        server->slot = region_claim(server->region);
    return server->slot;
}

static void describe_first(struct server *server, const struct options *options,
                           const struct limits *limits)
{
    struct process *process = &server->process;

    process->pid = getpid();
    process->started_us = clock_unix_us();
    snprintf(process->version, sizeof process->version, "%s", VERSION);
    if (options->limits)
        snprintf(process->limits_file, sizeof process->limits_file, "%s", options->limits);
    snprintf(process->redis, sizeof process->redis, "%s", redis_shown(server->redis));
    describe_limits(process, limits);
    slot_describe(server->slot, process);
}

/* Read RATELIMIT_ALLOW.  False: what is wrong was written. */
static bool read_access(const struct options *options, struct pages_access *access)
{
    const char *place, *error = NULL;

    *access = (struct pages_access){0};
    if (options->allow)
        error = pages_access_parse(options->allow, access, &place);
    if (error)
        fprintf(stderr, "ratelimit.fcgi: RATELIMIT_ALLOW: '%.*s' %s\n", (int)strcspn(place, " ,"),
                place, error);
    return !error;
}

/* Make SERVER ready to serve by LIMITS (borrowed).  False: what is wrong was written. */
static bool prepare(struct server *server, const struct options *options, struct limits *limits,
                    const struct redis_config *redis)
{
    struct pages_access access;
    const char *error;

    if (!read_access(options, &access))
        return false;
    server->listen = options->listen;
    server->listen_fd = open_socket(options);
    if (server->listen_fd < 0)
        return false;
    warn_of_root();
    warn_of_insecure(redis);
    srand48(time(NULL) ^ getpid());
    raise_descriptor_limit();
    wait_for_batches();
    if (!open_region(server, options->shared,
                     redis->mirror_rows ? redis->mirror_rows : MIRROR_ROWS_DEFAULT))
        return false;
    server->redis_of_file = limits->redis;
    server->redis = redis_new(server->loop, redis, server->slot);
    server->local = local_new(server->loop, server->region, server->redis, redis->hosts);
    server->limiter =
        limiter_new(limits, local_store(server->local), server->region, fcgi_server_reply);
    /* After the limiter, so that the first sample has the limits, whose counts begin with it. */
    server->recent = recent_new(server->region);
    server->pages = pages_new(server->region, server->recent, &access);
    server->router = router_new(server->limiter, server->pages, fcgi_server_reply);
    describe_first(server, options, limits);
    server->live_overrides =
        live_overrides_new(server->loop, server->redis, redis, limits, on_overrides, server);
    live_overrides_wait(server->live_overrides, OVERRIDES_S);
    server->fcgi_server =
        fcgi_server_new(server->loop, server->listen_fd, on_request, on_batch, server, &error);
    if (!server->fcgi_server) {
        fprintf(stderr, "ratelimit.fcgi: %s\n", error);
        listener_close(server->listen_fd, server->listen);
        return false;
    }
    server->monitor = monitor_new(
        server->loop, &(struct monitored){server->region, server->redis, server->limiter,
                                          server->fcgi_server, server->recent});
    return true;
}

/* So that the log says which process serves by which limits. */
static void log_start(const struct options *options, const struct limits *limits,
                      const struct redis_config *redis)
{
    char shown[REDIS_CONFIG_SHOWN_SIZE];

    redis_config_show(redis, shown);
    log_line(LOG_NOTICE, "ratelimit.fcgi " VERSION ": %s (%zu limit%s, sha256 %.12s), redis %s",
             configure_name(options), limits->count, limits->count == 1 ? "" : "s", limits->sha256,
             shown);
}

/* Serve until a signal. */
static void run_loop(struct server *server)
{
    watch_signals(server);
    watch_wake_ups(server);
    ev_run(server->loop, 0);
    monitor_free(server->monitor);
    live_overrides_free(server->live_overrides);
    redis_free(server->redis);
    local_free(server->local);
    fcgi_server_free(server->fcgi_server);
    router_free(server->router);
    pages_free(server->pages);
    limiter_free(server->limiter);
    recent_free(server->recent);
    region_free(server->region);
}

int serve(const struct options *options)
{
    struct server server = {.loop = ev_default_loop(EVFLAG_AUTO)};
    struct redis_config redis;
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
    /* Before the file is read, so that what is written to it from now on is noticed. */
    server.reload = reload_new(server.loop, options->limits, on_reload, &server);
    struct limits *limits = configure(options, FINDINGS_ERRORS, NULL, &redis);
    bool ready = limits && prepare(&server, options, limits, &redis);
    if (ready)
        log_start(options, limits, &redis);
    if (limits)
        status = ready ? EXIT_SUCCESS : EXIT_FAILURE;
    limits_unref(limits); /* the limiter has a reference of its own */
    if (ready)
        run_loop(&server);
    reload_free(server.reload);
    ev_loop_destroy(server.loop);
    return status;
}
