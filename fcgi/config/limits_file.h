/* limits_file.h - read a limits file, or every mistake in it. */
#ifndef LIMITS_FILE_H
#define LIMITS_FILE_H

#include <stddef.h>

#include "limits/limits.h"
#include "config/findings.h"

/* Read the limits file at PATH, or the default that is built in (conf/limits.yaml) for NULL;
 * FINDINGS->file is its name.  Every mistake is a findings_error, and what is allowed but hardly meant
 * a findings_warning. Returns the limits, the caller's to limits_unref; NULL where there was a
 * mistake. */
struct limits *limits_load(const char *path, struct findings *findings);

/* The same for the LEN bytes at TEXT. */
struct limits *limits_parse(const char *text, size_t len, struct findings *findings);

#endif
