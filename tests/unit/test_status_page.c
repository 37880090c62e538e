/* test_status_page.c - the state of a host as JSON. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "decide/status_page.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "shared/slot.h"

#define SHA256_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA256_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* ---- A host of two processes, which share a file ---- */

#define PROCESSES 2

static char folder[64], path[128];
static struct region *regions[PROCESSES];
static struct slot *slots[PROCESSES];

static int begin(void **state)
{
    char error[256];

    (void)state;
    strcpy(folder, "/tmp/test_status_page.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    sprintf(path, "%s/shared", folder);
    for (size_t i = 0; i < PROCESSES; i++) {
        regions[i] = region_open(path, MIRROR_ROWS_DEFAULT, error, sizeof error);
        slots[i] = regions[i] ? region_claim(regions[i]) : NULL;
        if (!slots[i])
            return -1;
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROCESSES; i++)
        region_free(regions[i]);
    unlink(path);
    return rmdir(folder);
}

#define TEST_OF_HOST(name) TEST_WITH(name, begin, end)

/* Process I of the host, with the limits file of this PATH and SHA256. */
static void describe(size_t i, const char *file, const char *sha256)
{
    struct process process = {.pid = 100 + (int64_t)i, .started_us = 1, .loaded_us = 1};

    strcpy(process.version, "1.2");
    strcpy(process.limits_file, file);
    strcpy(process.sha256, sha256);
    strcpy(process.redis, "127.0.0.1:6379");
    slot_describe(slots[i], &process);
}

/* ---- Is it JSON (RFC 8259)?  Each function returns what follows; NULL: it is not. ---- */

static const char *value_end(const char *at);

static const char *space_end(const char *at)
{
    return at ? at + strspn(at, " \n\r\t") : NULL;
}

static const char *string_end(const char *at)
{
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return NULL; /* the end of the text, too */
        if (*at != '\\')
            continue;
        at++;
        if (*at == 'u') {
            for (int digit = 0; digit < 4; digit++)
                if (!isxdigit((unsigned char)*++at))
                    return NULL;
        } else if (*at == '\0' || !strchr("\"\\/bfnrt", *at)) {
            return NULL;
        }
    }
    return at + 1;
}

static const char *number_end(const char *at)
{
    char *end_of_number;
    size_t len = strspn(at, "-.0123456789"); /* no "inf" and no "nan" */

    strtod(at, &end_of_number);
    return len > 0 && at + len == end_of_number ? end_of_number : NULL;
}

/* The end of an object or an array, whose members CLOSE ends. */
static const char *members_end(const char *at, char close)
{
    at = space_end(at + 1);
    if (*at == close)
        return at + 1;
    for (;; at++) {
        if (close == '}') {
            at = space_end(string_end(space_end(at)));
            if (!at || *at++ != ':')
                return NULL;
        }
        at = space_end(value_end(space_end(at)));
        if (!at || *at != ',')
            return at && *at == close ? at + 1 : NULL;
    }
}

static const char *value_end(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};

    FOR_EACH(word, words)
        if (strncmp(at, *word, strlen(*word)) == 0)
            return at + strlen(*word);
    if (*at == '{' || *at == '[')
        return members_end(at, *at == '{' ? '}' : ']');
    return *at == '"' ? string_end(at) : number_end(at);
}

/* The page, which is JSON; owned. */
static char *page(const struct recent *recent)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    status_page_write(out, regions[0], recent);
    fclose(out);
    const char *rest = space_end(value_end(text));
    if (!rest || *rest || strlen(text) != len)
        fail_msg("no JSON: %s", text);
    return text;
}

static void want_page(const struct recent *recent, const char *part)
{
    char *text = page(recent);

    if (!strstr(text, part))
        fail_msg("no \"%s\" in %s", part, text);
    free(text);
}

/* ---- Tests ---- */

