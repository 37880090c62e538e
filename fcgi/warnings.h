/* warnings.h - what a limits file may say and hardly means. */
#ifndef WARNINGS_H
#define WARNINGS_H

#include "limits.h"
#include "report.h"

/* Report as warnings, of LIMITS that were read without a mistake:
 *   a limit that can never refuse, for all are unlimited, its path fits no request, or another always
 *   refuses first
 *   a file of which no limit is enforced
 *   a cost above the capacity
 *   a key that a request can lack, where those that do would share a bucket
 *   two limits with the same key and match */
void warnings_find(const struct limits *limits, struct report *report);

#endif
