/* configure.h - the limits, and where Redis is: from the options, the environment and the file. */
#ifndef CONFIGURE_H
#define CONFIGURE_H

#include "command/options.h"
#include "config/findings.h"
#include "limits/limits.h"
#include "store/redis_config.h"

/* The name of the limits file in messages: its path, or "the built-in limits".  Borrowed. */
const char *configure_name(const struct options *options);

/* Read the limits file, and where Redis is into *REDIS: an option wins over the environment, the
 * environment over the file.  What is wrong is written to standard error, warnings only if WHAT is
 * FINDINGS_ALL.  *WARNING_COUNT becomes how many warnings there are; NULL: not wanted.  Returns the
 * limits, the caller's to limits_unref; or NULL. */
struct limits *configure(const struct options *options, enum findings_what what,
                         unsigned *warning_count, struct redis_config *redis);

#endif
