/* configure.c - the limits file is read, and the address of Redis is chosen. */
/* SPDX-License-Identifier: MIT */
#include "command/configure.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/limits_file.h"
#include "store/password_file.h"

const char *configure_name(const struct options *options)
{
    return options->limits ? options->limits : "the built-in limits";
}

/* PASSWORD for the address of OPTIONS; "" if that has a password of its own, which wins over the
 * limits file's. */
static const char *own_password(const struct options *options, const char *password)
{
    struct redis_address address;

    if (options->redis_password_file || redis_address_parse(options->redis, &address) ||
        address.password[0] == '\0')
        return password;
    return "";
}

/* CONFIG has the address of one Redis now, in the place of what the limits file names. */
static void make_single(struct redis_config *config)
{
    config->topology = REDIS_SINGLE;
    config->server_count = 0;
    memset(config->server, 0, sizeof config->server);
    memset(config->master, 0, sizeof config->master);
}

/* Where Redis is, by OPTIONS or else by LIMITS, into *OUT.  False: what is wrong was written. */
static bool read_redis_address(const struct options *options, const struct limits *limits,
                               struct redis_config *out)
{
    char password[PASSWORD_SIZE];
    const char *error = NULL;
    bool open;

    strcpy(password, limits->redis_password);
    if (options->redis_password_file)
        error = password_file_read(options->redis_password_file, password, &open);
    if (error) {
        fprintf(stderr, "%s: REDIS_PASSWORD_FILE: %s: %s\n", options->program,
                options->redis_password_file, error);
        return false;
    }
    if (!options->redis && limits->redis.topology == REDIS_CLUSTER) {
        fprintf(stderr,
                "%s: %s: redis.cluster: a Redis Cluster is not supported yet; name one server with "
                "'address', or Sentinels with 'sentinel'\n",
                options->program, configure_name(options));
        return false;
    }
    *out = limits->redis;
    if (options->redis) {
        error =
            redis_address_parse_for(options->redis, own_password(options, password), &out->address);
        make_single(out);
    } else if (options->redis_password_file) {
        strcpy(out->address.password, password);
    }
    if (error)
        fprintf(stderr, "%s: the address of Redis (--redis or REDIS_ADDR): %s\n", options->program,
                error);
    return !error;
}

struct limits *configure(const struct options *options, enum findings_what what,
                         unsigned *warning_count, struct redis_config *redis)
{
    struct findings findings = {.file = configure_name(options)};
    struct limits *limits = limits_load(options->limits, &findings);

    findings_write(&findings, what, stderr);
    if (warning_count)
        *warning_count = findings.warning_count;
    findings_free(&findings);
    if (limits && !read_redis_address(options, limits, redis)) {
        limits_unref(limits);
        return NULL;
    }
    return limits;
}
