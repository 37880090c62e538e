/* report.c - findings are gathered, sorted by their place, and written as lines. */
/* SPDX-License-Identifier: MIT */
#include "config/report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

struct finding {
    unsigned line, column;
    size_t number; /* in the order in which they were found */
    bool warning;
    char *message;
};

static void add(struct report *report, unsigned line, unsigned column, bool warning,
                const char *format, va_list arguments) __attribute__((format(printf, 5, 0)));

static void add(struct report *report, unsigned line, unsigned column, bool warning,
                const char *format, va_list arguments)
{
    char message[512];

    vsnprintf(message, sizeof message, format, arguments);
    log_make_printable(message);
    /* A power of two is when the array is full. */
    if ((report->count & (report->count - 1)) == 0) {
        size_t room = report->count > 0 ? 2 * report->count : 1;
        report->finding = memory_resize(report->finding, room * sizeof *report->finding);
    }
    struct finding *finding = &report->finding[report->count];
    *finding = (struct finding){line, column, report->count, warning,
                                memory_text(message, strlen(message))};
    report->count++;
}

void report_error(struct report *report, unsigned line, unsigned column, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(report, line, column, false, format, arguments);
    va_end(arguments);
    report->errors++;
}

void report_warning(struct report *report, unsigned line, unsigned column, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(report, line, column, true, format, arguments);
    va_end(arguments);
    report->warnings++;
}

static int by_place(const void *one, const void *other)
{
    const struct finding *a = one, *b = other;

    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

void report_write(struct report *report, enum report_what what, FILE *out)
{
    if (report->count > 0)
        qsort(report->finding, report->count, sizeof *report->finding, by_place);
    /* One call each, so that processes which share standard error do not tear each other's
     * lines. */
    for (size_t i = 0; i < report->count; i++) {
        const struct finding *finding = &report->finding[i];
        const char *kind = finding->warning ? "warning: " : "";
        if (finding->warning && what == REPORT_ERRORS)
            continue;
        if (finding->line > 0)
            fprintf(out, "%s:%u:%u: %s%s\n", report->file, finding->line, finding->column, kind,
                    finding->message);
        else
            fprintf(out, "%s: %s%s\n", report->file, kind, finding->message);
    }
}

void report_free(struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        free(report->finding[i].message);
    free(report->finding);
    *report = (struct report){.file = report->file};
}
