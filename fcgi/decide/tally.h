/* tally.h - count decisions and answers, in the slot of this process.  All counting of the request
 * path is here, except that of the time that Redis takes. */
#ifndef TALLY_H
#define TALLY_H

#include <stddef.h>

#include "decide/reply.h"
#include "limits/limits.h"
#include "shared/region.h"
#include "store/store.h"

struct tally;

/* Count what is decided by the limits of tally_set_limits, in the slot that this process has
 * claimed in REGION (borrowed).  Returns it, the caller's to free with tally_free; never NULL. */
struct tally *tally_new(const struct region *region);

/* From now on decisions are made by LIMITS (borrowed until the next call).  A limit of the same
 * name goes on counting. */
void tally_set_limits(struct tally *tally, const struct limits *limits);

/* ASK was settled: count what each of the QUOTAS, one for each charge, has decided.  DENIED: what
 * an undecided request got.  LIMITS are those of the quotas. */
void tally_settled(struct tally *tally, const struct limits *limits, const struct quota *quotas,
                   const struct ask *ask, bool denied);

/* LIMIT, one of LIMITS, let a request pass because an override lifts it. */
void tally_lifted(struct tally *tally, const struct limits *limits, const struct limit *limit);

/* An override of LIMIT, one of LIMITS, blocks the client whose bucket is that of CHARGE. */
void tally_blocked(struct tally *tally, const struct limits *limits, const struct limit *limit,
                   const struct charge *charge);

/* The answer TEXT (reply.h) was given to a request that began at BEGUN_S (clock_s). */
void tally_answer(struct tally *tally, const char *text, double begun_s);

/* Free TALLY; the numbers stay in its slot.  NULL is fine. */
void tally_free(struct tally *tally);

#endif
