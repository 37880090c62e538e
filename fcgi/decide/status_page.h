/* status_page.h - the state of a host as JSON. */
#ifndef STATUS_PAGE_H
#define STATUS_PAGE_H

#include <stdio.h>

#include "shared/recent.h"
#include "shared/region.h"

#define STATUS_TOP_MAX 20 /* clients in each list */

/* Write ROW to OUT: the client's key, its limit, the first and the last refusal, how many there
 * were, and by how many that may be too high. */
void status_page_write_row(FILE *out, const struct top_row *row);

/* Write the state of the host to OUT: its processes, the counters and recent rates of each limit,
 * Redis, the clients that were refused most in the last hour, and the samples of RECENT, the oldest
 * first.  A sample has what was counted in its `seconds`: answers by status, requests that Redis
 * did not decide, each limit's decisions (allowed, refused, blocked, shadow_refused,
 * undecided_allowed, undecided_denied), and the time without Redis, summed over processes.  Names
 * and keys are what clients and operators sent; bytes that are not UTF-8 become U+FFFD.  RECENT
 * NULL: without rates and samples.  conf/operating.md has an example. */
void status_page_write(FILE *out, const struct region *region, const struct recent *recent);

#endif
