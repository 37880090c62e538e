/* test_fcgi_head.c - tests of front/fcgi_head: the records of a connection, in any pieces. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "front/fcgi_head.h"

#include <fastcgi.h>
#include <stdio.h>

#define SIZE 400000

/* The bytes of a connection, made up by a test, and the events that they give. */
struct stream {
    unsigned char bytes[SIZE];
    size_t len;
    char events[4096]; /* each followed by a space */
};

static struct stream stream;

static void add(const void *bytes, size_t len)
{
    assert_true(stream.len + len <= SIZE);
    memcpy(stream.bytes + stream.len, bytes, len);
    stream.len += len;
}

/* Add a record with the LEN bytes at CONTENT. */
static void add_record(unsigned type, unsigned id, const void *content, size_t len,
                       unsigned padding)
{
    unsigned char header[FCGI_HEADER_LEN];

    fcgi_head_write_header(header, type, id, len);
    header[6] = (unsigned char)padding;
    add(header, sizeof header);
    add(content, len);
    add((const char[255]){0}, padding);
}

static void add_begin(unsigned role, unsigned flags, unsigned id)
{
    add_record(FCGI_BEGIN_REQUEST, id, (const char[]){0, (char)role, (char)flags, 0, 0, 0, 0, 0}, 8,
               0);
}

static void add_pair(const char *name, const char *value)
{
    char content[600];
    int len = snprintf(content, sizeof content, "%c%c%s%s", (char)strlen(name), (char)strlen(value),
                       name, value);

    add_record(FCGI_PARAMS, 1, content, (size_t)len, 0);
}

/* The pairs of HEAD as libfcgi gives them, with commas between them. */
static void say_params(const struct fcgi_head *head, char *out, size_t size)
{
    size_t at = 0, len = 0;

    while (at < head->params_len && len < size) {
        const unsigned char *pair = head->params + at;
        assert_true(pair[0] < 128 && pair[1] < 128);
        len += (size_t)snprintf(out + len, size - len, "%s%.*s=%.*s", at > 0 ? "," : "", pair[0],
                                pair + 2, pair[1], pair + 2 + pair[0]);
        at += 2U + pair[0] + pair[1];
    }
}

static const char *say_request(const struct fcgi_head *head)
{
    static char text[1024];
    char params[512] = "";

    if (head->defect == REQUEST_TOO_LARGE)
        snprintf(params, sizeof params, "too large");
    else if (head->params_len < sizeof params)
        say_params(head, params, sizeof params);
    snprintf(text, sizeof text, "%u:%s%s(%s%s)", head->id,
             head->role == FCGI_AUTHORIZER ? "authorize" : "respond", head->keep ? "+" : "", params,
             head->defect == REQUEST_UNREADABLE ? ";unreadable" : "");
    return text;
}

static void say_event(const struct fcgi_head *head, enum fcgi_event event)
{
    char text[1100];
    unsigned char reply[FCGI_HEAD_REPLY_SIZE];
    size_t len = fcgi_head_reply(head, event, reply);

    assert_true(len <= sizeof reply);
    assert_true((len > 0) == (event != FCGI_EVENT_REQUEST && event != FCGI_EVENT_BROKEN));
    if (event == FCGI_EVENT_REQUEST)
        snprintf(text, sizeof text, "%s", say_request(head));
    else if (event == FCGI_EVENT_BROKEN)
        snprintf(text, sizeof text, "broken");
    else if (event == FCGI_EVENT_GET_VALUES)
        snprintf(text, sizeof text, "values:%u", head->values);
    else if (event == FCGI_EVENT_UNKNOWN_TYPE)
        snprintf(text, sizeof text, "type:%u", reply[8]);
    else
        snprintf(text, sizeof text, "%u:end%u%s", (unsigned)reply[2] << 8 | reply[3], reply[12],
                 head->event_keep && event != FCGI_EVENT_SECOND_REQUEST ? "+" : "");
    strcat(strcat(stream.events, text), " ");
}

/* Read the stream in pieces of SIZE bytes.  If ANSWER, answer each request as soon as its head is
 * complete. */
static void read_stream(size_t size, bool answer)
{
    static unsigned char params[FCGI_HEAD_SIZE];
    struct fcgi_head head = {.params = params};

    stream.events[0] = '\0';
    for (size_t at = 0; at < stream.len; at += size) {
        size_t left = stream.len - at;
        struct span bytes = {(const char *)stream.bytes + at, left < size ? left : size};
        enum fcgi_event event;
        while ((event = fcgi_head_read(&head, &bytes)) != FCGI_EVENT_MORE) {
            say_event(&head, event);
            if (event == FCGI_EVENT_BROKEN)
                return;
            if (event == FCGI_EVENT_REQUEST && answer)
                fcgi_head_answered(&head);
        }
        assert_int_equal(bytes.len, 0);
    }
    strcat(stream.events, fcgi_head_is_between(&head) ? "between" : "within");
    strcat(stream.events, head.body_id ? " a body" : "");
}

