/* load.c - one epoll loop: a connection that is free sends the next request of some client. */
/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "fcgi_client.h"
#include "history.h"
#include "limits.h"

enum {
    CONNECTIONS_PER_PROGRAM = 8,
    CONNECTIONS = SERVERS_PROGRAMS * CONNECTIONS_PER_PROGRAM,
    SHOWN_MAX = 3,           /* violations with a history */
    ANSWER_MAX_US = 2000000, /* then a request counts as unanswered */
    SETTLED_US = 300000,     /* after a fault, all that was sent before has been executed */
    PAUSE_US = 2000,         /* after an answer without a decision, or a failed connection */
    LATENCY_STEP_US = 100,
    LATENCY_STEPS = 20000,
    REASONS_KEPT = 160
};

/* Kinds of clients.  SHARE of 100 requests are of the kind; 0: it decides itself when to send. */
static const struct kind {
    const char *group;
    int clients, share, cost_max;
} kinds[] = {
    {"greedy", 8, 45, 1},  {"costly", 4, 20, 7}, {"several", 4, 20, 2},
    {"many", 1000, 15, 1}, {"patient", 8, 0, 1},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct client {
    const struct kind *kind;
    char query[32];
    struct history history;
    bool waiting, promised; /* a patient one: its request is in flight; it waited Retry-After */
    int64_t due_us;
};

struct connection {
    int fd, program;
    bool busy;
    int64_t retry_us;
    uint64_t ends_done; /* of the process, when the request was sent */
    struct client *client;
    struct sent sent;
    struct fcgi_answer answer;
};

/* How many took so many steps of LATENCY_STEP_US. */
struct times {
    uint64_t steps[LATENCY_STEPS], count;
};

struct load {
    const struct servers *servers;
    struct weather *weather;
    const struct rules *rules;
    struct result result;
    pthread_t thread;
    int epoll;
    uint64_t random;
    struct connection connections[CONNECTIONS];
    struct client *clients, *first[KINDS];
    size_t client_count;
    struct times latencies, lags;
    int64_t turn_us; /* when the loop last looked for answers */
};

int64_t load_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Less than LIMIT; xorshift64* (Vigna, 2014). */
static int random_below(struct load *load, int limit)
{
    load->random ^= load->random >> 12;
    load->random ^= load->random << 25;
    load->random ^= load->random >> 27;
    return (int)((load->random * 0x2545F4914F6CDD1DU >> 33) % (uint64_t)limit);
}

/* ---- Violations ---- */

__attribute__((format(printf, 3, 4))) static bool
violation(struct load *load, const struct client *client, const char *what, ...)
{
    va_list arguments;
    char text[REASONS_KEPT];

    if (load->result.violations++ >= SHOWN_MAX)
        return false;
    va_start(arguments, what);
    vsnprintf(text, sizeof text, what, arguments);
    va_end(arguments);
    printf("VIOLATION: client %s: %s\n", client->query, text);
    return true;
}

static void broken_bound(struct load *load, const struct client *client,
                         const struct bucket *bucket, enum outcome outcome)
{
    bool shown = outcome == ADMITTED
                     ? violation(load, client,
                                 "limit %s admitted %.2f tokens more than capacity + T/interval",
                                 bucket->limit, bucket->over)
                     : violation(load, client,
                                 "limit %s refused, although %.2f tokens more than the cost were "
                                 "left",
                                 bucket->limit, bucket->under);

    if (shown)
        history_print(&client->history, bucket, stdout);
}

/* ---- Answers ---- */

static enum outcome outcome_of(const struct fcgi_answer *answer)
{
    if (strncmp(answer->text, "Status: 200 ", 12) == 0)
        return ADMITTED;
    return strncmp(answer->text, "Status: 429 ", 12) == 0 ? REFUSED : UNDECIDED;
}

/* A bit for each bucket of CLIENT that the refusal in TEXT names. */
static unsigned refused_by(const struct client *client, const char *text)
{
    const char *names = strstr(text, "\"violated-policies\"");
    unsigned bits = 0;

    for (int i = 0; names && i < client->history.bucket_count; i++)
        if (strstr(names, client->history.buckets[i].limit))
            bits |= 1U << i;
    return bits;
}

static void count_time(struct times *times, int64_t us)
{
    int64_t step = us / LATENCY_STEP_US;

    times->steps[step < LATENCY_STEPS ? step : LATENCY_STEPS - 1]++;
    times->count++;
}

static void count_latency(struct load *load, int64_t us, int64_t lag_us)
{
    count_time(&load->latencies, us);
    count_time(&load->lags, lag_us);
    load->result.worst_ms = fmax(load->result.worst_ms, (double)us / 1000);
}

/* A patient client waits as long as Retry-After says, and is then admitted. */
static void follow(struct load *load, struct client *client, enum outcome outcome, const char *text,
                   int64_t now_us)
{
    const char *retry = strstr(text, "Retry-After: ");

    client->waiting = false;
    client->due_us = now_us + (outcome == ADMITTED ? 20000 : 100000);
    if (outcome == REFUSED && client->promised && load->rules->exact)
        violation(load, client, "refused after it had waited for Retry-After");
    client->promised = outcome == REFUSED && retry && isinf(client->history.unsettled);
    if (client->promised)
        client->due_us = now_us + strtol(retry + 13, NULL, 10) * 1000000;
}

static void count(struct load *load, enum outcome outcome, int64_t now_us)
{
    struct result *result = &load->result;
    int64_t healed_us = load->weather->healed_us;

    result->admitted += outcome == ADMITTED;
    result->decisions += outcome == ADMITTED || outcome == REFUSED;
    result->undecided += outcome == UNDECIDED;
    result->lost += outcome == LOST;
    if (outcome == UNDECIDED && !load->weather->fault && healed_us > 0)
        result->recover_ms = fmax(result->recover_ms, (double)(now_us - healed_us) / 1000);
}

/* Note that the request on CONNECTION has ended with OUTCOME. */
static void settle(struct load *load, struct connection *connection, enum outcome outcome)
{
    struct client *client = connection->client;
    const char *text = connection->answer.text;
    int64_t now_us = load_now_us();
    bool calm = !load->weather->fault && load->weather->healed_us < now_us - SETTLED_US;
    const struct moment moment = {now_us, calm ? now_us - SETTLED_US : 0,
                                  load->weather->losses_begun};

    count(load, outcome, now_us);
    const struct bucket *broken =
        history_answered(&client->history, &connection->sent, &moment, outcome,
                         load->rules->exact ? refused_by(client, text) : 0);
    if (broken && !(outcome == ADMITTED && load->rules->allow))
        broken_bound(load, client, broken, outcome);
    if (client->kind->share == 0)
        follow(load, client, outcome, text, now_us);
    connection->busy = false;
    connection->retry_us = outcome == UNDECIDED ? now_us + PAUSE_US : 0;
}

static void disconnect(struct load *load, struct connection *connection)
{
    bool ours = load->weather->ends_begun[connection->program] != connection->ends_done;

    close(connection->fd);
    connection->fd = -1;
    if (connection->busy && !ours)
        violation(load, connection->client, "process %d closed the connection without an answer",
                  connection->program);
    if (connection->busy)
        settle(load, connection, LOST);
    connection->retry_us = load_now_us() + PAUSE_US;
}

static void on_readable(struct load *load, struct connection *connection)
{
    if (!fcgi_client_read(connection->fd, &connection->answer)) {
        disconnect(load, connection);
    } else if (connection->answer.whole) {
        int64_t now_us = load_now_us();
        count_latency(load, now_us - connection->sent.at_us, now_us - load->turn_us);
        settle(load, connection, outcome_of(&connection->answer));
    }
}

/* ---- Requests ---- */

static bool connect_to(struct load *load, struct connection *connection, size_t index)
{
    char path[SERVERS_PATH_SIZE];

    servers_socket(load->servers, connection->program, path);
    connection->fd = fcgi_client_connect(path);
    if (connection->fd < 0)
        return false;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};
    return epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) == 0;
}

