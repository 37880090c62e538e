/* script.h - lua/take.lua seen from C: the command that runs it, and its reply.  Pure. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "store/redis_config.h"
#include "store/redis_reply.h"
#include "store/store.h"
#include "base/units.h"

#define SCRIPT_SHA_LEN       40 /* hexadecimal digits of the script's SHA-1 */
#define SCRIPT_ARGUMENTS_MAX (5 + 4 * STORE_CHARGES_MAX)

/* A command as arguments; they point into the struct or are borrowed. */
struct script_command {
    int argc;
    const char *argv[SCRIPT_ARGUMENTS_MAX];
    size_t len[SCRIPT_ARGUMENTS_MAX];
    unsigned number_count;
    char number[2 + 3 * STORE_CHARGES_MAX][UNITS_DECIMAL_MAX];
    char key[STORE_CHARGES_MAX][REDIS_KEY_PREFIX_SIZE + STORE_KEY_SIZE]; /* with a prefix */
};

/* SCRIPT LOAD with the text of take.lua. */
void script_load(struct script_command *command);

/* Run take.lua for COUNT (1 .. STORE_CHARGES_MAX) CHARGES (borrowed), the enforced ones first, with
 * PREFIX (below REDIS_KEY_PREFIX_SIZE; "": none) before each key: EVALSHA with SHA (SCRIPT_SHA_LEN
 * bytes, borrowed), or EVAL with the whole text if SHA is NULL.  FORCE: the charges are taken
 * whatever the buckets have. */
void script_run(struct script_command *command, const char *sha, const char *prefix,
                const struct charge *charges, size_t count, bool force);

/* Read REPLY, what take.lua returned for the COUNT CHARGES, into their balances.  False if it
 * cannot be that: wrong in kind or number, or out of range for the charge; the balances are then
 * undefined. */
bool script_read(const struct redis_reply *reply, struct charge *charges, size_t count);

/* Whether REPLY is what SCRIPT LOAD answers. */
bool script_is_sha(const struct redis_reply *reply);

/* Whether ERROR, an error reply, has CODE ("OOM", "READONLY"): at its start, or behind ": -" if the
 * script reports an error of a command that it ran (Redis up to 6: "@user_script: 72: -OOM
 * command ..."). */
bool script_error_is(const char *error, const char *code);

/* Whether ERROR is about the server or the login, so that no ask would be decided there: READONLY,
 * LOADING, MASTERDOWN, NOAUTH, WRONGPASS, or NOPERM for a command (and not for a key). */
bool script_error_is_unfit(const char *error);

/* Whether ERROR says that the server cannot write now: OOM, MISCONF, NOREPLICAS.  A bucket that is
 * empty still refuses there. */
bool script_error_is_full(const char *error);

/* Whether ERROR is about the keys of the command alone, so that the server may decide other asks:
 * MOVED, ASK, TRYAGAIN, CROSSSLOT, or CLUSTERDOWN for a slot that no node of the cluster has. */
bool script_error_is_about_keys(const char *error);

/* Whether ERROR, the answer to SCRIPT LOAD or EVALSHA, may be about that command alone, so that
 * EVAL is worth a try. */
bool script_error_allows_eval(const char *error);

/* What is wrong with REPLY, which is not what was asked for: the text of an error, or that it makes
 * no sense.  Borrowed from REPLY, or static. */
const char *script_complaint(const struct redis_reply *reply);

#endif
