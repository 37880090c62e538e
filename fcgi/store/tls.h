/* tls.h - TLS to Redis: what is checked, and the handshake.  Only tls.c knows OpenSSL.  OpenSSL is
 * used directly and not through hiredis's redisCreateSSLContext, because that never compares the
 * name in the server's certificate. */
#ifndef TLS_H
#define TLS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/redis_config.h"

struct tls;        /* what the files of a redis_tls hold */
struct tls_stream; /* one connection's TLS; an SSL of OpenSSL */

/* NULL if this build has TLS; else why it has none and what to do (static string).  hiredis has it
 * since 1.0. */
const char *tls_missing(void);

/* Certificates as CONFIG (copied) says.  The files are read by tls_attach.  Returns it, the
 * caller's to free with tls_free; never NULL. */
struct tls *tls_new(const struct redis_tls *config);

/* Begin TLS on REDIS, which has connected to HOST: TLS 1.2 or newer, the server's certificate is
 * checked against the authorities and the name (RFC 6125; an address is compared with the addresses
 * in the certificate), HOST is sent unless it is an address (RFC 6066, 3).  Files that have changed
 * are read again.  On a REDIS that blocks the handshake is made, too.
 * Returns the stream, which REDIS owns from now on; or NULL, and ERROR (SIZE bytes) says what is
 * wrong, with the name of the file. */
struct tls_stream *tls_attach(struct tls *tls, redisContext *redis, const char *host, char *error,
                              size_t size);

enum tls_state { TLS_READY, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED };

/* Go on with the handshake of STREAM as far as it goes without waiting.  TLS_WANTS_*: call it again
 * when the socket can be read or written.  TLS_FAILED: ERROR (SIZE bytes) says why. */
enum tls_state tls_handshake(struct tls_stream *stream, char *error, size_t size);

/* Whether the last read or write on STREAM waits until the socket can be written to (be read),
 * although it was a read (a write): TLS 1.3 may change its keys at any time (RFC 8446, 4.6.3). */
bool tls_wants_write(const struct tls_stream *stream);
bool tls_wants_read(const struct tls_stream *stream);

/* Why reading or writing on STREAM has just failed, for which hiredis has only an error number:
 * an alert of the server and what would be right, or else TEXT, into ERROR (SIZE bytes).  Returns
 * whether it was an alert: the server will not take us. */
bool tls_explain(struct tls_stream *stream, const char *text, char *error, size_t size);

/* What may be wrong if the server has reset a connection, with TLS or without, before its first
 * reply: a question to append to the reason, static.  Its alert may be lost, because a socket that
 * is closed with unread bytes discards what it was sending. */
const char *tls_hint(bool with_tls);

/* Free TLS; streams that were made by it stay usable.  NULL is fine. */
void tls_free(struct tls *tls);

#endif
