#include "table.h"
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

static void bytes_outside_of_ascii_and_control_bytes_are_escaped(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"plain ~ text", "plain ~ text"},
        {"a\nb", "a\\x0ab"},
        {"\r\x1b[31m\x7f", "\\x0d\\x1b[31m\\x7f"},
        {"\x80\x9b\xff", "\\x80\\x9b\\xff"},
        {"h\xc3\xb6st", "h\\xc3\\xb6st"},
        {"a\\x0ab", "a\\\\x0ab"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char out[64];

        assert_int_equal(log_escape(cases[i].text, out, sizeof out), strlen(cases[i].want));
        want_text(cases[i].text, out, cases[i].want);
    }
}

static void a_text_that_does_not_fit_ends_in_dots_and_never_in_half_an_escape(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        const char *want;
    } cases[] = {
        {"1234567", 8, "1234567"}, {"12345678", 8, "1234..."},  {"\xff", 5, "\\xff"},
        {"\xff", 4, "..."},        {"\xff\xff", 8, "\\xff..."}, {"12\xff", 6, "12..."},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char out[8];

        memset(out, 'x', sizeof out);
        assert_int_equal(log_escape(cases[i].text, out, cases[i].size), strlen(cases[i].want));
        want_text(cases[i].text, out, cases[i].want);
    }
}

/* What log_line writes to standard error for FORMAT and TEXT, into LINE of SIZE bytes. */
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

static void no_byte_of_a_message_leaves_its_line(void **state)
{
    char line[2048], text[1200];

    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_outside_of_ascii_and_control_bytes_are_escaped),
        cmocka_unit_test(a_text_that_does_not_fit_ends_in_dots_and_never_in_half_an_escape),
        cmocka_unit_test(no_byte_of_a_message_leaves_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
