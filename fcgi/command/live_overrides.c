/* live_overrides.c - a version is polled, and a thread reads what has changed. */
/* SPDX-License-Identifier: MIT */
#include "command/live_overrides.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "command/look.h"
#include "store/override_store.h"

#define FIRST_POLL_S 0.005 /* between two looks, until the first reply */

/* A set that is being read or made.  The thread owns it until it has sent FINISHED, then the loop
 * does. */
struct job {
    pthread_t thread;
    struct redis_config config;
    struct limits *limits;               /* that the set is for; the loop has a reference */
    const struct stored_overrides *good; /* the last good one, borrowed; NULL: there is none */
    bool read;                           /* read Redis */
    bool remake;                         /* without anything new from Redis, use GOOD */

    struct stored_overrides *fresh; /* what was read; NULL: nothing, or it was refused */
    char seen[OVERRIDE_VERSION_SIZE];
    bool has_seen; /* SEEN is the version that was read */
    struct stored_sets sets;
    bool has_sets;
    char problem[STORED_PROBLEM_SIZE];

    pthread_mutex_t lock;
    struct ev_loop *loop;
    ev_async *finished; /* to be sent; NULL: the loop does not wait any more */
};

struct live_overrides {
    struct ev_loop *loop;
    struct redis *redis;
    struct redis_config config;
    live_overrides_changed *changed;
    void *context;

    struct limits *limits;            /* in force; a reference */
    struct limits *next;              /* that wait for their set; a reference, or NULL */
    struct stored_overrides *stored;  /* the last good one; NULL: none was read */
    char seen[OVERRIDE_VERSION_SIZE]; /* the version that was read last */
    bool settled;                     /* a first version was seen, and its set came into force */
    bool unknown;                     /* the last reply had no version */
    bool waiting;                     /* live_overrides_wait runs */
    struct job *job;                  /* under way; NULL: none */
    struct live_overrides_state state;
    ev_timer poll, wait;
    ev_async finished;
};

/* ---- The thread ---- */

static void read_stored(struct job *job)
{
    const char *why;
    struct redis_client *client =
        redis_client_new(&job->config, LOOK_TIMEOUT_MS, job->problem, sizeof job->problem);

    if (!client)
        return;
    job->fresh = override_store_read(client, &why);
    if (job->fresh)
        memcpy(job->seen, job->fresh->version, sizeof job->seen);
    else
        snprintf(job->problem, sizeof job->problem, "%s", why);
    job->has_seen = job->fresh;
    redis_client_free(client);
}

static void make_sets(struct job *job, const struct stored_overrides *stored)
{
    stored_reader_read(stored, job->limits, &job->sets);
    job->has_sets = true;
}

/* Refuse what was read, if it has a mistake. */
static void judge(struct job *job)
{
    if (job->sets.broken_count == 0)
        return;
    snprintf(job->problem, sizeof job->problem, "%s", job->sets.problem);
    if (!job->good)
        return; /* the overrides without a mistake are used */
    stored_reader_free(&job->sets, job->limits->count);
    job->has_sets = false;
    override_store_free(job->fresh);
    job->fresh = NULL;
}

static void *work(void *context)
{
    struct job *job = context;

    if (job->read)
        read_stored(job);
    if (job->fresh) {
        make_sets(job, job->fresh);
        judge(job);
    }
    if (!job->has_sets && job->good && job->remake)
        make_sets(job, job->good);
    pthread_mutex_lock(&job->lock);
    if (job->finished)
        ev_async_send(job->loop, job->finished);
    pthread_mutex_unlock(&job->lock);
    return NULL;
}

/* ---- The loop ---- */

static void *free_stored(void *stored)
{
    override_store_free(stored);
    malloc_trim(0);
    return NULL;
}

/* Free STORED by a thread, because there may be many. */
static void free_aside(struct stored_overrides *stored)
{
    if (stored && !thread_start(NULL, free_stored, stored))
        override_store_free(stored);
}

