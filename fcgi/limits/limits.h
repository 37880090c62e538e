/* limits.h - the limits, and the other settings of a limits file.  Plain data, which limits_file.h
 * reads. */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "limits/cost.h"
#include "request/forward_auth.h"
#include "request/memo.h"
#include "limits/key.h"
#include "limits/match.h"
#include "base/network.h"
#include "limits/overrides.h"
#include "store/password_file.h"
#include "store/redis_config.h"
#include "store/store.h"

#define LIMITS_MAX           1000 /* limits in one file; STORE_CHARGES_MAX may apply to a request */
#define LIMITS_PROXIES_MAX   64   /* networks in trusted_proxies */
#define LIMITS_LARGE         65536 /* bytes of a file whose limits take long to free */
#define LIMIT_NAME_MAX       64    /* bytes of a limit's name, without the NUL */
#define LIMIT_CAPACITY_MAX   1000000000
#define LIMIT_WINDOW_US_MAX  STORE_WINDOW_US_MAX
#define REDIS_TIMEOUT_MS_MAX 10000

/* One limit: a policy, and the requests and clients that it is for. */
struct limit {
    char name[LIMIT_NAME_MAX + 1]; /* [A-Za-z0-9_.-], so that a header and a key can hold it */
    struct match match;            /* the requests that it is for */
    struct key_spec key;
    int64_t capacity;    /* tokens: 1 .. LIMIT_CAPACITY_MAX */
    int64_t interval_us; /* between two tokens; times capacity: at most LIMIT_WINDOW_US_MAX */
    struct cost cost;
    enum when_down on_redis_failure;
    bool shadow;                 /* decided and reported, never refuses */
    struct overrides *overrides; /* of the file, owned; NULL: none */
    struct overrides *stored;    /* in Redis, which are used before those; likewise */
    unsigned line, column;       /* its place in the file, from 1 */
};

enum limits_header {
    HEADER_IETF = 1,        /* RateLimit-Policy and RateLimit */
    HEADER_X_RATELIMIT = 2, /* X-RateLimit-Limit, -Remaining and -Reset */
};

struct limits {
    unsigned ref_count;                /* limits_ref, limits_unref */
    bool large;                        /* the file is larger than LIMITS_LARGE */
    char sha256[MEMO_DIGEST_SIZE + 1]; /* of the file, in hexadecimal (FIPS 180-4) */
    struct redis_config redis;
    char redis_password[PASSWORD_SIZE]; /* that of redis.password_file; "" without one */
    int64_t ipv6_prefix_bits;           /* 1 .. 128: what counts as one client, in every key */
    bool log_refusals;                  /* summaries of refusals are logged */
    unsigned headers;                   /* enum limits_header, added up */
    enum forward_auth_convention forward_auth; /* how the trusted proxies ask */
    size_t proxy_count;                        /* of trusted_proxies, which may use forward auth */
    unsigned proxies_line, proxies_column;     /* their place in the file, from 1 */
    struct network trusted_proxy[LIMITS_PROXIES_MAX];
    size_t count;        /* 1 .. LIMITS_MAX */
    struct limit *limit; /* COUNT of them, owned */
};

/* Add a reference to LIMITS.  Returns LIMITS. */
struct limits *limits_ref(struct limits *limits);

/* Use STORED, one for each of the limits (NULL: none), in place of the stored overrides that LIMITS
 * have.  They become those of LIMITS; the array is the caller's.  Those before are freed, many of
 * them by a thread. */
void limits_set_stored(struct limits *limits, struct overrides *const stored[]);

/* Remove a reference.  Without one LIMITS are freed, large ones by a thread.  NULL is fine. */
void limits_unref(struct limits *limits);

#endif
