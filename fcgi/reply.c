#include "reply.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Text that grows at its end.  REPLY_MAX is always enough; that it is, is asserted at each step. */
struct text {
    char *bytes;
    size_t len, size;
};

static void append(struct text *text, const char *bytes)
{
    size_t len = strlen(bytes);

    assert(len < text->size - text->len);
    memcpy(text->bytes + text->len, bytes, len + 1);
    text->len += len;
}

static void append_number(struct text *text, int64_t number)
{
    assert(UNITS_DECIMAL_MAX < text->size - text->len);
    text->len += units_decimal(number, text->bytes + text->len);
    text->bytes[text->len] = '\0';
}

/* Append NAME in quotes: an RFC 9651 String, and a JSON string, for a name holds neither '"' nor '\\'. */
static void append_name(struct text *text, const char *name)
{
    append(text, "\"");
    append(text, name);
    append(text, "\"");
}

static void append_field(struct text *text, const char *field, int64_t number)
{
    append(text, field);
    append_number(text, number);
}

/* `Status:` stands first: lighttpd, as the client of an authorizer, drops what stands before it. */
static void append_head(struct text *reply, const char *status, const char *content_type)
{
    append(reply, "Status: ");
    append(reply, status);
    append(reply, "\r\nContent-Type: ");
    append(reply, content_type);
    append(reply, "\r\nCache-Control: no-store\r\n");
}

static void append_body(struct text *reply, const struct text *body)
{
    append_field(reply, "Content-Length: ", (int64_t)body->len);
    append(reply, "\r\n\r\n");
    append(reply, body->bytes);
}

static void append_problem(struct text *body, int status, const char *title, const char *detail)
{
    append(body, "{\"type\":\"about:blank\",\"title\":");
    append_name(body, title);
    append_field(body, ",\"status\":", status);
    append(body, ",\"detail\":");
    append_name(body, detail);
    append(body, "}\n");
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
        append(reply, i > 0 ? ", " : "");
        append_name(reply, limit->name);
        append_field(reply, ";q=", limit->capacity);
        append_field(reply, ";w=", units_seconds_up(limit->capacity * limit->interval_us));
    }
    append(reply, "\r\nRateLimit: ");
    for (size_t i = 0; i < count; i++) {
        int64_t window = effective_window(&quotas[i]);
        append(reply, i > 0 ? ", " : "");
        append_name(reply, quotas[i].limit->name);
        append_field(reply, ";r=", quotas[i].bucket.remaining);
        if (window >= 0)
            append_field(reply, ";t=", window);
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
    append_field(reply, "Retry-After: ", units_seconds_up(longest_us));
    append(reply, "\r\n");
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
        append(body, separator);
        append_name(body, quotas[i].limit->name);
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
    append_field(body, "{\"allowed\":true,\"limit\":", quota->limit->capacity);
    append_field(body, ",\"remaining\":", quota->bucket.remaining);
    append_field(body, ",\"reset\":", units_seconds_up(quota->bucket.full_us));
    append(body, "}\n");
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
