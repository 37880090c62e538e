/* test_redis_reply.c - tests of store/redis_reply.h */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "store/redis_reply.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

/* A reader of which a test knows every reply. */
struct fixture {
    redisReader *reader;
    struct redis_reply reply;
};

static void begin(struct fixture *fixture)
{
    fixture->reader = redisReaderCreate();
    assert_non_null(fixture->reader);
    redis_reply_store(fixture->reader, &fixture->reply);
}

static enum redis_reply_state feed(struct fixture *fixture, const char *bytes, size_t len)
{
    redisReaderFeed(fixture->reader, bytes, len);
    return redis_reply_next(fixture->reader);
}

TEST(a_reply_is_read_whole_or_byte_by_byte)
{
    static const struct {
        const char *bytes;
        enum redis_reply_kind kind;
        const char *text;
        size_t count;
        int64_t last;
    } cases[] = {
        {"+OK\r\n", REDIS_SAYS_STATUS, "OK"},
        {"-ERR no\xff\r\n", REDIS_SAYS_ERROR, "ERR no\xff"},
        {"$3\r\nabc\r\n", REDIS_SAYS_BULK, "abc"},
        {"$0\r\n\r\n", REDIS_SAYS_BULK, ""},
        {":1\r\n", REDIS_SAYS_OTHER, ""},
        {"$-1\r\n", REDIS_SAYS_OTHER, ""},
        {"*-1\r\n", REDIS_SAYS_OTHER, ""},
        {"*0\r\n", REDIS_SAYS_NUMBERS, ""},
        {"*2\r\n:1\r\n:-1\r\n", REDIS_SAYS_NUMBERS, "", 2, -1},
        {"*1\r\n:9223372036854775807\r\n", REDIS_SAYS_NUMBERS, "", 1, INT64_MAX},
    };

    for (size_t i = 0; i < 2 * LENGTH(cases); i++) {
        const char *bytes = cases[i / 2].bytes;
        struct fixture fixture;
        size_t len = strlen(bytes), at = i % 2 ? len - 1 : 0;

        begin(&fixture);
        for (size_t j = 0; j < at; j++)
            if (feed(&fixture, bytes + j, 1) != REDIS_REPLY_PARTIAL)
                fail_msg("\"%s\": not partial after %zu bytes", bytes, j + 1);
        want_number(bytes, feed(&fixture, bytes + at, len - at), REDIS_REPLY_COMPLETE);
        want_number(bytes, fixture.reply.kind, cases[i / 2].kind);
        want_text(bytes, fixture.reply.text, cases[i / 2].text);
        want_number(bytes, (int64_t)fixture.reply.count, (int64_t)cases[i / 2].count);
        if (cases[i / 2].count > 0)
            want_number(bytes, fixture.reply.number[fixture.reply.count - 1], cases[i / 2].last);
        want_number(bytes, redis_reply_next(fixture.reader), REDIS_REPLY_PARTIAL);
        redisReaderFree(fixture.reader);
    }
}

TEST(what_no_command_is_answered_with_is_unfit_at_once)
{
    static const char *const cases[] = {
        "*2147483647\r\n",
        "*257\r\n",
        "*4294967300\r\n",
        "*99999999999999999999\r\n",
        "*-2\r\n",
        "*1\r\n*1\r\n",
        "*1\r\n+OK\r\n",
        "*1\r\n-ERR\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n*-1\r\n",
        "*1\r\n$2\r\nab\r\n",
        ">1\r\n+invalidate\r\n",
        "%1\r\n+a\r\n:1\r\n",
        "~1\r\n:1\r\n",
        "#t\r\n",
        ",1.5\r\n",
        "_x\r\n",
        "(1234\r\n",
        "=7\r\ntxt:abc\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "\x16\x03\x01",
        "*1\r\n:1\r\n!",
        "*1\r\n*1\r\n*1\r\n*1\r\n",
        "*1\r\n#t\r\n",
    };

    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct fixture fixture;
        enum redis_reply_state got;

        begin(&fixture);
        got = feed(&fixture, cases[i], strlen(cases[i]));
        if (got == REDIS_REPLY_COMPLETE)
            got = redis_reply_next(fixture.reader);
        want_number(cases[i], got, REDIS_REPLY_UNFIT);
        redisReaderFree(fixture.reader);
    }
}

TEST(a_reply_that_never_ends_is_unfit_and_takes_little_memory)
{
    static const char *const starts[] = {
        "$536870911\r\n", "$2147483647\r\n", "+", "-ERR ", ":", "*", "$", "*1\r\n:"};
    char filler[4096];

    memset(filler, '1', sizeof filler);
    for (size_t i = 0; i < LENGTH(starts); i++) {
        struct fixture fixture;
        size_t fed = 0;
        enum redis_reply_state got;

        begin(&fixture);
        got = feed(&fixture, starts[i], strlen(starts[i]));
        for (; got == REDIS_REPLY_PARTIAL; fed += sizeof filler)
            got = feed(&fixture, filler, sizeof filler);
        want_number(starts[i], got, REDIS_REPLY_UNFIT);
        assert_true(fed <= REDIS_REPLY_UNREAD_MAX + sizeof filler);
        redisReaderFree(fixture.reader);
    }
}

TEST(a_long_text_is_cut_and_its_length_kept)
{
    char bytes[1024];
    struct fixture fixture;

    memset(bytes, 'a', sizeof bytes);
    bytes[0] = '-';
    bytes[sizeof bytes - 2] = '\r';
    bytes[sizeof bytes - 1] = '\n';
    begin(&fixture);
    want_number("long", feed(&fixture, bytes, sizeof bytes), REDIS_REPLY_COMPLETE);
    assert_int_equal(fixture.reply.len, sizeof bytes - 3);
    assert_int_equal(strlen(fixture.reply.text), REDIS_REPLY_TEXT_SIZE - 1);
    redisReaderFree(fixture.reader);
}

TEST(the_most_numbers_that_the_script_returns_fit)
{
    struct fixture fixture;
    char bytes[64];

    begin(&fixture);
    snprintf(bytes, sizeof bytes, "*%d\r\n", REDIS_REPLY_NUMBERS_COUNT);
    want_number(bytes, feed(&fixture, bytes, strlen(bytes)), REDIS_REPLY_PARTIAL);
    for (int i = 1; i < REDIS_REPLY_NUMBERS_COUNT; i++)
        want_number("number", feed(&fixture, ":7\r\n", 4), REDIS_REPLY_PARTIAL);
    want_number("last", feed(&fixture, ":8\r\n", 4), REDIS_REPLY_COMPLETE);
    assert_int_equal(fixture.reply.count, REDIS_REPLY_NUMBERS_COUNT);
    assert_int_equal(fixture.reply.number[REDIS_REPLY_NUMBERS_COUNT - 1], 8);
    redisReaderFree(fixture.reader);
}

TESTS_MAIN
