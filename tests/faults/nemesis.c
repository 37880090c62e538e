/* nemesis.c - what goes wrong, and what may come of it. */
/* SPDX-License-Identifier: MIT */
#include "nemesis.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- What the faults do ---- */

static void stop_redis(struct scene *scene)
{
    kill(scene->servers.redis, SIGSTOP);
}

static void continue_redis(struct scene *scene)
{
    kill(scene->servers.redis, SIGCONT);
}

static void kill_redis(struct scene *scene)
{
    servers_kill_redis(&scene->servers);
}

static void start_redis(struct scene *scene)
{
    servers_start_redis(&scene->servers);
}

static void kill_clients(struct scene *scene)
{
    servers_redis(&scene->servers, "CLIENT KILL TYPE normal");
}

static void flush_scripts(struct scene *scene)
{
    servers_redis(&scene->servers, "SCRIPT FLUSH");
}

static void flush_data(struct scene *scene)
{
    servers_redis(&scene->servers, "FLUSHALL");
}

static void fill_memory(struct scene *scene)
{
    servers_redis(&scene->servers, "CONFIG SET maxmemory 1");
}

static void free_memory(struct scene *scene)
{
    servers_redis(&scene->servers, "CONFIG SET maxmemory 0");
}

static void sleep_in_redis(struct scene *scene)
{
    servers_redis(&scene->servers, "DEBUG SLEEP 0.2");
}

static void end_one(struct scene *scene, int signal)
{
    int index = scene->turn % SERVERS_PROGRAMS;

    scene->weather.ends_begun[index]++;
    servers_end_program(&scene->servers, index, signal);
    scene->weather.ends_done[index]++;
}

static void kill_program(struct scene *scene)
{
    end_one(scene, SIGKILL);
}

static void terminate_program(struct scene *scene)
{
    end_one(scene, SIGTERM);
}

static void start_program(struct scene *scene)
{
    servers_start_program(&scene->servers, scene->turn % SERVERS_PROGRAMS);
}

static void reload(struct scene *scene, int scale)
{
    servers_write_limits(&scene->servers, scale);
    for (int i = 0; i < SERVERS_PROGRAMS; i++)
        kill(scene->servers.programs[i], SIGHUP);
}

static void double_limits(struct scene *scene)
{
    reload(scene, 2);
}

static void restore_limits(struct scene *scene)
{
    reload(scene, 1);
}

static void delete_region(struct scene *scene)
{
    char path[SERVERS_PATH_SIZE];

    servers_path(&scene->servers, scene->turn % 2 ? "host-1.shared" : "host-0.shared", path);
    unlink(path);
}

static void delay_a_little(struct scene *scene)
{
    proxy_delay(scene->proxy, 15);
}

static void delay_too_long(struct scene *scene)
{
    proxy_delay(scene->proxy, 40); /* each way */
}

static void hold_requests(struct scene *scene)
{
    proxy_hold(scene->proxy, PROXY_REQUESTS, true);
}

static void hold_replies(struct scene *scene)
{
    proxy_hold(scene->proxy, PROXY_REPLIES, true);
}

static void cut_replies(struct scene *scene)
{
    proxy_cut(scene->proxy, true);
}

static void repair_network(struct scene *scene)
{
    proxy_delay(scene->proxy, 0);
    proxy_hold(scene->proxy, PROXY_REQUESTS, false);
    proxy_hold(scene->proxy, PROXY_REPLIES, false);
    proxy_cut(scene->proxy, false);
}

/* ---- The table ---- */

/* Numbers as they are, every refusal right, and no admission beyond the limit. */
#define EXACT                                                                                      \
    {                                                                                              \
        .scale = 1, .exact = true                                                                  \
    }

/* Each host gives its share of a capacity without Redis, and a request at least.  TIMES: 2 if Redis
 * is killed, because then it may not have executed the charge of what a host had handed out, which
 * counts as charged. */
#define LOCAL(times)                                                                               \
    {                                                                                              \
        .scale = 1, .extra_capacities = (times), .extra_costs = SERVERS_HOSTS                      \
    }

/* With appendfsync everysec Redis puts a write off for up to two seconds while an fsync runs, so
 * that what it answered before a SIGKILL may be lost. */
