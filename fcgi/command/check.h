/* check.h - --check: read the limits file as serving does, and say what is wrong in it. */
#ifndef CHECK_H
#define CHECK_H

#include "command/options.h"

/* Write every mistake and warning of the limits file of OPTIONS to standard error, each with its
 * place, or that the file is fine to standard output.  Returns an exit status: 0, or EXIT_USAGE for
 * a mistake, and with --strict for a warning. */
int check(const struct options *options);

#endif
