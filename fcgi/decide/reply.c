/* reply.c - text that is appended to a buffer whose size is always enough. */
/* SPDX-License-Identifier: MIT */
#include "decide/reply.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"

/* Append NAME in quotes: an RFC 9651 String, and a JSON string, because a name holds neither '"'
 * nor '\\'. */
static void append_name(struct text *text, const char *name)
{
    text_append(text, "\"");
    text_append(text, name);
    text_append(text, "\"");
}

static void append_field(struct text *text, const char *field, int64_t number)
{
    text_append(text, field);
    text_append_number(text, number);
}

/* `Status:` is first, because lighttpd drops what an authorizer sends before it. */
static void append_head(struct text *reply, enum reply_form form, int status, const char *reason)
{
    if (form == REPLY_AUTH_REQUEST) {
        text_append(reply, status == 200 ? "Status: 204 No Content" : "Status: 403 Forbidden");
        append_field(reply, "\r\nRateLimit-Status: ", status);
    } else {
        append_field(reply, "Status: ", status);
        text_append(reply, " ");
        text_append(reply, reason);
        text_append(reply, "\r\nContent-Type: application/");
        text_append(reply, status == 200 ? "json" : "problem+json");
    }
    text_append(reply, "\r\nCache-Control: no-store\r\n");
}

static void append_body(struct text *reply, const struct text *body)
{
    append_field(reply, "Content-Length: ", (int64_t)body->len + 1);
    text_append(reply, "\r\n\r\n");
    text_append(reply, body->bytes);
    text_append(reply, "\n");
}

/* Append PROBLEM, one line of JSON: as the body, or as a field if FORM has no body. */
static void append_problem(struct text *reply, enum reply_form form, const struct text *problem)
{
    if (form != REPLY_AUTH_REQUEST) {
        append_body(reply, problem);
        return;
    }
    text_append(reply, "RateLimit-Problem: ");
    text_append(reply, problem->bytes);
    text_append(reply, "\r\n\r\n");
}

/* Write an answer that is a problem without a type of its own; HEADERS are lines, or "". */
static size_t write_problem(enum reply_form form, int status, const char *title, const char *detail,
                            const char *headers, char out[REPLY_SIZE])
{
    char problem_bytes[512];
    struct text reply = {out, 0, REPLY_SIZE}, problem = {problem_bytes, 0, sizeof problem_bytes};

    append_head(&reply, form, status, title);
    text_append(&reply, headers);
    text_append(&problem, "{\"type\":\"about:blank\",\"title\":");
    append_name(&problem, title);
    append_field(&problem, ",\"status\":", status);
    text_append(&problem, ",\"detail\":");
    append_name(&problem, detail);
    text_append(&problem, "}");
    append_problem(&reply, form, &problem);
    return reply.len;
}

/* RateLimit's t, in seconds; -1: there is none. */
static int64_t effective_window(const struct quota *quota)
{
    const struct balance *balance = &quota->charge->balance;

    if (balance->remaining > 0)
        return units_seconds_up(balance->remaining * quota->charge->interval_us);
    return balance->wait_us < 0 ? -1 : units_seconds_up(balance->wait_us);
}

static void append_policy(struct text *reply, const struct quota *quotas, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct charge *charge = quotas[i].charge;
        text_append(reply, i > 0 ? ", " : "");
        append_name(reply, quotas[i].limit->name);
        append_field(reply, ";q=", charge->capacity);
        append_field(reply, ";w=", units_seconds_up(charge->capacity * charge->interval_us));
    }
}

static void append_ratelimit(struct text *reply, const struct quota *quotas, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t window = effective_window(&quotas[i]);
        text_append(reply, i > 0 ? ", " : "");
        append_name(reply, quotas[i].limit->name);
        append_field(reply, ";r=", quotas[i].charge->balance.remaining);
        if (window >= 0)
            append_field(reply, ";t=", window);
    }
}

static void append_retry_after(struct text *reply, const struct quota *quotas, size_t count)
{
    int64_t longest_us = 0;

    for (size_t i = 0; i < count; i++) {
        const struct balance *balance = &quotas[i].charge->balance;
        if (balance->wait_us < 0)
            return;
        if (!balance->allowed && balance->wait_us > longest_us)
            longest_us = balance->wait_us;
    }
    append_field(reply, "Retry-After: ", units_seconds_up(longest_us));
    text_append(reply, "\r\n");
}

