/*
 * tls - TLS 1.2 and later by OpenSSL over a struct net.
 *
 * The server's certificate is judged within the handshake: a refused one gets an alert, and not a
 * byte of ours. There is no way from here to a plain connection. No global state: each connection
 * has its own context.
 */
#ifndef HOLDFAST_BOLT_TLS_H
#define HOLDFAST_BOLT_TLS_H

#include "bolt/net.h"

#define TLS_DIGEST_SIZE 32
#define TLS_DIGEST_TEXT_MAX 65 /* hex with the NUL */

struct tls_options {
    enum bolt_tls mode;  /* not BOLT_TLS_NONE */
    const char *host;    /* whom the certificate must be issued for; also sent as SNI */
    const char *ca_file; /* NULL: the system's */
    bool pinned;         /* only the certificate with this SHA-256 will do */
    unsigned char digest[TLS_DIGEST_SIZE];
};

/* "AB:CD…" or "abcd…" to 32 bytes. BOLT_ERR_USAGE. */
int tls_parse_digest(const char *text, unsigned char ret[TLS_DIGEST_SIZE], struct bolt_error *error)
    MUST_CHECK;

/* Shake hands; net->tls is set then. BOLT_ERR_TLS, _LOST, _TIMEOUT, _CANCELLED, _USAGE (ca_file).
 */
int tls_start(struct net *net, const struct tls_options *options, int64_t deadline_ms,
              struct bolt_error *error) MUST_CHECK;

/* The SHA-256 of the server's certificate, hex. */
const char *tls_digest_text(const struct tls *tls);

/* As net_read and net_write. */
int tls_read(struct net *net, void *to, size_t size, size_t *ret, struct bolt_error *error)
    MUST_CHECK;
int tls_write(struct net *net, const void *from, size_t size, size_t *ret, struct bolt_error *error)
    MUST_CHECK;

/* Tells the server so, as far as that goes without waiting. NULL is fine. */
void tls_free(struct tls *tls);

#endif
