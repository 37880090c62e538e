/* test_script.c - tests of store/script.h */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "store/script.h"

#include <stdio.h>
#include <string.h>

/* The second is a shadow. */
static const struct charge two[2] = {
    {.key = "rl:{a}:x",
     .key_len = 8,
     .interval_us = 12000000,
     .capacity = 5,
     .cost = 1,
     .enforced = true},
    {.key = "rl:{a}:y", .key_len = 8, .interval_us = 1000, .capacity = 100, .cost = 0},
};

/* The arguments of COMMAND from FIRST on, with a space between them. */
static void want_arguments(const struct script_command *command, int first, const char *want)
{
    char got[256] = "";

    for (int i = first; i < command->argc; i++) {
        strncat(got, command->argv[i], command->len[i]);
        if (i + 1 < command->argc)
            strcat(got, " ");
    }
    want_text("arguments", got, want);
}

TEST(an_ask_is_evalsha_with_its_sha)
{
    static const char sha[] = "0123456789012345678901234567890123456789";
    struct script_command command;

    struct charge both[2] = {two[0], two[1]};
    both[1].enforced = true;
    script_run(&command, sha, "", both, 2, false);
    want_arguments(&command, 0,
                   "EVALSHA 0123456789012345678901234567890123456789 2 rl:{a}:x rl:{a}:y "
                   "12000000 5 1 1000 100 0");
    script_run(&command, sha, "", two, 2, false);
    want_arguments(&command, 2, "2 rl:{a}:x rl:{a}:y 12000000 5 1 1000 100 0 1");
}

