/* explain.c - each limit is applied as the limiter does it, and what comes of it is printed. */
/* SPDX-License-Identifier: MIT */
#include "base/units.h"
#include "command/explain.h"

#include <ev.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "limits/apply.h"
#include "request/forward_auth.h"
#include "store/redis.h"
#include "command/typed_request.h"

#define DEFAULT_IP       "192.0.2.1" /* of nobody: RFC 5737 */
#define EXIT_USAGE       2
#define REDIS_TIMEOUT_MS 2000 /* somebody waits at a terminal, nobody at a web server */

/* What the limits make of a request. */
struct explained {
    enum apply_result result[LIMITS_MAX];
    struct applied applied[LIMITS_MAX];
    struct take take[LIMITS_MAX];
};

/* What Redis says of the buckets that are asked about, in the order of the limits. */
struct buckets {
    struct ev_loop *loop;
    size_t count;
    struct take take[LIMITS_MAX];
    bool known;
    struct bucket bucket[LIMITS_MAX];
};

/* ---- What Redis holds ---- */

static void on_looked(void *context, const struct bucket *found)
{
    struct buckets *buckets = context;

    buckets->known = found != NULL;
    if (found)
        memcpy(buckets->bucket, found, buckets->count * sizeof *found);
    ev_break(buckets->loop, EVBREAK_ALL);
}

/* Look at the buckets of EXPLAINED: a take of no tokens writes nothing.  False where Redis does not
 * answer. */
static bool look(const struct limits *limits, const struct explained *explained,
                 const struct redis_address *address, struct buckets *buckets)
{
    buckets->loop = ev_default_loop(EVFLAG_AUTO);
    for (size_t i = 0; i < limits->count; i++) {
        if (explained->result[i] != APPLY_TAKE)
            continue;
        buckets->take[buckets->count] = explained->take[i];
        buckets->take[buckets->count++].cost = 0;
    }
    if (buckets->count == 0)
        return true;
    if (!buckets->loop)
        return false;
    struct redis *redis = redis_new(buckets->loop, address, REDIS_TIMEOUT_MS);
    redis_take(redis, buckets->take, buckets->count, buckets->count, on_looked, buckets);
    if (!buckets->known)
        ev_run(buckets->loop, 0);
    redis_free(redis);
    return buckets->known;
}

/* ---- What is told ---- */

static void print_time(FILE *out, int64_t us)
{
    if (us % 1000000 == 0)
        fprintf(out, "%" PRId64 " s", us / 1000000);
    else if (us % 1000 == 0)
        fprintf(out, "%" PRId64 " ms", us / 1000);
    else
        fprintf(out, "%" PRId64 " us", us);
}

static void print_text(FILE *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.text[i];
        fputc(byte < ' ' || byte == 0x7f ? '?' : byte, out);
    }
}

static void print_source(FILE *out, const struct key_source *source)
{
    fprintf(out, "%s%s%s%s%s", source->lower ? "lower(" : "", key_source_word(source->kind),
            source->name[0] ? ":" : "", source->name, source->lower ? ")" : "");
}

static void print_key(FILE *out, const struct limit *limit, struct view *view)
{
    struct key_values values;

    key_find(&limit->key, view, &values);
    fprintf(out, "  key        ");
    for (size_t i = 0; i < values.count; i++) {
        fprintf(out, "%s", i > 0 ? " + " : "");
        print_source(out, values.source[i]);
        if (values.source[i]->kind == KEY_SOURCE_GLOBAL)
            continue;
        fprintf(out, "%s", values.value[i].len > 0 ? " = " : " is missing");
        print_text(out, values.value[i]);
    }
    fprintf(out, "\n");
}

static void print_cost(FILE *out, const struct limit *limit, const struct take *take)
{
    fprintf(out, "  cost       %" PRId64, take->cost);
    if (limit->cost.tokens == 0) {
        fprintf(out, ", from ");
        print_source(out, &limit->cost.source);
    }
    if (take->cost > take->capacity)
        fprintf(out, ": more than the capacity, it can never be served");
    fprintf(out, "\n");
}

static void print_bucket(FILE *out, const struct take *take, const struct bucket *bucket)
{
    fprintf(out, "  bucket     %" PRId64 " of %" PRId64 " tokens now", bucket->remaining,
            take->capacity);
    if (bucket->full_us > 0)
        fprintf(out, ", full in %" PRId64 " s", units_seconds_up(bucket->full_us));
    fprintf(out, "; this request would be %s\n",
            bucket->remaining >= take->cost ? "allowed" : "refused");
}

