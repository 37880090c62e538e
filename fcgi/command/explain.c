/* explain.c - each limit is applied as the limiter does it, and the outcome is printed. */
/* SPDX-License-Identifier: MIT */
#include "command/explain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/units.h"
#include "command/configure.h"
#include "command/look.h"
#include "command/override.h"
#include "limits/apply.h"
#include "request/forward_auth.h"
#include "command/typed_request.h"

/* What one limit makes of a request. */
struct explained {
    enum apply_result result;
    struct applied applied;
    struct charge charge;
    const struct balance *balance; /* that the client's bucket has now; NULL: not known */
};

/* Look at the buckets of the COUNT EXPLAINED limits, in the Redis of CONFIG.  CHARGES has room for
 * STORE_CHARGES_MAX.  Returns as look_at. */
static const char *look_at_buckets(struct explained *explained, size_t count,
                                   const struct redis_config *config, struct charge *charges)
{
    size_t charge_count = 0;

    for (size_t i = 0; i < count && charge_count < STORE_CHARGES_MAX; i++) {
        if (explained[i].result != APPLY_CHARGE)
            continue;
        charges[charge_count] = explained[i].charge;
        explained[i].balance = &charges[charge_count++].balance;
    }
    return look_at(charges, charge_count, config);
}

/* ---- What is printed ---- */

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

/* Print VALUE as the Redis key has it if it is secret, because what is printed here ends up in
 * tickets. */
static void print_value(FILE *out, const struct key_source *source, struct span value)
{
    char digest[MEMO_DIGEST_SIZE];

    if (!source->secret) {
        print_text(out, value);
        return;
    }
    memo_digest(NULL, value, digest);
    fprintf(out, "#%.*s", MEMO_DIGEST_SIZE, digest);
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
        if (values.value[i].len > 0)
            print_value(out, values.source[i], values.value[i]);
    }
    fprintf(out, "\n");
}

static void print_cost(FILE *out, const struct limit *limit, const struct charge *charge)
{
    fprintf(out, "  cost       %" PRId64, charge->cost);
    if (limit->cost.tokens == 0) {
        fprintf(out, ", from ");
        print_source(out, &limit->cost.source);
    }
    if (charge->cost > charge->capacity)
        fprintf(out, ": more than the capacity, it can never be served");
    fprintf(out, "\n");
}

static void print_bucket(FILE *out, const struct charge *charge, const struct balance *balance)
{
    fprintf(out, "  bucket     %" PRId64 " of %" PRId64 " tokens now", balance->remaining,
            charge->capacity);
    if (balance->full_us > 0)
        fprintf(out, ", full in %" PRId64 " s", units_seconds_up(balance->full_us));
    fprintf(out, "; this request would be %s\n",
            balance->remaining >= charge->cost ? "allowed" : "refused");
}

/* Print why MATCH does not fit VIEW. */
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
    case APPLY_TOO_MANY:
        return limit->shadow ? "is left out: 64 other limits apply to this request"
                             : "answers 500: 64 other limits apply to this request";
    case APPLY_UNLIMITED:
        return "does not apply: the client is unlimited";
    case APPLY_BLOCKED:
        return limit->shadow ? "shadow: would answer 403, the client is blocked"
                             : "answers 403: the client is blocked";
    default:
        return limit->shadow ? "applies as a shadow: it never refuses" : "applies";
    }
}

static void print_override(FILE *out, const struct override *override)
{
    char until[CLOCK_SHOWN_SIZE];

    if (override->line > 0)
        fprintf(out, "  override   the one in line %u\n", override->line);
    else if (override->until_s == 0)
        fprintf(out, "  override   one that is stored in Redis\n");
    else
        fprintf(
            out, "  override   one that is stored in Redis, until %s\n",
            clock_show(clock_unix_us() + (int64_t)((override->until_s - clock_s()) * 1e6), until));
}

/* Print what EXPLAINED says about LIMIT.  WHY: why Redis did not say what the buckets hold; or
 * NULL. */
static void print_limit(FILE *out, const struct limit *limit, const struct explained *explained,
                        const char *why, struct view *view)
{
    const struct charge *charge = &explained->charge;

    if (explained->result == APPLY_NOT) {
        fprintf(out, "\n%s does not apply: ", limit->name);
        print_mismatch(out, &limit->match, view);
        return;
    }
    fprintf(out, "\n%s %s\n", limit->name, summary(limit, explained->result));
    if (explained->result == APPLY_TOO_MUCH || explained->result == APPLY_TOO_MANY)
        return;
    if (explained->result == APPLY_AMBIGUOUS) {
        fprintf(out, "  source     ");
        print_source(out, explained->applied.ambiguous);
        fprintf(out, "\n");
        return;
    }
    print_key(out, limit, view);
    fprintf(out, "  Redis key  %s\n", charge->key);
    if (explained->applied.override)
        print_override(out, explained->applied.override);
    if (explained->result != APPLY_CHARGE)
        return;
    fprintf(out, "  capacity   %" PRId64 "\n  refill     one token every ", charge->capacity);
    print_time(out, charge->interval_us);
    fprintf(out, "\n");
    print_cost(out, limit, charge);
    if (why)
        fprintf(out, "  bucket     not known: %s\n", why);
    else
        print_bucket(out, charge, explained->balance);
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

/* Apply LIMITS to VIEW into EXPLAINED. */
static void apply_limits(const struct limits *limits, struct view *view,
                         struct explained *explained)
{
    size_t applied_count = 0;

    for (size_t i = 0; i < limits->count; i++) {
        explained[i].result =
            apply_limit(&limits->limit[i], view, &explained[i].charge, &explained[i].applied);
        if (explained[i].result != APPLY_NOT && ++applied_count > STORE_CHARGES_MAX)
            explained[i].result = APPLY_TOO_MANY;
    }
}

static void explain_request(const struct limits *limits, const struct redis_config *redis,
                            const struct request *request, FILE *out)
{
    static struct forward_auth forward; /* too large for a stack, as those below */
    static struct view view;
    static struct charge charges[STORE_CHARGES_MAX];
    const struct forward_auth_rules rules = {limits->trusted_proxy, limits->proxy_count,
                                             limits->forward_auth};

    request = forward_auth_read(request, &rules, &forward);
    if (!request) {
        fprintf(out, "answers 400: %s\n", forward.problem);
        return;
    }
    struct explained *explained = memory_new(limits->count * sizeof *explained);
    view_begin(&view, request, (unsigned)limits->ipv6_prefix_bits);
    apply_limits(limits, &view, explained);
    const char *why = look_at_buckets(explained, limits->count, redis, charges);
    print_request(out, &view);
    for (size_t i = 0; i < limits->count; i++)
        print_limit(out, &limits->limit[i], &explained[i], why, &view);
    free(explained);
}

int explain(const struct options *options)
{
    struct typed_request text;
    struct redis_config redis;
    char unread[512];
    int status = EXIT_USAGE;

    const char *error = typed_request_of(options, options->explain, &text);
    if (error)
        fprintf(stderr, "ratelimit.fcgi: --explain: %s\n", error);
    struct limits *limits = error ? NULL : configure(options, FINDINGS_ERRORS, NULL, &redis);
    if (limits) {
        printf("%s: %zu limit%s\n", configure_name(options), limits->count,
               limits->count == 1 ? "" : "s");
        if (!override_attach(limits, &redis, unread, sizeof unread))
            printf("overrides that are stored in Redis are not known: %s\n", unread);
        explain_request(limits, &redis, &text.request, stdout);
        status = EXIT_SUCCESS;
    }
    limits_unref(limits);
    typed_request_free(&text);
    return status;
}
