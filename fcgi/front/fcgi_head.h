/* fcgi_head.h - read a FastCGI connection record by record, up to the end of each request's head
 * (FastCGI specification 1.0).  Pure: no I/O, clock, heap or globals.  libfcgi is given only what
 * was found whole and well-formed here; see fcgi_request.h. */
#ifndef FCGI_HEAD_H
#define FCGI_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "request/request.h"
#include "base/span.h"

/* Bytes of a request's parameters, as name-value pairs: what one record can hold.  The largest head
 * seen of a web server with its default settings is 32 KB. */
#define FCGI_HEAD_SIZE 65535
/* Name-value pairs of a request: each costs libfcgi an allocation. */
#define FCGI_HEAD_PAIRS_MAX 1000
/* Bytes of a reply of fcgi_head_reply. */
#define FCGI_HEAD_REPLY_SIZE 64

enum fcgi_event {
    FCGI_EVENT_MORE,           /* every byte was read; more are needed */
    FCGI_EVENT_REQUEST,        /* a head is complete; the body may follow */
    FCGI_EVENT_UNKNOWN_ROLE,   /* EVENT_ID begins in a role that is not served: EVENT_KEEP */
    FCGI_EVENT_SECOND_REQUEST, /* a request begins although one is under way: EVENT_ID */
    FCGI_EVENT_ABORTED,        /* EVENT_ID was given up before its head was whole: EVENT_KEEP */
    FCGI_EVENT_GET_VALUES,     /* the web server asks for the variables in VALUES */
    FCGI_EVENT_UNKNOWN_TYPE,   /* a management record of the unknown EVENT_TYPE */
    FCGI_EVENT_BROKEN, /* what came is not FastCGI, as PROBLEM says; nothing more can be read */
};

enum fcgi_phase {
    FCGI_PHASE_BETWEEN, /* no request is under way */
    FCGI_PHASE_PARAMS,  /* a request's parameters are coming */
    FCGI_PHASE_BODY,    /* a head is complete and not yet answered */
};

/* Where in its stream of records a connection is.  All zero, but for PARAMS: at its beginning. */
struct fcgi_head {
    unsigned char
        *params; /* room for FCGI_HEAD_SIZE bytes: the caller's, who may move it between calls */
    size_t params_len;

    enum fcgi_phase phase;
    unsigned id;   /* of the request that is under way, 1 .. 65535 */
    unsigned role; /* FCGI_RESPONDER or FCGI_AUTHORIZER */
    bool keep;     /* the web server keeps the connection open after the answer */
    enum request_defect
        defect; /* of the head that is complete; PARAMS then has the pairs before it */
    unsigned
        body_id; /* of the request whose body has not ended, answered or not; 0: there is none */

    unsigned event_id, event_type; /* of the event that was returned */
    bool event_keep;
    unsigned values; /* bits, one for each variable that was asked for; see fcgi_head_reply */
    const char *problem;

    /* The record that is being read; the rest is fcgi_head.c's own. */
    unsigned char start[16]; /* its header, and the body of FCGI_BEGIN_REQUEST */
    size_t start_len;        /* bytes of it that have come */
    size_t content_left, padding_left;
    bool in_record;
    unsigned char pair[64]; /* of FCGI_GET_VALUES: the name-value pair that is coming */
    size_t pair_len;        /* bytes of it that have come */
    size_t pair_skip;       /* bytes that are left of one whose name is unknown */
};

/* Read from *BYTES until something is to be done, and advance *BYTES to what follows.  Bodies are
 * skipped, as are records of requests that are not under way.  After FCGI_EVENT_BROKEN, HEAD is not
 * to be used again. */
enum fcgi_event fcgi_head_read(struct fcgi_head *head, struct span *bytes);

/* The request of HEAD is answered: another one may begin.  Its body, if that has not ended, is
 * skipped. */
void fcgi_head_answered(struct fcgi_head *head);

/* Whether HEAD is at the end of a record, and no request is under way. */
bool fcgi_head_is_between(const struct fcgi_head *head);

/* Write the record that answers EVENT, which fcgi_head_read has returned, to OUT:
 *
 *   UNKNOWN_ROLE, SECOND_REQUEST, ABORTED   FCGI_END_REQUEST with its protocol status (5.5)
 *   GET_VALUES                              FCGI_GET_VALUES_RESULT (4.1) with those of
 *                                           FCGI_MAX_CONNS=1, FCGI_MAX_REQS=1 and
 *                                           FCGI_MPXS_CONNS=0 that were asked for,
 *                                           once each: what libfcgi says of itself
 *   UNKNOWN_TYPE                            FCGI_UNKNOWN_TYPE (4.2)
 *
 * Returns its length; 0 for all other events. */
size_t fcgi_head_reply(const struct fcgi_head *head, enum fcgi_event event,
                       unsigned char out[FCGI_HEAD_REPLY_SIZE]);

/* Write the 8 bytes of the header of a record of TYPE, of request ID, with LEN (0 .. 65535) bytes
 * of content and no padding to OUT.  Returns the length of the whole record. */
size_t fcgi_head_write_header(unsigned char *out, unsigned type, unsigned id, size_t len);

#endif
