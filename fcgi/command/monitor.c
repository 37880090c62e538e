/* monitor.c - a timer of one second; some things are done every five or ten seconds. */
/* SPDX-License-Identifier: MIT */
#include "command/monitor.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/memory.h"
#include "shared/counters.h"
#include "shared/refusal_log.h"

#define STEP_S 1.0

struct monitor {
    struct ev_loop *loop;
    struct monitored of;
    struct refusal_log *refusal_log;
    uint64_t accepted; /* connections that have been counted */
    unsigned second;
    int64_t step; /* of the time of day, RECENT_STEP_S long, in which the last sample was taken */
    ev_timer timer;
};

static uint64_t descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (!folder)
        return 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 3; /* ".", ".." and FOLDER */
}

static void measure_descriptors(struct process_gauges *gauges)
{
    struct rlimit limit;

    counter_set(&gauges->descriptors_open, descriptors());
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        counter_set(&gauges->descriptors_max, limit.rlim_cur);
}

static void measure(struct monitor *monitor)
{
    struct slot *slot = region_own(monitor->of.region);
    uint64_t accepted;

    counter_set(&slot->gauges.connections_open,
                fcgi_server_open(monitor->of.fcgi_server, &accepted));
    counter_add(&slot->counters.connections_accepted, accepted - monitor->accepted);
    monitor->accepted = accepted;
    counter_set(&slot->gauges.requests_open, limiter_under_way(monitor->of.limiter));
    redis_count_down_time(monitor->of.redis);
}

/* Processes take their samples in the same second, so that a page which is answered by one and then
 * by the other shows the same plot. */
static void sample(struct monitor *monitor)
{
    int64_t step = clock_unix_us() / (RECENT_STEP_S * INT64_C(1000000));

    if (step == monitor->step)
        return;
    monitor->step = step;
    measure_descriptors(&region_own(monitor->of.region)->gauges);
    recent_step(monitor->of.recent);
}

static void on_second(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct monitor *monitor = watcher->data;

    (void)loop, (void)events;
    monitor->second++;
    measure(monitor);
    sample(monitor);
    if (monitor->second % REFUSAL_LOG_S == 0)
        refusal_log_write(monitor->refusal_log, limiter_limits(monitor->of.limiter)->log_refusals);
}

struct monitor *monitor_new(struct ev_loop *loop, const struct monitored *monitored)
{
    struct monitor *monitor = memory_new(sizeof *monitor);

    monitor->loop = loop;
    monitor->of = *monitored;
    monitor->refusal_log = refusal_log_new(monitored->region);
    ev_timer_init(&monitor->timer, on_second, STEP_S, STEP_S);
    monitor->timer.data = monitor;
    ev_timer_start(loop, &monitor->timer);
    measure(monitor);
    measure_descriptors(&region_own(monitored->region)->gauges);
    return monitor;
}

void monitor_free(struct monitor *monitor)
{
    if (!monitor)
        return;
    measure(monitor);
    ev_timer_stop(monitor->loop, &monitor->timer);
    refusal_log_write(monitor->refusal_log, limiter_limits(monitor->of.limiter)->log_refusals);
    refusal_log_free(monitor->refusal_log);
    free(monitor);
}
