/* test_findings.c - tests of config/findings: mistakes and warnings, and how they are written. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "config/findings.h"

#include <stdio.h>

#define MANY 1000

/* What findings_write writes of FINDINGS.  The caller frees it. */
static char *written(struct findings *findings, enum findings_what what)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    findings_write(findings, what, out);
    fclose(out);
    return text;
}

static void want_written(const char *input, struct findings *findings, enum findings_what what,
                         const char *want)
{
    char *text = written(findings, what);

    want_text(input, text, want);
    free(text);
}

TEST(a_finding_is_written_with_its_place)
{
    struct findings findings = {.file = "a.yaml"};

    want_written("nothing", &findings, FINDINGS_ALL, "");
    findings_error(&findings, 1, 2, "%s is %d; write %s", "x", 3, "y");
    want_written("one", &findings, FINDINGS_ERRORS, "a.yaml:1:2: x is 3; write y\n");
    findings_warning(&findings, 3, 4, "odd; leave it out");
    findings_error(&findings, 0, 0, "the file is odd; write another");
    findings_warning(&findings, 0, 0, "the file is strange; write another");
    assert_int_equal(findings.error_count, 2);
    assert_int_equal(findings.warning_count, 2);
    assert_int_equal(findings.count, 4);
    want_written("errors", &findings, FINDINGS_ERRORS,
                 "a.yaml: the file is odd; write another\n"
                 "a.yaml:1:2: x is 3; write y\n");
    want_written("all", &findings, FINDINGS_ALL,
                 "a.yaml: the file is odd; write another\n"
                 "a.yaml: warning: the file is strange; write another\n"
                 "a.yaml:1:2: x is 3; write y\n"
                 "a.yaml:3:4: warning: odd; leave it out\n");
    findings_free(&findings);
}

TEST(findings_are_in_the_order_of_their_places)
{
    static const struct {
        unsigned line, column;
    } places[] = {{10, 1}, {2, 10}, {9, 9}, {2, 9}, {0, 0}, {10, 2}, {2, 9}, {4294967295U, 1}};
    struct findings findings = {.file = "f"};

    for (size_t i = 0; i < LENGTH(places); i++)
        if (i % 2)
            findings_warning(&findings, places[i].line, places[i].column, "%zu", i);
        else
            findings_error(&findings, places[i].line, places[i].column, "%zu", i);
    for (int again = 0; again < 2; again++)
        want_written("all", &findings, FINDINGS_ALL,
                     "f: 4\n"
                     "f:2:9: warning: 3\n"
                     "f:2:9: 6\n" /* found later at the same place */
                     "f:2:10: warning: 1\n"
                     "f:9:9: 2\n"
                     "f:10:1: 0\n"
                     "f:10:2: warning: 5\n"
                     "f:4294967295:1: warning: 7\n");
    findings_error(&findings, 1, 1, "8");
    want_written("errors", &findings, FINDINGS_ERRORS,
                 "f: 4\nf:1:1: 8\nf:2:9: 6\nf:9:9: 2\nf:10:1: 0\n");
    findings_free(&findings);
}

TEST(findings_at_one_place_keep_their_order)
{
    struct findings findings = {.file = "f"};
    char *text, *at;

    for (unsigned i = 0; i < MANY; i++)
        findings_error(&findings, 7, 7, "%u", i);
    at = text = written(&findings, FINDINGS_ERRORS);
    for (unsigned i = 0; i < MANY; i++) {
        char line[32];

        sprintf(line, "f:7:7: %u\n", i);
        if (strncmp(at, line, strlen(line)) != 0)
            fail_msg("\"%.20s\", want %s", at, line);
        at += strlen(line);
    }
    assert_string_equal(at, "");
    free(text);
    findings_free(&findings);
}

TEST(a_message_cannot_forge_a_line)
{
    static const struct {
        const char *message, *want;
    } cases[] = {
        {"a\nb.yaml:1:1: all is fine", "f:1:1: a?b.yaml:1:1: all is fine\n"},
        {"a\r\n\t\x1b[31m\x7f", "f:1:1: a????[31m?\n"},
        {"\x01\x1f ", "f:1:1: ?? \n"},
        {"%s%n%d", "f:1:1: %s%n%d\n"},
        {"caf\xc3\xa9", "f:1:1: caf\xc3\xa9\n"},
        {"", "f:1:1: \n"},
    };

    FOR_EACH(c, cases) {
        struct findings findings = {.file = "f"};

        findings_error(&findings, 1, 1, "%s", c->message);
        want_written(c->message, &findings, FINDINGS_ERRORS, c->want);
        findings_free(&findings);
    }
}

TEST(a_message_has_at_most_511_bytes)
{
    static const size_t lengths[] = {0, 1, 510, 511, 512, 2000};

    FOR_EACH(length, lengths) {
        struct findings findings = {.file = "f"};
        size_t want = *length < 511 ? *length : 511;

        char message[2001];

        memset(message, 'x', *length);
        message[*length] = '\0';
        findings_warning(&findings, 1, 1, "%s", message);
        char *text = written(&findings, FINDINGS_ALL);
        want_number(text, (int64_t)strlen(text), (int64_t)(strlen("f:1:1: warning: \n") + want));
        free(text);
        findings_free(&findings);
    }
}

TEST(freed_findings_can_be_used_again)
{
    struct findings findings = {.file = "f"};

    findings_free(&findings);
    findings_error(&findings, 1, 1, "a");
    findings_free(&findings);
    assert_int_equal(findings.count, 0);
    assert_int_equal(findings.error_count, 0);
    assert_int_equal(findings.warning_count, 0);
    findings_warning(&findings, 1, 1, "b");
    want_written("again", &findings, FINDINGS_ALL, "f:1:1: warning: b\n");
    want_written("no error", &findings, FINDINGS_ERRORS, "");
    findings_free(&findings);
}

TESTS_MAIN
