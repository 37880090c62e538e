/* serve.h - the life of a server: start, signals, stop. */
#ifndef SERVE_H
#define SERVE_H

#include "command/options.h"

/* Serve the web server on standard input, or on --listen, until SIGTERM or SIGINT.  SIGHUP reads
 * the limits file again.  Returns an exit status: 0; 1 if it could not start; EXIT_USAGE for a
 * limits file or an address that cannot be read, or if standard input is no listening socket.  What
 * is wrong was written to standard error. */
int serve(const struct options *options);

#endif
