/* report.h - what is wrong in a file, each mistake and warning with its place. */
#ifndef REPORT_H
#define REPORT_H

#include <stddef.h>
#include <stdio.h>

struct finding;

/* What was found in one file.  Begin with {.file = NAME}, NAME borrowed. */
struct report {
    const char *file;
    unsigned errors, warnings;
    size_t count; /* both together */
    struct finding *finding;
};

/* Add a mistake at LINE and COLUMN, both from 1; LINE 0: of the file as a whole.  The message says
 * what is wrong and, after a ';', what would be right; at most 511 bytes. Control characters become
 * '?', so that a file cannot forge a line. */
void report_error(struct report *report, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for what is allowed but hardly meant. */
void report_warning(struct report *report, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

enum report_what { REPORT_ERRORS, REPORT_ALL };

/* Write "FILE:LINE:COLUMN: MESSAGE" for each mistake, and with REPORT_ALL "FILE:LINE:COLUMN:
 * warning: MESSAGE" for each warning, in the order of their places; for the file as a whole "FILE:
 * MESSAGE". */
void report_write(struct report *report, enum report_what what, FILE *out);

/* Free what REPORT holds. */
void report_free(struct report *report);

#endif
