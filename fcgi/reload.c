#include "reload.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"

#define MISTAKES_LOGGED_MAX 10 /* of one file; --check tells the others */

/* What tells one state of a file from the next. */
struct version {
    int error; /* errno where there is no file; the rest is then 0 */
    mode_t mode;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct reload {
    struct ev_loop *loop;
    const char *path;
    reload_done *done;
    void *context;
    struct version seen;  /* at the last look */
    struct version taken; /* that was read last, or whose absence was logged */
    ev_signal hangup;
    ev_timer poll;
};

/* stat, which follows symbolic links: Kubernetes replaces one of the folders on the way to the file.
 * libev's ev_stat looks at the last link itself, and sees nothing of that. */
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

/* Log what REPORT has, a line each. */
static void log_mistakes(struct report *report)
{
    char *text, *rest, *line;
    size_t size;
    unsigned logged = 0;
    FILE *lines = open_memstream(&text, &size);

    assert(lines);
    report_write(report, REPORT_ERRORS, lines);
    fclose(lines);
    rest = text;
    while ((line = strsep(&rest, "\n")) && *line && logged++ < MISTAKES_LOGGED_MAX)
        log_line("%s", line);
    free(text);
    log_line("%s is refused for %u mistake%s, the limits stay as they were", report->file,
             report->errors, report->errors == 1 ? "" : "s");
}

static void take_limits(struct reload *reload, struct limits *limits, const struct report *report)
{
    log_line("%s is read again: %zu limit%s in force%s", reload->path, limits->count,
             limits->count == 1 ? "" : "s",
             report->warnings > 0 ? "; --check has warnings for it" : "");
    reload->done(reload->context, limits);
}

/* Read the file that looks like VERSION.  To open a FIFO would be to wait for its writer, and nobody is served
 * meanwhile. */
static struct limits *load(const char *path, const struct version *version, struct report *report)
{
    if (version->error == 0 && S_ISFIFO(version->mode)) {
        report_error(report, 0, 0, "a pipe cannot be read again; name a file");
        return NULL;
    }
    return limits_load(path, report);
}

static void read_again(struct reload *reload)
{
    struct report report = {.file = reload->path};
    struct version before = look(reload->path);
    struct limits *limits = load(reload->path, &before, &report);
    struct version after = look(reload->path);

    reload->seen = after;
    reload->taken = before;
    if (is_same(&before, &after) && limits)
        take_limits(reload, limits, &report);
    else if (is_same(&before, &after))
        log_mistakes(&report);
    else /* it was written to meanwhile: the next look finds another than was taken */
        limits_release(limits);
    report_free(&report);
}

static void on_poll(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct reload *reload = watcher->data;
    struct version now = look(reload->path);
    bool settled = is_same(&now, &reload->seen);

    (void)loop, (void)events;
    reload->seen = now;
    if (settled && !is_same(&now, &reload->taken))
        read_again(reload);
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct reload *reload = watcher->data;

    (void)loop, (void)events;
    if (reload->path)
        read_again(reload);
    else
        log_line("SIGHUP: there is no limits file to read again, the built-in limits are in force");
}

struct reload *reload_new(struct ev_loop *loop, const char *path, reload_done *done, void *context)
{
    struct reload *reload = calloc(1, sizeof *reload);

    assert(reload);
    reload->loop = loop;
    reload->path = path;
    reload->done = done;
    reload->context = context;
    ev_signal_init(&reload->hangup, on_hangup, SIGHUP);
    ev_timer_init(&reload->poll, on_poll, RELOAD_POLL_S, RELOAD_POLL_S);
    reload->hangup.data = reload->poll.data = reload;
    ev_signal_start(loop, &reload->hangup);
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
    free(reload);
}
