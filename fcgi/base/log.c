/* log.c - lines for standard error. */
/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES    1024
#define MESSAGE_MAX_BYTES 900

void log_make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

size_t log_escape(const char *text, char *out, size_t size)
{
    /* BEFORE_DOTS: the longest length that leaves room for "..." */
    size_t len = 0, before_dots = 0;

    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        char shown[5] = {*text};

        if (byte == '\\')
            strcpy(shown, "\\\\");
        else if (byte < 0x20 || byte >= 0x7f)
            snprintf(shown, sizeof shown, "\\x%02x", byte);
        if (len + strlen(shown) >= size) {
            strcpy(out + before_dots, "...");
            return before_dots + 3;
        }
        len = (size_t)(stpcpy(out + len, shown) - out);
        if (len + 4 <= size)
            before_dots = len;
    }
    out[len] = '\0';
    return len;
}

/* Compare on each line, because that costs little and needs no state. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat standard_error;
    char actual[64];

    if (!stream || fstat(STDERR_FILENO, &standard_error) != 0)
        return false;
    snprintf(actual, sizeof actual, "%ju:%ju", (uintmax_t)standard_error.st_dev,
             (uintmax_t)standard_error.st_ino);
    return strcmp(stream, actual) == 0;
}

/* Write what is before the message of a line to OUT (SIZE bytes).  Returns its length. */
static size_t begin_line(int priority, char *out, size_t size)
{
    time_t now = time(NULL);
    struct tm utc;

    if (is_journal())
        return (size_t)snprintf(out, size, "<%d>", priority);
    size_t length = strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return length +
           (size_t)snprintf(out + length, size - length, " ratelimit.fcgi[%d]: ", (int)getpid());
}

void log_line(int priority, const char *format, ...)
{
    char line[LINE_MAX_BYTES], message[MESSAGE_MAX_BYTES], escaped[MESSAGE_MAX_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int wanted = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (wanted >= (int)sizeof message)
        memcpy(message + sizeof message - 4, "...", 4);
    log_escape(message, escaped, sizeof escaped);

    size_t length = begin_line(priority, line, sizeof line);
    length += (size_t)snprintf(line + length, sizeof line - length, "%s\n", escaped);
    /* Standard error may be shared with other processes, so it cannot be made non-blocking.  A line
     * is shorter than PIPE_BUF: a pipe that poll reports as writable takes it whole. */
    struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&standard_error, 1, 0) == 1 && write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere to report it */
}
