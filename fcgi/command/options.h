/* options.h - the command line: one command of a table, and the options that go with it. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define EXIT_USAGE       2  /* wrong options or a wrong limits file */
#define OPTIONS_LIST_MAX 64 /* -H and --env, each */

/* An option that may be given several times. */
struct option_list {
    size_t count;
    const char *text[OPTIONS_LIST_MAX];
};

/* Strings are borrowed from the command line or the environment; NULL if nothing was said. */
struct options {
    const char *limits;              /* --limits or the FILE of --check, else LIMITS_FILE */
    const char *redis;               /* --redis, else REDIS_ADDR */
    const char *redis_password_file; /* REDIS_PASSWORD_FILE */
    const char *listen;              /* --listen */
    const char *shared;              /* --shared, else RATELIMIT_SHARED */
    const char *allow;               /* RATELIMIT_ALLOW */
    bool strict;                     /* --strict: a warning fails --check */

    const char *explain;        /* the REQUEST of --explain */
    const char *ip;             /* --ip */
    struct option_list headers; /* -H 'NAME: VALUE' */
    struct option_list env;     /* --env NAME=VALUE */
};

/* Options that go with some commands alone, as bits; --limits, --redis, --listen and --shared go
 * with all. */
enum { OPTION_STRICT = 1, OPTION_IP = 2, OPTION_HEADER = 4, OPTION_ENV = 8, OPTION_FILE = 16 };

/* What the program can be asked to do. */
struct command {
    const char *name; /* the option that asks for it, without "--"; NULL: what is done without */
    const char *argument; /* of that option; NULL: none */
    const char *usage;    /* the line of --help, behind the name of the program */
    const char *help;     /* the lines of --help about the option; NULL: none */
    unsigned options;     /* that go with it, bits; OPTION_FILE: a limits file as an operand */
    int (*run)(const struct options *options); /* returns an exit status */
};

/* Read the command line ARGV of ARGC into *OPTIONS, then the environment for what it leaves open;
 * an empty variable counts as none.  COMMANDS is ended by one without RUN; the first has no name.
 * Returns the command that is asked for; or NULL, and what is wrong was written to standard
 * error. */
const struct command *options_read(int argc, char **argv, const struct command *commands,
                                   struct options *options);

/* Write the text of --help to OUT: the usage of COMMANDS, and all options. */
void options_help(const struct command *commands, FILE *out);

#endif
