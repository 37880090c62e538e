/* history.c - two virtual buckets per limit: one that is as full as is possible, one as empty. */
/* SPDX-License-Identifier: MIT */
#include "history.h"

#include <math.h>
#include <stddef.h>

/* The clock of Redis may run faster than ours, and its times are whole. */
#define CLOCK_SLACK_US 2000.

/* Over-admission.  For each event i, the costs admitted from i to the present must not exceed
 * capacity + (now - start_i) / interval, where start_i is the sending of the oldest request that
 * was in flight when i was answered: all later answers are to requests sent at that time or later.
 * With A the sum of what was admitted, the largest excess over all i is
 *     A + max(start_i / interval - A before i) - now / interval - capacity,
 * and window_start is that maximum.  A loss of the data adds one capacity to each window that
 * includes it.
 *
 * Under-admission.  The bucket holds at least, over all i that were admitted,
 *     capacity - (M - M when i was sent) + (sent - answered_i) / interval,
 * where M is the sum of all that may have been charged: in M are the requests that were admitted,
 * undecided or lost.  window_least is the minimum of M when i was sent - answered_i / interval.
 * Redis may execute an undecided request after its answer, so this counts from settle on. */

void history_begin(struct history *history)
{
    history->unsettled = INFINITY;
    for (int i = 0; i < history->bucket_count; i++) {
        history->buckets[i].window_start = history->buckets[i].window_plain = -INFINITY;
        history->buckets[i].window_least = INFINITY;
    }
}

void history_sent(struct history *history, struct sent *sent, int64_t now_us, double cost,
                  uint64_t losses_ended)
{
    *sent = (struct sent){.older = history->newest,
                          .at_us = now_us,
                          .cost = cost,
                          .maybe_charged = history->maybe_charged,
                          .losses = losses_ended};
    if (history->newest)
        history->newest->newer = sent;
    else
        history->oldest = sent;
    history->newest = sent;
    history->in_flight += cost;
}

static void remove_sent(struct history *history, struct sent *sent)
{
    if (sent->older)
        sent->older->newer = sent->newer;
    else
        history->oldest = sent->newer;
    if (sent->newer)
        sent->newer->older = sent->older;
    else
        history->newest = sent->older;
    history->in_flight -= sent->cost;
}

/* Returns whether the bound holds. */
static bool admit(struct bucket *bucket, const struct history *history, const struct event *event)
{
    const struct rate *most = &bucket->bound.most;
    double plain = (double)event->oldest_us / most->interval_us - history->admitted;
    double start = plain + (double)event->losses_ended * most->capacity;
    double end = history->admitted + event->cost - most->capacity -
                 ((double)event->answered_us + CLOCK_SLACK_US) / most->interval_us;

    bucket->window_plain = fmax(bucket->window_plain, plain);
    bucket->window_start = fmax(bucket->window_start, start);
    bucket->over = fmax(bucket->over, end + bucket->window_plain);
    return end + bucket->window_start - (double)event->losses_begun * most->capacity <=
           bucket->bound.extra;
}

/* Requests from MAYBE_CHARGED on were charged until NOW_US. */
static void charge_all(struct history *history, double maybe_charged, int64_t now_us)
{
    for (int i = 0; i < history->bucket_count; i++) {
        struct bucket *bucket = &history->buckets[i];
        double least = maybe_charged - (double)now_us / bucket->bound.least.interval_us;
        bucket->window_least = fmin(bucket->window_least, least);
    }
}

static void settle(struct history *history, const struct moment *moment)
{
    if (isinf(history->unsettled) || moment->settled_us <= history->unsettled_us)
        return;
    charge_all(history, history->unsettled, moment->now_us);
    history->unsettled = INFINITY;
}

static void note_charge(struct history *history, const struct sent *sent, enum outcome outcome,
                        int64_t now_us)
{
    if (outcome == ADMITTED)
        charge_all(history, sent->maybe_charged, now_us);
    if (outcome == UNDECIDED || outcome == LOST) {
        history->unsettled = fmin(history->unsettled, sent->maybe_charged);
        history->unsettled_us = now_us;
    }
}

