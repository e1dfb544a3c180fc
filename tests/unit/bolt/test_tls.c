/* tls - which certificates are believed, and that nothing is said to a server that is not. */
#include "bolt/bytes.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

#define DAY_S 86400L
#define WAIT_MS 20000
#define FILE_NAME_MAX 64

/* A certificate and its key. */
struct identity {
    X509 *certificate;
    EVP_PKEY *key;
};

static void identity_done(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Signed by issuer (NULL: by itself); valid from and until so many days from now. */
static struct identity make_identity(const char *name, const char *alternatives, long from_days,
                                     long until_days, const struct identity *issuer)
{
    struct identity made = {X509_new(), EVP_EC_gen("P-256")};
    X509 *c = made.certificate;

    assert_true(c != NULL && made.key != NULL);
    assert_int_equal(X509_set_version(c, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(c), from_days * DAY_S));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c), until_days * DAY_S));
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    X509 *by = issuer == NULL ? c : issuer->certificate;
    assert_int_equal(X509_set_issuer_name(c, X509_get_subject_name(by)), 1);
    assert_int_equal(X509_set_pubkey(c, made.key), 1);
    if (alternatives == NULL) {
        add_extension(c, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        add_extension(c, NID_subject_alt_name, alternatives);
    }
    assert_true(X509_sign(c, issuer == NULL ? made.key : issuer->key, EVP_sha256()) > 0);
    return made;
}

/* ---- a server in a thread ---- */

struct server {
    int fd;
    int client_fd;
    const struct identity *identity; /* NULL: it speaks no TLS */
    pthread_t thread;
    bool accepted;
    char sni[64];
    size_t payload;      /* bytes that it was told, TLS taken away */
    unsigned char first; /* the first byte on the wire, when it speaks no TLS */
};

/* 5.4, SUCCESS to HELLO and LOGON. */
static const unsigned char ANSWERS[] = {0, 0, 4, 5, 0,    3,    0xB1, 0x70, 0xA0,
                                        0, 0, 0, 3, 0xB1, 0x70, 0xA0, 0,    0};

static void serve(struct server *server, SSL *ssl)
{
    unsigned char bytes[4096];
    int got;

    server->accepted = SSL_accept(ssl) == 1;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)snprintf(server->sni, sizeof(server->sni), "%s", name == NULL ? "" : name);
    if (server->accepted) {
        (void)SSL_write(ssl, ANSWERS, sizeof(ANSWERS)); /* in advance; a client that left is fine */
    }
    while (server->accepted && (got = SSL_read(ssl, bytes, sizeof(bytes))) > 0) {
        server->payload += (size_t)got;
    }
    (void)SSL_shutdown(ssl); /* the same */
}

