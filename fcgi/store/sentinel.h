/* sentinel.h - which Redis is the master, as Sentinels say it: asked before each connection, and
 * told at once when it changes ("Guidelines for Redis clients with support for Redis Sentinel", and
 * "High availability with Redis Sentinel", Pub/Sub messages).
 * A thread talks to the Sentinels, because looking names up, logging in and TLS take time; the loop
 * only hears what they said. */
#ifndef SENTINEL_H
#define SENTINEL_H

#include <ev.h>

#include "store/redis_config.h"

struct sentinel;

/* The master, or why none is known. */
struct sentinel_answer {
    char host[256]; /* a name or an address */
    unsigned port;
    char error[512]; /* "" if HOST and PORT are set */
};

/* What the Sentinels say, called from the loop; ANSWER is borrowed for the call. */
struct sentinel_events {
    /* The answer to sentinel_ask. */
    void (*found)(void *context, const struct sentinel_answer *answer);
    /* A Sentinel says that another Redis is the master now.  Each of them says it. */
    void (*switched)(void *context, const struct sentinel_answer *answer);
};

/* Sentinels of CONFIG (copied), heard on LOOP; a thread subscribes to all of them, and again to one
 * that is silent for two seconds.  EVENTS and CONTEXT are borrowed.  Returns it, the
 * caller's to free with sentinel_free; never NULL. */
struct sentinel *sentinel_new(struct ev_loop *loop, const struct redis_config *config,
                              const struct sentinel_events *events, void *context);

/* Ask which Redis is the master: the Sentinels in turn, from the one that has answered last, each
 * for at most 300 ms.  FOUND is called once, later. */
void sentinel_ask(struct sentinel *sentinel);

/* Stop and free SENTINEL; no event follows.  Takes up to a second if a Sentinel is silent.  NULL is
 * fine. */
void sentinel_free(struct sentinel *sentinel);

#endif
