#include "bolt/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include "base/num.h"

#define REASON_MAX 512    /* bytes: why a certificate was refused */
#define NAMES_MAX 256     /* bytes: whom it was issued for */
#define BIO_TYPE_OURS 100 /* any number: nothing is looked up by it */

struct tls {
    SSL_CTX *context;
    SSL *ssl;
    BIO_METHOD *method;
    int fd;
    struct tls_options options; /* its texts are borrowed for the handshake only */
    bool established;
    char digest[TLS_DIGEST_TEXT_MAX];
    char reason[REASON_MAX];
};

/* ---- a socket as OpenSSL wants it: its own would raise SIGPIPE ---- */

static int bio_write(BIO *bio, const char *from, int size)
{
    const struct tls *tls = BIO_get_data(bio);
    ssize_t put;

    BIO_clear_retry_flags(bio);
    do {
        put = send(tls->fd, from, (size_t)size, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put < 0 && errno == EAGAIN) {
        BIO_set_retry_write(bio);
    }
    return (int)put;
}

static int bio_read(BIO *bio, char *to, int size)
{
    const struct tls *tls = BIO_get_data(bio);
    ssize_t got;

    BIO_clear_retry_flags(bio);
    do {
        got = recv(tls->fd, to, (size_t)size, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        BIO_set_retry_read(bio);
    }
    if (got == 0) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    }
    return (int)got;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static BIO *make_bio(struct tls *tls)
{
    tls->method = BIO_meth_new(BIO_TYPE_OURS | BIO_TYPE_SOURCE_SINK, "holdfast-bolt socket");
    if (tls->method == NULL || BIO_meth_set_write(tls->method, bio_write) != 1 ||
        BIO_meth_set_read(tls->method, bio_read) != 1 ||
        BIO_meth_set_ctrl(tls->method, bio_ctrl) != 1) {
        return NULL;
    }
    BIO *bio = BIO_new(tls->method);
    if (bio != NULL) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- judging the certificate ---- */

int tls_parse_digest(const char *text, unsigned char ret[TLS_DIGEST_SIZE], struct bolt_error *error)
{
    unsigned char digest[TLS_DIGEST_SIZE];
    size_t digits = 0;

    for (const char *p = text; *p != '\0'; p++) {
        int digit = num_hex_digit(*p);
        if (*p == ':' && digits % 2 == 0) {
            continue;
        }
        if (digit < 0 || digits == 2 * sizeof(digest)) {
            digits = 0;
            break;
        }
        unsigned char *byte = &digest[digits / 2];
        *byte = (unsigned char)(digits % 2 == 0 ? digit << 4 : *byte | digit);
        digits++;
    }
    if (digits != 2 * sizeof(digest)) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "pinned_sha256 must be the 64 hex digits of a SHA-256 (openssl x509 "
                         "-fingerprint -sha256)");
    }
    memcpy(ret, digest, sizeof(digest));
    return 0;
}

static void time_text(const ASN1_TIME *time, char *ret, size_t size)
{
    struct tm tm;

    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1 ||
        strftime(ret, size, "%Y-%m-%d %H:%M UTC", &tm) == 0) {
        (void)snprintf(ret, size, "an unknown time");
    }
}

static void name_text(const X509_NAME *name, char *ret, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len = 0;

    if (bio != NULL && name != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE) >= 0) {
        len = BIO_get_mem_data(bio, &text);
    }
    bolt_error_text(ret, size, (struct bolt_string){text, len > 0 ? (size_t)len : 0});
    BIO_free(bio);
}

static void add_name(char *ret, size_t size, const char *name, int len)
{
    size_t used = strlen(ret);

    (void)snprintf(ret + used, size - used, "%s%.*s", used == 0 ? "" : ", ", len, name);
}

