/* options.h - what the command line and the environment say. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_LIST_MAX 64 /* -H and --env, each */

enum options_action {
    OPTIONS_SERVE,
    OPTIONS_CHECK,
    OPTIONS_EXPLAIN,
    OPTIONS_VERSION,
    OPTIONS_HELP,
    OPTIONS_WRONG,
};

/* Options that may be given several times. */
struct option_list {
    size_t count;
    const char *text[OPTIONS_LIST_MAX];
};

/* Strings are borrowed from the command line or the environment; NULL where nothing was said. */
struct options {
    enum options_action action;
    const char *limits;              /* --limits or the FILE of --check, else LIMITS_FILE */
    const char *redis;               /* --redis, else REDIS_ADDR */
    const char *redis_password_file; /* REDIS_PASSWORD_FILE */
    const char *listen;              /* --listen */
    bool redis_given;                /* by --redis */
    bool strict;                     /* --strict: a warning fails --check */

    const char *explain;        /* the REQUEST of --explain */
    const char *ip;             /* --ip */
    struct option_list headers; /* -H 'NAME: VALUE' */
    struct option_list env;     /* --env NAME=VALUE */
};

/* Read the command line ARGV of ARGC, then the environment for what it leaves open; an empty
 * variable counts as none.  OPTIONS_WRONG: what is wrong was written to standard error. */
struct options options_read(int argc, char **argv);

/* The text of --help. */
extern const char options_help[];

#endif