static void *run(void *arg)
{
    struct server *server = arg;
    sigset_t pipe;

    if (sigemptyset(&pipe) != 0 || sigaddset(&pipe, SIGPIPE) != 0 ||
        pthread_sigmask(SIG_BLOCK, &pipe, NULL) != 0) { /* OpenSSL's sockets raise it */
        return NULL;
    }
    if (server->identity == NULL) {
        if (read(server->fd, &server->first, 1) != 1 || write(server->fd, "HTTP", 4) != 4) {
            server->first = 0;
        }
        (void)shutdown(server->fd, SHUT_RDWR);
        return NULL;
    }
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL *ssl = NULL;
    if (context != NULL && SSL_CTX_use_certificate(context, server->identity->certificate) == 1 &&
        SSL_CTX_use_PrivateKey(context, server->identity->key) == 1) {
        ssl = SSL_new(context);
    }
    if (ssl != NULL && SSL_set_fd(ssl, server->fd) == 1) {
        serve(server, ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return NULL;
}

/* Connect to a server with this identity; what the server saw is in *ret_server. */
static int connect_to(const struct identity *identity, const struct bolt_options *options,
                      struct server *ret_server, struct bolt_connection **ret,
                      struct bolt_error *error)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *ret_server = (struct server){.fd = fds[0], .client_fd = fds[1], .identity = identity};
    assert_int_equal(pthread_create(&ret_server->thread, NULL, run, ret_server), 0);
    int rc = bolt_open_socket_take(fds[1], options, bolt_deadline_in(WAIT_MS), ret, error);
    if (rc == 0) {
        assert_true(bolt_info(*ret)->tls);
        bolt_close(*ret);
    }
    assert_int_equal(pthread_join(ret_server->thread, NULL), 0);
    (void)close(fds[0]);
    return rc;
}

/* ---- what all tests share ---- */

struct fixture {
    struct identity authority;
    struct identity good;
    struct identity expired;
    struct identity self_signed;
    struct identity another_authority;
    char ca_file[FILE_NAME_MAX];
    char system_file[FILE_NAME_MAX];
};

static void write_certificate(const struct identity *identity, char ret_name[FILE_NAME_MAX])
{
    (void)snprintf(ret_name, FILE_NAME_MAX, "/tmp/holdfast-test-ca-XXXXXX");
    int fd = mkstemp(ret_name);
    FILE *file = fdopen(fd, "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, identity->certificate), 1);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->authority = make_identity("Test Authority", NULL, -1, 30, NULL);
    f->good = make_identity("graph", "DNS:graph.example,IP:10.0.0.1", -1, 30, &f->authority);
    f->expired = make_identity("graph", "DNS:graph.example", -9, -2, &f->authority);
    f->self_signed = make_identity("graph", "DNS:graph.example", -1, 30, NULL);
    write_certificate(&f->authority, f->ca_file);
    /* This machine trusts one authority, which signed none of them, and not 140, which each
     * connection would read. */
    f->another_authority = make_identity("Another Authority", NULL, -1, 30, NULL);
    write_certificate(&f->another_authority, f->system_file);
    assert_int_equal(setenv("SSL_CERT_FILE", f->system_file, 1), 0);
    assert_int_equal(setenv("SSL_CERT_DIR", "/nowhere", 1), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void)unlink(f->ca_file);
    (void)unlink(f->system_file);
    identity_done(&f->authority);
    identity_done(&f->good);
    identity_done(&f->expired);
    identity_done(&f->self_signed);
    identity_done(&f->another_authority);
    free(f);
    return 0;
}

static void digest_text(const struct identity *identity, char ret[65])
{
    unsigned char digest[32];
    unsigned size = sizeof(digest);

    assert_int_equal(X509_digest(identity->certificate, EVP_sha256(), digest, &size), 1);
    for (size_t i = 0; i < sizeof(digest); i++) {
        (void)snprintf(ret + 2 * i, 3, "%02X", digest[i]);
    }
}

static void expect_refused(const struct identity *identity, const struct bolt_options *options,
                           const char *says)
{
    struct server server;
    struct bolt_connection *c = NULL;
    struct bolt_error error;

    assert_bolt_refused(connect_to(identity, options, &server, &c, &error), &error, BOLT_ERR_TLS,
                        says);
    assert_null(c);
    assert_int_equal(server.payload, 0);
    assert_false(bolt_error_is_retryable(&error));
}

static void expect_accepted(const struct identity *identity, const struct bolt_options *options,
                            const char *sni)
{
    struct server server;
    struct bolt_connection *c = NULL;
    struct bolt_error error;

    assert_bolt_ok(connect_to(identity, options, &server, &c, &error), &error);
    assert_true(server.payload > 20);
    assert_string_equal(server.sni, sni);
}

/* ---- tests ---- */

static void a_certificate_of_a_trusted_authority_is_accepted(void **state)
{
    const struct fixture *f = *state;
    const struct bolt_options by_name = {.uri = "bolt+s://graph.example", .ca_file = f->ca_file};
    const struct bolt_options by_address = {.uri = "neo4j+s://10.0.0.1", .ca_file = f->ca_file};

    expect_accepted(&f->good, &by_name, "graph.example");
    expect_accepted(&f->good, &by_address, ""); /* SNI has no addresses */
}

static void a_certificate_for_another_host_is_refused(void **state)
{
    const struct fixture *f = *state;
    const struct bolt_options other = {.uri = "bolt+s://evil.example", .ca_file = f->ca_file};
    const struct bolt_options address = {.uri = "bolt+s://10.0.0.2", .ca_file = f->ca_file};

    expect_refused(&f->good, &other, "issued for graph.example, 10.0.0.1, not for evil.example");
    expect_refused(&f->good, &address, "not for 10.0.0.2");
}

static void an_expired_certificate_is_refused(void **state)
{
    const struct fixture *f = *state;
    const struct bolt_options options = {.uri = "bolt+s://graph.example", .ca_file = f->ca_file};

    expect_refused(&f->expired, &options, "it is expired since 20");
}

static void a_self_signed_certificate_is_refused_unless_it_is_named(void **state)
{
    const struct fixture *f = *state;
    const struct bolt_options options = {.uri = "bolt+s://graph.example"};

    expect_refused(&f->self_signed, &options, "self-signed; to trust it, give its file");
}

static void an_unknown_authority_is_refused(void **state)
{
    const struct fixture *f = *state;
    const struct bolt_options system = {.uri = "bolt+s://graph.example"};

    expect_refused(&f->good, &system, "(CN = Test Authority) is not among the trusted");
}

static void a_pinned_certificate_is_the_only_one(void **state)
{
    const struct fixture *f = *state;
    char pin[65];
    digest_text(&f->self_signed, pin);
    const struct bolt_options options = {.uri = "bolt+s://any.name", .pinned_sha256 = pin};
    const struct bolt_options loose = {.uri = "bolt+ssc://any.name", .pinned_sha256 = pin};

    expect_accepted(&f->self_signed, &options, "any.name");
    expect_refused(&f->good, &options, "not the pinned one");
    expect_refused(&f->good, &loose, "not the pinned one");
}

static void a_pin_may_have_colons(void **state)
{
    const struct fixture *f = *state;
    char pin[65];
    char colons[96];
    size_t used = 0;
    digest_text(&f->self_signed, pin);
    for (size_t i = 0; i < 64; i += 2) {
        used += (size_t)snprintf(colons + used, sizeof(colons) - used, "%s%.2s", i == 0 ? "" : ":",
                                 pin + i);
    }
    const struct bolt_options options = {.uri = "bolt+s://any.name", .pinned_sha256 = colons};

    expect_accepted(&f->self_signed, &options, "any.name");
}

static void ssc_accepts_any_certificate(void **state)
{
    const struct fixture *f = *state;
    const struct bolt_options options = {.uri = "bolt+ssc://evil.example"};

    expect_accepted(&f->self_signed, &options, "evil.example");
    expect_accepted(&f->expired, &options, "evil.example");
}

static void there_is_no_way_back_to_plain(void **state)
{
    (void)state;
    static const char *const URIS[] = {"bolt+s://graph.example", "bolt+ssc://graph.example"};

    for (size_t i = 0; i < 2; i++) {
        const struct bolt_options options = {
            .uri = URIS[i], .auth = {.scheme = "basic", .principal = "u", .credentials = "s3cret"}};
        struct server server;
        struct bolt_connection *c = NULL;
        struct bolt_error error;
        assert_bolt_refused(connect_to(NULL, &options, &server, &c, &error), &error, BOLT_ERR_TLS,
                            "TLS: it may not be set up for it");
        assert_int_equal(server.first, 0x16); /* a TLS handshake, not Bolt's 0x60 */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_of_a_trusted_authority_is_accepted),
        cmocka_unit_test(a_certificate_for_another_host_is_refused),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(a_self_signed_certificate_is_refused_unless_it_is_named),
        cmocka_unit_test(an_unknown_authority_is_refused),
        cmocka_unit_test(a_pinned_certificate_is_the_only_one),
        cmocka_unit_test(a_pin_may_have_colons),
        cmocka_unit_test(ssc_accepts_any_certificate),
        cmocka_unit_test(there_is_no_way_back_to_plain),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
