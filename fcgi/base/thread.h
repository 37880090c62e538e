/* thread.h - a thread for work that would block the event loop. */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Run WORK with CONTEXT in a new thread with all signals blocked, because the event loop handles
 * them.  The thread is stored in *THREAD, and the caller joins it; if THREAD is NULL, it is
 * detached.  Returns false if no thread could be created; WORK is then not run. */
bool thread_start(pthread_t *thread, void *(*work)(void *context), void *context);

#endif
