/* fcgi_head.c - parse FastCGI records that arrive in pieces of any size. */
/* SPDX-License-Identifier: MIT */
#include "front/fcgi_head.h"

#include <fastcgi.h>
#include <string.h>

static size_t smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

static enum fcgi_event broken(struct fcgi_head *head, const char *problem)
{
    head->problem = problem;
    return FCGI_EVENT_BROKEN;
}

/* ---- The header of the current record ---- */

static unsigned two_bytes(const unsigned char *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static unsigned record_type(const struct fcgi_head *head)
{
    return head->start[1];
}

static unsigned record_id(const struct fcgi_head *head)
{
    return two_bytes(head->start + 2);
}

static size_t record_content(const struct fcgi_head *head)
{
    return two_bytes(head->start + 4);
}

static size_t record_padding(const struct fcgi_head *head)
{
    return head->start[6];
}

static bool record_is_management(const struct fcgi_head *head)
{
    return record_id(head) == FCGI_NULL_REQUEST_ID;
}

/* Whether the record belongs to the request in progress. */
static bool record_is_ours(const struct fcgi_head *head)
{
    return head->phase != FCGI_PHASE_BETWEEN && record_id(head) == head->id;
}

/* ---- Name-value pairs (3.4) ---- */

struct pair {
    size_t lengths_size; /* bytes of the two lengths */
    size_t name_len, value_len;
};

/* The size of a length: one byte for lengths below 128, else four; the top bit is set for four. */
static size_t length_size(unsigned char first)
{
    return first < 0x80 ? 1 : 4;
}

static size_t read_length(const unsigned char *bytes)
{
    if (length_size(bytes[0]) == 1)
        return bytes[0];
    return (size_t)two_bytes((const unsigned char[]){bytes[0] & 0x7f, bytes[1]}) << 16 |
           two_bytes(bytes + 2);
}

/* Read the two lengths at the beginning of the LEN bytes at BYTES.  Returns false if more bytes are
 * needed. */
static bool read_lengths(const unsigned char *bytes, size_t len, struct pair *pair)
{
    if (len == 0)
        return false;
    size_t name_size = length_size(bytes[0]);
    if (len <= name_size || len < name_size + length_size(bytes[name_size]))
        return false;
    pair->lengths_size = name_size + length_size(bytes[name_size]);
    pair->name_len = read_length(bytes);
    pair->value_len = read_length(bytes + name_size);
    return true;
}

/* The size of PAIR.  It cannot overflow, even a 32-bit size_t, because both lengths are below
 * 2^31. */
static size_t pair_size(const struct pair *pair)
{
    return pair->lengths_size + pair->name_len + pair->value_len;
}

/* ---- Parameters ---- */

/* Whether PAIR can be read back from libfcgi's form, a NUL-terminated NAME=VALUE: the name must not
 * be empty or contain '=', and neither part may contain a NUL. */
static bool is_readable(const unsigned char *bytes, const struct pair *pair)
{
    const unsigned char *name = bytes + pair->lengths_size;

    return pair->name_len > 0 && !memchr(name, '=', pair->name_len) &&
           !memchr(name, '\0', pair->name_len + pair->value_len);
}

/* Check the pairs of HEAD, whose parameters have ended or were cut, and keep only those in PARAMS
 * that can be given to libfcgi.  Returns false if the last pair extends past the end of the
 * parameters. */
static bool check_params(struct fcgi_head *head)
{
    unsigned char *params = head->params;
    size_t kept = 0, count = 0, size;
    struct pair pair;

    for (size_t at = 0; at < head->params_len; at += size) {
        size_t left = head->params_len - at;
        if (!read_lengths(params + at, left, &pair) || pair_size(&pair) > left) {
            if (head->defect != REQUEST_TOO_LARGE)
                return false;
            break; /* the parameters were cut within this pair */
        }
        size = pair_size(&pair);
        if (++count > FCGI_HEAD_PAIRS_MAX) {
            head->defect = REQUEST_TOO_LARGE;
            break;
        }
        if (!is_readable(params + at, &pair)) {
            head->defect = REQUEST_UNREADABLE;
            continue;
        }
        if (kept < at)
            memmove(params + kept, params + at, size);
        kept += size;
    }
    head->params_len = kept;
    return true;
}

static enum fcgi_event end_params(struct fcgi_head *head)
{
    head->phase = FCGI_PHASE_BODY;
    head->body_id = head->id;
    return check_params(head)
               ? FCGI_EVENT_REQUEST
               : broken(head, "a parameter is longer than the record or stream that it is in");
}

/* Add COUNT bytes at TEXT to the parameters.  If they do not all fit, the head ends at once,
 * because the error response does not need the rest. */
static enum fcgi_event take_params(struct fcgi_head *head, const char *text, size_t count)
{
    size_t fitting = smaller(count, FCGI_HEAD_SIZE - head->params_len);

    memcpy(head->params + head->params_len, text, fitting);
    head->params_len += fitting;
    if (fitting == count)
        return FCGI_EVENT_MORE;
    head->defect = REQUEST_TOO_LARGE;
    head->keep = false;
    return end_params(head);
}

/* ---- FCGI_GET_VALUES (4.1) ---- */

static const struct {
    const char *name;
    char value;
} known_values[] = {{FCGI_MAX_CONNS, '1'}, {FCGI_MAX_REQS, '1'}, {FCGI_MPXS_CONNS, '0'}};

#define KNOWN_VALUES (sizeof known_values / sizeof known_values[0])

/* Record the query for the variable named by PAIR, which is complete in HEAD. */
static void ask_for_value(struct fcgi_head *head, const struct pair *pair)
{
    for (unsigned i = 0; i < KNOWN_VALUES; i++)
        if (strlen(known_values[i].name) == pair->name_len &&
            memcmp(known_values[i].name, head->pair + pair->lengths_size, pair->name_len) == 0)
            head->values |= 1U << i;
}

/* Add BYTE to the current pair.  LEFT is the number of bytes that follow in the record.  Returns
 * false if the pair is longer than the record. */
static bool take_pair_byte(struct fcgi_head *head, unsigned char byte, size_t left)
{
    struct pair pair;

    head->pair[head->pair_len++] = byte;
    if (!read_lengths(head->pair, head->pair_len, &pair))
        return left > 0;
    size_t missing = pair_size(&pair) - head->pair_len;
    if (missing > left)
        return false;
    if (pair_size(&pair) > sizeof head->pair) {
        head->pair_skip = missing; /* no FastCGI variable is that long */
        head->pair_len = 0;
    } else if (missing == 0) {
        ask_for_value(head, &pair);
        head->pair_len = 0;
    }
    return true;
}

/* Read pairs from the COUNT bytes at TEXT.  LEFT more bytes of the record follow them. */
static enum fcgi_event take_values(struct fcgi_head *head, const char *text, size_t count,
                                   size_t left)
{
    for (left += count; count > 0;) {
        size_t skipped = smaller(head->pair_skip, count);
        head->pair_skip -= skipped;
        text += skipped, count -= skipped, left -= skipped;
        if (count == 0)
            break;
        count--, left--;
        if (!take_pair_byte(head, (unsigned char)*text++, left))
            return broken(head, "a name-value pair is longer than its record");
    }
    return FCGI_EVENT_MORE;
}

/* ---- Records ---- */

static bool is_served(unsigned role)
{
    return role == FCGI_RESPONDER || role == FCGI_AUTHORIZER;
}

/* Handle an FCGI_BEGIN_REQUEST that has arrived completely. */
static enum fcgi_event begin_request(struct fcgi_head *head)
{
    const unsigned char *body = head->start + FCGI_HEADER_LEN;
    unsigned role = two_bytes(body);

    head->event_id = record_id(head);
    head->event_keep = body[2] & FCGI_KEEP_CONN;
    if (record_is_ours(head))
        return broken(head, "FCGI_BEGIN_REQUEST repeats the id of a request in progress");
    if (head->phase != FCGI_PHASE_BETWEEN)
        return FCGI_EVENT_SECOND_REQUEST;
    head->body_id = is_served(role) ? 0 : head->event_id;
    if (!is_served(role))
        return FCGI_EVENT_UNKNOWN_ROLE;
    head->phase = FCGI_PHASE_PARAMS;
    head->id = head->event_id;
    head->role = role;
    head->keep = head->event_keep;
    head->defect = REQUEST_FINE;
    head->params_len = 0;
    return FCGI_EVENT_MORE;
}

static enum fcgi_event abort_request(struct fcgi_head *head)
{
    head->phase = FCGI_PHASE_BETWEEN;
    head->event_id = head->id;
    head->event_keep = head->keep;
    return FCGI_EVENT_ABORTED;
}

/* Check the header of a record.  The other checks depend on its content, and are made when that
 * arrives and ends. */
static enum fcgi_event begin_record(struct fcgi_head *head)
{
    unsigned type = record_type(head);

    if (head->start[0] != FCGI_VERSION_1)
        return broken(head, "the version of a record is not 1");
    if (type == FCGI_BEGIN_REQUEST &&
        (record_is_management(head) || record_content(head) != sizeof(FCGI_BeginRequestBody) ||
         record_padding(head) > 0))
        return broken(head, "FCGI_BEGIN_REQUEST without an id, with padding or of another length");
    if (record_is_ours(head) && type == FCGI_PARAMS && record_content(head) == 0 &&
        record_padding(head) > 0)
        return broken(head, "the empty FCGI_PARAMS has padding");
    head->in_record = true;
    head->content_left = record_content(head);
    head->padding_left = record_padding(head);
    head->values = 0;
    head->pair_len = head->pair_skip = 0;
    return FCGI_EVENT_MORE;
}

/* Handle COUNT bytes of the record's content at TEXT.  LEFT more bytes follow. */
static enum fcgi_event take_content(struct fcgi_head *head, const char *text, size_t count,
                                    size_t left)
{
    unsigned type = record_type(head);

    if (record_is_management(head) && type == FCGI_GET_VALUES)
        return take_values(head, text, count, left);
    if (record_is_ours(head) && head->phase == FCGI_PHASE_PARAMS && type == FCGI_PARAMS)
        return take_params(head, text, count);
    return FCGI_EVENT_MORE;
}

/* Handle the end of a record of the request in progress. */
static enum fcgi_event end_our_record(struct fcgi_head *head)
{
    unsigned type = record_type(head);
    bool empty = record_content(head) == 0;

    if (head->phase == FCGI_PHASE_PARAMS) {
        if (type == FCGI_PARAMS)
            return empty ? end_params(head) : FCGI_EVENT_MORE;
        return type == FCGI_ABORT_REQUEST
                   ? abort_request(head)
                   : broken(head, "another record before the end of the parameters");
    }
    if (type == FCGI_STDIN && empty)
        head->body_id = 0;
    /* If the parameters were too large, the rest of them is skipped. */
    if (type == FCGI_STDIN || type == FCGI_DATA || type == FCGI_ABORT_REQUEST ||
        (type == FCGI_PARAMS && head->defect == REQUEST_TOO_LARGE))
        return FCGI_EVENT_MORE;
    return broken(head, "an unexpected record after the parameters");
}

static enum fcgi_event end_record(struct fcgi_head *head)
{
    unsigned type = record_type(head);

    head->in_record = false;
    if (type == FCGI_BEGIN_REQUEST)
        return begin_request(head);
    if (record_is_management(head)) {
        head->event_type = type;
        return type == FCGI_GET_VALUES ? FCGI_EVENT_GET_VALUES : FCGI_EVENT_UNKNOWN_TYPE;
    }
    if (record_is_ours(head))
        return end_our_record(head);
    if (record_id(head) == head->body_id && type == FCGI_STDIN && record_content(head) == 0)
        head->body_id = 0;
    return FCGI_EVENT_MORE;
}

/* The number of bytes of the record that are kept in START. */
static size_t start_size(const struct fcgi_head *head)
{
    return head->start_len >= FCGI_HEADER_LEN && record_type(head) == FCGI_BEGIN_REQUEST
               ? sizeof head->start
               : FCGI_HEADER_LEN;
}

/* Read the part of the header that has arrived.  If it is complete, the result is MORE as well, and
 * IN_RECORD is set. */
static enum fcgi_event read_start(struct fcgi_head *head, struct span *bytes)
{
    size_t count = smaller(FCGI_HEADER_LEN - head->start_len, bytes->len);

    memcpy(head->start + head->start_len, bytes->text, count);
    head->start_len += count;
    bytes->text += count;
    bytes->len -= count;
    return head->start_len == FCGI_HEADER_LEN ? begin_record(head) : FCGI_EVENT_MORE;
}

static enum fcgi_event read_content(struct fcgi_head *head, struct span *bytes)
{
    size_t count = smaller(head->content_left, bytes->len);
    const char *text = bytes->text;

    bytes->text += count;
    bytes->len -= count;
    head->content_left -= count;
    if (head->start_len < start_size(head)) {
        memcpy(head->start + head->start_len, text, count);
        head->start_len += count;
    }
    return take_content(head, text, count, head->content_left);
}

static void skip_padding(struct fcgi_head *head, struct span *bytes)
{
    size_t count = smaller(head->padding_left, bytes->len);

    bytes->text += count;
    bytes->len -= count;
    head->padding_left -= count;
}

/* Do one step of parsing.  *BLOCKED is set if it needs more bytes than there are. */
static enum fcgi_event step(struct fcgi_head *head, struct span *bytes, bool *blocked)
{
    bool whole = head->in_record && head->content_left == 0 && head->padding_left == 0;

    *blocked = bytes->len == 0 && !whole;
    if (*blocked)
        return FCGI_EVENT_MORE;
    if (!head->in_record)
        return read_start(head, bytes);
    if (head->content_left > 0)
        return read_content(head, bytes);
    if (head->padding_left > 0) {
        skip_padding(head, bytes);
        return FCGI_EVENT_MORE;
    }
    enum fcgi_event event = end_record(head);
    head->start_len = 0;
    return event;
}

enum fcgi_event fcgi_head_read(struct fcgi_head *head, struct span *bytes)
{
    enum fcgi_event event;
    bool blocked;

    do
        event = step(head, bytes, &blocked);
    while (event == FCGI_EVENT_MORE && !blocked);
    return event;
}

void fcgi_head_answered(struct fcgi_head *head)
{
    head->phase = FCGI_PHASE_BETWEEN;
    head->params_len = 0;
}

bool fcgi_head_is_between(const struct fcgi_head *head)
{
    return head->phase == FCGI_PHASE_BETWEEN && head->start_len == 0;
}

/* ---- Replies ---- */

size_t fcgi_head_write_header(unsigned char *out, unsigned type, unsigned id, size_t len)
{
    const unsigned char header[FCGI_HEADER_LEN] = {
        FCGI_VERSION_1,    (unsigned char)type,       (unsigned char)(id >> 8),
        (unsigned char)id, (unsigned char)(len >> 8), (unsigned char)len};

    memcpy(out, header, sizeof header);
    return sizeof header + len;
}

static size_t write_end(unsigned char *out, unsigned id, unsigned char protocol_status)
{
    FCGI_EndRequestBody body = {.protocolStatus = protocol_status};

    memcpy(out + FCGI_HEADER_LEN, &body, sizeof body);
    return fcgi_head_write_header(out, FCGI_END_REQUEST, id, sizeof body);
}

static size_t write_unknown_type(unsigned char *out, unsigned type)
{
    FCGI_UnknownTypeBody body = {.type = (unsigned char)type};

    memcpy(out + FCGI_HEADER_LEN, &body, sizeof body);
    return fcgi_head_write_header(out, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, sizeof body);
}

static size_t write_values(unsigned char *out, unsigned values)
{
    unsigned char *end = out + FCGI_HEADER_LEN;

    for (unsigned i = 0; i < KNOWN_VALUES; i++) {
        size_t name_len = strlen(known_values[i].name);
        if (!(values & 1U << i))
            continue;
        *end++ = (unsigned char)name_len;
        *end++ = 1;
        end = (unsigned char *)mempcpy(end, known_values[i].name, name_len);
        *end++ = (unsigned char)known_values[i].value;
    }
    return fcgi_head_write_header(out, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID,
                                  (size_t)(end - out) - FCGI_HEADER_LEN);
}

size_t fcgi_head_reply(const struct fcgi_head *head, enum fcgi_event event,
                       unsigned char out[FCGI_HEAD_REPLY_SIZE])
{
    switch (event) {
    case FCGI_EVENT_UNKNOWN_ROLE:
        return write_end(out, head->event_id, FCGI_UNKNOWN_ROLE);
    case FCGI_EVENT_SECOND_REQUEST:
        return write_end(out, head->event_id, FCGI_CANT_MPX_CONN);
    case FCGI_EVENT_ABORTED:
        return write_end(out, head->event_id, FCGI_REQUEST_COMPLETE);
    case FCGI_EVENT_GET_VALUES:
        return write_values(out, head->values);
    case FCGI_EVENT_UNKNOWN_TYPE:
        return write_unknown_type(out, head->event_type);
    case FCGI_EVENT_MORE:
    case FCGI_EVENT_REQUEST:
    case FCGI_EVENT_BROKEN:
        break;
    }
    return 0;
}
