/* fcgi_head.h - parse a FastCGI connection record by record, up to the end of each request's head
 * (FastCGI specification 1.0).  Pure: no I/O, clock, heap or globals.  libfcgi is only given heads
 * that were found complete and well-formed here; see fcgi_request.h. */
#ifndef FCGI_HEAD_H
#define FCGI_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "request/request.h"
#include "base/span.h"

/* Maximum size of a request's parameters in bytes, as name-value pairs: as much as one record can
 * hold.  The largest head that we have seen from a web server with default settings is 32 KB. */
#define FCGI_HEAD_SIZE 65535
/* Maximum number of name-value pairs in a request, because libfcgi makes an allocation for each. */
#define FCGI_HEAD_PAIRS_MAX 1000
/* Bytes of the longest reply of fcgi_head_reply. */
#define FCGI_HEAD_REPLY_SIZE 64

enum fcgi_event {
    FCGI_EVENT_MORE,           /* every byte was read; more are needed */
    FCGI_EVENT_REQUEST,        /* a head is complete; the body may follow */
    FCGI_EVENT_UNKNOWN_ROLE,   /* EVENT_ID has an unsupported role; see EVENT_KEEP */
    FCGI_EVENT_SECOND_REQUEST, /* request EVENT_ID begins before another one was answered */
    /* EVENT_ID was aborted before its head was complete; see EVENT_KEEP */
    FCGI_EVENT_ABORTED,
    FCGI_EVENT_GET_VALUES,   /* the web server queries the variables in VALUES */
    FCGI_EVENT_UNKNOWN_TYPE, /* a management record of the unknown EVENT_TYPE */
    FCGI_EVENT_BROKEN,       /* the input is not FastCGI, as PROBLEM says; stop reading */
};

enum fcgi_phase {
    FCGI_PHASE_BETWEEN, /* no request is in progress */
    FCGI_PHASE_PARAMS,  /* the parameters of a request are being read */
    FCGI_PHASE_BODY,    /* a head is complete but not yet answered */
};

/* The state of a connection's parser.  To begin, set everything to zero, except PARAMS. */
struct fcgi_head {
    /* room for FCGI_HEAD_SIZE bytes, owned by the caller, which may move it between calls */
    unsigned char *params;
    size_t params_len;

    enum fcgi_phase phase;
    unsigned id;   /* of the request in progress, 1 .. 65535 */
    unsigned role; /* FCGI_RESPONDER or FCGI_AUTHORIZER */
    bool keep;     /* the web server keeps the connection open after the answer */
    /* of the complete head; PARAMS then lacks the pairs concerned */
    enum request_defect defect;
    /* the id of the request whose body has not ended, answered or not; 0: there is none */
    unsigned body_id;

    unsigned event_id, event_type; /* of the last event */
    bool event_keep;
    unsigned values; /* a bit for each variable that was queried; see fcgi_head_reply */
    const char *problem;

    /* The record that is being read.  The following fields are private to fcgi_head.c. */
    unsigned char start[16]; /* its header, and for FCGI_BEGIN_REQUEST its body */
    size_t start_len;        /* bytes of START that have arrived */
    size_t content_left, padding_left;
    bool in_record;
    unsigned char pair[64]; /* of FCGI_GET_VALUES: the name-value pair that is being read */
    size_t pair_len;        /* bytes of PAIR that have arrived */
    size_t pair_skip;       /* remaining bytes of a pair that is too long to be a known one */
};

/* Read from *BYTES until there is an event, and advance *BYTES past what was read.  Bodies are
 * skipped, and so are records of requests that are not in progress.  HEAD must not be used again
 * after FCGI_EVENT_BROKEN. */
enum fcgi_event fcgi_head_read(struct fcgi_head *head, struct span *bytes);

/* Record that the request of HEAD was answered, so that another one may begin.  The rest of its
 * body is skipped. */
void fcgi_head_answered(struct fcgi_head *head);

/* Whether HEAD is between two records and no request is in progress. */
bool fcgi_head_is_between(const struct fcgi_head *head);

/* Write the record that answers EVENT, which fcgi_head_read returned, to OUT:
 *
 *   UNKNOWN_ROLE, SECOND_REQUEST, ABORTED   FCGI_END_REQUEST with its protocol status (5.5)
 *   GET_VALUES                              FCGI_GET_VALUES_RESULT (4.1) with those of
 *                                           FCGI_MAX_CONNS=1, FCGI_MAX_REQS=1 and
 *                                           FCGI_MPXS_CONNS=0 that were queried, once each; these
 *                                           are the values that libfcgi gives
 *   UNKNOWN_TYPE                            FCGI_UNKNOWN_TYPE (4.2)
 *
 * Returns its length; 0 for all other events. */
size_t fcgi_head_reply(const struct fcgi_head *head, enum fcgi_event event,
                       unsigned char out[FCGI_HEAD_REPLY_SIZE]);

/* Write the 8-byte header of a record of TYPE for request ID, with LEN (0 .. 65535) bytes of
 * content and no padding, to OUT.  Returns the length of the whole record. */
size_t fcgi_head_write_header(unsigned char *out, unsigned type, unsigned id, size_t len);

#endif
