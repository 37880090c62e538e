/* fuzz_request.c - for any input on a connection, each request gets one complete answer in the form
 * that it requires */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <fastcgi.h>

#include "front/fcgi_head.h"
#include "front/fcgi_request.h"
#include "decide/router.h"
#include "config/limits_file.h"
#include "decide/reply.h"

static const char limits_text[] =
    "trusted_proxies: [192.0.2.0/24]\n"
    "limits:\n"
    "  - { name: user, key: 'lower(query:user) | ip', capacity: 5, refill: 1/s }\n"
    "  - { name: api, match: { path: '/api/**', methods: [GET], host: '*.example.com' },\n"
    "      key: 'header:X-Api-Key + cookie:id', cost: 'header:X-Cost', capacity: 9, refill: "
    "5/min,\n"
    "      overrides: [{ key: ['a*', '*'], capacity: 3 }, { key: [b, b], unlimited: true },\n"
    "                  { key: [c, '*'], blocked: true }] }\n"
    "  - { name: watch, key: 'path + host', capacity: 1, refill: 1/h, shadow: true }\n"
    "  - { name: closed, match: { methods: [POST] }, key: global, capacity: 1, refill: 1/day,\n"
    "      on_redis_failure: deny }\n";

/* A store that decides by the bytes of the keys, so that equal inputs give equal decisions. */
static void fake_ask(struct store *store, struct ask *ask)
{
    (void)store;
    for (size_t i = 0; i < ask->charge_count; i++) {
        struct charge *charge = &ask->charges[i];
        must_be_key(charge->key, charge->key_len, strrchr(charge->key, ':') + 1);
        bool allowed = charge->key[charge->key_len / 2] % 3;
        charge->balance =
            allowed ? (struct balance){true, charge->capacity - 1, 0, charge->interval_us}
                    : (struct balance){false, 0, charge->interval_us, charge->interval_us};
    }
    ask->settled_by = ask->charges[0].key_len % 7 ? SETTLED_BY_REDIS : UNSETTLED;
    ask->done(ask);
}

/* A connection, and the answer that was sent on it. */
struct peer {
    struct fcgi_request *request;
    unsigned answers;
    bool authorizer;
    char text[REPLY_SIZE];
    size_t len;
    unsigned char records[2 * REPLY_SIZE];
    size_t records_len;
};

static void take_records(void *context, const char *text, size_t len)
{
    struct peer *peer = context;

    must(peer->records_len + len <= sizeof peer->records, "an answer has a bound");
    memcpy(peer->records + peer->records_len, text, len);
    peer->records_len += len;
}

static void on_reply(void *exchange, const char *text, size_t len)
{
    struct peer *peer = exchange;

    must(peer->answers++ == 0, "a request is answered once");
    must(len < REPLY_SIZE && strlen(text) == len, "an answer is a text");
    memcpy(peer->text, text, len + 1);
    peer->len = len;
    fcgi_request_reply(peer->request, text, len, take_records, peer);
}

/* Check that the answer begins with Status, has lines without control characters, and an empty
 * line. */
static void must_be_answer(const struct peer *peer)
{
    static const int statuses[] = {200, 204, 400, 403, 429, 431, 500, 503};
    const char *body = strstr(peer->text, "\r\n\r\n");
    int status = 0;
    bool known = false;

    must(sscanf(peer->text, "Status: %3d ", &status) == 1, "an answer begins with its status");
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        known = known || statuses[i] == status;
    must(known && body, "a status is a known one, and a head ends");
    for (const char *byte = peer->text; *byte; byte++)
        must((unsigned char)*byte >= ' ' || *byte == '\r' || *byte == '\n',
             "an answer holds no control characters");
    must(!peer->authorizer || status != 200 || body[4] == '\0', "an authorizer's 200 has no body");
}

/* Check that the records are those of request ID: output that is the answer, its end, and the end
 * of the request. */
static void must_be_records(const struct peer *peer, unsigned id)
{
    size_t at = 0, text = 0;
    bool ended = false;

    while (at < peer->records_len) {
        const unsigned char *record = peer->records + at;
        size_t len = (size_t)record[4] << 8 | record[5];
        must(!ended && record[0] == 1 && ((unsigned)record[2] << 8 | record[3]) == id,
             "a record is the request's");
        if (record[1] == FCGI_STDOUT) {
            must(text + len <= peer->len && memcmp(record + 8, peer->text + text, len) == 0,
                 "the output is the answer");
            text += len;
        } else {
            must(record[1] == FCGI_END_REQUEST && len == 8 && record[12] == FCGI_REQUEST_COMPLETE,
                 "what follows is the end of the request");
            ended = true;
        }
        at += 8 + len + record[6];
    }
    must(ended && at == peer->records_len && text == peer->len, "the answer is whole");
}

static void answer(struct router *router, const struct fcgi_head *head)
{
    static struct peer peer;
    struct request request;

    peer.answers = 0;
    peer.records_len = 0;
    peer.authorizer = head->role == FCGI_AUTHORIZER;
    peer.request = fcgi_request_read(head, &request);
    must(peer.request != NULL, "libfcgi reads what is complete");
    router_handle(router, &peer, &request);
    must(peer.answers == 1, "a request is answered");
    must_be_answer(&peer);
    must_be_records(&peer, head->id);
}

static struct router *make_router(void)
{
    static struct store store = {fake_ask};
    struct findings findings = {.file = "f"};
    char error[256];
    struct limits *limits = limits_parse(limits_text, sizeof limits_text - 1, &findings);

    findings_write(&findings, FINDINGS_ERRORS, stderr);
    findings_free(&findings);
    must(limits != NULL, "the limits of this harness are right");
    must(fcgi_request_init() == NULL, "libfcgi reads and writes through us");
    struct region *region = region_open(NULL, MIRROR_ROWS_DEFAULT, error, sizeof error);
    must(region != NULL, "there is memory");
    must(region_claim(region) != NULL, "a new region has a slot");
    struct pages *pages = pages_new(region, recent_new(region), &(struct pages_access){0});
    return router_new(limiter_new(limits, &store, region, on_reply), pages, on_reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char params[FCGI_HEAD_SIZE];
    static struct router *router;
    struct fcgi_head head = {.params = params};
    struct span bytes = {(const char *)data, size};
    enum fcgi_event event;

    if (!router)
        router = make_router();
    while ((event = fcgi_head_read(&head, &bytes)) != FCGI_EVENT_MORE &&
           event != FCGI_EVENT_BROKEN) {
        if (event != FCGI_EVENT_REQUEST)
            continue;
        answer(router, &head);
        fcgi_head_answered(&head);
    }
    return 0;
}