static void job_free(struct job *job)
{
    limits_unref(job->limits);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

static void finish(struct live_overrides *live, struct job *job);

/* The limits that are to be in force. */
static struct limits *wanted(const struct live_overrides *live)
{
    return live->next ? live->next : live->limits;
}

static void start(struct live_overrides *live, bool read)
{
    struct job *job = memory_new(sizeof *job);

    job->config = live->config;
    job->limits = limits_ref(wanted(live));
    job->good = live->stored;
    job->read = read;
    job->remake = live->next != NULL || !read;
    job->loop = live->loop;
    job->finished = &live->finished;
    pthread_mutex_init(&job->lock, NULL);
    live->job = job;
    if (!thread_start(&job->thread, work, job)) { /* the loop waits */
        job->finished = NULL;
        work(job);
        finish(live, job);
    }
}

/* Say that there is a PROBLEM, which is logged once, or "": none. */
static void set_problem(struct live_overrides *live, const char *problem)
{
    if (strcmp(live->state.problem, problem) == 0)
        return;
    snprintf(live->state.problem, sizeof live->state.problem, "%s", problem);
    if (problem[0] != '\0')
        log_line(LOG_WARNING, "the newest overrides in redis %s are not all in force (%s); %zu are",
                 redis_shown(live->redis), problem, live->state.count);
}

static void log_sets(const struct live_overrides *live)
{
    const struct live_overrides_state *state = &live->state;
    char foreign[96] = "";

    if (state->foreign_count > 0)
        snprintf(foreign, sizeof foreign,
                 ", and %zu for limits or keys that the file does not have", state->foreign_count);
    log_line(LOG_NOTICE, "overrides in redis %s: %zu in force%s", redis_shown(live->redis),
             state->count, foreign);
}

/* Use the sets of JOB, which are for the limits that are wanted. */
static void use_sets(struct live_overrides *live, struct job *job)
{
    struct live_overrides_state *state = &live->state;

    limits_set_stored(job->limits, job->sets.of);
    free(job->sets.of);
    free(job->sets.state);
    if (job->fresh) {
        free_aside(live->stored);
        live->stored = job->fresh;
    }
    state->count = job->sets.count;
    state->foreign_count = job->sets.foreign_count;
    if (state->loaded_us > 0 && strcmp(state->version, live->stored->version) == 0)
        return; /* the same, for other limits */
    state->loaded_us = clock_unix_us();
    memcpy(state->version, live->stored->version, sizeof state->version);
    log_sets(live);
}

static void use_next(struct live_overrides *live)
{
    if (!live->next)
        return;
    limits_unref(live->limits);
    live->limits = live->next;
    live->next = NULL;
}

/* JOB, whose thread has ended, is done. */
static void finish(struct live_overrides *live, struct job *job)
{
    bool is_wanted = job->limits == wanted(live);

    live->job = NULL;
    if (job->has_seen)
        memcpy(live->seen, job->seen, sizeof live->seen);
    live->settled = true;
    if (job->has_sets && is_wanted) {
        use_sets(live, job);
        use_next(live);
    } else {
        if (job->has_sets)
            stored_reader_free(&job->sets, job->limits->count);
        if (job->fresh)
            free_aside(live->stored);
        live->stored = job->fresh ? job->fresh : live->stored;
    }
    if (job->read)
        set_problem(live, job->problem);
    job_free(job);
    if (!is_wanted && live->stored)
        start(live, false);
    else if (!is_wanted)
        use_next(live);
    if (!live->job)
        live->changed(live->context, live->limits);
    if (live->waiting && !live->job)
        ev_break(live->loop, EVBREAK_ONE);
}

static void on_finished(struct ev_loop *loop, ev_async *watcher, int events)
{
    struct live_overrides *live = watcher->data;
    struct job *job = live->job;

    (void)loop, (void)events;
    if (!job)
        return;
    pthread_join(job->thread, NULL);
    finish(live, job);
}

/* ---- The version ---- */

/* The version in Redis is VERSION. */
static void see(struct live_overrides *live, const char *version)
{
    bool is_new = strcmp(version, live->seen) != 0;

    if (is_new && !live->job) {
        start(live, true);
        return;
    }
    live->settled = live->settled || !live->job;
    if (live->waiting && live->settled)
        ev_break(live->loop, EVBREAK_ONE);
}

static void on_version(void *context, const struct redis_reply *reply)
{
    struct live_overrides *live = context;
    char version[OVERRIDE_VERSION_SIZE], problem[STORED_PROBLEM_SIZE];

    ev_timer_set(&live->poll, LIVE_OVERRIDES_POLL_S, LIVE_OVERRIDES_POLL_S);
    ev_timer_again(live->loop, &live->poll);
    if (reply->kind == REDIS_SAYS_BULK || reply->kind == REDIS_SAYS_OTHER) {
        snprintf(version, sizeof version, "%.*s", (int)sizeof version - 1,
                 reply->kind == REDIS_SAYS_BULK ? reply->text : "");
        if (live->unknown)
            strcpy(live->seen, "?"); /* read it again, because the problem may not be the last */
        live->unknown = false;
        see(live, version);
        return;
    }
    live->unknown = true;
    snprintf(problem, sizeof problem, "HGET " OVERRIDE_STORE_KEY ": %s",
             reply->kind == REDIS_SAYS_ERROR ? reply->text : "an unexpected reply");
    set_problem(live, problem);
    live->changed(live->context, live->limits);
    live->settled = true;
    if (live->waiting)
        ev_break(live->loop, EVBREAK_ONE);
}

static void on_poll(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct live_overrides *live = watcher->data;

    (void)loop, (void)events;
    redis_hget(live->redis, OVERRIDE_STORE_KEY, OVERRIDE_STORE_VERSION, on_version, live);
    if (live->waiting && redis_is_away(live->redis))
        ev_break(live->loop, EVBREAK_ONE);
}

static void on_waited(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)watcher, (void)events;
    ev_break(loop, EVBREAK_ONE);
}

