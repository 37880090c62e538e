/* options.c - getopt_long(3) by two tables, commands and options; then the environment. */
/* SPDX-License-Identifier: MIT */
#include "command/options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/spelling.h"
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

/* Each stores what TEXT, the value of an option, says, in OUT, a member of struct options.  Returns
 * NULL, or what is wrong with it. */

static const char *set_text(void *out, char *text)
{
    *(const char **)out = text;
    return NULL;
}

static const char *set_flag(void *out, char *text)
{
    (void)text;
    *(bool *)out = true;
    return NULL;
}

static const char *set_redis(void *out, char *text)
{
    return set_text(out, (char *)keep_secret(text));
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

static const char *add_header(void *out, char *text)
{
    return list_add(out, text, ':', "is no header: write -H 'NAME: VALUE'");
}

static const char *add_env(void *out, char *text)
{
    return list_add(out, text, '=', "is no FastCGI parameter: write --env NAME=VALUE");
}

/* The programs that know an option. */
enum { SERVER = 1, CONTROL = 2, BOTH = 3 };

#define AT(member) offsetof(struct options, member)

/* An option.  BIT is 0 if it goes with every command.  ARGUMENT is NULL if it has no value; "" if
 * --help does not show it. */
static const struct known {
    unsigned programs, bit;
    const char *name, *argument, *help;
    const char *(*set)(void *out, char *text);
    size_t at; /* in struct options */
} known_options[] = {
    {CONTROL, 0, "--limits", "FILE",
     "the limits file; without it, the one that the processes of this host use", set_text,
     AT(limits)},
    {CONTROL, 0, "--redis", "ADDR", "likewise Redis; an address as ratelimit.fcgi takes it",
     set_redis, AT(redis)},
    {CONTROL, 0, "--shared", "PATH",
     "the shared memory of these processes; without it, the first that exists of\n"
     "/run/ratelimit/shared/counters, /run/ratelimit/counters,\n"
     "/run/lighttpd/ratelimit.sock.shared and /dev/shm/ratelimit.shared",
     set_text, AT(shared)},
    {SERVER, 0, "--limits", "FILE",
     "the limits file; without one: 5 tokens per user, one more every 12 seconds", set_text,
     AT(limits)},
    {SERVER, 0, "--redis", "ADDR",
     "HOST, HOST:PORT, [IPV6]:PORT, unix:/PATH, or\n"
     "redis[s]://[USER][:PASSWORD@]HOST[:PORT][/DB]   (default 127.0.0.1:6379)",
     set_redis, AT(redis)},
    {SERVER, 0, "--listen", "ADDR",
     "unix:/PATH, HOST:PORT or [IPV6]:PORT; without it, standard input is the\n"
     "listening socket, as lighttpd, spawn-fcgi and systemd hand it over",
     set_text, AT(listen)},
    {SERVER, 0, "--shared", "PATH",
     "a file in which the processes of this host count together; without it,\n"
     "each counts on its own",
     set_text, AT(shared)},
    {CONTROL, 0, "--json", NULL, "write JSON", set_flag, AT(json)},
    {SERVER, OPTION_STRICT, "--strict", NULL, "a warning is a mistake", set_flag, AT(strict)},
    {CONTROL, OPTION_WATCH, "--watch", NULL, "go on, and show every two seconds what has changed",
     set_flag, AT(watch)},
    {CONTROL, OPTION_SHADOW, "--shadow", NULL, "the clients of shadow limits", set_flag,
     AT(shadow)},
    {CONTROL, OPTION_LIMIT, "--limit", "NAME", "this limit alone", set_text, AT(limit)},
    {CONTROL, OPTION_KEY, "--key", "KEY", "the client, as overrides in the limits file name it",
     set_text, AT(key)},
    {BOTH, OPTION_IP, "--ip", "ADDR", "the client's address (default 192.0.2.1)", set_text, AT(ip)},
    {BOTH, OPTION_HEADER, "-H", "", "a request header, as curl has it", add_header, AT(headers)},
    {BOTH, OPTION_ENV, "--env", "", "a FastCGI parameter, such as REMOTE_USER=alice", add_env,
     AT(env)},
    {CONTROL, OPTION_ALL, "--all", NULL, "every client of every limit, or of --limit", set_flag,
     AT(all)},
    {CONTROL, OPTION_FOR, "--for", "DURATION", "how long an override lasts, such as 2h", set_text,
     AT(lasts)},
    {CONTROL, OPTION_YES, "--yes", NULL, "do not ask first", set_flag, AT(yes)},
};

enum { KNOWN_COUNT = sizeof known_options / sizeof *known_options, COMMANDS_MAX = 16 };

/* ---- Reading ---- */

/* What is being read. */
struct reading {
    const struct program *program;
    size_t count; /* of the program's commands */
    const struct command *chosen;
    unsigned given; /* bits of the options */
    struct options *options;
};

static bool knows(const struct program *program, const struct known *known)
{
    return known->programs & (program->has_words ? CONTROL : SERVER);
}

/* Say what is wrong with TEXT.  Returns false. */
static bool wrong(const struct reading *reading, const char *text, const char *what)
{
    fprintf(stderr, "%s: '%s' %s; see --help\n", reading->program->name, text, what);
    return false;
}

/* The same of an option, without the value that may be part of it: it could hold a password. */
static bool wrong_option(const struct reading *reading, const char *text, const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    return wrong(reading, name, what);
}

static size_t count_of(const struct command *commands)
{
    size_t count = 0;

    while (commands[count].run)
        count++;
    return count;
}

/* NAME as it is typed: a word, or an option. */
static void type_name(const struct program *program, const char *name, char out[64])
{
    snprintf(out, 64, "%s%s", program->has_words ? "" : "--", name);
}

/* Choose ONE, unless another command was asked for. */
static bool choose(struct reading *reading, const struct command *one)
{
    char what[96], name[64], other[64];

    if (reading->chosen == reading->program->commands || reading->chosen == one) {
        reading->chosen = one;
        return true;
    }
    type_name(reading->program, reading->chosen->name, other);
    snprintf(what, sizeof what, "does not go with %s", other);
    snprintf(name, sizeof name, "--%s", one->name);
    return wrong(reading, name, what);
}

/* Whether every option that was given goes with the command. */
static bool goes_together(const struct reading *reading)
{
    char what[96], name[64];

    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        const struct known *known = &known_options[i];
        if (!(known->bit & reading->given & ~reading->chosen->options))
            continue;
        const struct command *home = reading->program->commands;
        while (!(home->options & known->bit))
            home++;
        type_name(reading->program, home->name, name);
        snprintf(what, sizeof what, "goes with %s", name);
        return wrong(reading, known->name, what);
    }
    return true;
}

