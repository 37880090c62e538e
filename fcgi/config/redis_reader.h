/* redis_reader.h - the field 'redis' of a limits file: where Redis is and how it is reached. */
#ifndef REDIS_READER_H
#define REDIS_READER_H

#include "config/findings.h"
#include "config/yaml_tree.h"
#include "limits/limits.h"

#define REDIS_HOSTS_MAX       1000
#define REDIS_MIRROR_ROWS_MIN 1024
#define REDIS_MIRROR_ROWS_MAX 1048576

/* Read NODE into LIMITS: redis, which has its defaults, and redis_password.  Every mistake is
 * reported: two ways to reach Redis at once, a user without a password, TLS for an address without
 * it, files that cannot be read ... */
void redis_reader_read(const struct yaml_tree *node, struct limits *limits,
                       struct findings *findings);

#endif
