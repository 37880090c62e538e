/* log.h - one line on standard error for each event that an operator needs to know about. */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>

/* Replace the control characters of TEXT (NUL-terminated) by '?', so that text from a peer or a
 * file cannot forge a log line. */
void log_make_printable(char *text);

/* Copy TEXT to OUT (SIZE bytes >= 4, NUL included), escaped so that it can neither forge a log line
 * nor control a terminal: bytes outside 0x20 .. 0x7e are written as \xNN, and a backslash as two.
 * A text that does not fit is cut and ends in "...".  Returns the length of OUT. */
size_t log_escape(const char *text, char *out, size_t size);

/* Write "TIME ratelimit.fcgi[PID]: MESSAGE" as one line with one write(2), so that lines of
 * processes that share a log do not mix.  TIME is UTC, RFC 3339.  FORMAT is that of printf.  The
 * message is escaped (log_escape) and cut to 900 bytes.
 * If standard error is not writable now, for example a full pipe, the line is dropped, because
 * logging must not block the event loop. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
