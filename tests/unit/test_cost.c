/* test_cost.c - tests of limits/cost: costs in a limits file, and what a request costs. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "limits/cost.h"
#include "request/query.h"

#include <stdbool.h>
#include <stdio.h>

#define ROUNDS 100000

TEST(a_cost_is_a_number_or_a_source)
{
    static const struct {
        const char *text;
        int64_t tokens;
        enum key_source_kind kind;
        const char *name, *parameter;
    } cases[] = {
        {"1", 1, KEY_SOURCE_IP, "", ""},
        {"7", 7, KEY_SOURCE_IP, "", ""},
        {"999999", 999999, KEY_SOURCE_IP, "", ""},
        {"1000000", COST_MAX, KEY_SOURCE_IP, "", ""},
        {"header:X-Cost", 0, KEY_SOURCE_HEADER, "x-cost", "HTTP_X_COST"},
        {"header:Content-Length", 0, KEY_SOURCE_HEADER, "content-length", "CONTENT_LENGTH"},
        {"env:REQUEST_COST", 0, KEY_SOURCE_ENV, "REQUEST_COST", "REQUEST_COST"},
        {"query:n", 0, KEY_SOURCE_QUERY, "n", ""},
        {"cookie:cost", 0, KEY_SOURCE_COOKIE, "cost", ""},
    };

    FOR_EACH(c, cases) {
        struct cost cost;

        want_no_error(c->text, cost_parse(c->text, &cost));
        want_number(c->text, cost.tokens, c->tokens);
        if (cost.tokens > 0)
            continue;
        want_number(c->text, cost.source.kind, c->kind);
        want_text(c->text, cost.source.name, c->name);
        want_text(c->text, cost.source.parameter, c->parameter);
    }
}

TEST(a_wrong_cost_is_an_error_that_says_what_would_be_right)
{
    static const char number[] = "neither a whole number from 1 to 1000000 nor a source; write 1, ";
    static const struct error_case cases[] = {
        {"", number},
        {"0", number},
        {"-0", number},
        {"-1", number},
        {"+1", number},
        {"1000001", number},
        {"99999999999999999999999999", number},
        {"1e309", number},
        {"1e3", number},
        {"1.5", number},
        {"007", number},
        {"01", number},
        {" 1", number},
        {"1 ", number},
        {"0x1", number},
        {"1_000", number},
        {"five", number},
        /* sources that cannot be a number */
        {"ip", number},
        {"path", number},
        {"method", number},
        {"host", number},
        {"global", number},
        {"header", number},
        {"query", number},
        {"header:", "this source needs a name"},
        {"header:X Cost", "a space"},
        {"header:X_Cost", "letters, digits and '-'"},
        {"env:X-Cost", "letters, digits and '_'"},
        {"cookie:a=b", "a cookie's name"},
        {"ip:x", "this source takes no name"},
        {"path:x", "this source takes no name"},
        {"Header:X", "unknown source"},
        {"headers:X", "unknown source"},
        {":", "unknown source"},
        {"1:1", "unknown source"},
        {"header:X-Cost | 1", "a space"},
        {"header:X-Cost|1", "letters, digits and '-'"},
    };
    struct cost cost;

    WANT_ERRORS(cost_parse, &cost, cases);
}

TEST(the_name_of_a_cost_source_is_bounded)
{
    char text[KEY_SOURCE_NAME_MAX + 16];
    struct cost cost;

    sprintf(text, "query:%0*d", KEY_SOURCE_NAME_MAX, 0);
    want_no_error(text, cost_parse(text, &cost));
    sprintf(text, "query:%0*d", KEY_SOURCE_NAME_MAX + 1, 0);
    want_error(text, cost_parse(text, &cost), "too long; the most is 64 bytes");
}

static int64_t cost_of_text(const char *text, bool encoded)
{
    char bytes[256];
    struct scratch scratch = {bytes, sizeof bytes, 0};
    struct span value = {text, text ? strlen(text) : 0};

    return cost_read(encoded ? query_decode(value, &scratch) : value);
}

