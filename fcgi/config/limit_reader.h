/* limit_reader.h - one limit of the limits file. */
#ifndef LIMIT_READER_H
#define LIMIT_READER_H

#include "limits/limits.h"
#include "config/findings.h"
#include "config/yaml_tree.h"

/* Read NODE, a limit of a file that has IPV6_PREFIX_BITS, into *OUT, or report every mistake in it.
 * OUT->overrides is the caller's to free in either case. */
void limit_reader_read(const struct yaml_tree *node, unsigned ipv6_prefix_bits, struct limit *out,
                       struct findings *findings);

#endif
