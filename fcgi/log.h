/* log.h - one line to standard error for each event that somebody at night should see. */
#ifndef LOG_H
#define LOG_H

/* Write "TIME ratelimit.fcgi[PID]: MESSAGE" as one line and one write(2): processes that share a log
 * do not tear each other's lines.  TIME is UTC, RFC 3339.  FORMAT as printf's.
 * Control characters in the message become '?'; a message over 900 bytes ends in "...". */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
