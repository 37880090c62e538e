/* redis_client.h - single commands to Redis over a connection that blocks, for a person who waits,
 * or for a thread. */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/redis_config.h"

struct redis_client;

/* Connect to the Redis of CONFIG, or to the master of its Sentinels, and log in.  Its key prefix is
 * put before every key and pattern below, and is not part of the keys that are found.  TIMEOUT_MS
 * (> 0) bounds the connection and each reply. Returns it, the caller's to free with
 * redis_client_free; or NULL, and ERROR (SIZE bytes) says what is wrong. */
struct redis_client *redis_client_new(const struct redis_config *config, unsigned timeout_ms,
                                      char *error, size_t size);

/* Connect to the server at ADDRESS and log in, and no more: for a Sentinel.  As redis_client_new,
 * and ERROR does not name the server. */
struct redis_client *redis_client_connect(const struct redis_address *address,
                                          const struct redis_tls *tls, unsigned timeout_ms,
                                          char *error, size_t size);

/* Ask the Sentinels of CONFIG for their master, in turn from *FIRST on, which becomes the one that
 * answered: the address and login of that master into *OUT.  TIMEOUT_MS bounds each connection and
 * reply.  False: ERROR (SIZE bytes) says what is wrong with each of them. */
bool redis_client_find_master(const struct redis_config *config, unsigned *first,
                              unsigned timeout_ms, struct redis_address *out, char *error,
                              size_t size);

/* Subscribe to two channels; no other command but redis_client_ping can follow.  Returns NULL, or
 * what is wrong, borrowed until the next call. */
const char *redis_client_subscribe(struct redis_client *client, const char *channel,
                                   const char *other);

/* The descriptor that can be read when a message has come. */
int redis_client_fd(const struct redis_client *client);

/* Read what has come after a subscription.  EACH is called with CONTEXT for each message.  Returns
 * as above. */
const char *redis_client_messages(struct redis_client *client,
                                  void (*each)(void *context, const char *channel,
                                               const char *payload),
                                  void *context);

/* Send PING, whose answer is only read as a sign of life. */
void redis_client_ping(struct redis_client *client);

/* One page of SCAN: keys that match PATTERN (as Redis's SCAN MATCH), from CURSOR on, which is "0"
 * at first and at the end, at least 24 bytes.  EACH is called with CONTEXT for each key of LEN
 * bytes. Returns NULL; or what is wrong, borrowed until the next call. */
const char *redis_client_scan(struct redis_client *client, char cursor[24], const char *pattern,
                              void (*each)(void *context, const char *key, size_t len),
                              void *context);

/* UNLINK the COUNT (> 0) keys KEY.  *REMOVED grows by the number of those that were there.  Returns
 * as above. */
const char *redis_client_unlink(struct redis_client *client, const char *const key[], size_t count,
                                size_t *removed);

/* One page of HSCAN over the hash KEY, as redis_client_scan goes over keys.  EACH is called with
 * CONTEXT for each field and its value. */
const char *redis_client_hscan(struct redis_client *client, char cursor[24], const char *key,
                               void (*each)(void *context, const char *field, size_t field_len,
                                            const char *value, size_t value_len),
                               void *context);

/* Write FIELD of the hash KEY into OUT (SIZE bytes); "" if it is not there.  A value that does not
 * fit is wrong.  Returns as above. */
const char *redis_client_hget(struct redis_client *client, const char *key, const char *field,
                              char *out, size_t size);

/* The time of Redis's clock, in microseconds since 1970, into *OUT_US.  Returns as above. */
const char *redis_client_time(struct redis_client *client, int64_t *out_us);

/* EVAL the LEN bytes of SCRIPT with the key KEY and the COUNT ARGUMENTS, which returns an integer,
 * into *OUT.  Returns as above. */
const char *redis_client_eval(struct redis_client *client, const char *script, size_t len,
                              const char *key, const char *const arguments[], size_t count,
                              int64_t *out);

/* Close the connection.  NULL is fine. */
void redis_client_free(struct redis_client *client);

#endif
