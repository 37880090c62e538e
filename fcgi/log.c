#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

void log_line(const char *format, ...)
{
    char line[LINE_MAX_BYTES], message[900];
    struct tm utc;
    time_t now = time(NULL);
    va_list arguments;

    va_start(arguments, format);
    int wanted = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (wanted >= (int)sizeof message)
        memcpy(message + sizeof message - 4, "...", 4);
    /* Some of what is logged was sent by a peer: it must not forge a line of its own. */
    for (char *byte = message; *byte; byte++)
        if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
            *byte = '?';

    size_t length = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    length += (size_t)snprintf(line + length, sizeof line - length, " ratelimit.fcgi[%d]: %s\n",
                               (int)getpid(), message);
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* a log that cannot be written is no reason to stop serving */
}