/* Returns whether BUCKET may have had too few tokens for SENT. */
static bool refuse(struct bucket *bucket, const struct history *history, const struct sent *sent)
{
    const struct rate *least = &bucket->bound.least;
    double charged = history->maybe_charged + history->in_flight;
    double oldest = history->oldest ? history->oldest->maybe_charged : charged;
    oldest = fmin(oldest, history->unsettled);
    double at = ((double)sent->at_us - CLOCK_SLACK_US) / least->interval_us;
    double tokens = least->capacity - charged + fmin(oldest, bucket->window_least + at);
    double excess = tokens - sent->cost;

    bucket->under = fmax(bucket->under, excess);
    return excess < 0;
}

/* Keep EVENT.  It takes the place of a last one that is no admission. */
static void keep(struct history *history, struct event event)
{
    struct event *last = &history->kept[(history->count - 1) % HISTORY_KEPT];

    if (history->count > 0 && last->outcome != ADMITTED) {
        event.others = last->others + 1;
        *last = event;
    } else {
        history->kept[history->count++ % HISTORY_KEPT] = event;
    }
}

const struct bucket *history_answered(struct history *history, struct sent *sent,
                                      const struct moment *moment, enum outcome outcome,
                                      unsigned refused_by)
{
    const struct bucket *broken = NULL;
    /* A window begins when the oldest request was sent. */
    const struct event event = {.sent_us = sent->at_us,
                                .oldest_us = history->oldest->at_us,
                                .answered_us = moment->now_us,
                                .cost = sent->cost,
                                .outcome = outcome,
                                .losses_ended = history->oldest->losses,
                                .losses_begun = moment->losses_begun};

    settle(history, moment);
    remove_sent(history, sent);
    keep(history, event);
    note_charge(history, sent, outcome, moment->now_us);
    for (int i = 0; i < history->bucket_count; i++) {
        struct bucket *bucket = &history->buckets[i];
        if (outcome == REFUSED && refused_by & 1U << i && !refuse(bucket, history, sent))
            broken = bucket;
        if (outcome == ADMITTED && !admit(bucket, history, &event))
            broken = bucket;
    }
    if (outcome == ADMITTED)
        history->admitted += sent->cost;
    if (outcome != REFUSED)
        history->maybe_charged += sent->cost;
    return broken;
}

static const struct event *event_back(const struct history *history, uint64_t back)
{
    return &history->kept[(history->count - back) % HISTORY_KEPT];
}

static uint64_t kept_count(const struct history *history)
{
    return history->count < HISTORY_KEPT ? history->count : HISTORY_KEPT;
}

/* The number of events, up to the newest, that break the bound of over-admission; 0: those that
 * are kept do not. */
static uint64_t shortest(const struct history *history, const struct bucket *bucket)
{
    const struct event *last = event_back(history, 1);
    const struct rate *most = &bucket->bound.most;
    double sum = 0;

    if (last->outcome != ADMITTED)
        return 0;
    for (uint64_t back = 1; back <= kept_count(history); back++) {
        const struct event *event = event_back(history, back);
        double time_us = (double)(last->answered_us - event->oldest_us) + CLOCK_SLACK_US;
        double losses = (double)(last->losses_begun - event->losses_ended);
        sum += event->cost;
        if (sum > most->capacity * (1 + losses) + time_us / most->interval_us + bucket->bound.extra)
            return back;
    }
    return 0;
}

void history_print(const struct history *history, const struct bucket *bucket, FILE *out)
{
    static const char *const words[] = {"admitted", "refused", "undecided", "lost"};
    uint64_t back = shortest(history, bucket);

    if (back == 0)
        back = kept_count(history) < 40 ? kept_count(history) : 40;
    int64_t first_us = event_back(history, back)->sent_us;
    fprintf(out, "  %8s %8s %5s   (ms; the last %llu admissions of the client)\n", "sent",
            "answered", "cost", (unsigned long long)back);
    for (; back > 0; back--) {
        const struct event *event = event_back(history, back);
        fprintf(out, "  %8.1f %8.1f %5.0f   %s, after %llu without admission\n",
                (double)(event->sent_us - first_us) / 1000,
                (double)(event->answered_us - first_us) / 1000, event->cost, words[event->outcome],
                (unsigned long long)event->others);
    }
}
