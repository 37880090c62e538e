#include "report.h"

#include <stdarg.h>

void report_error(struct report *report, unsigned line, unsigned column, const char *format, ...)
{
    char message[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    for (char *byte = message; *byte; byte++)
        if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
            *byte = '?';

    fprintf(report->out, "%s:", report->file);
    if (line > 0)
        fprintf(report->out, "%u:%u:", line, column);
    fprintf(report->out, " %s\n", message);
    report->errors++;
}
