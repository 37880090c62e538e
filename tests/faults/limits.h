/* limits.h - the limits that the harness writes, and which requests are charged to which. */
#ifndef LIMITS_H
#define LIMITS_H

/* A limit.  It applies to the path /GROUP. */
struct limit {
    const char *group, *name;
    int capacity, per_s;
};

enum { LIMITS_COUNT = 7 };
extern const struct limit limits[LIMITS_COUNT];

#endif
