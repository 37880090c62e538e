/* slot.c - rows of limits, and what a process says of itself. */
/* SPDX-License-Identifier: MIT */
#include "shared/slot.h"

#include <string.h>

#include "shared/record.h"

void slot_describe(struct slot *slot, const struct process *process)
{
    record_begin(&slot->process_sequence);
    slot->process = *process;
    record_end(&slot->process_sequence);
}

/* Readers look at the first limit_count rows, so the name is written before that grows. */
static struct limit_row *add_row(struct slot *slot, const char *name)
{
    struct limit_row *row = &slot->limit[slot->limit_count];

    memset(row->name, 0, sizeof row->name);
    strncpy(row->name, name, sizeof row->name - 1);
    __atomic_store_n(&slot->limit_count, slot->limit_count + 1, __ATOMIC_RELEASE);
    return row;
}

struct limit_row *slot_limit(struct slot *slot, const char *name, size_t hint)
{
    size_t count = slot->limit_count;

    if (hint < count && strcmp(slot->limit[hint].name, name) == 0)
        return &slot->limit[hint];
    for (size_t i = 0; i < count; i++)
        if (strcmp(slot->limit[i].name, name) == 0)
            return &slot->limit[i];
    if (count < REGION_LIMIT_ROWS - 1)
        return add_row(slot, name);
    return count == REGION_LIMIT_ROWS ? &slot->limit[count - 1] : add_row(slot, "(other limits)");
}

void slot_retire_limits(struct slot *slot)
{
    for (size_t i = 0; i < slot->limit_count; i++)
        counter_set(&slot->limit[i].in_force, 0);
}
