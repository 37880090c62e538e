/* reload.c - stat(2) each second, SIGHUP, and a thread that reads the file. */
/* SPDX-License-Identifier: MIT */
#include "config/findings.h"
#include "base/memory.h"
#include "config/reload.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/limits_file.h"
#include "base/log.h"
#include "base/thread.h"

#define MISTAKES_LOGGED_MAX 10 /* of one file; --check shows all */

/* One state of a file, to compare it with the next. */
struct version {
    int error; /* errno if there is no file; the rest is then 0 */
    mode_t mode;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

/* A reading of the file.  The thread owns it until it has sent LOADED, then the loop does. */
struct loading {
    pthread_t thread;
    const char *path; /* borrowed from the command line or the environment */
    struct version before, after;
    struct findings findings;
    struct limits *limits; /* NULL if there was a mistake */

    pthread_mutex_t lock;
    struct ev_loop *loop;
    ev_async *loaded; /* to be sent; NULL: the loop does not wait any more */
};

struct reload {
    struct ev_loop *loop;
    const char *path;
    reload_done *done;
    void *context;
    struct version seen;  /* at the last check */
    struct version taken; /* that was read last, or whose absence was logged */
    ev_signal hangup;
    ev_timer poll;
    ev_async loaded;
    struct loading *loading; /* under way; NULL: none */
    bool again;              /* SIGHUP came meanwhile: read once more after it */
};

/* Use stat, which follows symbolic links, because Kubernetes replaces one of the folders on the way
 * to the file.  libev's ev_stat looks at the last link itself and does not notice. */
static struct version look(const char *path)
{
    struct version version = {0};
    struct stat file;
    if (stat(path, &file) != 0) {
        version.error = errno;
        return version;
    }
    version.mode = file.st_mode;
    version.device = file.st_dev;
    version.inode = file.st_ino;
    version.size = file.st_size;
    version.modified = file.st_mtim;
    version.changed = file.st_ctim;
    return version;
}

static bool same_time(struct timespec one, struct timespec other)
{
    return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

static bool is_same(const struct version *one, const struct version *other)
{
    return one->error == other->error && one->device == other->device &&
           one->inode == other->inode && one->size == other->size &&
           same_time(one->modified, other->modified) && same_time(one->changed, other->changed);
}

/* Log what FINDINGS has, a line each. */
static void log_mistakes(struct findings *findings)
{
    char *text, *rest, *line;
    size_t size;
    unsigned logged = 0;
    FILE *lines = open_memstream(&text, &size);

    assert(lines);
    findings_write(findings, FINDINGS_ERRORS, lines);
    fclose(lines);
    rest = text;
    while ((line = strsep(&rest, "\n")) && *line && logged++ < MISTAKES_LOGGED_MAX)
        log_line(LOG_WARNING, "%s", line);
    free(text);
    log_line(LOG_WARNING, "%s is refused for %u mistake%s, the limits stay as they were",
             findings->file, findings->error_count, findings->error_count == 1 ? "" : "s");
}

static void refuse_file(struct reload *reload, struct findings *findings)
{
    log_mistakes(findings);
    reload->done(reload->context, NULL);
}

static void take_limits(struct reload *reload, struct limits *limits,
                        const struct findings *findings)
{
    log_line(LOG_NOTICE, "%s reloaded: %zu limit%s (sha256 %.12s)%s", reload->path, limits->count,
             limits->count == 1 ? "" : "s", limits->sha256,
             findings->warning_count > 0 ? "; --check has warnings for it" : "");
    reload->done(reload->context, limits);
}

/* Read the file of VERSION.  A FIFO is refused, because opening it would wait for a writer. */
static struct limits *load(const char *path, const struct version *version,
                           struct findings *findings)
{
    if (version->error == 0 && S_ISFIFO(version->mode)) {
        findings_error(findings, 0, 0, "a pipe cannot be read again; name a file");
        return NULL;
    }
    return limits_load(path, findings);
}

static void loading_free(struct loading *loading)
{
    findings_free(&loading->findings);
    pthread_mutex_destroy(&loading->lock);
    free(loading);
}

/* The thread's work. */
static void *read_file(void *context)
{
    struct loading *loading = context;

    loading->before = look(loading->path);
    loading->limits = load(loading->path, &loading->before, &loading->findings);
    loading->after = look(loading->path);
    pthread_mutex_lock(&loading->lock);
    if (loading->loaded)
        ev_async_send(loading->loop, loading->loaded);
    pthread_mutex_unlock(&loading->lock);
    return NULL;
}

/* LOADING has ended: use its outcome. */
static void take_loading(struct reload *reload, struct loading *loading)
{
    bool whole = is_same(&loading->before, &loading->after);

    reload->seen = loading->after;
    reload->taken = loading->before;
    if (whole && loading->limits)
        take_limits(reload, loading->limits, &loading->findings);
    else if (whole)
        refuse_file(reload, &loading->findings);
    else /* it was written to meanwhile: the next check finds a change */
        limits_unref(loading->limits);
    loading_free(loading);
}

/* Begin to read the file.  If it is being read, remember to do it once more, because it may have
 * changed since. */
static void read_again(struct reload *reload)
{
    if (reload->loading) {
        reload->again = true;
        return;
    }
    struct loading *loading = memory_new(sizeof *loading);
    loading->path = loading->findings.file = reload->path;
    loading->loop = reload->loop;
    loading->loaded = &reload->loaded;
    pthread_mutex_init(&loading->lock, NULL);
    if (thread_start(&loading->thread, read_file, loading)) {
        reload->loading = loading;
    } else { /* there is no thread: the loop waits */
        read_file(loading);
        take_loading(reload, loading);
    }
}

static void on_loaded(struct ev_loop *loop, ev_async *watcher, int events)
{
    struct reload *reload = watcher->data;
    struct loading *loading = reload->loading;
    bool again = reload->again;

    (void)loop, (void)events;
    if (!loading)
        return;
    pthread_join(loading->thread, NULL);
    reload->loading = NULL;
    reload->again = false;
    take_loading(reload, loading);
    if (again)
        read_again(reload);
}

/* Let the thread end by itself, because the file may be on a disk that does not answer. */
static void abandon(struct loading *loading)
{
    pthread_mutex_lock(&loading->lock);
    loading->loaded = NULL;
    pthread_mutex_unlock(&loading->lock);
    pthread_detach(loading->thread);
}

static void on_poll(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct reload *reload = watcher->data;
    struct version now = look(reload->path);
    bool settled = is_same(&now, &reload->seen);

    (void)loop, (void)events;
    reload->seen = now;
    if (settled && !reload->loading && !is_same(&now, &reload->taken))
        read_again(reload);
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct reload *reload = watcher->data;

    (void)loop, (void)events;
    if (reload->path)
        read_again(reload);
    else
        log_line(LOG_WARNING,
                 "SIGHUP: there is no limits file to reload; the built-in limits are used");
}

struct reload *reload_new(struct ev_loop *loop, const char *path, reload_done *done, void *context)
{
    struct reload *reload = memory_new(sizeof *reload);

    reload->loop = loop;
    reload->path = path;
    reload->done = done;
    reload->context = context;
    ev_signal_init(&reload->hangup, on_hangup, SIGHUP);
    ev_timer_init(&reload->poll, on_poll, RELOAD_POLL_S, RELOAD_POLL_S);
    ev_async_init(&reload->loaded, on_loaded);
    reload->hangup.data = reload->poll.data = reload->loaded.data = reload;
    ev_signal_start(loop, &reload->hangup);
    ev_async_start(loop, &reload->loaded);
    if (!path)
        return reload;
    reload->seen = reload->taken = look(path);
    ev_timer_start(loop, &reload->poll);
    return reload;
}

void reload_free(struct reload *reload)
{
    if (!reload)
        return;
    ev_signal_stop(reload->loop, &reload->hangup);
    ev_timer_stop(reload->loop, &reload->poll);
    ev_async_stop(reload->loop, &reload->loaded);
    if (reload->loading)
        abandon(reload->loading);
    free(reload);
}
