/* override_store.h - the overrides that are stored in Redis: lua/override.lua seen from C. */
#ifndef OVERRIDE_STORE_H
#define OVERRIDE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "store/redis_client.h"
#include "store/stored_override.h"

#define OVERRIDE_STORE_KEY     "rl:overrides" /* no bucket has this key: those begin with "rl:{" */
#define OVERRIDE_STORE_VERSION "version"      /* the field that changes with every change */

/* Read all overrides with CLIENT, in pages.  Returns them, the caller's to free with
 * override_store_free; or NULL, and *WHY says what is wrong, borrowed from CLIENT until its next
 * call.  If they change meanwhile, VERSION is an older one than the next reading finds. */
struct stored_overrides *override_store_read(struct redis_client *client, const char **why);

/* Set SETTINGS, such as "capacity=200 refill=50/s", for the COUNT (> 0) NAMES, for FOR_US
 * microseconds (0: without an end).  Returns NULL, or what is wrong, borrowed as above. */
const char *override_store_set(struct redis_client *client, const char *const names[], size_t count,
                               const char *settings, int64_t for_us);

/* Delete the COUNT (> 0) NAMES.  *REMOVED becomes the number of those that were there.  Returns as
 * above. */
const char *override_store_delete(struct redis_client *client, const char *const names[],
                                  size_t count, int64_t *removed);

/* Delete those of the COUNT (> 0) NAMES whose time is over.  Returns as above. */
const char *override_store_prune(struct redis_client *client, const char *const names[],
                                 size_t count);

/* Free STORE.  NULL is fine. */
void override_store_free(struct stored_overrides *store);

#endif
