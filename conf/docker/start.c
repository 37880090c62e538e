/* start.c - the first process of the image: check the limits file, then become lighttpd.
 *
 * Without the check, lighttpd would keep restarting a program that refuses its limits file, and
 * answer 503.  With it, the container ends at once, with the mistakes in its log.  The image
 * contains no shell that could do this.
 *
 * PROGRAM      environment variable: the path of ratelimit.fcgi
 * Exit status  that of PROGRAM --check if it is not 0 (2: a mistake); 1 if PROGRAM could not be
 * run. */
/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIGHTTPD "/usr/sbin/lighttpd"
#define CONFIG   "/etc/ratelimit/lighttpd.conf"

extern char **environ;

static int check(char *program)
{
    char *arguments[] = {program, "--check", NULL};
    pid_t pid;
    int status;
    int error = posix_spawnp(&pid, program, NULL, NULL, arguments, environ);

    if (error != 0 || waitpid(pid, &status, 0) != pid) {
        fprintf(stderr, "start: cannot run %s: %s\n", program, strerror(error ? error : errno));
        return EXIT_FAILURE;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int main(void)
{
    char *program = getenv("PROGRAM");
    int status = check(program ? program : "ratelimit.fcgi");

    if (status != EXIT_SUCCESS)
        return status;
    execl(LIGHTTPD, LIGHTTPD, "-D", "-f", CONFIG, (char *)NULL);
    perror("start: " LIGHTTPD);
    return EXIT_FAILURE;
}
