/* reload.h - reload the limits file on SIGHUP and when it changes on disk. */
#ifndef RELOAD_H
#define RELOAD_H

#include <ev.h>

#include "limits/limits.h"

#define RELOAD_POLL_S 1.0 /* between two checks of the file */

struct reload;

/* Called from the loop after each reload, with LIMITS, which become the callee's to limits_unref;
 * NULL: the file has a mistake or is gone, and the limits stay. */
typedef void reload_done(void *context, struct limits *limits);

/* Watch the limits file at PATH (borrowed; NULL: there is none) from LOOP.  The present file counts
 * as known.  A changed file is read once it has stayed the same for RELOAD_POLL_S, so that a file
 * which is being written is not read half; after SIGHUP it is read at once, or when the reading
 * under way has ended.  A thread reads it, one at a time, because a large file takes a third of a
 * second.  If the file has a mistake or is gone, that is logged and the limits stay.  Returns it,
 * the caller's to free with reload_free; never NULL. */
struct reload *reload_new(struct ev_loop *loop, const char *path, reload_done *done, void *context);

/* Stop watching, and free RELOAD.  NULL is fine. */
void reload_free(struct reload *reload);

#endif