static void want_events(const char *what, bool answer, const char *want)
{
    static const size_t sizes[] = {SIZE, 1, 3, 8, 4096};

    FOR_EACH(size, sizes) {
        read_stream(*size, answer);
        want_text(what, stream.events, want);
    }
    stream.len = 0;
}

TEST(a_request_is_read_to_the_end_of_its_head)
{
    add_begin(FCGI_RESPONDER, FCGI_KEEP_CONN, 1);
    add_pair("A", "1");
    add_pair("B", "");
    add_record(FCGI_PARAMS, 1, "", 0, 0);
    want_events("a head", true, "1:respond+(A=1,B=) between a body");

    for (int i = 0; i < 2; i++) {
        add_begin(FCGI_AUTHORIZER, 0, 1);
        add_record(FCGI_PARAMS, 1, "\1\2A", 3, 7); /* a pair in two records */
        add_record(FCGI_PARAMS, 1, "xy", 2, 255);
        add_record(FCGI_PARAMS, 1, "", 0, 0);
        add_record(FCGI_STDIN, 1, "body", 4, 4);
        add_record(FCGI_STDIN, 1, "", 0, 0);
    }
    want_events("two with bodies", true, "1:authorize(A=xy) 1:authorize(A=xy) between");
    add_begin(FCGI_RESPONDER, 0, 1);
    add_record(FCGI_PARAMS, 1, "", 0, 0);
    want_events("no parameters", true, "1:respond() between a body");
}

TEST(records_of_other_requests_are_skipped)
{
    add_record(FCGI_STDIN, 5, "left over", 9, 1);
    add_begin(FCGI_RESPONDER, 0, 1);
    add_begin(FCGI_RESPONDER, 0, 2);
    add_record(FCGI_PARAMS, 2, "\1\1B2", 4, 0);
    add_pair("A", "1");
    add_record(FCGI_STDIN, 2, "", 0, 3);
    add_record(FCGI_PARAMS, 1, "", 0, 0);
    add_begin(FCGI_RESPONDER, 0, 3);
    want_events("a second request", false, "2:end1 1:respond(A=1) 3:end1 within a body");
}

TEST(roles_that_are_not_served_and_aborted_requests_are_ended)
{
    add_begin(FCGI_FILTER, FCGI_KEEP_CONN, 7);
    add_record(FCGI_PARAMS, 7, "\1\1A1", 4, 0);
    add_begin(0, 0, 300);
    add_begin(FCGI_RESPONDER, FCGI_KEEP_CONN, 1);
    add_pair("A", "1");
    add_record(FCGI_ABORT_REQUEST, 1, "", 0, 0);
    add_begin(FCGI_RESPONDER, 0, 1);
    add_record(FCGI_PARAMS, 1, "", 0, 0);
    add_record(FCGI_ABORT_REQUEST, 1, "", 0, 0);
    add_record(FCGI_STDIN, 1, "", 0, 0);
    want_events("roles", true, "7:end3+ 300:end3 1:end0+ 1:respond() between");
}

TEST(management_records_are_answered_at_any_point)
{
    add_record(FCGI_GET_VALUES, 0, "", 0, 0);
    add_record(FCGI_GET_VALUES, 0,
               "\xf\0FCGI_MPXS_CONNS\4\0WHAT\xd\0FCGI_MAX_REQS\xd\0FCGI_MAX_REQS", 53, 3);
    add_record(42, 0, "content", 7, 1);
    add_begin(FCGI_RESPONDER, 0, 1);
    add_record(FCGI_GET_VALUES, 0, "\xe\x80\0\0\2FCGI_MAX_CONNSxx\x80\0\0\1\0X", 27, 0);
    add_pair("A", "1");
    add_record(FCGI_PARAMS, 0, "\1\1A1", 4, 0);
    add_record(FCGI_PARAMS, 1, "", 0, 0);
    want_events("management", true,
                "values:0 values:6 type:42 values:1 type:4 1:respond(A=1) between a body");
}

TEST(get_values_of_any_length_is_read)
{
    char content[60000];
    size_t len = 0;

    memset(content, 'x', sizeof content);
    memcpy(content, "\x80\0\x80\0\x80\0\x20\0", 8);
    len = 8 + 0x8000 + 0x2000;
    memcpy(content + len, "\xe\0FCGI_MAX_CONNS", 16);
    add_record(FCGI_GET_VALUES, 0, content, len + 16, 0);
    want_events("a long name and a known one", true, "values:1 between");
}