TEST(the_reader_of_these_tests_knows_what_is_not_json)
{
    static const char *const bad[] = {"",      "{",      "{\"a\"}", "{\"a\":1,}", "[1,]",
                                      "[1 2]", "\"\n\"", "\"\\x\"", "\"\\u12\"",  "nan",
                                      "{a:1}", "[inf]",  "\"a",     "[1.2.3]",    "{\"a\":}"};
    static const char *const good[] = {"{}", "[ ]",
                                       "{\"a\":[1,-2.5,null],\n\"b\":\"\\u00e9\\\"\"}"};

    FOR_EACH(text, bad) {
        const char *rest = value_end(*text);
        if (rest && !*rest)
            fail_msg("taken for JSON: %s", *text);
    }
    FOR_EACH(text, good) {
        const char *rest = value_end(*text);
        if (!rest || *rest)
            fail_msg("not taken for JSON: %s", *text);
    }
}

TEST_OF_HOST(an_idle_host_is_shown_with_what_its_processes_are)
{
    describe(0, "/etc/ratelimit/limits.yaml", SHA256_A);
    counter_set(&slots[0]->gauges.redis_ready, 1);
    counter_set(&slots[0]->gauges.reload_failed, 1);
    want_page(NULL, "\"drift\":false,\"processes\":[\n{\"pid\":100,\"version\":\"1.2\",");
    want_page(NULL, "\"limits_file\":\"/etc/ratelimit/limits.yaml\",\"sha256\":\"" SHA256_A "\"");
    want_page(NULL,
              "\"reload_failed\":true,\"overrides\":{\"stored\":0,\"foreign\":0,\"loaded\":null,"
              "\"problem\":\"\"},\"redis\":{\"address\":\"127.0.0.1:6379\",\"ready\":true}");
    want_page(
        NULL,
        "\"limits\":[],\n\"redis\":{\"ready\":1,\"processes\":1,\"latency_ms\":{\"count\":0}");
    want_page(NULL, "\"top\":{\"refused\":[],\n\"shadow_refused\":[]},\n\"recent\":[]}\n");
}

