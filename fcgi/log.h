/* log.h - one line to standard error for each event that somebody at night should see. */
#ifndef LOG_H
#define LOG_H

/* Replace the control characters of TEXT (NUL-terminated) by '?': what a peer or a file says must not
 * forge a line of its own. */
void log_make_printable(char *text);

/* Write "TIME ratelimit.fcgi[PID]: MESSAGE" as one line and one write(2): processes that share a log
 * do not tear each other's lines.  TIME is UTC, RFC 3339.  FORMAT as printf's.
 * The message is made printable; one over 900 bytes ends in "...".  Where standard error takes nothing
 * now, a pipe that nobody reads, the line is dropped: a log must not stop the loop. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
