/* servers.h - a Redis, and two hosts with two processes of ratelimit.fcgi each, in one folder. */
#ifndef SERVERS_H
#define SERVERS_H

#include <stdbool.h>
#include <sys/types.h>

#define SERVERS_HOSTS     2
#define SERVERS_PROGRAMS  4 /* every second one is on the first host */
#define SERVERS_PATH_SIZE 100
/* redis.timeout of the limits file. */
#define SERVERS_TIMEOUT_MS 50

/* DIRECTORY, PROGRAM, POLICY (of on_redis_failure), AOF (appendfsync, or NULL)
 * and PROXIED are the caller's. */
struct servers {
    const char *directory, *program, *policy, *aof;
    bool proxied;
    pid_t redis, programs[SERVERS_PROGRAMS];
};

/* Make the folder.  Exits with a message if that fails. */
void servers_make(const struct servers *servers);
/* Start all of SERVERS, and wait until they answer.  Exits with a message if that fails.  The
 * servers end when the thread that started them ends. */
void servers_start(struct servers *servers);
void servers_stop(struct servers *servers);
/* Remove the folder. */
void servers_remove(const struct servers *servers);

void servers_start_redis(struct servers *servers);
/* Send SIGKILL to Redis and wait for its end. */
void servers_kill_redis(struct servers *servers);
/* Start process INDEX, without waiting until it listens. */
void servers_start_program(struct servers *servers, int index);
/* Send SIGNAL to process INDEX, and wait for its end. */
void servers_end_program(struct servers *servers, int index, int signal);

/* Send COMMAND to Redis, and wait for the answer.  Returns whether it is no error. */
bool servers_redis(struct servers *servers, const char *command);

/* Write the limits file, all capacities and refills multiplied by SCALE. */
void servers_write_limits(const struct servers *servers, int scale);

/* OUT becomes the path of NAME in the folder. */
void servers_path(const struct servers *servers, const char *name, char out[SERVERS_PATH_SIZE]);
/* OUT becomes the socket of process INDEX. */
void servers_socket(const struct servers *servers, int index, char out[SERVERS_PATH_SIZE]);

/* Whether no request waits for Redis in any process, by their status pages, within two seconds. */
bool servers_are_idle(const struct servers *servers);

/* What the processes hold together: open descriptors and kilobytes of resident memory. */
void servers_usage(const struct servers *servers, long *descriptors, long *resident_kb);

#endif
