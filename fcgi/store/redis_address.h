/* redis_address.h - the address of Redis, and the user and password to log in with.  Pure. */
#ifndef REDIS_ADDRESS_H
#define REDIS_ADDRESS_H

struct redis_address {
    char path[108];     /* of a unix socket; "" for TCP (108: sizeof sun_path) */
    char host[256];     /* a name or an address without brackets; "" with a path */
    unsigned port;      /* 1 .. 65535; 0 with a path */
    char user[256];     /* for AUTH; "" for none */
    char password[512]; /* for AUTH; "" for none */
    unsigned db;        /* for SELECT; 0 needs none */
    unsigned tls;       /* 1: over TLS, never with a path; 0 */
};

#define REDIS_ADDRESS_SHOWN_SIZE 320 /* bytes of an address as shown, NUL included */

/* Read TEXT into *OUT.  The forms:
 *   host    host:port    [::1]    [::1]:6379    unix:/path    unix:///path
 *   redis://[user][:password@]host[:port][/db]     port 6379 if none is given
 *   rediss://...                                   the same over TLS, if this build has it
 * In the redis:// form user and password are percent-decoded, a host may be a bracketed IPv6
 * address, "redis://:secret@host" gives a password alone and "redis://user@host" is an error (a
 * user without a password cannot log in).
 * Returns NULL, or what is wrong and what would be right: a static string that never repeats any
 * of TEXT, which may hold a password; *OUT is then untouched.  A part that does not fit is an
 * error, never cut.
 * (IANA "redis" URI scheme, provisional registration.) */
const char *redis_address_parse(const char *text, struct redis_address *out);

/* The same with the PASSWORD of a password file, or "".  It is used for an address without one, so
 * that "redis://user@host" can log in.  An address with a password of its own is then an error. */
const char *redis_address_parse_for(const char *text, const char *password,
                                    struct redis_address *out);

/* Overwrite with 'x' what is or could be a password in TEXT, an address. */
void redis_address_hide(char *text);

/* Write ADDRESS for people, without user and password, so that redis_address_parse reads it again:
 * "127.0.0.1:6379", "[::1]:6379", "unix:/path", "redis://host:6379/2" for a database other than 0
 * or the host "unix",
 * "rediss://host:6379" with TLS.  Returns OUT. */
const char *redis_address_show(const struct redis_address *address,
                               char out[REDIS_ADDRESS_SHOWN_SIZE]);

#endif
