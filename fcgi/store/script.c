/* script.c - the arguments and the reply of lua/take.lua. */
/* SPDX-License-Identifier: MIT */
#include "store/script.h"

#include <assert.h>
#include <string.h>

static const char script[] = {
#include "take.lua.inc"
};

static void add(struct script_command *command, const char *text, size_t len)
{
    command->argv[command->argc] = text;
    command->len[command->argc] = len;
    command->argc++;
}

static void add_number(struct script_command *command, int64_t value)
{
    char *text = command->number[command->number_count++];

    add(command, text, units_decimal(value, text));
}

void script_load(struct script_command *command)
{
    command->argc = 0;
    command->number_count = 0;
    add(command, "SCRIPT", 6);
    add(command, "LOAD", 4);
    add(command, script, sizeof script);
}

void script_run(struct script_command *command, const char *sha, const struct take *takes,
                size_t count, size_t enforced)
{
    assert(count >= 1 && count <= TAKES_MAX);
    command->argc = 0;
    command->number_count = 0;
    add(command, sha ? "EVALSHA" : "EVAL", sha ? 7 : 4);
    add(command, sha ? sha : script, sha ? 40 : sizeof script);
    add_number(command, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        add(command, takes[i].key, takes[i].key_len);
    for (size_t i = 0; i < count; i++) {
        add_number(command, takes[i].interval_us);
        add_number(command, takes[i].capacity);
        add_number(command, takes[i].cost);
    }
    if (enforced < count)
        add_number(command, (int64_t)enforced);
}

/* Whether BUCKET can be what take.lua says of TAKE. */
static bool makes_sense(const struct bucket *bucket, const struct take *take)
{
    bool waits = bucket->wait_us == -1 || bucket->wait_us > 0;

    return bucket->remaining >= 0 && bucket->remaining <= take->capacity && bucket->wait_us >= -1 &&
           bucket->wait_us <= TAKE_WINDOW_US_MAX && bucket->full_us >= 0 &&
           bucket->full_us <= TAKE_WINDOW_US_MAX && (bucket->allowed || waits);
}

bool script_read(const struct redis_reply *reply, const struct take *takes, size_t count,
                 struct bucket *buckets)
{
    if (reply->kind != REDIS_SAYS_NUMBERS || reply->count != 4 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const int64_t *number = &reply->number[4 * i];

        if (number[0] != 0 && number[0] != 1)
            return false;
        buckets[i] = (struct bucket){.allowed = number[0] == 1,
                                     .remaining = number[1],
                                     .wait_us = number[2],
                                     .full_us = number[3]};
        if (!makes_sense(&buckets[i], &takes[i]))
            return false;
    }
    return true;
}

/* TEXT begins with CODE, as a word. */
static bool begins_with(const char *text, const char *code)
{
    size_t len = strlen(code);

    return strncmp(text, code, len) == 0 && (text[len] == ' ' || text[len] == '\0');
}

bool script_error_is(const char *error, const char *code)
{
    if (begins_with(error, code))
        return true;
    for (const char *at = error; (at = strstr(at, ": -")); at += 3)
        if (begins_with(at + 3, code))
            return true;
    return false;
}