/* A patient client whose time has come, else one of a kind by the shares. */
static struct client *choose(struct load *load, int64_t now_us)
{
    struct client *patient = load->first[KINDS - 1] + random_below(load, kinds[KINDS - 1].clients);
    int share = random_below(load, 100);
    size_t kind = 0;

    if (!patient->waiting && patient->due_us <= now_us)
        return patient;
    while (share >= kinds[kind].share)
        share -= kinds[kind++].share;
    return load->first[kind] + random_below(load, kinds[kind].clients);
}

/* A request that a closed connection does not take is not sent, and the client tries again. */
static void send_next(struct load *load, struct connection *connection)
{
    int64_t now_us = load_now_us();
    struct client *client = choose(load, now_us);
    int cost = 1 + random_below(load, client->kind->cost_max);
    char path[16], value[12];

    connection->ends_done = load->weather->ends_done[connection->program];
    connection->answer.len = 0;
    connection->answer.whole = false;
    connection->answer.text[0] = '\0';
    snprintf(path, sizeof path, "/%s", client->kind->group);
    snprintf(value, sizeof value, "%d", cost);
    if (!fcgi_client_send(connection->fd, path, client->query, "COST", value)) {
        disconnect(load, connection);
        return;
    }
    connection->client = client;
    connection->busy = true;
    client->waiting = client->kind->share == 0;
    history_sent(&client->history, &connection->sent, now_us, cost, load->weather->losses_ended);
}

