#include "report.h"

#include <stdarg.h>

#include "log.h"

void report_error(struct report *report, unsigned line, unsigned column, const char *format, ...)
{
    char message[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_make_printable(message);

    /* One call, so that processes which share standard error do not tear each other's lines. */
    if (line > 0)
        fprintf(report->out, "%s:%u:%u: %s\n", report->file, line, column, message);
    else
        fprintf(report->out, "%s: %s\n", report->file, message);
    report->errors++;
}