TEST_OF_HOST(bytes_that_operators_and_clients_choose_keep_it_json)
{
    static const struct text_case cases[] = {
        {"plain", "plain"},
        {"\"},{\"pid\":1", "\\\"},{\\\"pid\\\":1"},
        {"back\\slash", "back\\\\slash"},
        {"new\nline\x1b[2J", "new\\u000aline\\u001b[2J"},
        {"\xff\xc3", "\\ufffd\\ufffd"},
        {"\xe2\x82", "\\ufffd\\ufffd"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"},
    };

    FOR_EACH(c, cases) {
        char part[128];

        describe(0, c->text, SHA256_A);
        top_add(&slots[0]->refused, c->text, c->text, strlen(c->text), clock_unix_us());
        top_add(&slots[1]->shadow_refused, "s", c->text, strlen(c->text), clock_unix_us());
        slot_limit(slots[0], c->text, 0);
        sprintf(part, "\"limits_file\":\"%s\",", c->want);
        want_page(NULL, part);
        sprintf(part, "{\"key\":\"%s\",\"limit\":\"%s\",", c->want, c->want);
        want_page(NULL, part);
        sprintf(part, "{\"key\":\"%s\",\"limit\":\"s\",", c->want);
        want_page(NULL, part);
        sprintf(part, "{\"name\":\"%s\",\"in_force\":false,\"allowed\":0,", c->want);
        want_page(NULL, part);
    }
}

TEST_OF_HOST(processes_with_different_limits_are_drift)
{
    describe(0, "a.yaml", SHA256_A);
    want_page(NULL, "\"drift\":false");
    describe(1, "b.yaml", SHA256_A); /* the same file by another name */
    want_page(NULL, "\"drift\":false");
    describe(1, "a.yaml", SHA256_B);
    want_page(NULL, "\"drift\":true");
    region_free(regions[1]); /* the process has ended */
    regions[1] = NULL;
    want_page(NULL, "\"drift\":false");
}

TEST_OF_HOST(counters_are_summed_over_processes_and_clients_are_merged)
{
    for (size_t i = 0; i < PROCESSES; i++) {
        struct limit_row *row = slot_limit(slots[i], "per-user", 0);

        describe(i, "a.yaml", SHA256_A);
        counter_set(&row->in_force, 1);
        counter_add(&row->counters.allowed, 2);
        counter_add(&row->counters.refused, 1);
        counter_add(&slots[i]->counters.status_429, 1);
        counter_add(&slots[i]->counters.redis_losses, 1);
        histogram_add(&slots[i]->counters.redis_latency, 0.0001);
        top_add(&slots[i]->refused, "per-user", "rl:{ip=::1}:per-user", 20, clock_unix_us());
    }
    want_page(NULL, "{\"name\":\"per-user\",\"in_force\":true,\"allowed\":4,\"refused\":2,");
    want_page(NULL, "\"403\":0,\"429\":2,\"431\":0");
    want_page(NULL, "\"latency_ms\":{\"count\":2,\"mean\":0.100,");
    want_page(NULL, "\"connects\":0,\"losses\":2,\"down_seconds\":0.0}");
    want_page(NULL, "\"key\":\"rl:{ip=::1}:per-user\",\"limit\":\"per-user\",");
    want_page(NULL, ",\"count\":2,\"error\":0}],\n\"shadow_refused\":[]");
}

TEST_OF_HOST(a_sample_has_what_was_counted_since_the_one_before)
{
    struct limit_row *row = slot_limit(slots[0], "a", 0);
    struct process_counters *counters = &slots[0]->counters;

    counter_set(&row->in_force, 1);
    counter_add(&row->counters.allowed, 1000); /* before the first sample */
    counter_add(&counters->status_200, 1000);
    struct recent *recent = recent_new(regions[0]);
    want_page(recent, "\"recent\":[]");
    counter_add(&row->counters.allowed, 7);
    counter_add(&row->counters.undecided_denied, 2);
    counter_add(&counters->status_200, 7);
    counter_add(&counters->status_503, 2);
    counter_add(&counters->undecided_lost, 1);
    counter_add(&counters->undecided_late, 1);
    counter_add(&counters->redis_down_us, 1500000);
    histogram_add(&counters->redis_latency, 0.0001);
    recent_step(recent);
    want_page(recent, "\"redis_ms\":{\"count\":1,\"mean\":0.100,");
    want_page(recent, "\"redis_down_seconds\":1.500,\"undecided\":2,\"responses\":{\"200\":7,");
    want_page(recent, "\"503\":2},\"limits\":{\"a\":[7,0,0,0,0,2]}}]");
    slot_limit(slots[0], "new", 1)->in_force = 1;
    slot_limit(slots[0], "new", 1)->counters.allowed = 5; /* from now on */
    recent_step(recent);
    want_page(recent, "\"503\":0},\"limits\":{\"a\":[0,0,0,0,0,0],\"new\":[0,0,0,0,0,0]}}]");
    recent_free(recent);
}

/* The number after NAME in TEXT. */
static double number_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    if (!at)
        fail_msg("no \"%s\" in %s", name, text);
    return strtod(at + strlen(name), NULL);
}

TEST_OF_HOST(rates_are_what_was_counted_by_the_time_since_a_sample)
{
    struct limit_row *row = slot_limit(slots[0], "a", 0);
    struct recent *recent = recent_new(regions[0]);

    counter_set(&row->in_force, 1);
    want_page(recent, "\"tokens_taken\":0}"); /* A is new since the sample: it has no rates yet */
    recent_free(recent);
    recent = recent_new(regions[0]);
    int64_t begun_us = recent_sample(recent, 0)->at_us;
    counter_add(&row->counters.allowed, 1000000);
    counter_add(&row->counters.refused, 500000);
    usleep(20000);
    char *text = page(recent);
    double seconds = (double)(clock_unix_us() - begun_us) / 1e6;
    double rate = number_of(text, "\"per_second\":{\"allowed\":");
    assert_true(rate >= 1e6 / seconds - 1 && rate <= 1e6 / 0.02 + 1);
    assert_true(number_of(text, ",\"refused\":") == 500000); /* the total comes first */
    want_page(recent, "\"blocked\":0.0,\"shadow_refused\":0.0,");
    free(text);
    recent_free(recent);
}

TESTS_MAIN
