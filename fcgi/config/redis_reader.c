/* redis_reader.c - one server, Sentinels or a cluster, with logins and TLS. */
/* SPDX-License-Identifier: MIT */
#include "config/redis_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "config/mapping.h"
#include "store/tls.h"

#define SENTINEL_PORT 26379
#define NAME_BYTES    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
#define PREFIX_BYTES  NAME_BYTES ":/" /* no braces and no globs */

/* What is known of 'redis' while it is read. */
struct reading {
    struct limits *limits;
    struct redis_config *config;  /* that of LIMITS */
    const struct yaml_tree *user; /* the field of this name; NULL: none, as the next ones */
    const struct yaml_tree *tls;  /* likewise */
    const struct yaml_tree *way;  /* address, sentinel or cluster */
    char sentinel_user[sizeof((struct redis_address *)0)->user];
    char sentinel_password[PASSWORD_SIZE];
    bool sentinel_plain; /* no TLS to the Sentinels */
};

/* Copy the text of NODE into OUT of SIZE bytes.  False: it is not one, or too long; reported. */
static bool copy_text(const struct yaml_tree *node, char *out, size_t size,
                      struct findings *findings)
{
    const char *text = mapping_text(node, findings);

    if (text && strlen(text) >= size)
        findings_error(findings, node->line, node->column,
                       "'%.64s' is too long; the most is %zu bytes",
                       node->key ? node->key->text : "this entry", size - 1);
    else if (text)
        strcpy(out, text);
    return text && strlen(text) < size;
}

static void read_number(const struct yaml_tree *node, int64_t min, int64_t max, unsigned *out,
                        const char *what, struct findings *findings)
{
    const char *text = mapping_text(node, findings);
    int64_t value;
    const char *error = text ? units_count(text, min, max, &value) : NULL;

    if (error)
        findings_error(findings, node->line, node->column, "%s: %s; %s", node->key->text, error,
                       what);
    else if (text)
        *out = (unsigned)value;
}

/* Read the password file that NODE names into OUT. */
static void read_password(const struct yaml_tree *node, char out[PASSWORD_SIZE],
                          struct findings *findings)
{
    const char *path = mapping_text(node, findings);
    bool open = false;
    const char *error = path ? password_file_read(path, out, &open) : NULL;

    if (error)
        findings_error(findings, node->line, node->column,
                       "password_file: %s; name a file that holds the password alone", error);
    else if (open)
        findings_warning(findings, node->line, node->column,
                         "everyone on this machine can read this password file; take the right to "
                         "read it from others: chmod o-r");
}

/* ---- The ways to reach Redis ---- */

/* NODE is a way to reach Redis.  False: there is another one already. */
static bool choose(struct reading *reading, const struct yaml_tree *node,
                   enum redis_topology topology, struct findings *findings)
{
    if (reading->way) {
        findings_error(findings, node->key->line, node->key->column,
                       "'%s' and '%s' are two ways to reach Redis; remove one of them",
                       reading->way->key->text, node->key->text);
        return false;
    }
    reading->way = node;
    reading->config->topology = topology;
    return true;
}

static void read_address(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;
    struct limits *limits = reading->limits;
    const char *text = mapping_text(node, findings);

    if (!choose(reading, node, REDIS_SINGLE, findings) || !text)
        return;
    const char *error =
        redis_address_parse_for(text, limits->redis_password, &limits->redis.address);
    if (error)
        findings_error(findings, node->line, node->column,
                       "address: %s; an address is such as 127.0.0.1:6379", error);
    else if (strstr(text, "${"))
        findings_warning(findings, node->line, node->column,
                         "address: ${...} is taken literally; write the address into the variable "
                         "REDIS_ADDR, or the password into a password_file");
}

/* Read NODE, a host with a port, or without one: PORT. */
static void read_server(const struct yaml_tree *node, unsigned port, struct redis_config *config,
                        struct findings *findings)
{
    const char *text = mapping_text(node, findings);
    struct redis_address *server = &config->server[config->server_count];

    if (!text)
        return;
    if (config->server_count == REDIS_SERVERS_MAX) {
        mapping_error(findings, node,
                      "too many addresses; the most is 16, and any of them will do");
        return;
    }
    const char *error = redis_address_parse(text, server);
    if (!error && (server->path[0] != '\0' || strstr(text, "://")))
        error = "a login and TLS are fields of their own here: write the host and the port alone";
    if (error) {
        findings_error(findings, node->line, node->column,
                       "%s; an address in this list is such as 10.0.0.1:%u", error, port);
        return;
    }
    size_t len = strlen(text);
    if (server->port == 6379 && (len < 5 || strcmp(text + len - 5, ":6379") != 0))
        server->port = port;
    config->server_count++;
}

/* Read NODE, a list of servers, which are at PORT if they name none. */
static void read_servers(const struct yaml_tree *node, unsigned port, struct redis_config *config,
                         struct findings *findings)
{
    if (node->kind != TREE_SEQUENCE || !node->first) {
        findings_error(findings, node->line, node->column,
                       "'%s' must be a list of addresses; write [10.0.0.1:%u, 10.0.0.2:%u]",
                       node->key->text, port, port);
        return;
    }
    for (const struct yaml_tree *entry = node->first; entry; entry = entry->next)
        read_server(entry, port, config, findings);
}

