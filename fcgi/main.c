/* main.c - two programs in one file: the name it is started under chooses the command table, and
 * the command line is one row of it. */
/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/check.h"
#include "command/explain.h"
#include "command/observe.h"
#include "command/options.h"
#include "command/override.h"
#include "command/peek.h"
#include "command/reset.h"
#include "command/serve.h"

static int version(const struct options *options)
{
    printf("%s %s\n", options->program, VERSION);
    return EXIT_SUCCESS;
}

static int help(const struct options *options);

static const struct command server_commands[] = {
    {.usage = "[--limits FILE] [--redis ADDR] [--listen ADDR]", .run = serve},
    {"check", NULL, "--check [FILE] [--strict]",
     "read the limits file, print every mistake and warning, exit 0 or 2",
     OPTION_STRICT | OPTION_FILE, check},
    {"explain", "REQUEST",
     "--explain 'METHOD URL' [--limits FILE] [--ip ADDR] [-H 'NAME: VALUE']...\n"
     "                      [--env NAME=VALUE]... [--redis ADDR]",
     "tell what the limits file does with one request, such as\n"
     "'GET https://api.example.com/api/x?user=alice', and what its buckets in\n"
     "Redis hold now; nothing is taken",
     OPTION_IP | OPTION_HEADER | OPTION_ENV, explain},
    {"version", NULL, NULL, "print the version", 0, version},
    {"help", NULL, NULL, "print this, as -h does", 0, help},
    {0},
};

static const struct program server = {
    .name = "ratelimit.fcgi",
    .commands = server_commands,
    .about = "\n"
             "A distributed rate limiter: a FastCGI program that a web server asks about each "
             "request, and\n"
             "that answers 200 or 429.  Its token buckets are kept in Redis.\n\n",
    .epilogue =
        "\n"
        "  ratelimit.fcgi --check /etc/ratelimit/limits.yaml\n"
        "  ratelimit.fcgi --limits /etc/ratelimit/limits.yaml --listen "
        "unix:/run/ratelimit/sock\n"
        "\n"
        "environment: LIMITS_FILE and REDIS_ADDR, for --limits and --redis; REDIS_PASSWORD_FILE, "
        "a file\n"
        "that holds the password of Redis; RATELIMIT_SHARED, for --shared; RATELIMIT_ALLOW, "
        "networks\n"
        "that may see /-/metrics, /-/status and /-/live.  An option wins over the environment, "
        "the\n"
        "environment over the limits file.\n"
        "signals: HUP reads the limits file again, TERM and INT stop\n"
        "exit status: 0 stopped by a signal, 1 could not start, 2 wrong options or limits file\n",
};

static int no_command(const struct options *options)
{
    fprintf(stderr, "%s: a command is missing; see --help\n", options->program);
    return EXIT_USAGE;
}

#define REQUEST                                                                                    \
    (OPTION_IP | OPTION_HEADER | OPTION_ENV | OPTION_LIMIT | OPTION_KEY | OPTION_OPERANDS)

static const struct command control_commands[] = {
    {.usage = "status [--json]", .run = no_command},
    {"status", NULL, "top [--shadow] [--limit NAME] [--watch]",
     "the processes of this host, their limits file, Redis, and what each\n"
     "limit has decided",
     0, status},
    {"top", NULL, "watch [REQUEST | --key KEY] [--limit NAME]",
     "the clients that were refused most in the last hour",
     OPTION_WATCH | OPTION_SHADOW | OPTION_LIMIT, top},
    {"watch", NULL, "peek REQUEST | --key KEY [--limit NAME]",
     "decisions as they happen; a sample, if there are many", REQUEST, watch},
    {"peek", NULL, "reset REQUEST | --key KEY | --all [--limit NAME] [--yes]",
     "buckets: their tokens, and how often they have refused.  REQUEST is\n"
     "such as 'GET /x?user=alice'; --ip, -H and --env say more of it",
     REQUEST, peek},
    {"reset", NULL,
     "override set LIMIT KEY [capacity=N] [refill=RATE] [--for DURATION]\n"
     "       ratelimitctl override set LIMIT KEY unlimited|blocked [--for DURATION]\n"
     "       ratelimitctl override delete LIMIT KEY\n"
     "       ratelimitctl override list [--limit NAME]",
     "fill these buckets again", REQUEST | OPTION_ALL | OPTION_YES, reset},
    {"override", NULL, NULL,
     "treat clients differently, on all hosts, within two seconds.  KEY is as\n"
     "overrides in the limits file have it, or a KEY that top shows",
     OPTION_FOR | OPTION_LIMIT | OPTION_OPERANDS, override},
    {"version", NULL, NULL, "print the version", 0, version},
    {"help", NULL, NULL, "print this, as --help and -h do", 0, help},
    {0},
};

static const struct program control = {
    .name = "ratelimitctl",
    .has_words = true,
    .commands = control_commands,
    .about = "\n"
             "Ask and change what ratelimit.fcgi does.  The limits file and Redis are those that "
             "the processes\n"
             "of this host use.\n\n",
    .epilogue = "\n"
                "  ratelimitctl peek 'GET /api/x?user=alice' --ip 192.0.2.7\n"
                "  ratelimitctl reset --limit per-user --key alice\n"
                "\n"
                "environment: LIMITS_FILE, REDIS_ADDR and RATELIMIT_SHARED, for --limits, --redis "
                "and --shared;\n"
                "REDIS_PASSWORD_FILE, a file that holds the password of Redis\n"
                "exit status: 0 done, 1 not done, 2 wrong options or limits file\n",
};

static int help(const struct options *options)
{
    options_help(options->program == server.name ? &server : &control, stdout);
    return EXIT_SUCCESS;
}

/* The program by the name that it was started under. */
static const struct program *program_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strcmp(slash ? slash + 1 : path, control.name) == 0 ? &control : &server;
}

/* Open descriptors 0 to 2, so that no connection becomes "standard error". */
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
    struct options options;
    const struct command *command =
        options_read(argc, argv, program_of(argc > 0 ? argv[0] : ""), &options);

    return command ? command->run(&options) : EXIT_USAGE;
}
