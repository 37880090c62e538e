/* options.c - getopt_long(3), and the environment for what it leaves open. */
/* SPDX-License-Identifier: MIT */
#include "command/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/redis_address.h"

const char options_help[] =
    "usage: ratelimit.fcgi [--limits FILE] [--redis ADDR] [--listen ADDR]\n"
    "       ratelimit.fcgi --check [FILE] [--strict]\n"
    "       ratelimit.fcgi --explain 'METHOD URL' [--limits FILE] [--ip ADDR] [-H 'NAME: "
    "VALUE']...\n"
    "                      [--env NAME=VALUE]... [--redis ADDR]\n"
    "\n"
    "A distributed rate limiter: a FastCGI program that a web server asks about each request, and\n"
    "that answers 200 or 429.  Its token buckets are kept in Redis.\n"
    "\n"
    "  --limits FILE  the limits file; without one: 5 tokens per user, one more every 12 seconds\n"
    "  --redis ADDR   HOST, HOST:PORT, [IPV6]:PORT, unix:/PATH, or\n"
    "                 redis://[USER][:PASSWORD@]HOST[:PORT][/DB]   (default 127.0.0.1:6379)\n"
    "  --listen ADDR  unix:/PATH, HOST:PORT or [IPV6]:PORT; without it, standard input is the\n"
    "                 listening socket, as lighttpd, spawn-fcgi and systemd hand it over\n"
    "  --check        read the limits file, print every mistake and warning, exit 0 or 2\n"
    "  --strict       a warning is a mistake\n"
    "  --explain      tell what the limits file does with one request, such as\n"
    "                 'GET https://api.example.com/api/x?user=alice'; nothing is taken\n"
    "     --ip ADDR   the client's address (default 192.0.2.1)\n"
    "     -H          a request header, as curl has it\n"
    "     --env       a FastCGI parameter, such as REMOTE_USER=alice\n"
    "     --redis     look at the buckets, too\n"
    "  --version      print the version\n"
    "  --help, -h     print this\n"
    "\n"
    "  ratelimit.fcgi --check /etc/ratelimit/limits.yaml\n"
    "  REDIS_ADDR=127.0.0.1:6379 spawn-fcgi -s /run/ratelimit/sock -- "
    "/usr/local/bin/ratelimit.fcgi\n"
    "\n"
    "environment: LIMITS_FILE and REDIS_ADDR, for --limits and --redis; REDIS_PASSWORD_FILE, a "
    "file\n"
    "that holds the password of Redis.  An option wins over the environment, the environment over\n"
    "the limits file.\n"
    "signals: HUP reads the limits file again, TERM and INT stop\n"
    "exit status: 0 stopped by a signal, 1 could not start, 2 wrong options or limits file\n";

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] != '\0' ? value : NULL;
}

/* Say what is wrong with TEXT. */
static void wrong(struct options *options, const char *text, const char *what)
{
    fprintf(stderr, "ratelimit.fcgi: '%s' %s; see --help\n", text, what);
    options->action = OPTIONS_WRONG;
}

static void list_add(struct options *options, struct option_list *list, const char *text,
                     char separator)
{
    const char *at = strchr(text, separator);

    if (!at || at == text)
        wrong(options, text,
              separator == ':' ? "is no header: write -H 'NAME: VALUE'"
                               : "is no FastCGI parameter: write --env NAME=VALUE");
    else if (list->count == OPTIONS_LIST_MAX)
        wrong(options, text, "is one option of its kind too many: the most is 64");
    else
        list->text[list->count++] = text;
}

/* What stands behind the options: the FILE of --check. */
static void read_operands(int argc, char **argv, struct options *options)
{
    bool check = options->action == OPTIONS_CHECK;

    if (check && optind < argc && !options->limits)
        options->limits = argv[optind++];
    if (optind < argc)
        wrong(options, argv[optind], check ? "is one file too many" : "is no option");
    else if (options->strict && options->action != OPTIONS_CHECK)
        wrong(options, "--strict", "goes with --check");
    else if ((options->ip || options->headers.count + options->env.count > 0) &&
             options->action != OPTIONS_EXPLAIN)
        wrong(options, options->ip ? "--ip" : "-H or --env", "goes with --explain");
}

/* The same of an option, without the value that may be part of it: it could hold a password. */
static void wrong_option(struct options *options, const char *text, const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    wrong(options, name, what);
}

/* Do ACTION, unless another one was asked for. */
static void choose(struct options *options, enum options_action action)
{
    if (options->action == OPTIONS_SERVE || options->action == action)
        options->action = action;
    else
        wrong(options, action == OPTIONS_CHECK ? "--check" : "--explain, --version or --help",
              "does not go with another of --check, --explain, --version and --help");
}

/* Any user of the machine can read a command line (ps, /proc/PID/cmdline): keep a copy of ADDRESS,
 * and hide the password in it.  The copy is never freed, because OPTIONS are read until the end;
 * the static pointer tells a leak checker that it is still used. */
static const char *take_secret(char *address)
{
    static char *copy;

    free(copy);
    copy = memory_text(address, strlen(address));
    redis_address_hide(address);
    return copy;
}

struct options options_read(int argc, char **argv)
{
    enum { LIMITS = 256, REDIS, LISTEN, STRICT, EXPLAIN, IP, ENV };
    static const struct option known[] = {
        {"limits", required_argument, NULL, LIMITS},
        {"redis", required_argument, NULL, REDIS},
        {"listen", required_argument, NULL, LISTEN},
        {"check", no_argument, NULL, OPTIONS_CHECK},
        {"strict", no_argument, NULL, STRICT},
        {"explain", required_argument, NULL, EXPLAIN},
        {"ip", required_argument, NULL, IP},
        {"env", required_argument, NULL, ENV},
        {"version", no_argument, NULL, OPTIONS_VERSION},
        {"help", no_argument, NULL, OPTIONS_HELP},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.action = OPTIONS_SERVE};
    int option;

    opterr = 0; /* the messages are ours */
    while (options.action != OPTIONS_WRONG &&
           (option = getopt_long(argc, argv, ":hH:", known, NULL)) != -1) {
        switch (option) {
        case LIMITS:
            options.limits = optarg;
            break;
        case REDIS:
            options.redis = take_secret(optarg);
            options.redis_given = true;
            break;
        case LISTEN:
            options.listen = optarg;
            break;
        case STRICT:
            options.strict = true;
            break;
        case EXPLAIN:
            choose(&options, OPTIONS_EXPLAIN);
            options.explain = optarg;
            break;
        case IP:
            options.ip = optarg;
            break;
        case 'H':
            list_add(&options, &options.headers, optarg, ':');
            break;
        case ENV:
            list_add(&options, &options.env, optarg, '=');
            break;
        case '?':
        case ':':
            wrong_option(&options, argv[optind - 1],
                         option == ':'                          ? "needs a value"
                         : optopt && argv[optind - 1][1] == '-' ? "takes no value"
                                                                : "is no option");
            break;
        case 'h':
            choose(&options, OPTIONS_HELP);
            break;
        default:
            choose(&options, (enum options_action)option);
        }
    }
    if (options.action != OPTIONS_WRONG)
        read_operands(argc, argv, &options);
    if (!options.limits)
        options.limits = environment("LIMITS_FILE");
    if (!options.redis)
        options.redis = environment("REDIS_ADDR");
    options.redis_password_file = environment("REDIS_PASSWORD_FILE");
    return options;
}
