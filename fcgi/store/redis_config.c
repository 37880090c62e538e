/* redis_config.c - defaults of how Redis is reached, and its name for people. */
/* SPDX-License-Identifier: MIT */
#include "store/redis_config.h"

#include <stdio.h>
#include <string.h>

void redis_config_default(struct redis_config *config)
{
    memset(config, 0,
           sizeof *config); /* with the padding, because redis_config_equal compares it */
    strcpy(config->address.host, "127.0.0.1");
    config->address.port = 6379;
    config->timeout_ms = 50;
}

/* Every configuration begins as redis_config_default, so that bytes after a NUL are 0 or equal. */
bool redis_config_equal(const struct redis_config *a, const struct redis_config *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

const char *redis_config_show(const struct redis_config *config, char out[REDIS_CONFIG_SHOWN_SIZE])
{
    char shown[REDIS_ADDRESS_SHOWN_SIZE];
    size_t len;

    if (config->topology == REDIS_SINGLE)
        return redis_address_show(&config->address, out);
    if (config->topology == REDIS_SENTINEL)
        len = (size_t)snprintf(out, REDIS_CONFIG_SHOWN_SIZE, "%s of the Sentinels", config->master);
    else
        len = (size_t)snprintf(out, REDIS_CONFIG_SHOWN_SIZE, "cluster");
    for (unsigned i = 0; i < config->server_count; i++) {
        redis_address_show(&config->server[i], shown);
        if (len + 1 + strlen(shown) + sizeof " ..." > REDIS_CONFIG_SHOWN_SIZE) {
            strcpy(out + len, " ...");
            break;
        }
        len += (size_t)snprintf(out + len, REDIS_CONFIG_SHOWN_SIZE - len, " %s", shown);
    }
    return out;
}
