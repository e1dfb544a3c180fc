#include "bolt/connection.h"

#include <unistd.h>

#define REQUESTS_LEAST 8             /* a transaction in one flight */
#define GREETING_MAX (64u << 10)     /* bytes of a message before we are logged on */
#define SILENCE_MAX_S (24 * 60 * 60) /* a longer promise is as good as none */

/* ---- making the object ---- */

static size_t or_default(size_t value, size_t standard)
{
    return value == 0 ? standard : value;
}

static struct bolt_connection *make(const struct bolt_options *options)
{
    struct bolt_connection *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->net.fd = -1;
    c->net.cancel = options->cancel;
    rx_init(&c->rx, GREETING_MAX);
    bolt_packer_init(&c->scratch, 0);
    c->requests_max = or_default(options->requests_max, BOLT_REQUESTS_MAX);
    if (c->requests_max < REQUESTS_LEAST) {
        c->requests_max = REQUESTS_LEAST;
    }
    c->send_max = or_default(options->send_max, BOLT_SEND_MAX);
    c->receive_max = or_default(options->receive_max, BOLT_RECEIVE_MAX);
    c->fetch_size = options->fetch_size == 0 ? BOLT_FETCH_SIZE : options->fetch_size;
    c->telemetry = options->telemetry;
    c->dead = true; /* until the handshake is over */
    c->requests = calloc(c->requests_max + 1, sizeof(*c->requests));
    if (c->requests == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

void bolt_close(struct bolt_connection *connection)
{
    struct bolt_connection *c = connection;

    if (c == NULL) {
        return;
    }
    if (!c->dead && tx_waiting(&c->tx) == 0) { /* what waits may be a COMMIT nobody waits for */
        request_goodbye(c);
    }
    net_close(&c->net);
    rx_done(&c->rx);
    tx_done(&c->tx);
    bolt_packer_done(&c->scratch);
    free(c->requests);
    free(c->fields);
    free(c->values);
    free(c->server);
    free(c->connection_id);
    free(c->advertised_address);
    free(c->bookmark);
    free(c);
}

const struct bolt_connection_info *bolt_info(const struct bolt_connection *connection)
{
    return &connection->info;
}

/* ---- options ---- */

static int check_options(const struct bolt_connection *c, const struct bolt_options *options,
                         struct bolt_error *error)
{
    bool trust = options->ca_file != NULL || options->pinned_sha256 != NULL;

    if (trust && c->uri.tls == BOLT_TLS_NONE) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "ca_file and pinned_sha256 need TLS: use bolt+s:// or neo4j+s://");
    }
    if (options->ca_file != NULL && c->uri.tls == BOLT_TLS_ANY_SERVER) {
        return bolt_fail(
            error, BOLT_ERR_USAGE,
            "+ssc accepts any certificate, so that ca_file would mean nothing: use +s");
    }
    if (c->fetch_size < 1 && c->fetch_size != BOLT_ALL) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "fetch_size is %lld; allowed is BOLT_ALL, or 1 and more",
                         (long long)c->fetch_size);
    }
    return 0;
}

static int take_options(struct bolt_connection *c, const struct bolt_options *options,
                        struct bolt_error *error)
{
    if (options->uri == NULL) {
        return bolt_fail(error, BOLT_ERR_USAGE, "options.uri is missing");
    }
    int rc = bolt_uri_parse(options->uri, &c->uri, error);
    if (rc == 0) {
        rc = check_options(c, options, error);
    }
    if (rc < 0) {
        return rc;
    }
    const char *host = options->host == NULL ? c->uri.host : options->host;
    if (strlen(host) >= sizeof(c->host)) {
        return bolt_fail(error, BOLT_ERR_USAGE, "options.host is longer than %d bytes",
                         BOLT_HOST_MAX - 1);
    }
    memcpy(c->host, host, strlen(host) + 1);
    uint16_t other = options->port == 0 ? BOLT_PORT : options->port;
    uint16_t port = options->host == NULL ? c->uri.port : other;
    uri_address(c->host, port, c->address);
    uri_address(c->host, port, c->net.peer);
    c->info = (struct bolt_connection_info){
        .address = c->address,
        .host = c->host,
        .port = port,
        .server = "",
        .connection_id = "",
        .advertised_address = "",
        .certificate_sha256 = "",
    };
    return 0;
}

/* ---- from a socket to a version ---- */

static int secure(struct bolt_connection *c, const struct bolt_options *options,
                  int64_t deadline_ms, struct bolt_error *error)
{
    struct tls_options tls = {
        .mode = c->uri.tls,
        .host = c->host,
        .ca_file = options->ca_file,
        .pinned = options->pinned_sha256 != NULL,
    };
    int rc = tls.pinned ? tls_parse_digest(options->pinned_sha256, tls.digest, error) : 0;

    if (rc == 0) {
        rc = tls_start(&c->net, &tls, deadline_ms, error);
    }
    if (rc == 0) {
        c->info.tls = true;
        c->info.certificate_sha256 = tls_digest_text(c->net.tls);
    }
    return rc;
}

/* ---- HELLO and LOGON ---- */

static int keep(char **kept, const char **view, const struct bolt_value *map, const char *key,
                struct bolt_error *error)
{
    struct bolt_value value;

    if (!bolt_map_get(map, key, &value) || value.type != BOLT_STRING) {
        return 0;
    }
    char *copy = strndup(value.as.string, value.count);
    if (copy == NULL) {
        return bolt_fail_memory(error);
    }
    free(*kept);
    *kept = copy;
    *view = copy;
    return 0;
}

