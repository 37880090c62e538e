/* test_log.c - tests of base/log: escaping, so that a message stays on its line. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "base/log.h"

#include <stdio.h>
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

/* Capture in LINE, of SIZE bytes, what log_line writes to standard error about TEXT. */
static void capture(char *line, size_t size, const char *text)
{
    int saved = dup(STDERR_FILENO), ends[2];

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_line("redis is lost (%s)", text);
    dup2(saved, STDERR_FILENO);
    ssize_t len = read(ends[0], line, size - 1);
    assert_true(len > 0);
    line[len] = '\0';
    close(saved);
    close(ends[0]);
    close(ends[1]);
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
