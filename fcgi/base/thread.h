/* thread.h - work that would hold up the loop, in a thread of its own. */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Run WORK with CONTEXT in a new thread, which takes no signals: they are the loop's.  Into *THREAD
 * goes the thread, the caller's to join; for NULL it is detached.  False if there is none to be
 * had, and WORK is not run. */
bool thread_start(pthread_t *thread, void *(*work)(void *context), void *context);

#endif
