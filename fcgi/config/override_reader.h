/* override_reader.h - one override, of the limits file or stored in Redis. */
#ifndef OVERRIDE_READER_H
#define OVERRIDE_READER_H

#include <stdbool.h>

#include "config/findings.h"
#include "config/yaml_tree.h"
#include "limits/limits.h"

/* What an override says. */
struct override_reading {
    struct override override;
    const struct yaml_tree *key;     /* the node of the texts; NULL: it has none */
    const char *text[KEY_PARTS_MAX]; /* of its key, borrowed from the tree */
    size_t count;                    /* of texts; 0: they were wrong */
};

/* Read NODE, a mapping with the fields of an override of LIMIT, into *OUT; HAS_KEY: with a key.
 * Every mistake is reported; *OUT is then undefined. */
void override_reader_read(const struct yaml_tree *node, const struct limit *limit, bool has_key,
                          struct override_reading *out, struct findings *findings);

#endif