/* Forget the host of the default address: the Sentinels or the cluster name others. */
static void forget_host(struct redis_config *config)
{
    memset(config->address.host, 0, sizeof config->address.host);
    config->address.port = 0;
}

static void read_cluster(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    if (!choose(reading, node, REDIS_CLUSTER, findings))
        return;
    forget_host(reading->config);
    read_servers(node, 6379, reading->config, findings);
}

static void read_master(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct redis_config *config = ((struct reading *)out)->config;

    /* "The valid charset is A-z 0-9 and the three characters .-_" (sentinel.conf of Redis). */
    if (copy_text(node, config->master, sizeof config->master, findings) &&
        config->master[strspn(config->master, NAME_BYTES)] != '\0')
        mapping_error(findings, node,
                      "master: no Sentinel has such a name; write the one of its line 'sentinel "
                      "monitor NAME'");
}

static void read_sentinels(const struct yaml_tree *node, void *out, struct findings *findings)
{
    read_servers(node, SENTINEL_PORT, ((struct reading *)out)->config, findings);
}

static void read_sentinel_user(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    copy_text(node, reading->sentinel_user, sizeof reading->sentinel_user, findings);
}

static void read_sentinel_password(const struct yaml_tree *node, void *out,
                                   struct findings *findings)
{
    read_password(node, ((struct reading *)out)->sentinel_password, findings);
}

static void read_sentinel_tls(const struct yaml_tree *node, void *out, struct findings *findings)
{
    bool tls = true;

    mapping_flag(node, &tls, findings);
    ((struct reading *)out)->sentinel_plain = !tls;
}

static void read_sentinel(const struct yaml_tree *node, void *out, struct findings *findings)
{
    static const struct field fields[] = {
        {"master", true, read_master},       {"addresses", true, read_sentinels},
        {"user", false, read_sentinel_user}, {"password_file", false, read_sentinel_password},
        {"tls", false, read_sentinel_tls},
    };
    struct reading *reading = out;

    if (!choose(reading, node, REDIS_SENTINEL, findings))
        return;
    forget_host(reading->config);
    mapping_read(node, "sentinel", fields, sizeof fields / sizeof *fields, out, findings);
    if (reading->sentinel_user[0] != '\0' && reading->sentinel_password[0] == '\0')
        mapping_error(
            findings, node,
            "sentinel: a user without a password cannot log in; add password_file: /PATH");
}

/* ---- TLS ---- */

static void read_tls_path(const struct yaml_tree *node, char out[REDIS_TLS_PATH_SIZE],
                          struct findings *findings)
{
    if (!copy_text(node, out, REDIS_TLS_PATH_SIZE, findings))
        return;
    if (out[0] != '/')
        findings_error(findings, node->line, node->column,
                       "%s: the path is not absolute; write one such as /etc/ssl/redis.pem",
                       node->key->text);
    else if (access(out, R_OK) != 0)
        findings_error(findings, node->line, node->column,
                       "%s: %s; name a file in PEM that can be read", node->key->text,
                       strerror(errno));
}

static void read_ca(const struct yaml_tree *node, void *out, struct findings *findings)
{
    read_tls_path(node, ((struct redis_tls *)out)->ca, findings);
}

static void read_cert(const struct yaml_tree *node, void *out, struct findings *findings)
{
    read_tls_path(node, ((struct redis_tls *)out)->cert, findings);
}

static void read_key(const struct yaml_tree *node, void *out, struct findings *findings)
{
    read_tls_path(node, ((struct redis_tls *)out)->key, findings);
}

static void read_server_name(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct redis_tls *tls = out;

    copy_text(node, tls->server_name, sizeof tls->server_name, findings);
}

static void read_insecure(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct redis_tls *tls = out;
    bool insecure = false;

    mapping_flag(node, &insecure, findings);
    tls->insecure = insecure;
    if (insecure)
        findings_warning(findings, node->line, node->column,
                         "insecure: certificates are not checked, so that anyone on the way can "
                         "be Redis and read its password; name the certificate of the authority: "
                         "ca: /PATH");
}

static void read_tls(const struct yaml_tree *node, void *out, struct findings *findings)
{
    static const struct field fields[] = {
        {"ca", false, read_ca},
        {"cert", false, read_cert},
        {"key", false, read_key},
        {"server_name", false, read_server_name},
        {"insecure", false, read_insecure},
    };
    struct reading *reading = out;
    struct redis_tls *tls = &reading->config->tls;

    reading->tls = node;
    if (tls_missing())
        findings_error(findings, node->line, node->column, "tls: %s", tls_missing());
    mapping_read(node, "tls", fields, sizeof fields / sizeof *fields, tls, findings);
    if ((tls->cert[0] != '\0') != (tls->key[0] != '\0'))
        mapping_error(findings, node,
                      "tls: a certificate and its private key belong together; write cert: /PATH "
                      "and key: /PATH, or neither");
}

