/* main.c - the command line is one row of the command table. */
/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command/check.h"
#include "command/explain.h"
#include "command/options.h"
#include "command/serve.h"

static int version(const struct options *options);
static int help(const struct options *options);

static const struct command commands[] = {
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

static int version(const struct options *options)
{
    (void)options;
    puts("ratelimit.fcgi " VERSION);
    return EXIT_SUCCESS;
}

static int help(const struct options *options)
{
    (void)options;
    options_help(commands, stdout);
    return EXIT_SUCCESS;
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
    const struct command *command = options_read(argc, argv, commands, &options);

    return command ? command->run(&options) : EXIT_USAGE;
}
