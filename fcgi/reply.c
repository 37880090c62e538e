#include "reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Text that grows at its end.  REPLY_MAX is always enough; that it is, is asserted at each step. */
struct text {
    char *bytes;
    size_t len, size;
};

static void append(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(struct text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(text->bytes + text->len, text->size - text->len, format, arguments);
    va_end(arguments);
    assert(len >= 0 && (size_t)len < text->size - text->len);
    text->len += (size_t)len;
}

/* `Status:` stands first: lighttpd, as the client of an authorizer, drops what stands before it. */
static void append_head(struct text *reply, const char *status, const char *content_type)
{
    append(reply, "Status: %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\n", status,
           content_type);
}

static void append_body(struct text *reply, const struct text *body)
{
    append(reply, "Content-Length: %zu\r\n\r\n%s", body->len, body->bytes);
}

static void append_problem(struct text *body, int status, const char *title, const char *detail)
{
    append(body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}\n",
           title, status, detail);
}

/* RateLimit's t, in seconds; -1: there is none. */
static int64_t effective_window(const struct quota *quota)
{
    const struct bucket *bucket = &quota->bucket;

    if (bucket->remaining > 0)
        return units_seconds_up(bucket->remaining * quota->limit->interval_us);
    return bucket->wait_us < 0 ? -1 : units_seconds_up(bucket->wait_us);
}

static void append_ratelimit_fields(struct text *reply, const struct quota *quotas, size_t count)
{
    append(reply, "RateLimit-Policy: ");
    for (size_t i = 0; i < count; i++) {
        const struct limit *limit = quotas[i].limit;
        append(reply, "%s\"%s\";q=%lld;w=%lld", i > 0 ? ", " : "", limit->name,
               (long long)limit->capacity,
               (long long)units_seconds_up(limit->capacity * limit->interval_us));
    }
    append(reply, "\r\nRateLimit: ");
    for (size_t i = 0; i < count; i++) {
        int64_t window = effective_window(&quotas[i]);
        append(reply, "%s\"%s\";r=%lld", i > 0 ? ", " : "", quotas[i].limit->name,
               (long long)quotas[i].bucket.remaining);
        if (window >= 0)
            append(reply, ";t=%lld", (long long)window);
    }
    append(reply, "\r\n");
}

static void append_retry_after(struct text *reply, const struct quota *quotas, size_t count)
{
    int64_t longest_us = 0;

    for (size_t i = 0; i < count; i++) {
        const struct bucket *bucket = &quotas[i].bucket;
        if (bucket->wait_us < 0)
            return;
        if (!bucket->allowed && bucket->wait_us > longest_us)
            longest_us = bucket->wait_us;
    }
    append(reply, "Retry-After: %lld\r\n", (long long)units_seconds_up(longest_us));
}

static void append_quota_exceeded(struct text *body, const struct quota *quotas, size_t count)
{
    const char *separator = "";

    append(body, "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","
                 "\"title\":\"Request cannot be satisfied as assigned quota has been exceeded\","
                 "\"status\":429,\"violated-policies\":[");
    for (size_t i = 0; i < count; i++) {
        if (quotas[i].bucket.allowed)
            continue;
        append(body, "%s\"%s\"", separator, quotas[i].limit->name);
        separator = ",";
    }
    append(body, "]}\n");
}

static const struct quota *least_remaining(const struct quota *quotas, size_t count)
{
    const struct quota *least = &quotas[0];

    for (size_t i = 1; i < count; i++)
        if (quotas[i].bucket.remaining < least->bucket.remaining)
            least = &quotas[i];
    return least;
}

static void append_allowed(struct text *body, const struct quota *quota)
{
    append(body, "{\"allowed\":true,\"limit\":%lld,\"remaining\":%lld,\"reset\":%lld}\n",
           (long long)quota->limit->capacity, (long long)quota->bucket.remaining,
           (long long)units_seconds_up(quota->bucket.full_us));
}

size_t reply_decided(const struct quota *quotas, size_t count, char out[REPLY_MAX])
{
    char body_bytes[REPLY_MAX];
    struct text reply = {out, 0, REPLY_MAX}, body = {body_bytes, 0, sizeof body_bytes};
    bool allowed = true;

    assert(count >= 1 && count <= LIMITS_MAX);
    for (size_t i = 0; i < count; i++)
        allowed = allowed && quotas[i].bucket.allowed;

    if (allowed) {
        append_head(&reply, "200 OK", "application/json");
        append_allowed(&body, least_remaining(quotas, count));
    } else {
        append_head(&reply, "429 Too Many Requests", "application/problem+json");
        append_retry_after(&reply, quotas, count);
        append_quota_exceeded(&body, quotas, count);
    }
    append_ratelimit_fields(&reply, quotas, count);
    append_body(&reply, &body);
    return reply.len;
}

size_t reply_undecided(enum redis_failure failure, char out[REPLY_MAX])
{
    char body_bytes[256];
    struct text reply = {out, 0, REPLY_MAX}, body = {body_bytes, 0, sizeof body_bytes};

    if (failure == REDIS_FAILURE_ALLOW) {
        append_head(&reply, "200 OK", "application/json");
        append(&body, "{\"allowed\":true}\n");
    } else {
        append_head(&reply, "503 Service Unavailable", "application/problem+json");
        append(&reply, "Retry-After: 1\r\n");
        append_problem(&body, 503, "Service Unavailable",
                       "The rate limiter cannot reach its store.");
    }
    append_body(&reply, &body);
    return reply.len;
}

size_t reply_incomplete(const char *parameter, char out[REPLY_MAX])
{
    char body_bytes[256], detail[128];
    struct text reply = {out, 0, REPLY_MAX}, body = {body_bytes, 0, sizeof body_bytes};

    snprintf(detail, sizeof detail,
             "The web server sent no %s: its FastCGI parameters are incomplete.", parameter);
    append_head(&reply, "500 Internal Server Error", "application/problem+json");
    append_problem(&body, 500, "Internal Server Error", detail);
    append_body(&reply, &body);
    return reply.len;
}