/* Send on CONNECTION, or give up its request if that was sent too long ago. */
static void go_on(struct load *load, size_t index)
{
    struct connection *connection = &load->connections[index];
    int64_t now_us = load_now_us();

    if (connection->busy && now_us - connection->sent.at_us > ANSWER_MAX_US) {
        violation(load, connection->client, "no answer in 2 s");
        disconnect(load, connection);
    }
    if (connection->busy || load->weather->stop || connection->retry_us > now_us)
        return;
    if (connection->fd >= 0 || connect_to(load, connection, index))
        send_next(load, connection);
    else
        connection->retry_us = now_us + PAUSE_US;
}

static bool any_busy(const struct load *load)
{
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (load->connections[i].busy)
            return true;
    return false;
}

static void *run(void *context)
{
    struct load *load = context;
    struct epoll_event events[CONNECTIONS];

    while (!load->weather->stop || any_busy(load)) {
        load->turn_us = load_now_us();
        for (size_t i = 0; i < CONNECTIONS; i++)
            go_on(load, i);
        int ready = epoll_wait(load->epoll, events, CONNECTIONS, 1);
        for (int i = 0; i < ready; i++)
            on_readable(load, &load->connections[events[i].data.u64]);
    }
    return NULL;
}

/* ---- Begin and end ---- */

static void add_buckets(struct client *client, const struct rules *rules)
{
    struct history *history = &client->history;

    for (int i = 0; i < LIMITS_COUNT; i++) {
        const struct limit *limit = &limits[i];
        if (strcmp(limit->group, client->kind->group) != 0)
            continue;
        struct rate rate = {limit->capacity, 1e6 / limit->per_s};
        history->buckets[history->bucket_count++] = (struct bucket){
            .limit = limit->name,
            .bound = {{rate.capacity * rules->scale, rate.interval_us / rules->scale},
                      rate,
                      fmax(rules->extra_capacities * rate.capacity,
                           rules->extra_costs * client->kind->cost_max)}};
    }
    history_begin(history);
}

static void make_clients(struct load *load)
{
    for (size_t kind = 0; kind < KINDS; kind++)
        load->client_count += (size_t)kinds[kind].clients;
    load->clients = calloc(load->client_count, sizeof *load->clients);
    if (!load->clients)
        abort();
    struct client *client = load->clients;
    for (size_t kind = 0; kind < KINDS; kind++) {
        load->first[kind] = client;
        for (int i = 0; i < kinds[kind].clients; i++, client++) {
            client->kind = &kinds[kind];
            snprintf(client->query, sizeof client->query, "user=%s%d", kinds[kind].group, i);
            add_buckets(client, load->rules);
        }
    }
}

struct load *load_start(const struct servers *servers, struct weather *weather,
                        const struct rules *rules, uint64_t seed)
{
    struct load *load = calloc(1, sizeof *load);

    if (!load)
        abort();
    load->servers = servers;
    load->weather = weather;
    load->rules = rules;
    load->random = seed * 2 + 1; /* never 0 */
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    make_clients(load);
    for (int i = 0; i < CONNECTIONS; i++) {
        load->connections[i].fd = -1;
        load->connections[i].program = i % SERVERS_PROGRAMS;
    }
    if (load->epoll < 0 || pthread_create(&load->thread, NULL, run, load) != 0)
        abort();
    return load;
}

static double percentile_ms(const struct times *times, double part)
{
    uint64_t sum = 0;
    int step = 0;

    while (step < LATENCY_STEPS - 1 &&
           (double)(sum += times->steps[step]) < part * (double)times->count)
        step++;
    return (double)(step + 1) * LATENCY_STEP_US / 1000;
}

static void sum_up(const struct load *load, struct result *result)
{
    *result = load->result;
    result->p999_ms = percentile_ms(&load->latencies, 0.999);
    result->lag_ms = percentile_ms(&load->lags, 0.999);
    for (size_t i = 0; i < load->client_count; i++)
        for (int j = 0; j < load->clients[i].history.bucket_count; j++) {
            const struct bucket *bucket = &load->clients[i].history.buckets[j];
            result->over = fmax(result->over, bucket->over / bucket->bound.most.capacity);
            result->under = fmax(result->under, bucket->under);
        }
}

void load_stop(struct load *load, struct result *result)
{
    load->weather->stop = true;
    pthread_join(load->thread, NULL);
    sum_up(load, result);
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (load->connections[i].fd >= 0)
            close(load->connections[i].fd);
    close(load->epoll);
    free(load->clients);
    free(load);
}
