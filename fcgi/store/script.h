/* script.h - lua/take.lua seen from C: the command that runs it, and its reply.  Pure. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "store/redis_reply.h"
#include "store/take.h"
#include "base/units.h"

#define SCRIPT_ARGUMENTS_MAX (4 + 4 * TAKES_MAX)

/* A command as arguments; they point into the struct or are borrowed. */
struct script_command {
    int argc;
    const char *argv[SCRIPT_ARGUMENTS_MAX];
    size_t len[SCRIPT_ARGUMENTS_MAX];
    unsigned number_count;
    char number[2 + 3 * TAKES_MAX][UNITS_DECIMAL_MAX];
};

/* SCRIPT LOAD with the text of take.lua. */
void script_load(struct script_command *command);

/* Run take.lua for COUNT (1 .. TAKES_MAX) TAKES (borrowed), of which the first ENFORCED refuse:
 * EVALSHA with SHA (40 bytes, borrowed), or EVAL with the whole text where SHA is NULL. */
void script_run(struct script_command *command, const char *sha, const struct take *takes,
                size_t count, size_t enforced);

/* Read REPLY, what take.lua returned for COUNT TAKES, into BUCKETS.  False if it cannot be that:
 * wrong in kind or number, or out of range for the take. */
bool script_read(const struct redis_reply *reply, const struct take *takes, size_t count,
                 struct bucket *buckets);

/* Whether ERROR, an error reply, has CODE ("OOM", "READONLY"): at its start, or behind ": -" where
 * the script reports an error of a command that it ran (Redis up to 6: "@user_script: 72: -OOM
 * command ..."). */
bool script_error_is(const char *error, const char *code);

#endif
