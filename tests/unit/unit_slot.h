/* unit_slot.h - a region of one test's own, and a slot of it to count in. */
#ifndef UNIT_SLOT_H
#define UNIT_SLOT_H

#include <assert.h>
#include <stdlib.h>

#include "shared/region.h"

static struct region *unit_region_kept;

/* Free the region of unit_slot. */
static inline void unit_region_free(void)
{
    region_free(unit_region_kept);
    unit_region_kept = NULL;
}

/* The region of the test program with a slot; private to it, made at the first call and freed at
 * exit. */
static inline struct region *unit_region(void)
{
    char error[256];

    if (unit_region_kept)
        return unit_region_kept;
    unit_region_kept = region_open(NULL, MIRROR_ROWS_DEFAULT, error, sizeof error);
    assert(unit_region_kept && region_claim(unit_region_kept));
    atexit(unit_region_free);
    return unit_region_kept;
}

/* The slot of unit_region; the same at each call, and its numbers go on. */
static inline struct slot *unit_slot(void)
{
    return region_own(unit_region());
}

#endif
