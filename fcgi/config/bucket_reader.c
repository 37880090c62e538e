/* bucket_reader.c - capacity and refill. */
/* SPDX-License-Identifier: MIT */
#include "config/bucket_reader.h"

#include "base/units.h"
#include "config/mapping.h"
#include "limits/limits.h"

void bucket_reader_capacity(const struct yaml_tree *node, int64_t *out, struct findings *findings)
{
    const char *text = mapping_text(node, findings);
    const char *error = text ? units_count(text, 1, LIMIT_CAPACITY_MAX, out) : NULL;

    if (error)
        findings_error(findings, node->line, node->column,
                       "capacity: %s; a capacity is 1 to 1000000000 tokens", error);
}

/* The interval between tokens is a whole number of microseconds.  Rounding RATE up to one must not
 * make it more than 1 % slower. */
static void read_rate(const struct yaml_tree *node, struct rate rate, int64_t *out_us,
                      struct findings *findings)
{
    int64_t interval_us = units_interval_us(rate);
    int64_t late_us = interval_us * rate.count - rate.period_us; /* below count, so no overflow */

    if (late_us > rate.period_us / 100)
        findings_error(findings, node->line, node->column,
                       "refill: tokens come a whole number of microseconds apart, and %.64s is not "
                       "one; write 1000/%lldms or 1000/%lldms",
                       node->text, (long long)interval_us, (long long)interval_us - 1);
    else
        *out_us = interval_us;
}

void bucket_reader_refill(const struct yaml_tree *node, int64_t *out_us, struct findings *findings)
{
    struct rate rate;
    const char *text = mapping_text(node, findings);
    const char *error = text ? units_rate(text, &rate) : NULL;

    if (error)
        findings_error(findings, node->line, node->column, "refill: %s; a refill is such as 1/12s",
                       error);
    else if (text)
        read_rate(node, rate, out_us, findings);
}

void bucket_reader_window(const struct yaml_tree *node, int64_t capacity, int64_t interval_us,
                          struct findings *findings)
{
    if (interval_us > 0 && capacity > LIMIT_WINDOW_US_MAX / interval_us)
        mapping_error(
            findings, node,
            "this bucket takes more than ten years to fill; lower capacity or raise refill");
}
