/* monitor.h - once a second: what the process does is measured, and refusals are logged. */
#ifndef MONITOR_H
#define MONITOR_H

#include <ev.h>

#include "decide/limiter.h"
#include "front/fcgi_server.h"
#include "shared/recent.h"
#include "shared/region.h"
#include "store/redis.h"

/* What is measured; all borrowed. */
struct monitored {
    struct region *region; /* in which this process has a slot */
    struct redis *redis;
    struct limiter *limiter;
    struct fcgi_server *fcgi_server;
    struct recent *recent;
};

struct monitor;

/* Measure MONITORED (copied) from LOOP.  Returns it, the caller's to free with monitor_free; never
 * NULL. */
struct monitor *monitor_new(struct ev_loop *loop, const struct monitored *monitored);

/* Log the last refusals, stop measuring, and free MONITOR.  NULL is fine. */
void monitor_free(struct monitor *monitor);

#endif
