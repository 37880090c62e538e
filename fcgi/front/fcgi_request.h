/* fcgi_request.h - one request through libfcgi, from memory to memory.  With fcgi_request.c the
 * only file that uses libfcgi.
 *
 * libfcgi blocks where it reads, and aborts on input that is not well-formed.  Therefore it never
 * sees a connection: it reads the head that fcgi_head.h has found whole, and what it writes goes to
 * a function of ours.  Both pass through OS_Read and OS_Write, libfcgi's layer for the operating
 * system (fcgios.h), which this program defines in the place of libfcgi's own: the dynamic linker
 * prefers the program's. */
#ifndef FCGI_REQUEST_H
#define FCGI_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "front/fcgi_head.h"
#include "request/request.h"

struct fcgi_request;

/* Takes LEN bytes at TEXT (borrowed) of an answer, in order. */
typedef void fcgi_write(void *context, const char *text, size_t len);

/* Initialise libfcgi, and check with a request of our own that it reads and writes through this
 * file.  Call it before all else here.  Returns NULL, or what is wrong. */
const char *fcgi_request_init(void);

/* Read the head that fcgi_head_read found complete in HEAD.  *OUT borrows its strings from what is
 * returned; a string that must be there and is not is NULL.  Returns the caller's, to give to
 * fcgi_request_reply or fcgi_request_free; NULL if libfcgi does not read it, which no test has
 * seen. */
struct fcgi_request *fcgi_request_read(const struct fcgi_head *head, struct request *out);

/* Answer REQUEST with the LEN bytes at TEXT (borrowed), which are CGI headers, an empty line and a
 * body: WRITE is called with CONTEXT and the records of the answer, up to FCGI_END_REQUEST.  Frees
 * REQUEST. */
void fcgi_request_reply(struct fcgi_request *request, const char *text, size_t len,
                        fcgi_write *write, void *context);

/* Free REQUEST without an answer.  NULL is fine. */
void fcgi_request_free(struct fcgi_request *request);

/* Accept a connection from the socket LISTEN_FD, which is non-blocking and a unix socket if
 * IS_UNIX.  On TCP only the addresses in FCGI_WEB_SERVER_ADDRS are accepted, if it is set (FastCGI
 * specification, 3.2). Returns its descriptor, the caller's; -1 and errno if there is none. */
int fcgi_request_accept(int listen_fd, bool is_unix);

#endif