/* "a.example, 10.0.0.1": its alternative names, or its subject where there are none. */
static void issued_for(X509 *certificate, char *ret, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    ret[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char text[INET6_ADDRSTRLEN];
        if (name->type == GEN_DNS) {
            add_name(ret, size, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                     ASN1_STRING_length(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            bool six = ASN1_STRING_length(name->d.iPAddress) == 16;
            if ((six || ASN1_STRING_length(name->d.iPAddress) == 4) &&
                inet_ntop(six ? AF_INET6 : AF_INET, ASN1_STRING_get0_data(name->d.iPAddress), text,
                          sizeof(text)) != NULL) {
                add_name(ret, size, text, (int)strlen(text));
            }
        }
    }
    GENERAL_NAMES_free(names);
    if (ret[0] == '\0') {
        name_text(X509_get_subject_name(certificate), ret, size);
    }
}

static void explain_refusal(struct tls *tls, X509_STORE_CTX *store, X509 *leaf)
{
    int code = X509_STORE_CTX_get_error(store);
    X509 *at = X509_STORE_CTX_get_current_cert(store);
    char text[NAMES_MAX];

    if (at == NULL) {
        at = leaf;
    }
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        time_text(X509_get0_notAfter(at), text, sizeof(text));
        (void)snprintf(tls->reason, REASON_MAX, "it is expired since %s", text);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        time_text(X509_get0_notBefore(at), text, sizeof(text));
        (void)snprintf(tls->reason, REASON_MAX, "it is valid only from %s on (is the clock right?)",
                       text);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        issued_for(leaf, text, sizeof(text));
        (void)snprintf(tls->reason, REASON_MAX, "it is issued for %s, not for %s", text,
                       tls->options.host);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        (void)snprintf(tls->reason, REASON_MAX,
                       "it is self-signed; to trust it, give its file as ca_file, or pin %s",
                       tls->digest);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        name_text(X509_get_issuer_name(at), text, sizeof(text));
        (void)snprintf(tls->reason, REASON_MAX,
                       "who signed it (%s) is not among the trusted authorities; give that one's "
                       "file as ca_file",
                       text);
        break;
    default:
        (void)snprintf(tls->reason, REASON_MAX, "%s", X509_verify_cert_error_string(code));
        break;
    }
}

static bool take_digest(struct tls *tls, X509 *leaf, unsigned char ret[TLS_DIGEST_SIZE])
{
    unsigned int size = TLS_DIGEST_SIZE;

    if (leaf == NULL || X509_digest(leaf, EVP_sha256(), ret, &size) != 1) {
        (void)snprintf(tls->reason, REASON_MAX, "the server has none");
        return false;
    }
    for (size_t i = 0; i < TLS_DIGEST_SIZE; i++) {
        (void)snprintf(tls->digest + 2 * i, 3, "%02x", ret[i]);
    }
    return true;
}

/* Called once in the handshake, with the chain that the server sent. 1: go on. */
static int judge(X509_STORE_CTX *store, void *arg)
{
    struct tls *tls = arg;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    unsigned char digest[TLS_DIGEST_SIZE];

    if (!take_digest(tls, leaf, digest)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    if (tls->options.pinned) {
        if (CRYPTO_memcmp(digest, tls->options.digest, sizeof(digest)) == 0) {
            X509_STORE_CTX_set_error(store, X509_V_OK);
            return 1;
        }
        (void)snprintf(tls->reason, REASON_MAX, "it is not the pinned one but %s", tls->digest);
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    if (tls->options.mode == BOLT_TLS_ANY_SERVER) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    if (X509_verify_cert(store) == 1) {
        return 1;
    }
    explain_refusal(tls, store, leaf);
    return 0;
}

/* ---- the handshake ---- */

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static int openssl_failed(const char *doing, struct bolt_error *error)
{
    char text[256];

    ERR_error_string_n(ERR_peek_last_error(), text, sizeof(text));
    ERR_clear_error();
    return bolt_fail(error, BOLT_ERR_TLS, "TLS: %s: %s", doing, text);
}

static int set_trust(struct tls *tls, struct bolt_error *error)
{
    const struct tls_options *options = &tls->options;

    if (options->ca_file != NULL) {
        if (SSL_CTX_load_verify_file(tls->context, options->ca_file) != 1) {
            ERR_clear_error();
            return bolt_fail(error, BOLT_ERR_USAGE,
                             "ca_file %s can't be read, or holds no certificate in PEM form",
                             options->ca_file);
        }
    } else if (SSL_CTX_set_default_verify_paths(tls->context) != 1) {
        return openssl_failed("finding the system's certificate authorities", error);
    }
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(tls->context, judge, tls);
    return 0;
}

static int set_name(const struct tls *tls, struct bolt_error *error)
{
    const char *host = tls->options.host;
    bool address = is_address(host);
    int done = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), host)
                       : SSL_set1_host(tls->ssl, host);

    if (done == 1 && !address) {
        /* OpenSSL's macro casts to void *, but doesn't write. */
        done = (int)SSL_set_tlsext_host_name(tls->ssl, (char *)(uintptr_t)host);
    }
    return done == 1 ? 0 : openssl_failed("naming the host", error);
}

static int prepare(struct tls *tls, struct bolt_error *error)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->context == NULL || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1) {
        return openssl_failed("setting it up", error);
    }
    (void)SSL_CTX_set_mode(tls->context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int rc = set_trust(tls, error);
    if (rc < 0) {
        return rc;
    }
    tls->ssl = SSL_new(tls->context);
    BIO *bio = tls->ssl == NULL ? NULL : make_bio(tls);
    if (bio == NULL) {
        return openssl_failed("setting it up", error);
    }
    SSL_set_bio(tls->ssl, bio, bio);
    return set_name(tls, error);
}

