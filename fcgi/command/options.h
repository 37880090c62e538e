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
    const char *program;             /* the name under which it was started, for messages */
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

    bool json, watch, shadow, all, yes; /* of ratelimitctl: the options of these names */
    const char *limit, *key, *lasts;    /* likewise; LASTS is --for */
    struct option_list operands;        /* what is behind the command of ratelimitctl */
};

/* Options that go with some commands alone, as bits. */
enum {
    OPTION_STRICT = 1,
    OPTION_IP = 2,
    OPTION_HEADER = 4,
    OPTION_ENV = 8,
    OPTION_FILE = 16, /* no option: a limits file as an operand */
    OPTION_WATCH = 32,
    OPTION_SHADOW = 64,
    OPTION_ALL = 128,
    OPTION_YES = 256,
    OPTION_LIMIT = 512,
    OPTION_KEY = 1024,
    OPTION_OPERANDS = 2048, /* no option: any operands */
    OPTION_FOR = 4096,
};

/* What the program can be asked to do. */
struct command {
    const char *name;     /* NULL: what is done without one */
    const char *argument; /* of the option that asks for it; NULL: none */
    const char *usage;    /* the line of --help, behind the name of the program */
    const char *help;     /* the lines of --help about it; NULL: none */
    unsigned options;     /* that go with it, bits */
    int (*run)(const struct options *options); /* returns an exit status */
};

/* A program: its commands are options, such as --check, or words, such as status. */
struct program {
    const char *name;
    bool has_words;
    const struct command *commands; /* ended by one without RUN; the first is used without a name */
    const char *about, *epilogue;   /* of --help: lines */
};

/* Read the command line ARGV of ARGC for PROGRAM into *OPTIONS, then the environment for what it
 * leaves open; an empty variable counts as none.  Returns the command that is asked for; or NULL,
 * and what is wrong was written to standard error. */
const struct command *options_read(int argc, char **argv, const struct program *program,
                                   struct options *options);

/* Write the text of --help to OUT: the usage of PROGRAM's commands, and all options. */
void options_help(const struct program *program, FILE *out);

#endif
