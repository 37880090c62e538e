/* mapping.h - a mapping of the limits file, read by the fields that it may have. */
#ifndef MAPPING_H
#define MAPPING_H

#include <stdbool.h>
#include <stddef.h>

#include "config/findings.h"
#include "config/yaml_tree.h"

#define MAPPING_FIELDS_MAX 16 /* fields of one kind of mapping */

/* A field that a mapping may have.  READ stores the value of NODE in *OUT, which has the mapping's
 * type, or reports what is wrong with it. */
struct field {
    const char *name;
    bool required;
    void (*read)(const struct yaml_tree *node, void *out, struct findings *findings);
};

/* Read MAPPING, called WHAT ("the file", "a limit") in messages, by its COUNT (<=
 * MAPPING_FIELDS_MAX) possible FIELDS into *OUT, in the order of FIELDS: one may rely on those
 * before it.  A
 * field that is unknown or missing is reported. */
void mapping_read(const struct yaml_tree *mapping, const char *what, const struct field *fields,
                  size_t count, void *out, struct findings *findings);

/* The text of NODE; or NULL after reporting that its field must be plain text. */
const char *mapping_text(const struct yaml_tree *node, struct findings *findings);

/* Read NODE, one of the COUNT WORDS.  Returns its index, or -1 after reporting what it could be. */
int mapping_word(const struct yaml_tree *node, const char *const words[], size_t count,
                 struct findings *findings);

/* Read NODE, true or false, into *OUT; or report that it must be one. */
void mapping_flag(const struct yaml_tree *node, bool *out, struct findings *findings);

/* Report MESSAGE at NODE. */
void mapping_error(struct findings *findings, const struct yaml_tree *node, const char *message);

#endif