/* How many more requests like this one QUOTA has room for. */
static int64_t requests_left(const struct quota *quota)
{
    return quota->charge->balance.remaining / (quota->charge->cost > 0 ? quota->charge->cost : 1);
}

/* Whether ONE is closer to refusing than OTHER, or has refused for longer. */
static bool is_closer(const struct quota *one, const struct quota *other)
{
    if (one->charge->balance.allowed != other->charge->balance.allowed)
        return other->charge->balance.allowed;
    if (one->charge->balance.allowed)
        return requests_left(one) < requests_left(other);
    if (one->charge->balance.wait_us < 0 || other->charge->balance.wait_us < 0)
        return other->charge->balance.wait_us >= 0;
    return one->charge->balance.wait_us > other->charge->balance.wait_us;
}

static const struct quota *closest_to_refusing(const struct quota *quotas, size_t count)
{
    const struct quota *closest = &quotas[0];

    for (size_t i = 1; i < count; i++)
        if (is_closer(&quotas[i], closest))
            closest = &quotas[i];
    return closest;
}

/* The names that the fields of a verdict have. */
struct names {
    const char *policy, *ratelimit, *limit, *remaining, *reset, *closest_name, *closest_remaining;
};

/* As headers of an answer. */
static const struct names header_names = {
    .policy = "RateLimit-Policy: ",
    .ratelimit = "RateLimit: ",
    .limit = "X-RateLimit-Limit: ",
    .remaining = "X-RateLimit-Remaining: ",
    .reset = "X-RateLimit-Reset: ",
    .closest_name = "RateLimit-Name: ",
    .closest_remaining = "RateLimit-Remaining: ",
};

/* As variables for a web server. */
static const struct names variable_names = {
    .policy = "Variable-RATELIMIT_POLICY: ",
    .ratelimit = "Variable-RATELIMIT: ",
    .limit = "Variable-X_RATELIMIT_LIMIT: ",
    .remaining = "Variable-X_RATELIMIT_REMAINING: ",
    .reset = "Variable-X_RATELIMIT_RESET: ",
    .closest_name = "Variable-RATELIMIT_NAME: ",
    .closest_remaining = "Variable-RATELIMIT_REMAINING: ",
};

static void append_fields(struct text *reply, const struct verdict *verdict,
                          const struct names *names)
{
    if (verdict->count == 0)
        return;
    if (verdict->headers & HEADER_IETF) {
        text_append(reply, names->policy);
        append_policy(reply, verdict->quotas, verdict->count);
        text_append(reply, "\r\n");
        text_append(reply, names->ratelimit);
        append_ratelimit(reply, verdict->quotas, verdict->count);
        text_append(reply, "\r\n");
    }
    if (verdict->headers & HEADER_X_RATELIMIT) {
        const struct quota *closest = closest_to_refusing(verdict->quotas, verdict->count);
        append_field(reply, names->limit, closest->charge->capacity);
        text_append(reply, "\r\n");
        append_field(reply, names->remaining, closest->charge->balance.remaining);
        text_append(reply, "\r\n");
        append_field(reply, names->reset, units_seconds_up(closest->charge->balance.full_us));
        text_append(reply, "\r\n");
    }
}

/* Append the field that names the shadow limits that would have refused, if there are any. */
static void append_shadow_field(struct text *reply, const struct verdict *verdict)
{
    for (size_t i = 0; i < verdict->shadow_count; i++) {
        text_append(reply, i > 0 ? ", " : "RateLimit-Shadow: ");
        append_name(reply, verdict->shadow[i]->name);
    }
    text_append(reply, verdict->shadow_count > 0 ? "\r\n" : "");
}

/* Append the name and the remaining tokens of the quota that is closest to refusing, if there is
 * one. */