TEST(a_prefix_is_put_before_every_key)
{
    static struct charge longest[STORE_CHARGES_MAX];
    char prefix[REDIS_KEY_PREFIX_SIZE];
    struct script_command command;

    script_run(&command, NULL, "staging:", two, 2, false);
    want_arguments(&command, 2, "2 staging:rl:{a}:x staging:rl:{a}:y 12000000 5 1 1000 100 0 1");
    memset(prefix, 'p', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = '\0';
    for (size_t i = 0; i < STORE_CHARGES_MAX; i++) {
        longest[i] = two[0];
        longest[i].key_len = STORE_KEY_SIZE - 1;
        memset(longest[i].key, 'a' + (int)i % 26, longest[i].key_len);
    }
    script_run(&command, NULL, prefix, longest, STORE_CHARGES_MAX, false);
    for (size_t i = 0; i < STORE_CHARGES_MAX; i++) {
        assert_int_equal(command.len[3 + i], sizeof prefix - 1 + STORE_KEY_SIZE - 1);
        assert_memory_equal(command.argv[3 + i] + sizeof prefix - 1, longest[i].key,
                            longest[i].key_len);
    }
}

TEST(without_a_sha_it_is_eval_with_the_text_that_is_loaded)
{
    struct script_command run, load;

    script_run(&run, NULL, "", two, 1, false);
    script_load(&load);
    assert_int_equal(run.len[0], 4);
    assert_memory_equal(run.argv[0], "EVAL", 4);
    want_arguments(&run, 2, "1 rl:{a}:x 12000000 5 1");
    assert_int_equal(load.argc, 3);
    assert_int_equal(run.len[1], load.len[2]);
    assert_memory_equal(run.argv[1], load.argv[2], load.len[2]);
}

TEST(the_most_limits_fit)
{
    static struct charge charges[STORE_CHARGES_MAX];
    struct script_command command;

    for (size_t i = 0; i < STORE_CHARGES_MAX; i++) {
        charges[i] = two[0];
        charges[i].enforced = i < STORE_CHARGES_MAX - 1;
        charges[i].interval_us = charges[i].capacity = charges[i].cost = INT64_MAX;
    }
    script_run(&command, NULL, "", charges, STORE_CHARGES_MAX, true);
    assert_int_equal(command.argc, SCRIPT_ARGUMENTS_MAX);
}

TEST(a_reply_is_read_only_if_it_can_be_one_to_the_charge)
{
    static const struct {
        const char *what;
        struct redis_reply reply;
        bool want;
    } cases[] = {
        {"allowed", {REDIS_SAYS_NUMBERS, .number = {1, 4, 0, 12000000}, .count = 4}, true},
        {"refused", {REDIS_SAYS_NUMBERS, .number = {0, 0, 1, 1}, .count = 4}, true},
        {"never", {REDIS_SAYS_NUMBERS, .number = {0, 5, -1, 0}, .count = 4}, true},
        {"too few", {REDIS_SAYS_NUMBERS, .number = {1, 4, 0}, .count = 3}, false},
        {"too many", {REDIS_SAYS_NUMBERS, .number = {1, 4, 0, 0, 1, 4, 0, 0}, .count = 8}, false},
        {"none", {REDIS_SAYS_NUMBERS}, false},
        {"a status", {REDIS_SAYS_STATUS, .text = "OK"}, false},
        {"an error", {REDIS_SAYS_ERROR, .text = "ERR"}, false},
        {"a bulk", {REDIS_SAYS_BULK, .text = "x"}, false},
        {"other", {REDIS_SAYS_OTHER}, false},
        {"allowed 2", {REDIS_SAYS_NUMBERS, .number = {2, 4, 0, 0}, .count = 4}, false},
        {"allowed -1", {REDIS_SAYS_NUMBERS, .number = {-1, 4, 0, 0}, .count = 4}, false},
        {"negative", {REDIS_SAYS_NUMBERS, .number = {1, -1, 0, 0}, .count = 4}, false},
        {"over capacity", {REDIS_SAYS_NUMBERS, .number = {1, 6, 0, 0}, .count = 4}, false},
        {"wait -2", {REDIS_SAYS_NUMBERS, .number = {0, 0, -2, 0}, .count = 4}, false},
        {"no wait", {REDIS_SAYS_NUMBERS, .number = {0, 0, 0, 0}, .count = 4}, false},
        {"long wait", {REDIS_SAYS_NUMBERS, .number = {0, 0, INT64_MAX, 0}, .count = 4}, false},
        {"full -1", {REDIS_SAYS_NUMBERS, .number = {1, 4, 0, -1}, .count = 4}, false},
        {"full late", {REDIS_SAYS_NUMBERS, .number = {1, 4, 0, INT64_MAX}, .count = 4}, false},
    };

    FOR_EACH(c, cases) {
        struct charge charge = two[0];

        want_number(c->what, script_read(&c->reply, &charge, 1), c->want);
        if (c->want)
            want_number(c->what, charge.balance.wait_us, c->reply.number[2]);
    }
}

TEST(an_error_has_its_code_wherever_redis_writes_it)
{
    static const struct {
        const char *error, *code;
        bool want;
    } cases[] = {
        {"OOM command not allowed when used memory > 'maxmemory'.", "OOM", true},
        {"OOM", "OOM", true},
        {"@user_script: 72: -OOM command not allowed", "OOM", true},
        {"ERR Error running script (call to f_0123): @user_script:72: @user_script: 72: "
         "-READONLY You can't write against a read only replica.  ",
         "READONLY", true},
        {"ERR Error running script (call to f_0123): @user_script:72: @user_script: 72: "
         "-READONLY You can't write against a read only replica.  ",
         "ERR", true},
        {"READONLY You can't write against a read only replica. script: f_01, on "
         "@user_script:72.",
         "READONLY", true},
        {"OOMX", "OOM", false},
        {"ERR OOM", "OOM", false},
        {"ERR key rl:{a: -OOMPH}", "OOM", false},
        {"", "OOM", false},
        {": -", "OOM", false},
    };

    FOR_EACH(c, cases)
        want_number(c->error, script_error_is(c->error, c->code), c->want);
}

TEST(an_error_is_about_the_server_the_memory_the_keys_or_the_command)
{
    static const struct {
        const char *error;
        bool unfit, full, allows_eval, about_keys;
    } cases[] = {
        {"READONLY You can't write against a read only replica.", true, false, false},
        {"LOADING Redis is loading the dataset in memory", true, false, false},
        {"MASTERDOWN Link with MASTER is down", true, false, false},
        {"NOAUTH Authentication required.", true, false, false},
        {"WRONGPASS invalid username-password pair", true, false, false},
        {"NOPERM this user has no permissions to run the 'evalsha' command", true, false, true},
        {"ERR The user executing the script can't run this command", true, false, true},
        {"OOM command not allowed when used memory > 'maxmemory'.", false, true, false},
        {"MISCONF Redis is configured to save RDB snapshots", false, true, false},
        {"NOREPLICAS Not enough good replicas to write.", false, true, false},
        {"ERR unknown command 'EVALSHA'", false, false, true},
        {"NOSCRIPT No matching script.", false, false, true},
        {"BUSY Redis is busy running a script.", false, false, false},
        {"NOPERM No permissions to access a key", false, false, true},
        {"NOPERM this user has no permissions to access one of the keys used as arguments", false,
         false, true},
        {"ERR The user executing the script can't access at least one of the keys mentioned in the "
         "command arguments",
         false, false, true},
        {"MOVED 3999 127.0.0.1:6381", .about_keys = true},
        {"ASK 3999 127.0.0.1:6381", .about_keys = true},
        {"TRYAGAIN Multiple keys request during rehashing of slot", .about_keys = true},
        {"CROSSSLOT Keys in request don't hash to the same slot", .about_keys = true},
        {"CLUSTERDOWN Hash slot not served", .about_keys = true},
        {"CLUSTERDOWN The cluster is down", false, false, false},
    };

    FOR_EACH(c, cases) {
        const char *error = c->error;

        want_number(error, script_error_is_unfit(error), c->unfit);
        want_number(error, script_error_is_full(error), c->full);
        want_number(error, script_error_allows_eval(error), c->allows_eval);
        want_number(error, script_error_is_about_keys(error), c->about_keys);
    }
}

TESTS_MAIN