/* The command that WORD asks for; NULL: there is none, and that was said. */
static const struct command *command_for(const struct reading *reading, const char *word)
{
    const char *names[COMMANDS_MAX];
    const struct command *commands = reading->program->commands;
    char what[128], hint[SPELLING_HINT_SIZE];

    for (size_t i = 1; i < reading->count; i++) {
        names[i - 1] = commands[i].name;
        if (strcmp(commands[i].name, word) == 0)
            return &commands[i];
    }
    snprintf(what, sizeof what, "is no command%s",
             spelling_hint(word, names, reading->count - 1, hint));
    wrong(reading, word, what);
    return NULL;
}

/* What is behind the options: a limits file, or the words of a program that has them. */
static bool read_operands(struct reading *reading, int argc, char **argv)
{
    struct options *options = reading->options;

    if (reading->program->has_words && reading->chosen == reading->program->commands &&
        optind < argc && !(reading->chosen = command_for(reading, argv[optind++])))
        return false;
    bool takes_file = reading->chosen->options & OPTION_FILE;
    if (takes_file && optind < argc && !options->limits)
        options->limits = argv[optind++];
    while (reading->chosen->options & OPTION_OPERANDS && optind < argc &&
           options->operands.count < OPTIONS_LIST_MAX)
        options->operands.text[options->operands.count++] = argv[optind++];
    if (optind < argc)
        return wrong(reading, argv[optind],
                     takes_file                    ? "is one file too many"
                     : reading->program->has_words ? "is one word too many"
                                                   : "is no option");
    return true;
}

/* The options of getopt_long(3): VAL is 256 and the index in the commands, or behind them in
 * known_options. */
