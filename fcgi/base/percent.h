/* percent.h - percent-encoding (RFC 3986, 2.1).  Pure. */
#ifndef PERCENT_H
#define PERCENT_H

#include <stddef.h>

/* The byte that the LEN bytes at TEXT encode at their beginning: "%41" is 0x41.  -1 if they do not
 * begin with '%' and two hexadecimal digits. */
int percent_byte(const char *text, size_t len);

#endif
