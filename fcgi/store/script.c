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

/* How many of the COUNT CHARGES are enforced: they come first. */
static size_t enforced_count(const struct charge *charges, size_t count)
{
    size_t enforced = 0;

    while (enforced < count && charges[enforced].enforced)
        enforced++;
    for (size_t i = enforced; i < count; i++)
        assert(!charges[i].enforced);
    return enforced;
}

/* The key of CHARGES[I] with PREFIX, which is LEN bytes. */
static void add_key(struct script_command *command, const char *prefix, size_t len,
                    const struct charge *charges, size_t i)
{
    const struct charge *charge = &charges[i];

    if (len == 0) {
        add(command, charge->key, charge->key_len);
        return;
    }
    memcpy(command->key[i], prefix, len);
    memcpy(command->key[i] + len, charge->key, charge->key_len);
    add(command, command->key[i], len + charge->key_len);
}

void script_run(struct script_command *command, const char *sha, const char *prefix,
                const struct charge *charges, size_t count, bool force)
{
    size_t enforced = enforced_count(charges, count), prefix_len = strlen(prefix);

    assert(count >= 1 && count <= STORE_CHARGES_MAX);
    command->argc = 0;
    command->number_count = 0;
    add(command, sha ? "EVALSHA" : "EVAL", sha ? 7 : 4);
    add(command, sha ? sha : script, sha ? SCRIPT_SHA_LEN : sizeof script);
    add_number(command, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        add_key(command, prefix, prefix_len, charges, i);
    for (size_t i = 0; i < count; i++) {
        add_number(command, charges[i].interval_us);
        add_number(command, charges[i].capacity);
        add_number(command, charges[i].cost);
    }
    if (enforced < count || force)
        add_number(command, (int64_t)enforced);
    if (force)
        add(command, "force", 5);
}

/* Whether CHARGE's balance can be what take.lua says of it.  A bucket in debt is full after more
 * than a window. */
static bool makes_sense(const struct charge *charge)
{
    const struct balance *balance = &charge->balance;
    bool waits = balance->wait_us == -1 || balance->wait_us > 0;

    return balance->remaining >= 0 && balance->remaining <= charge->capacity &&
           balance->wait_us >= -1 && balance->wait_us <= 2 * STORE_WINDOW_US_MAX &&
           balance->full_us >= 0 && balance->full_us <= 2 * STORE_WINDOW_US_MAX &&
           (balance->allowed || waits);
}

bool script_read(const struct redis_reply *reply, struct charge *charges, size_t count)
{
    if (reply->kind != REDIS_SAYS_NUMBERS || reply->count != 4 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const int64_t *number = &reply->number[4 * i];

        if (number[0] != 0 && number[0] != 1)
            return false;
        charges[i].balance = (struct balance){.allowed = number[0] == 1,
                                              .remaining = number[1],
                                              .wait_us = number[2],
                                              .full_us = number[3]};
        if (!makes_sense(&charges[i]))
            return false;
    }
    return true;
}

bool script_is_sha(const struct redis_reply *reply)
{
    return reply->kind == REDIS_SAYS_BULK && reply->len == SCRIPT_SHA_LEN;
}

const char *script_complaint(const struct redis_reply *reply)
{
    return reply->kind == REDIS_SAYS_ERROR ? reply->text : "a reply that makes no sense";
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

static bool is_any(const char *error, const char *const *codes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (script_error_is(error, codes[i]))
            return true;
    return false;
}

/* Whether ERROR says that an access list forbids a key, in the words of Redis 6 to 8. */
static bool forbids_key(const char *error)
{
    return strstr(error, "access one of the keys") || strstr(error, "access a key") ||
           strstr(error, "access at least one of the keys");
}

bool script_error_is_unfit(const char *error)
{
    static const char *const codes[] = {"READONLY", "LOADING", "MASTERDOWN",
                                        "NOAUTH",   "NOPERM",  "WRONGPASS"};

    if (forbids_key(error))
        return false;
    /* Redis 6 and 7.0 have no code for a command that the script may not run. */
    return is_any(error, codes, sizeof codes / sizeof *codes) ||
           strstr(error, "The user executing the script can't");
}

bool script_error_is_full(const char *error)
{
    static const char *const codes[] = {"OOM", "MISCONF", "NOREPLICAS"};

    return is_any(error, codes, sizeof codes / sizeof *codes);
}

bool script_error_is_about_keys(const char *error)
{
    static const char *const codes[] = {"MOVED", "ASK", "TRYAGAIN", "CROSSSLOT",
                                        "CLUSTERDOWN Hash slot not served"};

    return is_any(error, codes, sizeof codes / sizeof *codes);
}

bool script_error_allows_eval(const char *error)
{
    static const char *const codes[] = {"ERR", "NOPERM", "NOSCRIPT"};

    return is_any(error, codes, sizeof codes / sizeof *codes);
}
