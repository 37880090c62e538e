/* log.h - one line on standard error for each event that an operator needs to know about. */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>
#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO */

/* Replace the control characters of TEXT (NUL-terminated) by '?', so that text from a peer or a
 * file cannot forge a log line. */
void log_make_printable(char *text);

/* Copy TEXT to OUT (SIZE bytes >= 4, NUL included), escaped so that it can neither forge a log line
 * nor control a terminal: bytes outside 0x20 .. 0x7e are written as \xNN, and a backslash as two.
 * A text that does not fit is cut and ends in "...".  Returns the length of OUT. */
size_t log_escape(const char *text, char *out, size_t size);

/* Write one line with one write(2), so that lines of processes that share a log do not mix:
 *
 *   <4>MESSAGE                           to the journal of systemd: PRIORITY in angle brackets
 *                                        (sd-daemon(3)); the journal adds time, name and PID
 *   TIME ratelimit.fcgi[PID]: MESSAGE    otherwise; TIME is UTC, RFC 3339
 *
 * Standard error is the journal if the environment variable JOURNAL_STREAM holds its device and
 * inode (systemd.exec(5)).  FORMAT is that of printf.  The message is escaped (log_escape) and cut
 * to 900 bytes.
 *
 * PRIORITY is one of syslog(3): LOG_ERR if requests fail until an operator acts; LOG_WARNING if
 * something is not as configured, for example Redis is lost; LOG_NOTICE for a start, a reload and
 * what is well again; LOG_INFO about single requests.
 *
 * If standard error is not writable now, for example a full pipe, the line is dropped, because
 * logging must not block the event loop. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
