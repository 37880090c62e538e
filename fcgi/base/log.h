/* log.h - one line to standard error for each event that somebody at night should see. */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>

/* Replace the control characters of TEXT (NUL-terminated) by '?': what a peer or a file says must
 * not forge a line of its own. */
void log_make_printable(char *text);

/* Copy TEXT to OUT (SIZE bytes >= 4, NUL included) so that no byte of it can forge a line or reach
 * a terminal: bytes outside of 0x20 .. 0x7e are written as \xNN, a backslash as \\.  A text that
 * does not fit is cut and ends in "...".  Returns the length of OUT. */
size_t log_escape(const char *text, char *out, size_t size);

/* Write "TIME ratelimit.fcgi[PID]: MESSAGE" as one line and one write(2): processes that share a
 * log do not tear each other's lines.  TIME is UTC, RFC 3339.  FORMAT as printf's.
 * The message is escaped (log_escape) to at most 900 bytes.  Where standard error takes nothing
 * now, a pipe that nobody reads, the line is dropped: a log must not stop the loop. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
