/* options.c - getopt_long(3) by two tables, commands and options; then the environment. */
/* SPDX-License-Identifier: MIT */
#include "command/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/redis_address.h"

/* Any user of the machine can read a command line (ps, /proc/PID/cmdline): keep a copy of ADDRESS,
 * and hide the password in it.  The copy is never freed, because options are read until the end;
 * the static pointer tells a leak checker that it is still used. */
static const char *keep_secret(char *address)
{
    static char *copy;

    free(copy);
    copy = memory_text(address, strlen(address));
    redis_address_hide(address);
    return copy;
}

/* ---- The options ---- */

/* Each sets what TEXT, the value of an option, says.  Returns NULL, or what is wrong with it. */

static const char *set_limits(struct options *options, char *text)
{
    options->limits = text;
    return NULL;
}

static const char *set_redis(struct options *options, char *text)
{
    options->redis = keep_secret(text);
    return NULL;
}

static const char *set_listen(struct options *options, char *text)
{
    options->listen = text;
    return NULL;
}

static const char *set_shared(struct options *options, char *text)
{
    options->shared = text;
    return NULL;
}

static const char *set_strict(struct options *options, char *text)
{
    (void)text;
    options->strict = true;
    return NULL;
}

static const char *set_ip(struct options *options, char *text)
{
    options->ip = text;
    return NULL;
}

static const char *list_add(struct option_list *list, const char *text, char separator,
                            const char *wrong)
{
    const char *at = strchr(text, separator);

    if (!at || at == text)
        return wrong;
    if (list->count == OPTIONS_LIST_MAX)
        return "is one option of its kind too many: the most is 64";
    list->text[list->count++] = text;
    return NULL;
}

static const char *add_header(struct options *options, char *text)
{
    return list_add(&options->headers, text, ':', "is no header: write -H 'NAME: VALUE'");
}

static const char *add_env(struct options *options, char *text)
{
    return list_add(&options->env, text, '=', "is no FastCGI parameter: write --env NAME=VALUE");
}

/* An option.  BIT is 0 if it goes with every command. */
static const struct known {
    unsigned bit;
    const char *name, *argument, *help;
    const char *(*set)(struct options *options, char *text);
} known_options[] = {
    {0, "--limits", "FILE",
     "the limits file; without one: 5 tokens per user, one more every 12 seconds", set_limits},
    {0, "--redis", "ADDR",
     "HOST, HOST:PORT, [IPV6]:PORT, unix:/PATH, or\n"
     "redis://[USER][:PASSWORD@]HOST[:PORT][/DB]   (default 127.0.0.1:6379)",
     set_redis},
    {0, "--listen", "ADDR",
     "unix:/PATH, HOST:PORT or [IPV6]:PORT; without it, standard input is the\n"
     "listening socket, as lighttpd, spawn-fcgi and systemd hand it over",
     set_listen},
    {0, "--shared", "PATH",
     "a file in which the processes of this host count together; without it,\n"
     "each counts on its own",
     set_shared},
    {OPTION_STRICT, "--strict", NULL, "a warning is a mistake", set_strict},
    {OPTION_IP, "--ip", "ADDR", "the client's address (default 192.0.2.1)", set_ip},
    {OPTION_HEADER, "-H", NULL, "a request header, as curl has it", add_header},
    {OPTION_ENV, "--env", NULL, "a FastCGI parameter, such as REMOTE_USER=alice", add_env},
};

enum { KNOWN_COUNT = sizeof known_options / sizeof *known_options, COMMANDS_MAX = 16 };

/* ---- Reading ---- */

/* Say what is wrong with TEXT.  Returns false. */
static bool wrong(const char *text, const char *what)
{
    fprintf(stderr, "ratelimit.fcgi: '%s' %s; see --help\n", text, what);
    return false;
}

/* The same of an option, without the value that may be part of it: it could hold a password. */
static bool wrong_option(const char *text, const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    return wrong(name, what);
}

static size_t count_of(const struct command *commands)
{
    size_t count = 0;

    while (commands[count].run)
        count++;
    return count;
}

/* Choose ONE, unless another command was asked for. */
static bool choose(const struct command *commands, const struct command **chosen,
                   const struct command *one)
{
    char what[64];

    if (*chosen == commands || *chosen == one) {
        *chosen = one;
        return true;
    }
    snprintf(what, sizeof what, "does not go with --%s", (*chosen)->name);
    char name[64];
    snprintf(name, sizeof name, "--%s", one->name);
    return wrong(name, what);
}

/* Whether every option among GIVEN goes with COMMAND. */
static bool goes_together(const struct command *commands, const struct command *command,
                          unsigned given)
{
    char what[64];

    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        const struct known *known = &known_options[i];
        if (!(known->bit & given & ~command->options))
            continue;
        const struct command *home = commands;
        while (!(home->options & known->bit))
            home++;
        snprintf(what, sizeof what, "goes with --%s", home->name);
        return wrong(known->name, what);
    }
    return true;
}

/* What is behind the options: the limits file of a command that takes one there. */
static bool read_operands(int argc, char **argv, const struct command *command,
                          struct options *options)
{
    bool takes_file = command->options & OPTION_FILE;

