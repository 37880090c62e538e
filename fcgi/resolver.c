#include "resolver.h"

#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct resolver {
    struct ev_loop *loop;
    resolver_done *done;
    void *context;
    ev_async ready;
    struct lookup *lookup; /* under way, or NULL */
};

/* A look-up belongs to glibc's helper thread until it notifies: getaddrinfo_a(3) cannot take it back.
 * RESOLVER is NULL once nobody waits for it; the mutex decides who of the two comes first. */
struct lookup {
    pthread_mutex_t mutex;
    struct resolver *resolver;
    struct gaicb request;
    struct addrinfo hints;
    char host[256];
};

static void lookup_free(struct lookup *lookup)
{
    if (lookup->request.ar_result)
        freeaddrinfo(lookup->request.ar_result);
    pthread_mutex_destroy(&lookup->mutex);
    free(lookup);
}

static void collect(const struct addrinfo *list, struct resolved *resolved)
{
    for (; list && resolved->count < RESOLVER_ADDRESSES_MAX; list = list->ai_next)
        if (getnameinfo(list->ai_addr, list->ai_addrlen, resolved->address[resolved->count],
                        RESOLVER_ADDRESS_MAX, NULL, 0, NI_NUMERICHOST) == 0)
            resolved->count++;
    if (resolved->count == 0)
        resolved->error = "no address for this name";
}

/* Runs in a thread of glibc's. */
static void on_notified(union sigval value)
{
    struct lookup *lookup = value.sival_ptr;

    pthread_mutex_lock(&lookup->mutex);
    bool wanted = lookup->resolver != NULL;
    if (wanted)
        ev_async_send(lookup->resolver->loop, &lookup->resolver->ready);
    pthread_mutex_unlock(&lookup->mutex);
    if (!wanted)
        lookup_free(lookup);
}

static void on_ready(struct ev_loop *loop, ev_async *watcher, int events)
{
    struct resolver *resolver = watcher->data;
    struct lookup *lookup = resolver->lookup;
    struct resolved resolved = {0};

    (void)loop, (void)events;
    resolver->lookup = NULL;
    /* The helper may still be on its way out of on_notified; it is gone once the mutex is free. */
    pthread_mutex_lock(&lookup->mutex);
    pthread_mutex_unlock(&lookup->mutex);
    int error = gai_error(&lookup->request);
    if (error == 0)
        collect(lookup->request.ar_result, &resolved);
    else
        resolved.error = gai_strerror(error);
    lookup_free(lookup);
    resolver->done(resolver->context, &resolved);
}

/* True where HOST was a numeric address and DONE has been called. */
static bool resolve_numeric(struct resolver *resolver, const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *list;
    struct resolved resolved = {0};

    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return false;
    collect(list, &resolved);
    freeaddrinfo(list);
    resolver->done(resolver->context, &resolved);
    return true;
}

struct resolver *resolver_new(struct ev_loop *loop, resolver_done *done, void *context)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);

    assert(resolver);
    resolver->loop = loop;
    resolver->done = done;
    resolver->context = context;
    ev_async_init(&resolver->ready, on_ready);
    resolver->ready.data = resolver;
    ev_async_start(loop, &resolver->ready);
    return resolver;
}

void resolver_start(struct resolver *resolver, const char *host)
{
    assert(!resolver->lookup);
    if (resolve_numeric(resolver, host))
        return;

    struct lookup *lookup = calloc(1, sizeof *lookup);
    assert(lookup && strlen(host) < sizeof lookup->host);
    pthread_mutex_init(&lookup->mutex, NULL);
    strcpy(lookup->host, host);
    lookup->resolver = resolver;
    lookup->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM};
    lookup->request.ar_name = lookup->host;
    lookup->request.ar_request = &lookup->hints;
    resolver->lookup = lookup;

    struct sigevent notify = {.sigev_notify = SIGEV_THREAD,
                              .sigev_notify_function = on_notified,
                              .sigev_value.sival_ptr = lookup};
    int error = getaddrinfo_a(GAI_NOWAIT, (struct gaicb *[]){&lookup->request}, 1, &notify);
    if (error != 0) {
        struct resolved resolved = {.error = gai_strerror(error)};
        resolver->lookup = NULL;
        lookup_free(lookup);
        resolver->done(resolver->context, &resolved);
    }
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    ev_async_stop(resolver->loop, &resolver->ready);
    if (resolver->lookup) {
        /* on_notified frees it; one that is notified already is left to the end of the process. */
        pthread_mutex_lock(&resolver->lookup->mutex);
        resolver->lookup->resolver = NULL;
        pthread_mutex_unlock(&resolver->lookup->mutex);
    }
    free(resolver);
}
