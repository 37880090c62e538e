/* yaml_tree.h - a YAML document as a tree in which every value knows its place.  Only this file
 * knows libyaml.  A schema library would be shorter, but it stops at the first mistake and keeps no
 * line for a value, while `--check` promises every mistake with its line. */
#ifndef YAML_TREE_H
#define YAML_TREE_H

#include <stddef.h>

#include "config/findings.h"

#define YAML_TREE_BYTES_MAX  (4 * 1024 * 1024) /* a larger file is refused */
#define YAML_TREE_DEPTH_MAX  16                /* deeper nesting is refused */
#define YAML_TREE_FIELDS_MAX 64                /* a mapping with more is refused */

enum yaml_tree_kind { TREE_SCALAR, TREE_SEQUENCE, TREE_MAPPING };

struct yaml_tree {
    enum yaml_tree_kind kind;
    unsigned line, column;   /* where it begins, from 1 */
    char *text;              /* of a scalar: NUL-terminated, with no NUL inside; else NULL */
    struct yaml_tree *key;   /* of a mapping's entry: its key, a scalar; else NULL */
    struct yaml_tree *first; /* of a sequence or mapping: the first entry, or NULL */
    struct yaml_tree *next;  /* the entry after this one, or NULL */
};

/* Read the LEN bytes of YAML 1.1 at TEXT as one document.  Refused, each with its place: text that
 * is not YAML or not UTF-8, more than one document, anchors, aliases and tags (a limits file does
 * not need them, and "billion laughs" does), a mapping key that is not a scalar or appears twice, a
 * NUL in a scalar, more than YAML_TREE_BYTES_MAX, YAML_TREE_DEPTH_MAX or YAML_TREE_FIELDS_MAX.  A
 * byte order mark is skipped.  After an anchor, a tag, a duplicate key or a second document the
 * reading continues, so that mistakes elsewhere are found as well; the others end it.  Returns the
 * root, the caller's to free with yaml_tree_free; or NULL after at least one findings_error. */
struct yaml_tree *yaml_tree_parse(const char *text, size_t len, struct findings *findings);

/* Free ROOT and all below it.  NULL is fine. */
void yaml_tree_free(struct yaml_tree *root);

#endif