const struct fault nemesis_faults[] = {
    {"none", NULL, NULL, 0, 1000, "deny", EXACT},
    {"Redis stopped for 0.3 s", stop_redis, continue_redis, 300, 700, "deny", EXACT},
    {"Redis stopped, policy allow",
     stop_redis,
     continue_redis,
     300,
     700,
     "allow",
     {.scale = 1, .allow = true}},
    {"killed, restarted empty", kill_redis, start_redis, 300, 1500, "deny", EXACT,
     .loses_data = true},
    {"killed, appendfsync everysec", kill_redis, start_redis, 300, 1500, "deny", EXACT,
     .loses_data = true, .aof = "everysec"},
    {"killed, appendfsync always", kill_redis, start_redis, 300, 1500, "deny", EXACT,
     .aof = "always"},
    {"down 0.3 s, up 0.3 s, always", kill_redis, start_redis, 300, 300, "deny", EXACT,
     .aof = "always"},
    {"stopped for 0.3 s, policy local", stop_redis, continue_redis, 300, 700, "local", LOCAL(1)},
    {"down 0.3 s, up 0.3 s, local", kill_redis, start_redis, 300, 300, "local", LOCAL(2),
     .aof = "always"},
    {"maxmemory reached, local", fill_memory, free_memory, 300, 700, "local", LOCAL(1)},
    {"CLIENT KILL", kill_clients, NULL, 0, 200, "deny", EXACT},
    {"SCRIPT FLUSH", flush_scripts, NULL, 0, 100, "deny", EXACT},
    {"FLUSHALL", flush_data, NULL, 0, 1000, "deny", EXACT, .loses_data = true},
    {"maxmemory reached", fill_memory, free_memory, 300, 700, "deny", EXACT},
    {"DEBUG SLEEP 0.2", sleep_in_redis, NULL, 0, 800, "deny", EXACT},
    {"network: 15 ms each way", delay_a_little, repair_network, 300, 500, "deny", EXACT,
     .proxied = true},
    {"network: 40 ms each way", delay_too_long, repair_network, 300, 500, "deny", EXACT,
     .proxied = true},
    {"network: cut in mid-reply", cut_replies, repair_network, 20, 300, "deny", EXACT,
     .proxied = true},
    {"network: no requests", hold_requests, repair_network, 300, 500, "deny", EXACT,
     .proxied = true},
    {"network: no replies", hold_replies, repair_network, 300, 500, "deny", EXACT, .proxied = true},
    {"processes killed", kill_program, start_program, 100, 400, "deny", EXACT},
    {"processes terminated", terminate_program, start_program, 100, 400, "deny", EXACT},
    {"limits doubled and restored",
     double_limits,
     restore_limits,
     300,
     300,
     "deny",
     {.scale = 2, .exact = false}},
    {"region deleted", delete_region, NULL, 0, 500, "deny", EXACT},
};

const size_t nemesis_fault_count = sizeof nemesis_faults / sizeof *nemesis_faults;

/* ---- The rhythm ---- */

static void sleep_ms(int ms)
{
    usleep((useconds_t)ms * 1000);
}

static void inflict(const struct fault *fault, struct scene *scene)
{
    struct weather *weather = &scene->weather;

    weather->fault = true;
    if (fault->loses_data)
        weather->losses_begun++;
    if (fault->begin)
        fault->begin(scene);
    sleep_ms(fault->active_ms);
    if (fault->end)
        fault->end(scene);
    if (fault->loses_data)
        weather->losses_ended++;
    if (fault->begin)
        weather->healed_us = load_now_us();
    weather->fault = false;
    scene->turn++;
}

void nemesis_run(const struct fault *fault, struct scene *scene, double seconds, unsigned seed)
{
    int64_t end_us = load_now_us() + (int64_t)(seconds * 1e6);

    for (;;) {
        int rest_ms = fault->rest_ms / 2 + (int)(rand_r(&seed) % (unsigned)fault->rest_ms);
        int64_t left_ms = (end_us - load_now_us()) / 1000;
        if (left_ms <= rest_ms) {
            sleep_ms(left_ms > 0 ? (int)left_ms : 0);
            return;
        }
        sleep_ms(rest_ms);
        inflict(fault, scene);
    }
}
