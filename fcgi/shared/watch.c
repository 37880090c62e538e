/* watch.c - the ring of a process, its writer and its reader. */
/* SPDX-License-Identifier: MIT */
#include "shared/watch.h"

#include <string.h>

#include "base/clock.h"
#include "shared/counters.h"
#include "shared/record.h"

static bool is_wanted(const struct watch_filter *filter, const struct watch_row *row, double now_s)
{
    if ((double)filter->until_ms < now_s * 1e3)
        return false;
    if (filter->limit[0] != '\0' && strcmp(filter->limit, row->limit) != 0)
        return false;
    return strncmp(row->key, filter->key, strlen(filter->key)) == 0;
}

/* Whether the sample of the second at NOW_S has room for one more. */
static bool has_room(struct watch_rate *rate, double now_s)
{
    if (rate->second != (int64_t)now_s)
        *rate = (struct watch_rate){.second = (int64_t)now_s};
    return rate->count++ < WATCH_PER_S_MAX;
}

void watch_add(struct watch_ring *ring, const struct watch_wish *wish, struct watch_rate *rate,
               const struct watch_row *row)
{
    struct watch_filter filter;
    double now_s = clock_s();
    size_t i = ring->count % WATCH_ROWS;

    if (!record_read(&wish->sequence, &wish->filter, &filter, sizeof filter))
        return;
    filter.limit[TOP_LIMIT_SIZE - 1] = filter.key[TOP_KEY_SIZE - 1] = '\0';
    if (!is_wanted(&filter, row, now_s) || !has_room(rate, now_s))
        return;
    record_begin(&ring->sequence[i]);
    ring->row[i] = *row;
    record_end(&ring->sequence[i]);
    __atomic_store_n(&ring->count, ring->count + 1, __ATOMIC_RELEASE);
}

void watch_want(struct watch_wish *wish, const struct watch_filter *filter)
{
    record_begin(&wish->sequence);
    wish->filter = *filter;
    record_end(&wish->sequence);
}

bool watch_next(const struct watch_ring *ring, uint64_t *seen, struct watch_row *out)
{
    uint64_t count = __atomic_load_n(&ring->count, __ATOMIC_ACQUIRE);

    if (count > *seen + WATCH_ROWS - 1)
        *seen =
            count - (WATCH_ROWS - 1); /* the oldest ones may be overwritten while they are read */
    while (*seen < count) {
        size_t i = (*seen)++ % WATCH_ROWS;
        if (!record_read(&ring->sequence[i], &ring->row[i], out, sizeof *out))
            continue; /* its writer died */
        out->limit[TOP_LIMIT_SIZE - 1] = out->key[TOP_KEY_SIZE - 1] = '\0';
        return true;
    }
    return false;
}
