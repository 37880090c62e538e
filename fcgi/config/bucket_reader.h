/* bucket_reader.h - the bucket that a limit and an override both have. */
#ifndef BUCKET_READER_H
#define BUCKET_READER_H

#include <stdint.h>

#include "config/findings.h"
#include "config/yaml_tree.h"

/* Read NODE, a capacity, into *OUT, 1 .. LIMIT_CAPACITY_MAX tokens; or report what is wrong. */
void bucket_reader_capacity(const struct yaml_tree *node, int64_t *out, struct findings *findings);

/* Read NODE, a refill, into *OUT_US: microseconds between two tokens, >= 1; or report what is
 * wrong. */
void bucket_reader_refill(const struct yaml_tree *node, int64_t *out_us, struct findings *findings);

/* Report at NODE that a bucket of CAPACITY and INTERVAL_US, if both are over 0, is too large. */
void bucket_reader_window(const struct yaml_tree *node, int64_t capacity, int64_t interval_us,
                          struct findings *findings);

#endif
