/* proxy.h - a network that fails: a thread between the programs and Redis, on unix sockets. */
#ifndef PROXY_H
#define PROXY_H

#include <stdatomic.h>
#include <stdbool.h>

enum proxy_direction { PROXY_REQUESTS, PROXY_REPLIES };

struct proxy;

/* Listen on the unix socket LISTEN_PATH and pass each connection on to REDIS_PATH (both are
 * copied).  Exits with a message if that fails. */
struct proxy *proxy_start(const char *listen_path, const char *redis_path);

/* Close all connections and free PROXY, which may be NULL. */
void proxy_stop(struct proxy *proxy);

/* Deliver what arrives from now on so much later, in each direction. */
void proxy_delay(struct proxy *proxy, int ms);
/* Keep back what goes in DIRECTION, as TCP does while packets are lost.  When HOLD becomes false,
 * it is delivered. */
void proxy_hold(struct proxy *proxy, enum proxy_direction direction, bool hold);
/* Deliver half of each reply, and close the connection then. */
void proxy_cut(struct proxy *proxy, bool cut);

#endif
