/* findings.h - what is wrong in a file, each mistake and warning with its place. */
#ifndef FINDINGS_H
#define FINDINGS_H

#include <stddef.h>
#include <stdio.h>

struct finding;

/* What was found in one file.  Begin with {.file = NAME}, NAME borrowed. */
struct findings {
    const char *file;
    unsigned error_count, warning_count;
    size_t count; /* both together */
    struct finding *finding;
};

/* Add a mistake at LINE and COLUMN, both from 1; LINE 0: it is about the file as a whole.  The
 * message says what is wrong and, after a ';', what would be right; at most 511 bytes.  Control
 * characters become '?', so that a file cannot forge a line. */
void findings_error(struct findings *findings, unsigned line, unsigned column, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* The same for a setting that is valid but probably a mistake. */
void findings_warning(struct findings *findings, unsigned line, unsigned column, const char *format,
                      ...) __attribute__((format(printf, 4, 5)));

enum findings_what { FINDINGS_ERRORS, FINDINGS_ALL };

/* Write "FILE:LINE:COLUMN: MESSAGE" for each mistake, and with FINDINGS_ALL "FILE:LINE:COLUMN:
 * warning: MESSAGE" for each warning, in the order of their places; for the file as a whole "FILE:
 * MESSAGE". */
void findings_write(struct findings *findings, enum findings_what what, FILE *out);

/* Free what FINDINGS holds. */
void findings_free(struct findings *findings);

#endif
