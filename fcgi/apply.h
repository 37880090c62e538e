/* apply.h - what one limit asks of one request.  Pure. */
#ifndef APPLY_H
#define APPLY_H

#include "limits.h"
#include "take.h"

enum apply_result {
    APPLY_NOT,       /* the limit is not for this request */
    APPLY_TAKE,      /* tokens are taken */
    APPLY_UNLIMITED, /* an override lifts the limit */
    APPLY_BLOCKED,   /* an override refuses the client */
};

/* Apply LIMIT to SUBJECT.  But for APPLY_NOT, *TAKE becomes what is asked of the client's bucket, and *OVERRIDE
 * the one that fits the client (borrowed from LIMIT), or NULL. */
enum apply_result apply_limit(const struct limit *limit, struct subject *subject, struct take *take,
                              const struct override **override);

#endif
