/* metrics_page.h - the numbers of a host in the text format of Prometheus. */
#ifndef METRICS_PAGE_H
#define METRICS_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include "shared/totals.h"

#define METRICS_TYPE             "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Write TOTALS to OUT: in the text format 0.0.4 of Prometheus, or as OpenMetrics 1.0.  The number
 * of series depends on the limits and processes alone, because no client is in a label. */
void metrics_page_write(FILE *out, const struct totals *totals, bool openmetrics);

#endif
