/* tls.c - OpenSSL: contexts from files, and handshakes that say why they failed. */
/* SPDX-License-Identifier: MIT */
#include "store/tls.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"

const char *tls_hint(bool with_tls)
{
    return with_tls ? ": does it ask for a certificate, or for another one (tls.cert, tls.key)?"
                    : ": does it want TLS (an address with rediss://)?";
}

#ifdef WITH_TLS

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What a file was when it was read: another one is another version of it. */
struct version {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

enum { FILE_CA, FILE_CERT, FILE_KEY, FILE_COUNT };

struct tls {
    struct redis_tls config;
    SSL_CTX *context; /* NULL: not made yet, or a file was wrong */
    struct version version[FILE_COUNT];
};

const char *tls_missing(void)
{
    return NULL;
}

struct tls *tls_new(const struct redis_tls *config)
{
    struct tls *tls = memory_new(sizeof *tls);

    tls->config = *config;
    return tls;
}

/* ---- Files ---- */

/* What OpenSSL reads without a file of authorities: a folder changes with each file in it. */
static const char *system_authorities(void)
{
    const char *file = getenv(X509_get_default_cert_file_env());
    const char *folder = getenv(X509_get_default_cert_dir_env());

    return file ? file : folder ? folder : X509_get_default_cert_dir();
}

/* The path whose change means that the files are read again; "" for none. */
static const char *file_name(const struct tls *tls, int which)
{
    if (which == FILE_CA)
        return tls->config.ca[0] != '\0' ? tls->config.ca : system_authorities();
    return which == FILE_CERT ? tls->config.cert : tls->config.key;
}

/* The version that each file has now; all bytes 0 for none. */
static void read_versions(const struct tls *tls, struct version out[FILE_COUNT])
{
    struct stat status;

    memset(out, 0, FILE_COUNT * sizeof *out);
    for (int i = 0; i < FILE_COUNT; i++) {
        if (file_name(tls, i)[0] == '\0' || stat(file_name(tls, i), &status) != 0)
            continue;
        out[i].device = status.st_dev;
        out[i].inode = status.st_ino;
        out[i].size = status.st_size;
        out[i].changed = status.st_ctim;
    }
}

static bool same_version(const struct version *a, const struct version *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* The newest reason that OpenSSL has for a failure; or the error number's; or WITHOUT. */
static const char *openssl_reason(const char *without)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    unsigned long error = ERR_peek_error();

    if (ERR_SYSTEM_ERROR(error))
        return strerror(ERR_GET_REASON(error));
    return reason ? reason : without;
}

/* Returns false, and ERROR says that FILE is not what it should be. */
static bool bad_file(const char *file, const char *want, char *error, size_t size)
{
    snprintf(error, size, "%s: %s; it must be %s", file, openssl_reason("it cannot be read"), want);
    return false;
}

static bool load_files(const struct tls *tls, SSL_CTX *context, char *error, size_t size)
{
    const struct redis_tls *config = &tls->config;

    if (config->ca[0] == '\0')
        SSL_CTX_set_default_verify_paths(context);
    else if (SSL_CTX_load_verify_locations(context, config->ca, NULL) != 1)
        return bad_file(config->ca, "certificates of authorities in PEM", error, size);
    if (config->cert[0] == '\0')
        return true;
    if (SSL_CTX_use_certificate_chain_file(context, config->cert) != 1)
        return bad_file(config->cert, "a certificate in PEM, with its chain", error, size);
    if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context))) < 0) {
        snprintf(error, size, "%s: the certificate has expired; renew it", config->cert);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(context, config->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
        return bad_file(config->key,
                        "the private key of that certificate in PEM, without a password", error,
                        size);
    return true;
}

/* A password that a private key needs: there is none, and OpenSSL must not ask the terminal. */
static int no_password(char *out, int size, int writing, void *context)
{
    (void)out, (void)size, (void)writing, (void)context;
    return 0;
}

/* Make the context anew if a file has changed.  False: ERROR says what is wrong. */
static bool refresh(struct tls *tls, char *error, size_t size)
{
    struct version version[FILE_COUNT];
    bool same = tls->context != NULL;

    read_versions(tls, version);
    for (int i = 0; i < FILE_COUNT; i++)
        same = same && same_version(&version[i], &tls->version[i]);
    if (same)
        return true;
    SSL_CTX_free(tls->context);
    memcpy(tls->version, version, sizeof version);
    tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls->context)
        return bad_file("OpenSSL", "usable", error, size);
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    SSL_CTX_set_default_passwd_cb(tls->context, no_password);
    SSL_CTX_set_verify(tls->context, tls->config.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       NULL);
    /* An end without a close_notify is one, as without TLS: a reply says itself where it ends, so
     * that nothing that was cut off is taken for whole. */
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* hiredis may move what it has not written yet. */
    SSL_CTX_set_mode(tls->context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    bool loaded = load_files(tls, tls->context, error, size);
    ERR_clear_error();
    if (loaded)
        return true;
    SSL_CTX_free(tls->context);
    tls->context = NULL;
    return false;
}

/* ---- Handshakes ---- */

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* Expect a certificate for HOST. */
static bool expect(SSL *ssl, const char *host)
{
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    size_t len = strlen(host);
    char name[256];

    if (len > 1 && len < sizeof name && host[len - 1] == '.')
        len--; /* of the DNS: no certificate has it */
    snprintf(name, sizeof name, "%.*s", (int)len, host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* What OpenSSL says, and what would be right. */
static const struct {
    int code;
    const char *text;
} known_errors[] = {
    {SSL_R_WRONG_VERSION_NUMBER,
     "the server does not speak TLS; use its port for TLS, or an address with redis://"},
    {SSL_R_PACKET_LENGTH_TOO_LONG,
     "the server does not speak TLS; use its port for TLS, or an address with redis://"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
     "the server asks for a certificate; write tls: { cert: /PATH, key: /PATH }"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA,
     "the server does not know the authority of the certificate in tls.cert"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the certificate in tls.cert has expired"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     "the server refuses the handshake; it may ask for a certificate: write tls: { cert: /PATH, "
     "key: /PATH }"},
};

/* What ERROR, of OpenSSL's queue, is called; NULL: it is none of TLS. */
static const char *tls_reason(unsigned long error)
{
    if (error == 0 || ERR_SYSTEM_ERROR(error))
        return NULL;
    for (size_t i = 0; i < sizeof known_errors / sizeof *known_errors; i++)
        if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == known_errors[i].code)
            return known_errors[i].text;
    return ERR_reason_error_string(error);
}

/* The name or address that the certificate must have. */
static const char *expected(SSL *ssl, char out[256])
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    const char *host = X509_VERIFY_PARAM_get0_host(param, 0);
    char *ip = host ? NULL : X509_VERIFY_PARAM_get1_ip_asc(param);

    snprintf(out, 256, "%s", host ? host : ip ? ip : "this address");
    OPENSSL_free(ip);
    return out;
}

/* Say why the handshake of SSL failed.  The queue is left empty, because what is in it would count
 * as a failure of the next connection that only has to wait. */
static void explain(SSL *ssl, char *error, size_t size)
{
    bool checked = SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
    long verified = checked ? SSL_get_verify_result(ssl) : X509_V_OK;
    const char *reason = tls_reason(ERR_peek_error());
    char name[256];

    if (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH)
        snprintf(error, size,
                 "TLS: the certificate is not for %s; write tls: { server_name: NAME }",
                 expected(ssl, name));
    else if (verified != X509_V_OK)
        snprintf(error, size, "TLS: the certificate of the server is not accepted: %s",
                 X509_verify_cert_error_string(verified));
    else if (reason)
        snprintf(error, size, "TLS: %s", reason);
    else
        snprintf(error, size, "TLS: the server closed the connection");
    ERR_clear_error();
}

bool tls_explain(struct tls_stream *stream, const char *text, char *error, size_t size)
{
    char byte;

    /* An alert may have come before the write that failed. */
    if (!tls_reason(ERR_peek_error())) {
        ERR_clear_error();
        (void)SSL_read((SSL *)stream, &byte, 1);
    }
    const char *reason = tls_reason(ERR_peek_error());
    ERR_clear_error();
    snprintf(error, size, "%s%s", reason ? "TLS: " : "", reason ? reason : text);
    return reason != NULL;
}

bool tls_wants_write(const struct tls_stream *stream)
{
    return SSL_want_write((const SSL *)stream);
}

bool tls_wants_read(const struct tls_stream *stream)
{
    return SSL_want_read((const SSL *)stream);
}

struct tls_stream *tls_attach(struct tls *tls, redisContext *redis, const char *host, char *error,
                              size_t size)
{
    const char *name = tls->config.server_name[0] != '\0' ? tls->config.server_name : host;

    ERR_clear_error();
    if (!refresh(tls, error, size))
        return NULL;
    SSL *ssl = SSL_new(tls->context);
    if (!ssl || !expect(ssl, name)) {
        SSL_free(ssl);
        snprintf(error, size, "TLS: %s",
                 openssl_reason("the name of the server cannot be checked"));
        return NULL;
    }
    errno = 0;
    if (redisInitiateSSL(redis, ssl) == REDIS_OK)
        return (struct tls_stream *)ssl;
    if (errno == EAGAIN)
        snprintf(error, size, "TLS: no answer in time");
    else
        explain(ssl, error, size);
    SSL_free(ssl);
    return NULL;
}

enum tls_state tls_handshake(struct tls_stream *stream, char *error, size_t size)
{
    SSL *ssl = (SSL *)stream;

    ERR_clear_error();
    int done = SSL_do_handshake(ssl);
    if (done == 1)
        return TLS_READY;
    switch (SSL_get_error(ssl, done)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    default:
        explain(ssl, error, size);
        return TLS_FAILED;
    }
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    free(tls);
}

#else /* hiredis below 1.0 */

struct tls {
    struct redis_tls config;
};

const char *tls_missing(void)
{
    return "this build has no TLS, because it was made with a hiredis below 1.0 or without "
           "OpenSSL; "
           "use Debian 13, Ubuntu 24.04 or the image, or a stunnel in between: conf/README.md, TLS";
}

struct tls *tls_new(const struct redis_tls *config)
{
    struct tls *tls = memory_new(sizeof *tls);

    tls->config = *config;
    return tls;
}

struct tls_stream *tls_attach(struct tls *tls, redisContext *redis, const char *host, char *error,
                              size_t size)
{
    (void)tls, (void)redis, (void)host;
    snprintf(error, size, "%s", tls_missing());
    return NULL;
}

enum tls_state tls_handshake(struct tls_stream *stream, char *error, size_t size)
{
    (void)stream, (void)error, (void)size;
    return TLS_FAILED;
}

bool tls_wants_write(const struct tls_stream *stream)
{
    (void)stream;
    return false;
}

bool tls_wants_read(const struct tls_stream *stream)
{
    (void)stream;
    return false;
}

bool tls_explain(struct tls_stream *stream, const char *text, char *error, size_t size)
{
    (void)stream;
    snprintf(error, size, "%s", text);
    return false;
}

void tls_free(struct tls *tls)
{
    free(tls);
}

#endif
