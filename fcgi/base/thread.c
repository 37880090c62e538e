/* thread.c - start a thread with all signals blocked. */
/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>
#include <stddef.h>

bool thread_start(pthread_t *thread, void *(*work)(void *context), void *context)
{
    pthread_t unnamed;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread ? thread : &unnamed, NULL, work, context) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started && !thread)
        pthread_detach(unnamed);
    return started;
}