/* ---- Public ---- */

struct live_overrides *live_overrides_new(struct ev_loop *loop, struct redis *redis,
                                          const struct redis_config *config, struct limits *limits,
                                          live_overrides_changed *changed, void *context)
{
    struct live_overrides *live = memory_new(sizeof *live);

    live->loop = loop;
    live->redis = redis;
    live->config = *config;
    live->limits = limits_ref(limits);
    live->changed = changed;
    live->context = context;
    ev_timer_init(&live->poll, on_poll, 0., FIRST_POLL_S);
    ev_async_init(&live->finished, on_finished);
    live->poll.data = live->finished.data = live;
    ev_timer_start(loop, &live->poll);
    ev_async_start(loop, &live->finished);
    return live;
}

void live_overrides_wait(struct live_overrides *live, double max_s)
{
    if (live->settled)
        return;
    ev_now_update(live->loop); /* what was done before does not count */
    ev_timer_init(&live->wait, on_waited, max_s, 0.);
    ev_timer_start(live->loop, &live->wait);
    live->waiting = true;
    ev_run(live->loop, 0);
    live->waiting = false;
    ev_timer_stop(live->loop, &live->wait);
    if (live->settled)
        return;
    ev_timer_set(&live->poll, LIVE_OVERRIDES_POLL_S, LIVE_OVERRIDES_POLL_S);
    ev_timer_again(live->loop, &live->poll);
}

void live_overrides_use(struct live_overrides *live, struct limits *limits)
{
    limits_unref(live->next);
    live->next = limits_ref(limits);
    if (live->job)
        return; /* its end makes their set */
    if ((live->stored && live->stored->count > 0) || live->state.problem[0] != '\0') {
        start(live, live->state.problem[0] != '\0');
        return;
    }
    use_next(live);
    live->changed(live->context, live->limits);
}

const struct live_overrides_state *live_overrides_state(const struct live_overrides *live)
{
    return &live->state;
}

/* Let the thread end by itself, because Redis may not answer.  What JOB holds stays. */
static void abandon(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    job->finished = NULL;
    pthread_mutex_unlock(&job->lock);
    pthread_detach(job->thread);
}

void live_overrides_free(struct live_overrides *live)
{
    if (!live)
        return;
    ev_timer_stop(live->loop, &live->poll);
    ev_async_stop(live->loop, &live->finished);
    if (live->job)
        abandon(live->job);
    else
        override_store_free(live->stored);
    limits_unref(live->next);
    limits_unref(live->limits);
    free(live);
}