TEST(malformed_input_gives_the_event_broken)
{
    static const struct {
        const char *what, *params;
        size_t len;
    } cases[] = {
        {"a name longer than all", "\x64\0A", 3},
        {"a value longer than all",
         "\1\x64"
         "A",
         3},
        {"one length", "\1", 1},
        {"a long length that is cut", "\x80\0\0", 3},
        {"a long second length that is cut", "\1\x80\0\0", 4},
        {"lengths that overflow", "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
    };

    FOR_EACH(c, cases) {
        add_begin(FCGI_RESPONDER, 0, 1);
        add_record(FCGI_PARAMS, 1, c->params, c->len, 0);
        add_record(FCGI_PARAMS, 1, "", 0, 0);
        want_events(c->what, true, "broken ");
        add_record(FCGI_GET_VALUES, 0, c->params, c->len, 0);
        want_events(c->what, true, "broken ");
    }
    add("GET / HTTP/1.1\r\n", 16);
    want_events("HTTP", true, "broken ");
    add_begin(FCGI_RESPONDER, 0, 0);
    want_events("no id", true, "broken ");
    add_record(FCGI_BEGIN_REQUEST, 1, "\0\1\0\0\0\0\0", 7, 0);
    want_events("a short begin", true, "broken ");
    add_record(FCGI_BEGIN_REQUEST, 1, "\0\1\0\0\0\0\0\0", 8, 8);
    want_events("a padded begin", true, "broken ");
    add_begin(FCGI_RESPONDER, 0, 1);
    add_begin(FCGI_RESPONDER, 0, 1);
    want_events("two begins", true, "broken ");
    add_begin(FCGI_RESPONDER, 0, 1);
    add_record(FCGI_PARAMS, 1, "", 0, 1);
    want_events("padding of the empty parameters", true, "broken ");
    add_begin(FCGI_RESPONDER, 0, 1);
    add_record(FCGI_STDIN, 1, "x", 1, 0);
    want_events("a body before the end of the parameters", true, "broken ");
}

TEST(pairs_that_libfcgi_cannot_take_are_left_out_and_reported)
{
    add_begin(FCGI_RESPONDER, 0, 1);
    add_pair("A", "1");
    add_pair("X=Y", "2");
    add_record(FCGI_PARAMS, 1,
               "\1\3Z"
               "a\0b",
               6, 0);
    add_pair("", "3");
    add_pair("B", "4");
    add_record(FCGI_PARAMS, 1, "", 0, 0);
    want_events("unreadable", true, "1:respond(A=1,B=4;unreadable) between a body");
}

TEST(a_head_has_at_most_64_kb_and_1000_parameters)
{
    static char value[70000];

    for (unsigned extra = 0; extra < 2; extra++) {
        static const size_t fits = FCGI_HEAD_SIZE - 6;
        unsigned char pair[6] = {
            1, 0x80, 0, (unsigned char)((fits + extra) >> 8), (unsigned char)(fits + extra), 'A'};
        memset(value, 'x', sizeof value);
        add_begin(FCGI_RESPONDER, FCGI_KEEP_CONN, 1);
        add_record(FCGI_PARAMS, 1, pair, sizeof pair, 0);
        add_record(FCGI_PARAMS, 1, value, fits, 0);
        if (extra > 0)
            add_record(FCGI_PARAMS, 1, value, extra, 0);
        add_record(FCGI_PARAMS, 1, "", 0, 0);
        read_stream(SIZE, true);
        want_number("64 KB and more", strstr(stream.events, "too large") != NULL, extra);
        want_number("kept", strstr(stream.events, "respond+") != NULL, !extra);
        stream.len = 0;
    }
    for (unsigned count = FCGI_HEAD_PAIRS_MAX; count <= FCGI_HEAD_PAIRS_MAX + 1; count++) {
        add_begin(FCGI_RESPONDER, 0, 1);
        for (unsigned i = 0; i < count; i++)
            add_pair("A", "");
        add_record(FCGI_PARAMS, 1, "", 0, 0);
        read_stream(SIZE, true);
        want_number("parameters", strstr(stream.events, "too large") != NULL,
                    count > FCGI_HEAD_PAIRS_MAX);
        stream.len = 0;
    }
}

TEST(the_rest_of_a_head_that_is_too_large_is_skipped)
{
    static char value[65535];

    add_begin(FCGI_RESPONDER, FCGI_KEEP_CONN, 1);
    add_pair("A", "1");
    for (int i = 0; i < 3; i++)
        add_record(FCGI_PARAMS, 1, value, sizeof value, 0);
    add_record(FCGI_PARAMS, 1, "", 0, 0);
    add_record(FCGI_STDIN, 1, "", 0, 0);
    add_begin(FCGI_RESPONDER, 0, 2);
    add_record(FCGI_PARAMS, 2, "", 0, 0);
    want_events("too large", true, "1:respond(too large) 2:respond() between a body");
}

TESTS_MAIN