static int handshake_failed(const struct net *net, const struct tls *tls, int reason,
                            struct bolt_error *error)
{
    if (tls->reason[0] != '\0') {
        ERR_clear_error();
        return bolt_fail(error, BOLT_ERR_TLS, "%s: its certificate was refused: %s", net->peer,
                         tls->reason);
    }
    unsigned long code = ERR_peek_last_error();
    bool cut = reason == SSL_ERROR_SYSCALL || reason == SSL_ERROR_ZERO_RETURN ||
               ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (cut || ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER) {
        ERR_clear_error();
        return bolt_fail(error, BOLT_ERR_TLS,
                         "%s: the server %s TLS: it may not be set up for it (bolt:// and neo4j:// "
                         "connect without)",
                         net->peer, cut ? "closed the connection when asked for" : "doesn't speak");
    }
    (void)openssl_failed("the handshake failed", error);
    return bolt_fail_context(error, "%s", net->peer);
}

static int shake_hands(struct net *net, struct tls *tls, int64_t deadline_ms,
                       struct bolt_error *error)
{
    for (;;) {
        ERR_clear_error();
        int done = SSL_connect(tls->ssl);
        if (done == 1) {
            return 0;
        }
        int reason = SSL_get_error(tls->ssl, done);
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
            return handshake_failed(net, tls, reason, error);
        }
        int rc = net_wait(net, reason == SSL_ERROR_WANT_READ, reason == SSL_ERROR_WANT_WRITE,
                          deadline_ms, error);
        if (rc < 0) {
            return rc;
        }
    }
}

int tls_start(struct net *net, const struct tls_options *options, int64_t deadline_ms,
              struct bolt_error *error)
{
    struct tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL) {
        return bolt_fail_memory(error);
    }
    tls->fd = net->fd;
    tls->options = *options;
    int rc = prepare(tls, error);
    if (rc == 0) {
        rc = shake_hands(net, tls, deadline_ms, error);
    }
    if (rc < 0) {
        tls_free(tls);
        return rc;
    }
    tls->options.host = NULL;
    tls->options.ca_file = NULL;
    tls->established = true;
    net->tls = tls;
    return 0;
}

const char *tls_digest_text(const struct tls *tls)
{
    return tls->digest;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    if (tls->established) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl); /* a goodbye: nobody waits for the answer */
        ERR_clear_error();
    }
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    free(tls);
}

/* ---- reading and writing ---- */

/* Why an SSL_read or SSL_write did nothing. 0: it wants to be called again. */
static int not_done(const struct net *net, int result, bool *ret_other_way, int other_way,
                    const char *doing, struct bolt_error *error)
{
    int reason = SSL_get_error(net->tls->ssl, result);
    int errno_value = errno;

    *ret_other_way = reason == other_way;
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
        return 0;
    }
    net->tls->established = false; /* no goodbye over a broken one */
    if (reason == SSL_ERROR_ZERO_RETURN) {
        return bolt_fail(error, BOLT_ERR_LOST, "%s: the server closed the connection", net->peer);
    }
    if (reason == SSL_ERROR_SYSCALL && errno_value != 0) {
        return bolt_fail_errno(error, BOLT_ERR_LOST, errno_value, "%s: connection lost while %s",
                               net->peer, doing);
    }
    bool cut = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (cut) {
        ERR_clear_error();
        return bolt_fail(error, BOLT_ERR_LOST, "%s: the connection was cut without TLS's goodbye",
                         net->peer);
    }
    (void)openssl_failed(doing, error);
    error->kind = BOLT_ERR_LOST;
    return bolt_fail_context(error, "%s: connection lost", net->peer);
}

int tls_read(struct net *net, void *to, size_t size, size_t *ret, struct bolt_error *error)
{
    ERR_clear_error();
    errno = 0;
    int got = SSL_read(net->tls->ssl, to, size > INT_MAX ? INT_MAX : (int)size);

    net->read_wants_write = false;
    *ret = got > 0 ? (size_t)got : 0;
    return got > 0
               ? 0
               : not_done(net, got, &net->read_wants_write, SSL_ERROR_WANT_WRITE, "reading", error);
}

int tls_write(struct net *net, const void *from, size_t size, size_t *ret, struct bolt_error *error)
{
    ERR_clear_error();
    errno = 0;
    int put = SSL_write(net->tls->ssl, from, size > INT_MAX ? INT_MAX : (int)size);

    net->write_wants_read = false;
    *ret = put > 0 ? (size_t)put : 0;
    return put > 0
               ? 0
               : not_done(net, put, &net->write_wants_read, SSL_ERROR_WANT_READ, "writing", error);
}
