/* limits_file.h - read a limits file, or every mistake in it. */
#ifndef LIMITS_FILE_H
#define LIMITS_FILE_H

#include <stddef.h>

#include "limits/limits.h"
#include "config/findings.h"

/* Read the limits file at PATH, or the default that is built in (conf/limits.yaml) for NULL;
 * FINDINGS->file is its name.  Every mistake is a findings_error; a setting that is valid but
 * probably a mistake is a findings_warning.  Returns the limits, which the caller owns and frees
 * with limits_unref; NULL if there was a mistake. */
struct limits *limits_load(const char *path, struct findings *findings);

/* The same for the LEN bytes at TEXT. */
struct limits *limits_parse(const char *text, size_t len, struct findings *findings);

#endif