static void make_long_options(const struct reading *reading, struct option *out)
{
    const struct command *commands = reading->program->commands;
    size_t filled = 0;

    for (size_t i = 0; i < reading->count; i++)
        if (commands[i].name && (!reading->program->has_words || i >= reading->count - 2))
            out[filled++] =
                (struct option){commands[i].name, commands[i].argument ? 1 : 0, NULL, 256 + (int)i};
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (knows(reading->program, &known_options[i]) && known_options[i].name[1] == '-')
            out[filled++] =
                (struct option){known_options[i].name + 2, known_options[i].argument != NULL, NULL,
                                256 + (int)(reading->count + i)};
    out[filled] = (struct option){0};
}

static size_t index_of(const char *name)
{
    size_t i = 0;

    while (strcmp(known_options[i].name, name) != 0)
        i++;
    return i;
}

/* The index of the command or option that getopt_long(3) returned as OPTION; -h is the last
 * command, help. */
static size_t index_for(const struct reading *reading, int option)
{
    if (option >= 256)
        return (size_t)option - 256;
    return option == 'H' ? reading->count + index_of("-H") : reading->count - 1;
}

static bool read_option(struct reading *reading, int option, const char *argument)
{
    const struct command *commands = reading->program->commands;

    if (option == '?' || option == ':')
        return wrong_option(reading, argument,
                            option == ':'                  ? "needs a value"
                            : optopt && argument[1] == '-' ? "takes no value"
                                                           : "is no option");
    size_t index = index_for(reading, option);
    if (index < reading->count) {
        if (commands[index].argument)
            reading->options->explain = optarg;
        return choose(reading, &commands[index]);
    }
    const struct known *known = &known_options[index - reading->count];
    const char *error = known->set((char *)reading->options + known->at, optarg);
    reading->given |= known->bit;
    return !error || wrong(reading, optarg, error);
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

const struct command *options_read(int argc, char **argv, const struct program *program,
                                   struct options *options)
{
    struct reading reading = {program, count_of(program->commands), program->commands, 0, options};
    struct option long_options[COMMANDS_MAX + KNOWN_COUNT + 1];
    int option;

    *options = (struct options){.program = program->name};
    make_long_options(&reading, long_options);
    opterr = 0; /* the messages are ours */
    while ((option = getopt_long(argc, argv, ":hH:", long_options, NULL)) != -1)
        if (!read_option(&reading, option, argv[optind - 1]))
            return NULL;
    if (!read_operands(&reading, argc, argv) || !goes_together(&reading))
        return NULL;
    read_environment(options);
    return reading.chosen;
}

/* ---- The text of --help ---- */

/* Write the lines of HELP in column COLUMN, beside NAME and ARGUMENT (NULL or "": none) in column
 * INDENT. */
static void help_option(FILE *out, int indent, int column, const char *name, const char *argument,
                        const char *help)
{
    char shown[64];
    bool has_argument = argument && argument[0] != '\0';

    snprintf(shown, sizeof shown, "%s%s%s", name, has_argument ? " " : "",
             has_argument ? argument : "");
    fprintf(out, "%*s%-*s", indent, "", column - indent, shown);
    for (const char *line = help; line;) {
        int len = (int)strcspn(line, "\n");
        fprintf(out, "%.*s\n", len, line);
        line = line[len] == '\n' ? line + len + 1 : NULL;
        if (line)
            fprintf(out, "%*s", column, "");
    }
}

static void help_known(const struct program *program, FILE *out, int indent, unsigned bits)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        const struct known *known = &known_options[i];
        if (knows(program, known) && (bits == 0 ? known->bit == 0 : (known->bit & bits) != 0))
            help_option(out, indent, 17, known->name, known->argument, known->help);
    }
}

void options_help(const struct program *program, FILE *out)
{
    const struct command *commands = program->commands;

    for (const struct command *command = commands; command->run; command++)
        if (command->usage)
            fprintf(out, "%s %s %s\n", command == commands ? "usage:" : "      ", program->name,
                    command->usage);
    fputs(program->about, out);
    if (!program->has_words)
        help_known(program, out, 2, 0);
    for (const struct command *command = commands; command->run; command++) {
        char name[64];
        if (!command->help)
            continue;
        type_name(program, command->name, name);
        help_option(out, 2, 17, name, NULL, command->help);
        if (command->options && !program->has_words)
            help_known(program, out, 5, command->options);
    }
    if (program->has_words) {
        fputs("\n", out);
        help_known(program, out, 2, ~0U);
        help_known(program, out, 2, 0);
    }
    fputs(program->epilogue, out);
}