/* ---- The other fields ---- */

static void read_password_file(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct limits *limits = ((struct reading *)out)->limits;

    read_password(node, limits->redis_password, findings);
    strcpy(limits->redis.address.password, limits->redis_password);
}

static void read_user(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    reading->user = node;
    copy_text(node, reading->config->address.user, sizeof reading->config->address.user, findings);
}

static void read_database(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct reading *reading = out;

    if (reading->config->topology != REDIS_SENTINEL)
        mapping_error(findings, node,
                      "database: only with 'sentinel'; a cluster has database 0 alone, and an "
                      "address says it itself: redis://HOST:PORT/3");
    read_number(node, 0, 65535, &reading->config->address.db, "a database is 0 to 65535", findings);
}

static void read_key_prefix(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct redis_config *config = ((struct reading *)out)->config;

    if (copy_text(node, config->key_prefix, sizeof config->key_prefix, findings) &&
        config->key_prefix[strspn(config->key_prefix, PREFIX_BYTES)] != '\0')
        mapping_error(findings, node,
                      "key_prefix: a character that is not allowed in it; write 1 to 63 of A-Z a-z "
                      "0-9 _ . : / -, such as \"staging:\"");
}

static void read_timeout(const struct yaml_tree *node, void *out, struct findings *findings)
{
    struct redis_config *config = ((struct reading *)out)->config;
    int64_t us;
    const char *text = mapping_text(node, findings);
    const char *error = text ? units_duration(text, &us) : NULL;

    if (error)
        findings_error(findings, node->line, node->column, "timeout: %s; a timeout is 1ms to 10s",
                       error);
    else if (text && us > REDIS_TIMEOUT_MS_MAX * 1000LL)
        mapping_error(findings, node,
                      "timeout: every request may wait that long; a timeout is 1ms to 10s");
    else if (text)
        config->timeout_ms = (unsigned)(us / 1000);
}

static void read_hosts(const struct yaml_tree *node, void *out, struct findings *findings)
{
    read_number(node, 1, REDIS_HOSTS_MAX, &((struct reading *)out)->config->hosts,
                "the number of hosts is 1 to 1000", findings);
}

static void read_mirror(const struct yaml_tree *node, void *out, struct findings *findings)
{
    read_number(node, REDIS_MIRROR_ROWS_MIN, REDIS_MIRROR_ROWS_MAX,
                &((struct reading *)out)->config->mirror_rows,
                "a host remembers 1024 to 1048576 buckets", findings);
}

/* ---- What fits together ---- */

/* Report a user without a password, or with an address, which has its own. */
static void judge_user(const struct reading *reading, struct findings *findings)
{
    if (!reading->user)
        return;
    if (reading->config->topology == REDIS_SINGLE)
        mapping_error(findings, reading->user,
                      "user: an address says it itself; write redis://USER@HOST:PORT");
    else if (reading->limits->redis_password[0] == '\0')
        mapping_error(findings, reading->user,
                      "user: a user without a password cannot log in; add password_file: /PATH");
}

/* 'tls' is about an address with TLS; the Sentinels and a cluster have it if 'tls' is there. */
static void judge_tls(struct reading *reading, struct findings *findings)
{
    struct redis_config *config = reading->config;

    if (!reading->tls)
        return;
    if (config->topology == REDIS_SINGLE && !config->address.tls)
        mapping_error(findings, reading->tls,
                      "tls: the address is without TLS; write address: rediss://HOST:PORT");
    if (config->topology == REDIS_SINGLE)
        return;
    config->address.tls = 1;
    for (unsigned i = 0; i < config->server_count; i++)
        config->server[i].tls = !reading->sentinel_plain;
}

/* The login of the Sentinels is the same for all of them. */
static void log_in_to_sentinels(const struct reading *reading)
{
    struct redis_config *config = reading->config;

    for (unsigned i = 0; i < config->server_count; i++) {
        strcpy(config->server[i].user, reading->sentinel_user);
        strcpy(config->server[i].password, reading->sentinel_password);
    }
}

void redis_reader_read(const struct yaml_tree *node, struct limits *limits,
                       struct findings *findings)
{
    /* The address follows the password because it may need it, and the database the way. */
    static const struct field fields[] = {
        {"password_file", false, read_password_file},
        {"address", false, read_address},
        {"sentinel", false, read_sentinel},
        {"cluster", false, read_cluster},
        {"user", false, read_user},
        {"database", false, read_database},
        {"tls", false, read_tls},
        {"key_prefix", false, read_key_prefix},
        {"timeout", false, read_timeout},
        {"hosts", false, read_hosts},
        {"mirror", false, read_mirror},
    };
    struct reading reading = {.limits = limits, .config = &limits->redis};

    mapping_read(node, "redis", fields, sizeof fields / sizeof *fields, &reading, findings);
    judge_user(&reading, findings);
    judge_tls(&reading, findings);
    log_in_to_sentinels(&reading);
}
