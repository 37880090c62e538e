/* json.h - write pieces of JSON (RFC 8259).  Pure. */
#ifndef JSON_H
#define JSON_H

#include <stdint.h>
#include <stdio.h>

/* Write TEXT as a JSON string with its quotes.  Bytes that are not UTF-8 become U+FFFD. */
void json_string(FILE *out, const char *text);

/* Write the time US, microseconds since 1970, as a string in the form of RFC 3339 in UTC, such as
 * "2026-01-31T23:59:59Z"; null if it is 0. */
void json_time(FILE *out, int64_t us);

#endif
