/* stored_override.h - the overrides that are stored in Redis, as text.  Plain data. */
#ifndef STORED_OVERRIDE_H
#define STORED_OVERRIDE_H

#include <stddef.h>
#include <stdint.h>

#define OVERRIDE_VERSION_SIZE 24 /* NUL included */

/* One override. */
struct stored_override {
    char *name;  /* override_key.h */
    char *value; /* "capacity=200 refill=50/s set=US until=US", or "" if it cannot be text */
};

/* All of them at one time. */
struct stored_overrides {
    char version[OVERRIDE_VERSION_SIZE]; /* "": there are none */
    int64_t now_us;                      /* on Redis's clock, when ... */
    double read_s;                       /* ... clock_s was this */
    size_t count;
    struct stored_override *entry; /* COUNT of them by name; each owns its name */
};

#endif
