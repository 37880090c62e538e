/* reload.h - the limits file while the program runs: read again on SIGHUP and when it changes on
 * disk. */
#ifndef RELOAD_H
#define RELOAD_H

#include <ev.h>

#include "limits/limits.h"

#define RELOAD_POLL_S 1.0 /* how often the file is looked at */

struct reload;

/* Called from the loop with LIMITS, the caller's to limits_unref, whenever the file is another
 * without a mistake. */
typedef void reload_done(void *context, struct limits *limits);

/* A file is read by a thread of its own, because a large one takes a third of a second; one at a
 * time.
 *
 * Watch the limits file at PATH (borrowed; NULL: there is none) from LOOP; as it is now it is known
 * already. A change on disk is taken once the file has stayed as it is for RELOAD_POLL_S, so that
 * one which is being written is not read half; SIGHUP takes it at once, or when the reading that is
 * under way has ended.  A file with a mistake, or that is gone, is logged, and nothing else
 * happens. Returns it, the caller's to free with reload_free; never NULL. */
struct reload *reload_new(struct ev_loop *loop, const char *path, reload_done *done, void *context);

/* Stop watching, and free RELOAD.  NULL is fine. */
void reload_free(struct reload *reload);

#endif
