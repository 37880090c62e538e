/* redis_config.h - how Redis is reached: one server, a master that Sentinels name, or a cluster.
 * Plain data, which the limits file and the environment fill. */
#ifndef REDIS_CONFIG_H
#define REDIS_CONFIG_H

#include <stdbool.h>

#include "store/redis_address.h"

#define REDIS_SERVERS_MAX       16  /* Sentinels, or nodes of a cluster that are asked first */
#define REDIS_MASTER_SIZE       128 /* bytes of the name of a master, NUL included */
#define REDIS_KEY_PREFIX_SIZE   64  /* bytes of a key prefix, NUL included */
#define REDIS_TLS_PATH_SIZE     512 /* bytes of the path of a file, NUL included */
#define REDIS_CONFIG_SHOWN_SIZE 320 /* bytes of a configuration as shown, NUL included */

enum redis_topology { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

/* How the certificates of TLS are checked, for every address with TLS.  Files are PEM. */
struct redis_tls {
    char ca[REDIS_TLS_PATH_SIZE];   /* certificates of authorities; "": those of the system */
    char cert[REDIS_TLS_PATH_SIZE]; /* our certificate, with its chain; "": none */
    char key[REDIS_TLS_PATH_SIZE];  /* its private key; "" without CERT */
    char server_name[256];          /* in the server's certificate; "": the host of the address */
    unsigned insecure;              /* 1: certificates are not checked at all */
};

struct redis_config {
    enum redis_topology topology;
    /* SINGLE: where Redis is.  Otherwise it has no host and no path: user, password, db and tls are
     * those of every Redis that the Sentinels or the cluster name. */
    struct redis_address address;
    struct redis_tls tls;
    /* The Sentinels, each with its login and TLS; or nodes of the cluster, of which host and port
     * count. */
    unsigned server_count;
    struct redis_address server[REDIS_SERVERS_MAX];
    char master[REDIS_MASTER_SIZE];         /* SENTINEL: the name of the master; otherwise "" */
    char key_prefix[REDIS_KEY_PREFIX_SIZE]; /* before every key; "": none.  No braces */
    unsigned timeout_ms;                    /* how long a request waits for Redis; > 0 */
    unsigned hosts;                         /* that share the limits; 0: they are counted */
    unsigned mirror_rows; /* buckets that a host remembers; 0: the default of mirror.h */
};

/* Make *CONFIG that of one Redis at 127.0.0.1:6379 with a timeout of 50 ms. */
void redis_config_default(struct redis_config *config);

/* Whether A and B reach the same Redis in the same way. */
bool redis_config_equal(const struct redis_config *a, const struct redis_config *b);

/* Write CONFIG for people, without users and passwords: the address as redis_address_show has it,
 * "mymaster of the Sentinels 10.0.0.1:26379 ..." or "cluster 10.0.0.1:6379 ...".  What does not fit
 * is left out, and "..." says so.  Returns OUT. */
const char *redis_config_show(const struct redis_config *config, char out[REDIS_CONFIG_SHOWN_SIZE]);

#endif
