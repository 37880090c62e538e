/* limits.h - the limits file: what is limited, by what, how fast, and where Redis is. */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdint.h>
#include <stdio.h>

#include "key.h"
#include "match.h"
#include "redis_address.h"
#include "units.h"

#define LIMITS_MAX           64 /* limits in one file */
#define LIMIT_NAME_MAX       64 /* bytes of a limit's name, without the NUL */
#define LIMIT_CAPACITY_MAX   1000000000
#define LIMIT_WINDOW_US_MAX  (3650LL * 24 * 3600 * 1000000) /* ten years from empty to full */
#define REDIS_TIMEOUT_MS_MAX 10000

/* What a request gets where Redis cannot be asked. */
enum redis_failure { REDIS_FAILURE_ALLOW, REDIS_FAILURE_DENY };

/* One limit: a policy, and the buckets that follow it. */
struct limit {
    char name[LIMIT_NAME_MAX + 1]; /* [A-Za-z0-9_.-], so that a header and a key can hold it */
    struct match match;            /* the requests that it is for */
    struct key_spec key;
    int64_t capacity;    /* tokens: 1 .. LIMIT_CAPACITY_MAX */
    int64_t interval_us; /* between two tokens; times capacity: at most LIMIT_WINDOW_US_MAX */
    enum redis_failure on_redis_failure;
};

struct limits {
    struct redis_address redis;
    unsigned redis_timeout_ms; /* 1 .. REDIS_TIMEOUT_MS_MAX */
    int64_t ipv6_prefix_bits;  /* 1 .. 128: what counts as one client, in every key */
    size_t count;              /* 1 .. LIMITS_MAX */
    struct limit limit[LIMITS_MAX];
};

/* Read the limits file at PATH, or the default that is built in (conf/limits.yaml) for NULL, into
 * *OUT.  Every mistake goes to ERRORS as "PATH:LINE:COLUMN: what is wrong; what would be right".
 * Returns the number of mistakes; *OUT is valid only where there was none. */
unsigned limits_load(const char *path, FILE *errors, struct limits *out);

/* The same for the LEN bytes at TEXT, named NAME in the mistakes. */
unsigned limits_parse(const char *text, size_t len, const char *name, FILE *errors,
                      struct limits *out);

#endif
