/* findings.c - findings are gathered, sorted by their place, and written as lines. */
/* SPDX-License-Identifier: MIT */
#include "config/findings.h"

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

static void add(struct findings *findings, unsigned line, unsigned column, bool warning,
                const char *format, va_list arguments) __attribute__((format(printf, 5, 0)));

static void add(struct findings *findings, unsigned line, unsigned column, bool warning,
                const char *format, va_list arguments)
{
    char message[512];

    vsnprintf(message, sizeof message, format, arguments);
    log_make_printable(message);
    /* A power of two is when the array is full. */
    if ((findings->count & (findings->count - 1)) == 0) {
        size_t room = findings->count > 0 ? 2 * findings->count : 1;
        findings->finding = memory_resize(findings->finding, room * sizeof *findings->finding);
    }
    struct finding *finding = &findings->finding[findings->count];
    *finding = (struct finding){line, column, findings->count, warning,
                                memory_text(message, strlen(message))};
    findings->count++;
}

void findings_error(struct findings *findings, unsigned line, unsigned column, const char *format,
                    ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(findings, line, column, false, format, arguments);
    va_end(arguments);
    findings->error_count++;
}

void findings_warning(struct findings *findings, unsigned line, unsigned column, const char *format,
                      ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(findings, line, column, true, format, arguments);
    va_end(arguments);
    findings->warning_count++;
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

void findings_write(struct findings *findings, enum findings_what what, FILE *out)
{
    if (findings->count > 0)
        qsort(findings->finding, findings->count, sizeof *findings->finding, by_place);
    /* One call each, so that processes which share standard error do not tear each other's
     * lines. */
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->finding[i];
        const char *kind = finding->warning ? "warning: " : "";
        if (finding->warning && what == FINDINGS_ERRORS)
            continue;
        if (finding->line > 0)
            fprintf(out, "%s:%u:%u: %s%s\n", findings->file, finding->line, finding->column, kind,
                    finding->message);
        else
            fprintf(out, "%s: %s%s\n", findings->file, kind, finding->message);
    }
}

void findings_free(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        free(findings->finding[i].message);
    free(findings->finding);
    *findings = (struct findings){.file = findings->file};
}
