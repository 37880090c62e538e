/* options.h - what the command line and the environment say. */
#ifndef OPTIONS_H
#define OPTIONS_H

enum options_action { OPTIONS_SERVE, OPTIONS_CHECK, OPTIONS_VERSION, OPTIONS_HELP, OPTIONS_WRONG };

/* Strings are borrowed from the command line or the environment; NULL where nothing was said. */
struct options {
    enum options_action action;
    const char *limits; /* --limits, else LIMITS_FILE */
    const char *redis;  /* --redis, else REDIS_ADDR */
    const char *listen; /* --listen */
};

/* Read the command line ARGV of ARGC, then the environment for what it leaves open; an empty variable
 * counts as none.  OPTIONS_WRONG: what is wrong was written to standard error. */
struct options options_read(int argc, char **argv);

/* The text of --help. */
extern const char options_help[];

#endif
