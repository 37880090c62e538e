/* refusal_log.h - summaries of refusals for the log: at most one line for each limit of a host
 * every REFUSAL_LOG_S seconds. */
#ifndef REFUSAL_LOG_H
#define REFUSAL_LOG_H

#include <stdbool.h>

#include "shared/region.h"

#define REFUSAL_LOG_S 10

struct refusal_log;

/* Summaries of what the processes of REGION (borrowed) refuse from now on.  One of the processes
 * writes them (region_lead).  Returns it, the caller's to free with refusal_log_free; never
 * NULL. */
struct refusal_log *refusal_log_new(struct region *region);

/* Log what was refused since the last call, unless another process does it or ON is false.  Call
 * this every REFUSAL_LOG_S, and at the end. */
void refusal_log_write(struct refusal_log *log, bool on);

/* Free LOG.  NULL is fine. */
void refusal_log_free(struct refusal_log *log);

#endif
