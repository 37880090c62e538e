#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

const char options_help[] =
    "usage: ratelimit.fcgi [--limits FILE] [--redis ADDR] [--listen ADDR]\n"
    "       ratelimit.fcgi --check [--limits FILE] [--redis ADDR]\n"
    "\n"
    "A distributed rate limiter: a FastCGI program that a web server asks about each request, and\n"
    "that answers 200 or 429.  Its token buckets are kept in Redis.\n"
    "\n"
    "  --limits FILE  the limits file; without one: 5 tokens per user, one more every 12 seconds\n"
    "  --redis ADDR   HOST, HOST:PORT, [IPV6]:PORT, unix:/PATH, or\n"
    "                 redis://[USER][:PASSWORD@]HOST[:PORT][/DB]   (default 127.0.0.1:6379)\n"
    "  --listen ADDR  unix:/PATH, HOST:PORT or [IPV6]:PORT; without it, standard input is the\n"
    "                 listening socket, as lighttpd, spawn-fcgi and systemd hand it over\n"
    "  --check        read the limits file and the options, print every mistake, exit 0 or 2\n"
    "  --version      print the version\n"
    "  --help         print this\n"
    "\n"
    "environment: LIMITS_FILE and REDIS_ADDR, for --limits and --redis.  An option wins over the\n"
    "environment, the environment over the limits file.\n"
    "exit status: 0 stopped by a signal, 1 could not start, 2 wrong options or limits file\n";

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] != '\0' ? value : NULL;
}

struct options options_read(int argc, char **argv)
{
    static const struct option known[] = {
        {"limits", required_argument, NULL, 'l'},
        {"redis", required_argument, NULL, 'r'},
        {"listen", required_argument, NULL, 's'},
        {"check", no_argument, NULL, OPTIONS_CHECK},
        {"version", no_argument, NULL, OPTIONS_VERSION},
        {"help", no_argument, NULL, OPTIONS_HELP},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.action = OPTIONS_SERVE};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'l':
            options.limits = optarg;
            break;
        case 'r':
            options.redis = optarg;
            break;
        case 's':
            options.listen = optarg;
            break;
        case '?': /* getopt_long has said what is wrong */
            options.action = OPTIONS_WRONG;
            return options;
        default:
            options.action = (enum options_action)option;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "ratelimit.fcgi: '%s' is no option; see --help\n", argv[optind]);
        options.action = OPTIONS_WRONG;
    }
    if (!options.limits)
        options.limits = environment("LIMITS_FILE");
    if (!options.redis)
        options.redis = environment("REDIS_ADDR");
    return options;
}