TEST(a_value_costs_as_many_tokens_as_it_says_within_the_bounds)
{
    static const struct number_case cases[] = {
        {"1", 1},
        {"2", 2},
        {"10", 10},
        {"999999", 999999},
        {"1000000", 1000000},
        {"000000000000000000000000000000000000000005", 5},
        {"007", 7},
        /* below 1 */
        {"0", 1},
        {"000", 1},
        {"-0", 1},
        {"-1", 1},
        {"-1000", 1},
        /* above */
        {"1000001", COST_MAX},
        {"10000000", COST_MAX},
        {"9223372036854775807", COST_MAX},
        {"9223372036854775808", COST_MAX},
        {"18446744073709551617", COST_MAX},
        {"340282366920938463463374607431768211457", COST_MAX},
        /* missing or broken */
        {NULL, 1},
        {"", 1},
        {" ", 1},
        {"five", 1},
        {"5x", 1},
        {"x5", 1},
        {" 5", 1},
        {"5 ", 1},
        {"5 6", 1},
        {"5,6", 1},
        {"5, 6", 1},
        {"+5", 1},
        {"5.0", 1},
        {"5e3", 1},
        {"1e309", 1},
        {"0x10", 1},
        {"5\n", 1},
        {"5\xff", 1},
        {"\xef\xbc\x95", 1}, /* a fullwidth 5 */
        {"99999999999999999999x", 1},
        {"%35", 1},
        {"/", 1},
        {":", 1},
        {"NaN", 1},
        {"Infinity", 1},
    };

    FOR_EACH(c, cases)
        want_number(c->text ? c->text : "(none)", cost_of_text(c->text, false), c->want);
}

TEST(a_value_of_a_query_is_decoded)
{
    static const struct number_case cases[] = {
        {"25", 25},  {"%325", 25}, {"%32%35", 25}, {"+5", 1},  {"5+", 1},
        {"5%00", 1}, {"%00", 1},   {"5%", 1},      {"5%3", 1}, {"%2535", 1},
    };

    FOR_EACH(c, cases)
        want_number(c->text, cost_of_text(c->text, true), c->want);
}

TEST(every_number_is_clamped_to_the_bounds_and_every_text_is_within_them)
{
    uint64_t random = 5;
    char text[24];

    for (int round = 0; round < ROUNDS; round++) {
        int64_t number = random_between(&random, 0, INT64_MAX);

        sprintf(text, "%lld", (long long)number);
        want_number(text, cost_of_text(text, round % 2),
                    number < 1          ? 1
                    : number > COST_MAX ? COST_MAX
                                        : number);
        random_text(&random, "0123456789999%+- \xff", text, sizeof text);
        int64_t tokens = cost_of_text(text, round % 2);
        if (tokens < 1 || tokens > COST_MAX)
            fail_msg("\"%s\" costs %lld", text, (long long)tokens);
    }
}

TEST(a_cost_is_looked_up_where_its_source_says)
{
    static char cost[] = "HTTP_X_COST=12", env[] = "REQUEST_COST=13", cookie[] = "HTTP_COOKIE=c=14",
                length[] = "CONTENT_LENGTH=15", big[] = "BIG=1000001";
    static char *const parameters[] = {cost, env, cookie, length, big, NULL};
    static const struct request request = {"GET", "/?n=1%36&m", "192.0.2.7", parameters};
    static const struct number_case cases[] = {
        {"1", 1},
        {"3", 3},
        {"1000000", 1000000},
        {"header:X-Cost", 12},
        {"header:x-cost", 12},
        {"env:REQUEST_COST", 13},
        {"env:HTTP_X_COST", 12},
        {"cookie:c", 14},
        {"header:Content-Length", 15},
        {"query:n", 16},
        {"env:BIG", COST_MAX},
        {"query:m", 1},
        {"query:none", 1},
        {"header:None", 1},
        {"env:NONE", 1},
        {"cookie:none", 1},
    };

    FOR_EACH(c, cases) {
        bool ambiguous;
        struct view view;
        struct cost parsed;

        view_begin(&view, &request, 64);
        want_no_error(c->text, cost_parse(c->text, &parsed));
        want_number(c->text, cost_of(&parsed, &view, &ambiguous), c->want);
    }
}

TESTS_MAIN
