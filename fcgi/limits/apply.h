/* apply.h - what one limit asks of one request.  Pure. */
#ifndef APPLY_H
#define APPLY_H

#include "limits/limits.h"
#include "store/store.h"

enum apply_result {
    APPLY_NOT,       /* the limit is not for this request */
    APPLY_CHARGE,    /* tokens are taken */
    APPLY_UNLIMITED, /* an override lifts the limit */
    APPLY_BLOCKED,   /* an override refuses the client */
    APPLY_AMBIGUOUS, /* a source that the limit reads has two values */
    APPLY_TOO_MUCH,  /* its patterns would take too long for this request: glob.h */
    APPLY_TOO_MANY,  /* STORE_CHARGES_MAX others apply; apply_limit does not count them */
};

/* What else there is to say about an apply_result. */
struct applied {
    /* The override that fits the client, borrowed from the limit; or NULL. */
    const struct override *override;
    /* Of APPLY_AMBIGUOUS: the source, borrowed from the limit. */
    const struct key_source *ambiguous;
};

/* The override of LIMIT that fits a client, as overrides_find has it: a stored one, or else one of
 * the file; or NULL. */
const struct override *limit_override(const struct limit *limit, const char *key, size_t len,
                                      const struct key_values *values, struct view *view);

/* Apply LIMIT to VIEW.  *APPLIED is set.  But for APPLY_NOT, APPLY_AMBIGUOUS and APPLY_TOO_MUCH,
 * *CHARGE becomes what is asked of the client's bucket.  A shadow limit is neither of the last two,
 * because it never refuses: a source with two values counts as absent, and if its patterns take too
 * long it does not apply. */
enum apply_result apply_limit(const struct limit *limit, struct view *view, struct charge *charge,
                              struct applied *applied);

#endif