static void append_closest(struct text *reply, const struct verdict *verdict,
                           const struct names *names)
{
    if (verdict->count == 0)
        return;
    const struct quota *closest = closest_to_refusing(verdict->quotas, verdict->count);
    text_append(reply, names->closest_name);
    text_append(reply, closest->limit->name);
    text_append(reply, "\r\n");
    append_field(reply, names->closest_remaining, closest->charge->balance.remaining);
    text_append(reply, "\r\n");
}

static void append_header_fields(struct text *reply, enum reply_form form,
                                 const struct verdict *verdict)
{
    append_fields(reply, verdict, &header_names);
    append_shadow_field(reply, verdict);
    if (form == REPLY_AUTH_REQUEST) /* not for a client, which has RateLimit */
        append_closest(reply, verdict, &header_names);
}

/* The answer of an authorizer that allows the request. */
static void append_variables(struct text *reply, const struct verdict *verdict)
{
    text_append(reply, "Status: 200 OK\r\n");
    append_fields(reply, verdict, &variable_names);
    append_closest(reply, verdict, &variable_names);
    for (size_t i = 0; i < verdict->shadow_count; i++) {
        text_append(reply, i > 0 ? ", " : "Variable-RATELIMIT_SHADOW: ");
        text_append(reply, verdict->shadow[i]->name);
    }
    text_append(reply, verdict->shadow_count > 0 ? "\r\n\r\n" : "\r\n");
}

/* Append the members shadow and local, if there is something to say. */
static void append_circumstances(struct text *body, const struct verdict *verdict)
{
    text_append(body, verdict->local ? ",\"local\":true" : "");
    for (size_t i = 0; i < verdict->shadow_count; i++) {
        text_append(body, i > 0 ? "," : ",\"shadow\":[");
        append_name(body, verdict->shadow[i]->name);
    }
    text_append(body, verdict->shadow_count > 0 ? "]" : "");
}

static void append_quota_exceeded(struct text *body, const struct verdict *verdict)
{
    const struct quota *closest = closest_to_refusing(verdict->quotas, verdict->count);
    const char *separator = "";

    text_append(body, "{\"type\":\"https://iana.org/assignments/http-problem-types#");
    text_append(body, verdict->local
                          ? "temporary-reduced-capacity\",\"title\":\"Request cannot be satisfied "
                            "due to temporary server capacity constraints\","
                          : "quota-exceeded\",\"title\":\"Request cannot be satisfied as assigned "
                            "quota has been exceeded\",");
    text_append(body, "\"status\":429,");
    if (closest->charge->balance.wait_us < 0) {
        append_field(body, "\"detail\":\"This request costs ", closest->charge->cost);
        text_append(body, " tokens, and a bucket of ");
        text_append(body, closest->limit->name);
        append_field(body, " holds ", closest->charge->capacity);
        text_append(body, ": it can never be served.\",");
    }
    text_append(body, "\"violated-policies\":[");
    for (size_t i = 0; i < verdict->count; i++) {
        if (verdict->quotas[i].charge->balance.allowed)
            continue;
        text_append(body, separator);
        append_name(body, verdict->quotas[i].limit->name);
        separator = ",";
    }
    text_append(body, "]");
    append_circumstances(body, verdict);
    text_append(body, "}");
}

static void append_allowed(struct text *body, const struct verdict *verdict)
{
    text_append(body, "{\"allowed\":true");
    if (verdict->count > 0) {
        const struct quota *closest = closest_to_refusing(verdict->quotas, verdict->count);
        append_field(body, ",\"limit\":", closest->charge->capacity);
        append_field(body, ",\"remaining\":", closest->charge->balance.remaining);
        append_field(body, ",\"reset\":", units_seconds_up(closest->charge->balance.full_us));
    }
    append_circumstances(body, verdict);
    text_append(body, "}");
}

static void append_allowance(struct text *reply, enum reply_form form,
                             const struct verdict *verdict)
{
    char body_bytes[REPLY_SIZE];
    struct text body = {body_bytes, 0, sizeof body_bytes};

    if (form == REPLY_AUTHORIZER) {
        append_variables(reply, verdict);
        return;
    }
    append_head(reply, form, 200, "OK");
    append_header_fields(reply, form, verdict);
    if (form == REPLY_AUTH_REQUEST) {
        text_append(reply, "\r\n");
        return;
    }
    append_allowed(&body, verdict);
    append_body(reply, &body);
}