/* Why MATCH is not for VIEW. */
static void print_mismatch(FILE *out, const struct match *match, struct view *view)
{
    switch (match_request(match, view)) {
    case MATCH_FITS:
        break;
    case MATCH_METHOD:
        fprintf(out, "the method %s is none of", view->request->method);
        for (unsigned i = 0; i < match->method_count; i++)
            fprintf(out, "%s %s", i > 0 ? "," : "", match->method[i]);
        break;
    case MATCH_PATH:
        fprintf(out, "the path ");
        print_text(out, view_path(view));
        fprintf(out, " does not fit %s", match->path);
        break;
    case MATCH_HOST_UNREADABLE:
        fprintf(out, "the host cannot be read");
        break;
    case MATCH_HOST:
        fprintf(out, "%s", view_host(view).len > 0 ? "the host " : "a request without a host");
        print_text(out, view_host(view));
        fprintf(out, " does not fit %s", match->host);
        break;
    }
    fprintf(out, "\n");
}

static const char *summary(const struct limit *limit, enum apply_result result)
{
    switch (result) {
    case APPLY_AMBIGUOUS:
        return "answers 400: a source that it reads is there more than once, or in an unclear form";
    case APPLY_TOO_MUCH:
        return "answers 400: the patterns of the limits would take too long for this request";
    case APPLY_UNLIMITED:
        return "does not apply: the client is unlimited";
    case APPLY_BLOCKED:
        return limit->shadow ? "shadow: would answer 403, the client is blocked"
                             : "answers 403: the client is blocked";
    default:
        return limit->shadow ? "applies as a shadow: it never refuses" : "applies";
    }
}

/* Tell of one limit.  BUCKET may be NULL. */
static void print_limit(FILE *out, const struct limit *limit, enum apply_result result,
                        const struct applied *applied, const struct take *take,
                        const struct bucket *bucket, struct view *view)
{
    if (result == APPLY_NOT) {
        fprintf(out, "\n%s does not apply: ", limit->name);
        print_mismatch(out, &limit->match, view);
        return;
    }
    fprintf(out, "\n%s %s\n", limit->name, summary(limit, result));
    if (result == APPLY_TOO_MUCH)
        return;
    if (result == APPLY_AMBIGUOUS) {
        fprintf(out, "  source     ");
        print_source(out, applied->ambiguous);
        fprintf(out, "\n");
        return;
    }
    print_key(out, limit, view);
    fprintf(out, "  Redis key  %s\n", take->key);
    if (applied->override)
        fprintf(out, "  override   the one in line %u\n", applied->override->line);
    if (result != APPLY_TAKE)
        return;
    fprintf(out, "  capacity   %" PRId64 "\n  refill     one token every ", take->capacity);
    print_time(out, take->interval_us);
    fprintf(out, "\n");
    print_cost(out, limit, take);
    if (bucket)
        print_bucket(out, take, bucket);
}

static void print_request(FILE *out, struct view *view)
{
    const struct request *request = view->request;

    fprintf(out, "%s ", request->method);
    print_text(out, view_path(view));
    if (view_host(view).len > 0) {
        fprintf(out, ", host ");
        print_text(out, view_host(view));
    }
    fprintf(out, ", client ");
    print_text(out, view_client(view));
    fprintf(out, "\n");
}

static int explain_request(const struct limits *limits, const struct redis_address *redis,
                           const struct request *request, FILE *out)
{
    static struct explained explained; /* too large for a stack */
    static struct buckets buckets;
    static struct forward_auth forward;
    static struct view view;
    const struct forward_auth_rules rules = {limits->trusted_proxy, limits->proxy_count,
                                             limits->forward_auth};
    size_t next = 0;

    request = forward_auth_read(request, &rules, &forward);
    if (!request) {
        fprintf(out, "answers 400: %s\n", forward.problem);
        return EXIT_SUCCESS;
    }
    view_begin(&view, request, (unsigned)limits->ipv6_prefix_bits);
    for (size_t i = 0; i < limits->count; i++)
        explained.result[i] =
            apply_limit(&limits->limit[i], &view, &explained.take[i], &explained.applied[i]);
    if (redis && !look(limits, &explained, redis, &buckets))
        return EXIT_FAILURE; /* the log said why */
    print_request(out, &view);
    for (size_t i = 0; i < limits->count; i++) {
        bool looked = redis && explained.result[i] == APPLY_TAKE;
        print_limit(out, &limits->limit[i], explained.result[i], &explained.applied[i],
                    &explained.take[i], looked ? &buckets.bucket[next++] : NULL, &view);
    }
    return EXIT_SUCCESS;
}

int explain(const struct limits *limits, const struct redis_address *redis,
            const struct options *options, FILE *out)
{
    const char *ip = options->ip ? options->ip : DEFAULT_IP;
    struct typed_request text = {.count = 0};
    struct address address;
    int status = EXIT_USAGE;

    const char *error = address_parse(ip, &address)
                            ? typed_request_read(options->explain, ip, options->headers.text,
                                                 options->headers.count, options->env.text,
                                                 options->env.count, &text)
                            : "--ip is no address; write 192.0.2.7 or 2001:db8::1";
    if (error)
        fprintf(stderr, "ratelimit.fcgi: --explain: %s\n", error);
    else
        status = explain_request(limits, redis, &text.request, out);
    typed_request_free(&text);
    return status;
}
