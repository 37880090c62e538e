/* test_log.c - tests of base/log: escaping, so that a message stays on its line. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "base/log.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(bytes_outside_of_ascii_and_control_bytes_are_escaped)
{
    static const struct text_case cases[] = {
        {"", ""},
        {"plain ~ text", "plain ~ text"},
        {"a\nb", "a\\x0ab"},
        {"\r\x1b[31m\x7f", "\\x0d\\x1b[31m\\x7f"},
        {"\x80\x9b\xff", "\\x80\\x9b\\xff"},
        {"h\xc3\xb6st", "h\\xc3\\xb6st"},
        {"a\\x0ab", "a\\\\x0ab"},
    };

    FOR_EACH(c, cases) {
        char out[64];

        assert_int_equal(log_escape(c->text, out, sizeof out), strlen(c->want));
        want_text(c->text, out, c->want);
    }
}

TEST(a_text_that_does_not_fit_ends_in_dots_and_never_in_half_an_escape)
{
    static const struct {
        const char *text;
        size_t size;
        const char *want;
    } cases[] = {
        {"1234567", 8, "1234567"}, {"12345678", 8, "1234..."},  {"\xff", 5, "\\xff"},
        {"\xff", 4, "..."},        {"\xff\xff", 8, "\\xff..."}, {"12\xff", 6, "12..."},
    };

    FOR_EACH(c, cases) {
        char out[8];

        memset(out, 'x', sizeof out);
        assert_int_equal(log_escape(c->text, out, c->size), strlen(c->want));
        want_text(c->text, out, c->want);
    }
}

/* Set JOURNAL_STREAM to BEFORE, the device and the inode of standard error, and AFTER. */
static void set_journal_stream(const char *before, const char *after)
{
    char value[64];
    struct stat standard_error;

    assert_int_equal(fstat(STDERR_FILENO, &standard_error), 0);
    snprintf(value, sizeof value, "%s%ju:%ju%s", before, (uintmax_t)standard_error.st_dev,
             (uintmax_t)standard_error.st_ino, after);
    setenv("JOURNAL_STREAM", value, 1);
}

/* Capture in LINE, of SIZE bytes, what log_line writes to standard error with PRIORITY about TEXT.
 * STREAM: what is around the device and the inode in JOURNAL_STREAM; NULL: it is not changed. */
static void capture_in(const char *const stream[2], char *line, size_t size, int priority,
                       const char *text)
{
    int saved = dup(STDERR_FILENO), ends[2];

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    if (stream)
        set_journal_stream(stream[0], stream[1]);
    log_line(priority, "redis is lost (%s)", text);
    dup2(saved, STDERR_FILENO);
    ssize_t len = read(ends[0], line, size - 1);
    assert_true(len > 0);
    line[len] = '\0';
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

static void capture(char *line, size_t size, const char *text)
{
    capture_in(NULL, line, size, LOG_WARNING, text);
}

TEST(a_line_to_the_journal_has_its_priority_and_neither_time_nor_pid)
{
    static const struct {
        int priority;
        const char *want;
    } cases[] = {
        {LOG_ERR, "<3>redis is lost (x)\n"},
        {LOG_WARNING, "<4>redis is lost (x)\n"},
        {LOG_NOTICE, "<5>redis is lost (x)\n"},
        {LOG_INFO, "<6>redis is lost (x)\n"},
    };

    FOR_EACH(c, cases) {
        char line[2048];

        capture_in((const char *const[]){"", ""}, line, sizeof line, c->priority, "x");
        want_text(c->want, line, c->want);
    }
    unsetenv("JOURNAL_STREAM");
}

TEST(a_line_elsewhere_has_its_time_and_pid)
{
    static const char *const streams[][2] = {{"", "0"}, {"", " "}, {"0", ""}, {" ", ""}};
    static const char *const values[] = {NULL, "", "1", "1:2", ":"};
    char want[64], line[2048];
    size_t time_len = strlen("2026-01-02T03:04:05");

    snprintf(want, sizeof want, "Z ratelimit.fcgi[%d]: redis is lost (x)\n", (int)getpid());
    for (size_t i = 0; i < LENGTH(streams); i++) {
        capture_in(streams[i], line, sizeof line, LOG_WARNING, "x");
        want_text(streams[i][0], line + time_len, want);
    }
    for (size_t i = 0; i < LENGTH(values); i++) {
        if (values[i])
            setenv("JOURNAL_STREAM", values[i], 1);
        else
            unsetenv("JOURNAL_STREAM");
        capture(line, sizeof line, "x");
        want_text(values[i] ? values[i] : "none", line + time_len, want);
    }
    unsetenv("JOURNAL_STREAM");
}

TEST(no_byte_of_a_message_breaks_its_line)
{
    char line[2048], text[1200];

    capture(line, sizeof line, "ERR\r\n2026 forged \x9b\xff\x1b[0m");
    assert_non_null(
        strstr(line, ": redis is lost (ERR\\x0d\\x0a2026 forged \\x9b\\xff\\x1b[0m)\n"));
    memset(text, '\xff', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    capture(line, sizeof line, text);
    assert_true(strlen(line) < 1000);
    assert_non_null(strstr(line, "\\xff...\n"));
    for (const char *at = line; at[1] != '\0'; at++)
        assert_in_range((unsigned char)*at, 0x20, 0x7e);
}

TESTS_MAIN
