/* lint.h - what a limits file may say and probably does not mean. */
#ifndef LINT_H
#define LINT_H

#include "limits/limits.h"
#include "config/findings.h"

/* Report as warnings about LIMITS, which were read without a mistake:
 *   a limit that can never refuse: all are unlimited, its path fits no request, or another always
 *   refuses first
 *   a file of which no limit is enforced
 *   a cost above the capacity
 *   a key that a request can lack, because all such requests would share a bucket
 *   alternatives of a key that no request uses
 *   a path or a host that no request has: a query, other languages' wildcards, letters beyond ASCII
 *   trusted_proxies so wide that clients are in them
 *   two limits with the same key and match */
void lint_limits(const struct limits *limits, struct findings *findings);

#endif
