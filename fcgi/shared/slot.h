/* slot.h - what the owner of a slot writes in it.  Readers use totals.h. */
#ifndef SLOT_H
#define SLOT_H

#include "shared/region.h"

/* Say in SLOT what its process is. */
void slot_describe(struct slot *slot, const struct process *process);

/* The row of the limit NAME in SLOT, which is made if there is none.  A row outlives its limit, so
 * that a limit which comes back goes on counting; limits beyond REGION_LIMIT_ROWS share the last
 * row, whose name is "(other limits)".  HINT: where the row probably is.  Never NULL. */
struct limit_row *slot_limit(struct slot *slot, const char *name, size_t hint);

/* No limit is in force, until slot_limit and IN_FORCE say otherwise. */
void slot_retire_limits(struct slot *slot);

#endif
