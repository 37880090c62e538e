/* fcgi_request.h - process one request through libfcgi, from memory to memory.  Only fcgi_request.c
 * and this header use libfcgi.
 *
 * libfcgi blocks when it reads, and aborts on malformed input.  Therefore it never gets a
 * connection: it reads a head that fcgi_head.h has found complete, and its output goes to a
 * function of ours.  Both pass through OS_Read and OS_Write, libfcgi's operating system layer
 * (fcgios.h).  This program defines them itself, and the dynamic linker prefers a program's symbols
 * to those of a library. */
#ifndef FCGI_REQUEST_H
#define FCGI_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "front/fcgi_head.h"
#include "request/request.h"

struct fcgi_request;

/* Receives LEN bytes at TEXT (borrowed) of an answer, in order. */
typedef void fcgi_write(void *context, const char *text, size_t len);

/* Initialise libfcgi, and check with a test request that it reads and writes through this file.
 * Must be called before the other functions here.  Returns NULL, or what is wrong. */
const char *fcgi_request_init(void);

/* Read the head that fcgi_head_read found complete in HEAD into *OUT, whose strings are borrowed
 * from the result.  A required string that is missing is NULL.  Returns a request, which the caller
 * passes to fcgi_request_reply or fcgi_request_free; NULL if libfcgi cannot read the head, which no
 * test has caused. */
struct fcgi_request *fcgi_request_read(const struct fcgi_head *head, struct request *out);

/* Answer REQUEST with the LEN bytes at TEXT (borrowed), which are CGI headers, an empty line and a
 * body.  WRITE is called with CONTEXT and the records of the answer, up to FCGI_END_REQUEST.  Frees
 * REQUEST. */
void fcgi_request_reply(struct fcgi_request *request, const char *text, size_t len,
                        fcgi_write *write, void *context);

/* Free REQUEST, which may be NULL, without an answer. */
void fcgi_request_free(struct fcgi_request *request);

/* Accept a connection from the listening socket LISTEN_FD, which is non-blocking; IS_UNIX says
 * whether it is a unix socket.  On TCP, if FCGI_WEB_SERVER_ADDRS is set, only connections from
 * those addresses are accepted (FastCGI specification, 3.2).  Returns a descriptor, owned by the
 * caller; -1 and errno if there is none. */
int fcgi_request_accept(int listen_fd, bool is_unix);

#endif