static void take_hints(struct bolt_connection *c, const struct bolt_value *hints)
{
    struct bolt_value value;

    if (bolt_map_get(hints, "connection.recv_timeout_seconds", &value) &&
        value.type == BOLT_INTEGER && value.as.integer > 0 && value.as.integer <= SILENCE_MAX_S) {
        c->info.silence_max_ms = 1000 * value.as.integer;
    }
    bool asked = bolt_map_get(hints, "telemetry.enabled", &value) && value.type == BOLT_BOOLEAN &&
                 value.as.boolean;
    c->telemetry = c->telemetry && asked && version_least(c->version, 5, 4);
}

static bool patched_utc(const struct bolt_value *map)
{
    struct bolt_value patches;
    struct bolt_value name;
    bool utc = false;

    if (bolt_map_get(map, "patch_bolt", &patches)) {
        struct bolt_iter iter = bolt_iter_of(&patches);
        while (bolt_iter_next(&iter, &name)) {
            utc = utc || bolt_string_is(bolt_value_string(&name), "utc");
        }
    }
    return utc;
}

/* After a manifest the server says once more what was agreed on: then nobody in between changed it.
 */
static int check_version(const struct bolt_connection *c, const struct bolt_value *map,
                         struct bolt_error *error)
{
    struct bolt_value value;
    char text[16];

    (void)snprintf(text, sizeof(text), "%d.%d", c->version.major, c->version.minor);
    if (bolt_map_get(map, "protocol_version", &value) &&
        !bolt_string_is(bolt_value_string(&value), text)) {
        return bolt_fail(error, BOLT_ERR_PROTOCOL,
                         "%s: Bolt %s was agreed on, but the server speaks of another version: "
                         "somebody may have changed the handshake",
                         c->net.peer, text);
    }
    return 0;
}

static int take_hello(struct bolt_connection *c, const struct bolt_value *map, bool manifest,
                      struct bolt_error *error)
{
    struct bolt_value hints = {.type = BOLT_NULL};
    int rc = manifest ? check_version(c, map, error) : 0;

    if (rc == 0) {
        rc = keep(&c->server, &c->info.server, map, "server", error);
    }
    if (rc == 0) {
        rc = keep(&c->connection_id, &c->info.connection_id, map, "connection_id", error);
    }
    (void)bolt_map_get(map, "hints", &hints); /* older servers have none */
    take_hints(c, &hints);
    c->info.legacy_times = c->version.major < 5 && !patched_utc(map);
    return rc;
}

static int log_on(struct bolt_connection *c, const struct bolt_options *options, bool manifest,
                  int64_t deadline_ms, struct bolt_error *error)
{
    bool apart = version_least(c->version, 5, 1);
    struct bolt_value map;
    uint64_t hello = 0;
    int rc = request_hello(c, options, error);

    hello = c->last_number;
    if (rc == 0 && apart) {
        rc = request_logon(c, &options->auth, error);
    }
    if (rc == 0) {
        rc = reply_await(c, hello, deadline_ms, &map, error);
    }
    if (rc == 0) {
        rc = take_hello(c, &map, manifest, error);
    }
    if (rc == 0 && apart) {
        rc = reply_await(c, c->last_number, deadline_ms, &map, error);
    }
    if (rc == 0 && apart) {
        rc = keep(&c->advertised_address, &c->info.advertised_address, &map, "advertised_address",
                  error);
    }
    if (rc == -(int)BOLT_ERR_AUTH) {
        return bolt_fail_context(error, "%s doesn't let us in", c->net.peer);
    }
    return rc;
}

static int greet(struct bolt_connection *c, const struct bolt_options *options, int64_t deadline_ms,
                 struct bolt_error *error)
{
    bool manifest = false;
    int rc = c->uri.tls == BOLT_TLS_NONE ? 0 : secure(c, options, deadline_ms, error);

    if (rc == 0) {
        rc = handshake(&c->net, &c->tx, deadline_ms, &c->version, &manifest, error);
    }
    if (rc < 0) {
        return rc;
    }
    c->dead = false;
    c->info.major = c->version.major;
    c->info.minor = c->version.minor;
    c->exposed = !c->info.tls && !net_is_local(&c->net);
    rc = log_on(c, options, manifest, deadline_ms, error);
    if (rc < 0) {
        c->dead = true; /* no goodbye to who doesn't know us */
        return rc;
    }
    c->rx.message_max = or_default(options->reply_max, BOLT_REPLY_MAX);
    c->info.opened_ms = c->heard_ms;
    return 0;
}

/* fd < 0: connect. */
static int open_connection(int fd, const struct bolt_options *options, int64_t deadline_ms,
                           struct bolt_connection **ret, struct bolt_error *error)
{
    struct bolt_connection *c = make(options);

    if (c == NULL) {
        if (fd >= 0) {
            (void)close(fd); /* taken over */
        }
        return bolt_fail_memory(error);
    }
    c->net.fd = fd;
    int rc = take_options(c, options, error);
    if (rc == 0 && fd < 0) {
        rc = net_connect(&c->net, c->host, c->info.port, deadline_ms, error);
    } else if (rc == 0) {
        rc = net_adopt(&c->net, fd, error);
    }
    if (rc == 0) {
        rc = greet(c, options, deadline_ms, error);
    }
    if (rc < 0) {
        bolt_close(c);
        return rc;
    }
    *ret = c;
    return 0;
}

int bolt_open(const struct bolt_options *options, int64_t deadline_ms, struct bolt_connection **ret,
              struct bolt_error *error)
{
    return open_connection(-1, options, deadline_ms, ret, error);
}

int bolt_open_socket_take(int fd, const struct bolt_options *options, int64_t deadline_ms,
                          struct bolt_connection **ret, struct bolt_error *error)
{
    return open_connection(fd, options, deadline_ms, ret, error);
}
