/* resolver.c - getaddrinfo_a(3), and a timer that asks whether it is done. */
/* SPDX-License-Identifier: MIT */
#include "resolver.h"

#include <assert.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/memory.h"

/* glibc looks a name up in a thread of its own.  The loop asks whether it is done, because a
 * notification would need one more thread, and would be lost if there is none. */
#define ASK_EVERY_S 0.010

/* glibc writes to it until gai_error says that it is done; it must not be freed before. */
struct lookup {
    struct gaicb request;
    struct addrinfo hints;
    char host[256];
};

struct resolver {
    struct ev_loop *loop;
    resolver_done *done;
    void *context;
    ev_timer ask;
    struct lookup *lookup; /* under way, or NULL */
};

static void lookup_free(struct lookup *lookup)
{
    if (lookup->request.ar_result)
        freeaddrinfo(lookup->request.ar_result);
    free(lookup);
}

static void collect(const struct addrinfo *list, struct resolved *resolved)
{
    for (; list && resolved->count < RESOLVER_ADDRESSES_MAX; list = list->ai_next)
        if (getnameinfo(list->ai_addr, list->ai_addrlen, resolved->address[resolved->count],
                        RESOLVER_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
            resolved->count++;
    if (resolved->count == 0)
        resolved->error = "no address for this name";
}

static void on_ask(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct resolver *resolver = watcher->data;
    struct lookup *lookup = resolver->lookup;
    struct resolved resolved = {0};
    int error = gai_error(&lookup->request);

    (void)events;
    if (error == EAI_INPROGRESS)
        return;
    ev_timer_stop(loop, &resolver->ask);
    resolver->lookup = NULL;
    if (error == 0)
        collect(lookup->request.ar_result, &resolved);
    else
        resolved.error = gai_strerror(error);
    lookup_free(lookup);
    resolver->done(resolver->context, &resolved);
}

/* Whether HOST is a numeric address; DONE has then been called. */
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
    struct resolver *resolver = memory_new(sizeof *resolver);

    resolver->loop = loop;
    resolver->done = done;
    resolver->context = context;
    ev_timer_init(&resolver->ask, on_ask, 0., ASK_EVERY_S);
    resolver->ask.data = resolver;
    return resolver;
}

void resolver_start(struct resolver *resolver, const char *host)
{
    assert(!resolver->lookup);
    if (resolve_numeric(resolver, host))
        return;

    struct lookup *lookup = memory_new(sizeof *lookup);
    assert(strlen(host) < sizeof lookup->host);
    strcpy(lookup->host, host);
    lookup->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM};
    lookup->request.ar_name = lookup->host;
    lookup->request.ar_request = &lookup->hints;

    struct sigevent no_notification = {.sigev_notify = SIGEV_NONE};
    int error =
        getaddrinfo_a(GAI_NOWAIT, (struct gaicb *[]){&lookup->request}, 1, &no_notification);
    if (error == 0) {
        resolver->lookup = lookup;
        ev_timer_again(resolver->loop, &resolver->ask);
    } else {
        struct resolved resolved = {.error = gai_strerror(error)};
        lookup_free(lookup);
        resolver->done(resolver->context, &resolved);
    }
}

void resolver_stop(struct resolver *resolver)
{
    ev_timer_stop(resolver->loop, &resolver->ask);
    /* What glibc still works on is not freed, because it would write to it. */
    if (resolver->lookup && gai_cancel(&resolver->lookup->request) != EAI_NOTCANCELED)
        lookup_free(resolver->lookup);
    resolver->lookup = NULL;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    resolver_stop(resolver);
    free(resolver);
}
