/* report.h - mistakes in a file, each with its place. */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

/* Where mistakes go, and how many there were. */
struct report {
    FILE *out;        /* borrowed */
    const char *file; /* the name shown before each mistake; borrowed */
    unsigned errors;
};

/* Write "FILE:LINE:COLUMN: MESSAGE" and count it.  LINE and COLUMN from 1; LINE 0: the file as a
 * whole, "FILE: MESSAGE".  The message says what is wrong and, after a ';', what would be right.
 * Control characters become '?', so that a file cannot forge a line. */
void report_error(struct report *report, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
