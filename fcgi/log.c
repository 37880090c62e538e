#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

void log_make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

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
    log_make_printable(message);

    size_t length = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    length += (size_t)snprintf(line + length, sizeof line - length, " ratelimit.fcgi[%d]: %s\n",
                               (int)getpid(), message);
    /* The pipe may be shared, so it cannot be made non-blocking.  A line is below PIPE_BUF: one that is
     * writable takes it whole. */
    struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&standard_error, 1, 0) == 1 && write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere to say so */
}
