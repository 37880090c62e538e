/* servers.c - start, stop and ask the real programs. */
/* SPDX-License-Identifier: MIT */
#include "servers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgi_client.h"
#include "limits.h"

enum { START_MS = 20000 };

static void fail(const char *what)
{
    fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
    exit(2);
}

void servers_path(const struct servers *servers, const char *name, char out[SERVERS_PATH_SIZE])
{
    snprintf(out, SERVERS_PATH_SIZE, "%s/%s", servers->directory, name);
}

void servers_socket(const struct servers *servers, int index, char out[SERVERS_PATH_SIZE])
{
    char name[24];

    snprintf(name, sizeof name, "program-%d.sock", index);
    servers_path(servers, name, out);
}

/* Run ARGV, with its output in the file LOG of the folder. */
static pid_t start(const struct servers *servers, const char *log, const char *const *argv)
{
    char path[SERVERS_PATH_SIZE];
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        fail("fork");
    if (pid > 0)
        return pid;
    servers_path(servers, log, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(127);
    /* It ends with the harness, however that ends.  PR_SET_PDEATHSIG is about the thread that
     * forked, so the main thread alone waits for the others. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

bool servers_redis(struct servers *servers, const char *command)
{
    char path[SERVERS_PATH_SIZE];

    servers_path(servers, "redis.sock", path);
    redisContext *context = redisConnectUnixWithTimeout(path, (struct timeval){1, 0});
    if (!context)
        return false;
    redisReply *reply = context->err ? NULL : redisCommand(context, command);
    bool good = reply && reply->type != REDIS_REPLY_ERROR;
    if (reply)
        freeReplyObject(reply);
    redisFree(context);
    return good;
}

void servers_start_redis(struct servers *servers)
{
    char path[SERVERS_PATH_SIZE];
    const char *argv[] = {"redis-server",
                          "--port",
                          "0",
                          "--unixsocket",
                          path,
                          "--save",
                          "",
                          "--dir",
                          servers->directory,
                          "--appendonly",
                          servers->aof ? "yes" : "no",
                          "--appendfsync",
                          servers->aof ? servers->aof : "no",
                          "--enable-debug-command",
                          "yes",
                          NULL};

    servers_path(servers, "redis.sock", path);
    servers->redis = start(servers, "redis.log", argv);
    for (int ms = 0; !servers_redis(servers, "PING"); ms += 5) {
        if (ms > START_MS)
            fail("Redis does not answer; see redis.log");
        usleep(5000);
    }
}

void servers_kill_redis(struct servers *servers)
{
    kill(servers->redis, SIGKILL);
    waitpid(servers->redis, NULL, 0);
}

void servers_start_program(struct servers *servers, int index)
{
    char limits_path[SERVERS_PATH_SIZE], shared[SERVERS_PATH_SIZE], path[SERVERS_PATH_SIZE];
    char listen[SERVERS_PATH_SIZE + 8];
    const char *argv[] = {servers->program, "--limits", limits_path, "--listen",
                          listen,           "--shared", shared,      NULL};

    servers_path(servers, "limits.yaml", limits_path);
    servers_path(servers, index % SERVERS_HOSTS ? "host-1.shared" : "host-0.shared", shared);
    servers_socket(servers, index, path);
    snprintf(listen, sizeof listen, "unix:%s", path);
    servers->programs[index] = start(servers, "program.log", argv);
}

void servers_end_program(struct servers *servers, int index, int signal)
{
    kill(servers->programs[index], signal);
    waitpid(servers->programs[index], NULL, 0);
}

static void wait_for_program(const struct servers *servers, int index)
{
    char path[SERVERS_PATH_SIZE];
    int fd;

    servers_socket(servers, index, path);
    for (int ms = 0; (fd = fcgi_client_connect(path)) < 0; ms += 5) {
        if (ms > START_MS)
            fail("a program does not listen; see program.log");
        usleep(5000);
    }
    close(fd);
}

void servers_write_limits(const struct servers *servers, int scale)
{
    char path[SERVERS_PATH_SIZE], made[SERVERS_PATH_SIZE];

    servers_path(servers, "limits.yaml", path);
    servers_path(servers, "limits.new", made);
    FILE *file = fopen(made, "w");
    if (!file)
        fail(made);
    fprintf(file,
            "redis: { address: 'unix:%s/%s', timeout: %dms, hosts: %d }\nlog: { refusals: off }\n"
            "limits:\n",
            servers->directory, servers->proxied ? "proxy.sock" : "redis.sock", SERVERS_TIMEOUT_MS,
            SERVERS_HOSTS);
    for (int i = 0; i < LIMITS_COUNT; i++)
        fprintf(file,
                "  - { name: %s, match: { path: /%s }, key: 'query:user | ip', capacity: %d, "
                "refill: %d/s, cost: 'env:COST', on_redis_failure: %s }\n",
                limits[i].name, limits[i].group, limits[i].capacity * scale,
                limits[i].per_s * scale, servers->policy);
    fclose(file);
    if (rename(made, path) < 0)
        fail(path);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void servers_remove(const struct servers *servers)
{
    nftw(servers->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void servers_make(const struct servers *servers)
{
    if (mkdir(servers->directory, 0700) < 0)
        fail(servers->directory);
}

void servers_start(struct servers *servers)
{
    servers_write_limits(servers, 1);
    servers_start_redis(servers);
    for (int i = 0; i < SERVERS_PROGRAMS; i++) {
        servers_start_program(servers, i);
        wait_for_program(servers, i);
    }
}

void servers_stop(struct servers *servers)
{
    for (int i = 0; i < SERVERS_PROGRAMS; i++)
        servers_end_program(servers, i, SIGTERM);
    servers_kill_redis(servers);
}

/* Ask process INDEX for its status page.  Returns whether ANSWER is that page. */
static bool read_status(const struct servers *servers, int index, struct fcgi_answer *answer)
{
    char path[SERVERS_PATH_SIZE];

    servers_socket(servers, index, path);
    int fd = fcgi_client_connect(path);
    if (fd < 0)
        return false;
    struct pollfd look = {.fd = fd, .events = POLLIN};
    answer->len = answer->input_len = 0;
    answer->whole = false;
    bool open = fcgi_client_send(fd, "/status", "", "RATELIMIT_ENDPOINT", "status");
    while (open && !answer->whole && poll(&look, 1, 1000) > 0)
        open = fcgi_client_read(fd, answer);
    close(fd);
    return answer->whole;
}

/* Whether TEXT has "requests_open", and always with 0. */
static bool says_idle(const char *text)
{
    static const char name[] = "\"requests_open\":";
    const char *at = strstr(text, name);

    if (!at)
        return false;
    for (; at; at = strstr(at + 1, name))
        if (at[sizeof name - 1] != '0')
            return false;
    return true;
}

bool servers_are_idle(const struct servers *servers)
{
    static struct fcgi_answer answer;
    int idle = 0;

    /* Each process writes its numbers into the region from time to time. */
    for (int ms = 0; ms < 2000 && idle < SERVERS_PROGRAMS; ms += 100) {
        usleep(100000);
        for (idle = 0; idle < SERVERS_PROGRAMS; idle++)
            if (!read_status(servers, idle, &answer) || !says_idle(answer.text))
                break;
    }
    return idle == SERVERS_PROGRAMS;
}

static long count_descriptors(pid_t pid)
{
    char path[64];
    long count = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static long resident_of(pid_t pid)
{
    char path[64];
    long pages = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

void servers_usage(const struct servers *servers, long *descriptors, long *resident_kb)
{
    *descriptors = *resident_kb = 0;
    for (int i = 0; i < SERVERS_PROGRAMS; i++) {
        *descriptors += count_descriptors(servers->programs[i]);
        *resident_kb += resident_of(servers->programs[i]);
    }
}