    if (takes_file && optind < argc && !options->limits)
        options->limits = argv[optind++];
    if (optind < argc)
        return wrong(argv[optind], takes_file ? "is one file too many" : "is no option");
    return true;
}

/* The options of getopt_long(3): VAL is the index in COMMANDS, or behind them in known_options. */
static void make_long_options(const struct command *commands, size_t count, struct option *out)
{
    size_t filled = 0;

    for (size_t i = 0; i < count; i++)
        if (commands[i].name)
            out[filled++] =
                (struct option){commands[i].name, commands[i].argument ? 1 : 0, NULL, 256 + (int)i};
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (known_options[i].name[1] == '-')
            out[filled++] =
                (struct option){known_options[i].name + 2, known_options[i].set != set_strict, NULL,
                                256 + (int)(count + i)};
    out[filled] = (struct option){0};
}

static size_t index_of(const char *name)
{
    size_t i = 0;

    while (strcmp(known_options[i].name, name) != 0)
        i++;
    return i;
}

/* The index of the command or option that getopt_long(3) returned as OPTION. */
static size_t index_for(const struct command *commands, size_t count, int option)
{
    size_t help = 0;

    if (option >= 256)
        return (size_t)option - 256;
    if (option == 'H')
        return count + index_of("-H");
    while (strcmp(commands[++help].name, "help") != 0)
        ;
    return help;
}

static bool read_option(const struct command *commands, size_t count, int option,
                        const char *argument, const struct command **chosen, unsigned *given,
                        struct options *options)
{
    if (option == '?' || option == ':')
        return wrong_option(argument, option == ':'                  ? "needs a value"
                                      : optopt && argument[1] == '-' ? "takes no value"
                                                                     : "is no option");
    size_t index = index_for(commands, count, option);
    if (index < count) {
        if (commands[index].argument)
            options->explain = optarg;
        return choose(commands, chosen, &commands[index]);
    }
    const struct known *known = &known_options[index - count];
    const char *error = known->set(options, optarg);
    *given |= known->bit;
    return !error || wrong(optarg, error);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] != '\0' ? value : NULL;
}

static void read_environment(struct options *options)
{
    if (!options->limits)
        options->limits = environment("LIMITS_FILE");
    if (!options->redis)
        options->redis = environment("REDIS_ADDR");
    if (!options->shared)
        options->shared = environment("RATELIMIT_SHARED");
    options->allow = environment("RATELIMIT_ALLOW");
    options->redis_password_file = environment("REDIS_PASSWORD_FILE");
}

const struct command *options_read(int argc, char **argv, const struct command *commands,
                                   struct options *options)
{
    const struct command *chosen = commands;
    struct option long_options[COMMANDS_MAX + KNOWN_COUNT + 1];
    size_t count = count_of(commands);
    unsigned given = 0;
    int option;

    *options = (struct options){0};
    make_long_options(commands, count, long_options);
    opterr = 0; /* the messages are ours */
    while ((option = getopt_long(argc, argv, ":hH:", long_options, NULL)) != -1)
        if (!read_option(commands, count, option, argv[optind - 1], &chosen, &given, options))
            return NULL;
    if (!read_operands(argc, argv, chosen, options) || !goes_together(commands, chosen, given))
        return NULL;
    read_environment(options);
    return chosen;
}

/* ---- The text of --help ---- */

/* Write the lines of HELP beside NAME and ARGUMENT (NULL: none), which are indented by INDENT. */
static void help_option(FILE *out, int indent, const char *name, const char *argument,
                        const char *help)
{
    char shown[64];

    snprintf(shown, sizeof shown, "%s%s%s", name, argument ? " " : "", argument ? argument : "");
    fprintf(out, "%*s%-*s", indent, "", 17 - indent, shown);
    for (const char *line = help; line;) {
        int len = (int)strcspn(line, "\n");
        fprintf(out, "%.*s\n", len, line);
        line = line[len] == '\n' ? line + len + 1 : NULL;
        if (line)
            fprintf(out, "%17s", "");
    }
}

static void help_known(FILE *out, unsigned bits)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        const struct known *known = &known_options[i];
        if (bits == 0 ? known->bit == 0 : (known->bit & bits) != 0)
            help_option(out, bits == 0 ? 2 : 5, known->name, known->argument, known->help);
    }
}

void options_help(const struct command *commands, FILE *out)
{
    for (const struct command *command = commands; command->run; command++)
        if (command->usage)
            fprintf(out, "%s ratelimit.fcgi %s\n", command == commands ? "usage:" : "      ",
                    command->usage);
    fputs(
        "\n"
        "A distributed rate limiter: a FastCGI program that a web server asks about each request, "
        "and\n"
        "that answers 200 or 429.  Its token buckets are kept in Redis.\n\n",
        out);
    help_known(out, 0);
    for (const struct command *command = commands; command->run; command++) {
        char name[64];
        if (!command->help)
            continue;
        snprintf(name, sizeof name, "--%s", command->name);
        help_option(out, 2, name, NULL, command->help);
        if (command->options)
            help_known(out, command->options);
    }
    fputs("\n"
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
          out);
}