static void append_refusal(struct text *reply, enum reply_form form, const struct verdict *verdict)
{
    char problem_bytes[REPLY_SIZE];
    struct text problem = {problem_bytes, 0, sizeof problem_bytes};

    append_head(reply, form, 429, "Too Many Requests");
    append_retry_after(reply, verdict->quotas, verdict->count);
    append_header_fields(reply, form, verdict);
    append_quota_exceeded(&problem, verdict);
    append_problem(reply, form, &problem);
}

size_t reply_decided(const struct verdict *verdict, enum reply_form form, char out[REPLY_SIZE])
{
    struct text reply = {out, 0, REPLY_SIZE};
    bool allowed = true;

    assert(verdict->count <= STORE_CHARGES_MAX);
    for (size_t i = 0; i < verdict->count; i++)
        allowed = allowed && verdict->quotas[i].charge->balance.allowed;
    if (allowed)
        append_allowance(&reply, form, verdict);
    else
        append_refusal(&reply, form, verdict);
    return reply.len;
}

size_t reply_blocked(const struct limit *limit, enum reply_form form, char out[REPLY_SIZE])
{
    char detail[128];

    snprintf(detail, sizeof detail, "The limit %s blocks this client.", limit->name);
    return write_problem(form, 403, "Forbidden", detail, "", out);
}

size_t reply_undecided(enum when_down failure, enum reply_form form, char out[REPLY_SIZE])
{
    static const struct verdict nothing_applies;

    if (failure == WHEN_DOWN_ALLOW)
        return reply_decided(&nothing_applies, form, out);
    return write_problem(form, 503, "Service Unavailable",
                         "The rate limiter cannot reach its store.", "Retry-After: 1\r\n", out);
}

size_t reply_incomplete(const char *parameter, char out[REPLY_SIZE])
{
    char detail[128];

    snprintf(detail, sizeof detail,
             "The web server sent no %s: its FastCGI parameters are incomplete.", parameter);
    return write_problem(REPLY_WHOLE, 500, "Internal Server Error", detail, "", out);
}

size_t reply_defect(enum request_defect defect, enum reply_form form, char out[REPLY_SIZE])
{
    if (defect == REQUEST_TOO_LARGE)
        return write_problem(form, 431, "Request Header Fields Too Large",
                             "This request has more header fields, or larger ones, than the rate "
                             "limiter reads.",
                             "", out);
    return reply_unclear("This request has a header field that cannot be read: it holds a NUL "
                         "byte, or its name a '='.",
                         form, out);
}

size_t reply_too_many(enum reply_form form, char out[REPLY_SIZE])
{
    return write_problem(form, 500, "Internal Server Error",
                         "More limits apply to this request than the rate limiter can decide.", "",
                         out);
}

size_t reply_unclear(const char *detail, enum reply_form form, char out[REPLY_SIZE])
{
    return write_problem(form, 400, "Bad Request", detail, "", out);
}

/* Append NAME without what a JSON string cannot hold: the name of a query parameter may. */
static void append_safe(struct text *text, const char *name)
{
    for (; *name; name++) {
        bool safe = *name > ' ' && *name < 0x7f && *name != '"' && *name != '\\';
        text_append(text, (const char[]){(char)(safe ? *name : '?'), '\0'});
    }
}

size_t reply_ambiguous(const struct key_source *source, enum reply_form form, char out[REPLY_SIZE])
{
    char detail_bytes[256];
    struct text detail = {detail_bytes, 0, sizeof detail_bytes};

    text_append(&detail, "A limit counts by ");
    text_append(&detail, key_source_word(source->kind));
    text_append(&detail, source->name[0] != '\0' ? ":" : "");
    append_safe(&detail, source->name);
    text_append(&detail,
                ", which this request has more than once or in an unclear form; send it once.");
    return reply_unclear(detail.bytes, form, out);
}

int reply_status(const char *text)
{
    static const char field[] = "RateLimit-Status: ";
    const char *second = strchr(text, '\n');

    if (second && strncmp(second + 1, field, sizeof field - 1) == 0)
        return atoi(second + sizeof field);
    return atoi(text + sizeof "Status: " - 1);
}
