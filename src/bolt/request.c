#include "bolt/connection.h"
#include "bolt/pack.h"

#define WRITE_AT (64u << 10) /* bytes; with this much waiting, what the socket takes is written */
#define CONTROL_MAX 1024     /* bytes; what belongs to a RUN that was taken is taken too */
#define SECRET_ROOM 256      /* bytes of the credentials' map besides its texts */

enum message_tag {
    TAG_HELLO = 0x01,
    TAG_GOODBYE = 0x02,
    TAG_RUN = 0x10,
    TAG_BEGIN = 0x11,
    TAG_COMMIT = 0x12,
    TAG_ROLLBACK = 0x13,
    TAG_DISCARD = 0x2F,
    TAG_PULL = 0x3F,
    TAG_TELEMETRY = 0x54,
    TAG_ROUTE = 0x66,
    TAG_LOGON = 0x6A,
};

const char *request_name(enum bolt_request kind)
{
    static const char *const NAMES[] = {
        [BOLT_REQUEST_HELLO] = "HELLO",     [BOLT_REQUEST_LOGON] = "LOGON",
        [BOLT_REQUEST_LOGOFF] = "LOGOFF",   [BOLT_REQUEST_RESET] = "RESET",
        [BOLT_REQUEST_RUN] = "RUN",         [BOLT_REQUEST_PULL] = "PULL",
        [BOLT_REQUEST_DISCARD] = "DISCARD", [BOLT_REQUEST_BEGIN] = "BEGIN",
        [BOLT_REQUEST_COMMIT] = "COMMIT",   [BOLT_REQUEST_ROLLBACK] = "ROLLBACK",
        [BOLT_REQUEST_ROUTE] = "ROUTE",     [BOLT_REQUEST_TELEMETRY] = "TELEMETRY",
    };

    return NAMES[kind];
}

/* ---- the queue ---- */

void request_start(struct bolt_connection *c, unsigned char tag, unsigned fields)
{
    bolt_packer_reset(&c->scratch);
    pack_sequence(&c->scratch);
    pack_message(&c->scratch, tag, fields);
}

static int check_room(const struct bolt_connection *c, const struct request_draft *draft,
                      size_t size, struct bolt_error *error)
{
    bool reset = draft->kind == BOLT_REQUEST_RESET;

    if (c->count >= c->requests_max && !reset) {
        return bolt_fail(error, BOLT_ERR_BUSY, "%zu requests await their replies: read some first",
                         c->count);
    }
    if (tx_waiting(&c->tx) >= c->send_max && size > CONTROL_MAX && !reset) {
        return bolt_fail(error, BOLT_ERR_BUSY,
                         "%zu bytes wait to be written: bolt_flush, or read replies",
                         tx_waiting(&c->tx));
    }
    return 0;
}

static int check_params(const struct bolt_connection *c, const struct bolt_packer *params,
                        struct bolt_error *error)
{
    bool utc = !c->info.legacy_times;
    int rc = bolt_packer_check(params, error);

    if (rc < 0) {
        return rc;
    }
    if (!pack_is_map(params)) {
        return bolt_fail(error, BOLT_ERR_USAGE, "parameters and metadata must be a map");
    }
    if ((params->needs & (utc ? PACK_NEEDS_LEGACY : PACK_NEEDS_UTC)) != 0) {
        return bolt_fail(error, BOLT_ERR_UNSUPPORTED,
                         "Bolt %d.%d on this server takes date-times in the %s form: see "
                         "bolt_packer_legacy_times",
                         c->version.major, c->version.minor, utc ? "newer" : "older");
    }
    if ((params->needs & PACK_NEEDS_6) != 0 && !version_least(c->version, 6, 0)) {
        return bolt_fail(error, BOLT_ERR_UNSUPPORTED,
                         "vectors need Bolt 6.0; this server speaks %d.%d: send a list of floats",
                         c->version.major, c->version.minor);
    }
    return 0;
}

/* Something failed and was read: whatever is sent now would be ignored. */
static int check_state(const struct bolt_connection *c, enum bolt_request kind,
                       struct bolt_error *error)
{
    int rc = connection_check_alive(c, error);

    if (rc == 0 && c->failed && kind != BOLT_REQUEST_RESET) {
        rc = bolt_fail(error, BOLT_ERR_USAGE,
                       "a request failed before: the server ignores all others until bolt_reset");
    }
    return rc;
}

static void remember(struct bolt_connection *c, const struct request_draft *draft)
{
    size_t at = (c->first + c->count++) % (c->requests_max + 1);

    c->requests[at] = (struct request){
        .number = ++c->last_number,
        .kind = draft->kind,
        .end = tx_end_offset(&c->tx),
        .commits = draft->commits,
        .last_qid = draft->last_qid,
    };
}

static int queue_message(struct bolt_connection *c, const struct request_draft *draft,
                         struct bolt_error *error)
{
    const struct bolt_packer *s = &c->scratch;
    size_t split = draft->params == NULL ? s->size : draft->split;
    const struct tx_piece pieces[] = {
        {s->data, split},
        {draft->params == NULL ? NULL : draft->params->data,
         draft->params == NULL ? 0 : draft->params->size},
        {s->data + split, s->size - split},
    };
    int rc = check_room(c, draft, pieces[0].size + pieces[1].size + pieces[2].size, error);

    return rc < 0 ? rc : tx_message(&c->tx, pieces, 3, draft->secret, error);
}

int request_add(struct bolt_connection *c, const struct request_draft *draft, uint64_t *ret_request,
                struct bolt_error *error)
{
    int rc = check_state(c, draft->kind, error);

    if (rc == 0) {
        rc = pack_sequence_check(&c->scratch, error);
    }
    if (rc == 0) {
        rc = queue_message(c, draft, error);
    }
    if (draft->secret && c->scratch.data != NULL) {
        explicit_bzero(c->scratch.data, c->scratch.capacity);
    }
    if (rc < 0) {
        return rc;
    }
    remember(c, draft);
    if (ret_request != NULL) {
        *ret_request = c->last_number;
    }
    if (tx_waiting(&c->tx) >= WRITE_AT) {
        connection_write_some(c);
    }
    return 0;
}

int request_plain(struct bolt_connection *c, enum bolt_request kind, unsigned char tag,
                  struct bolt_error *error)
{
    request_start(c, tag, 0);
    return request_add(c, &(struct request_draft){.kind = kind}, NULL, error);
}

void request_goodbye(struct bolt_connection *c)
{
    struct bolt_error error;

    request_start(c, TAG_GOODBYE, 0);
    const struct tx_piece piece = {c->scratch.data, c->scratch.size};
    if (c->scratch.failed == 0 && tx_message(&c->tx, &piece, 1, false, &error) == 0) {
        connection_write_some(c); /* a courtesy: nobody waits for it */
    }
}

/* ---- HELLO, LOGON ---- */

static int check_auth(const struct bolt_auth *auth, struct bolt_error *error)
{
    if (auth->parameters == NULL) {
        return 0;
    }
    int rc = bolt_packer_check(auth->parameters, error);
    if (rc == 0 && !pack_is_map(auth->parameters)) {
        rc = bolt_fail(error, BOLT_ERR_USAGE, "auth.parameters must be a map");
    }
    return rc;
}

static size_t auth_size(const struct bolt_auth *auth)
{
    const char *const texts[] = {auth->scheme, auth->principal, auth->credentials, auth->realm};
    size_t size = SECRET_ROOM + (auth->parameters == NULL ? 0 : auth->parameters->size);

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size += texts[i] == NULL ? 0 : strlen(texts[i]);
    }
    return size;
}

static void pack_entry(struct bolt_packer *p, const char *key, const char *value)
{
    if (value != NULL) {
        bolt_pack_key(p, key);
        bolt_pack_text(p, value);
    }
}

/* Into the open map at hand. */
static void pack_auth(struct bolt_packer *p, const struct bolt_auth *auth)
{
    struct bolt_value parameters;
    struct bolt_error error = BOLT_ERROR_INIT;

    pack_reserve(p, auth_size(auth));
    pack_entry(p, "scheme", auth->scheme == NULL ? "none" : auth->scheme);
    pack_entry(p, "principal", auth->principal);
    pack_entry(p, "credentials", auth->credentials);
    pack_entry(p, "realm", auth->realm);
    if (auth->parameters != NULL && bolt_value_read(auth->parameters->data, auth->parameters->size,
                                                    &parameters, NULL, &error) == 0) {
        bolt_pack_key(p, "parameters");
        bolt_pack_value(p, &parameters);
    }
}

/* Queue what was packed with these credentials. */
static int add_with_auth(struct bolt_connection *c, enum bolt_request kind,
                         const struct bolt_auth *auth, struct bolt_error *error)
{
    bool secret = auth->credentials != NULL || auth->parameters != NULL;
    int rc = request_add(c, &(struct request_draft){.kind = kind, .secret = true}, NULL, error);

    if (rc == 0 && secret && c->exposed) {
        c->info.clear_credentials = true;
    }
    return rc;
}

static bool notifications_set(const struct bolt_notifications *notifications)
{
    return notifications->least_severity != NULL || notifications->disabled != NULL;
}

static int pack_notifications(struct bolt_connection *c,
                              const struct bolt_notifications *notifications,
                              struct bolt_error *error)
{
    struct bolt_packer *p = &c->scratch;

    if (!notifications_set(notifications)) {
        return 0;
    }
    if (!version_least(c->version, 5, 2)) {
        return bolt_fail(error, BOLT_ERR_UNSUPPORTED,
                         "notifications can be chosen from Bolt 5.2 on; this server speaks %d.%d",
                         c->version.major, c->version.minor);
    }
    pack_entry(p, "notifications_minimum_severity", notifications->least_severity);
    if (notifications->disabled != NULL) {
        bolt_pack_key(p, version_least(c->version, 5, 6) ? "notifications_disabled_classifications"
                                                         : "notifications_disabled_categories");
        bolt_pack_list_open(p);
        for (const char *const *name = notifications->disabled; *name != NULL; name++) {
            bolt_pack_text(p, *name);
        }
        bolt_pack_end(p);
    }
    return 0;
}

static void pack_agent(struct bolt_packer *p)
{
    bolt_pack_key(p, "bolt_agent");
    bolt_pack_map(p, 2);
    pack_entry(p, "product", "holdfast-bolt/" HOLDFAST_VERSION);
    pack_entry(p, "language", "C");
}

int request_hello(struct bolt_connection *c, const struct bolt_options *options,
                  struct bolt_error *error)
{
    struct bolt_packer *p = &c->scratch;
    bool with_auth = !version_least(c->version, 5, 1);
    const char *agent = options->user_agent;
    int rc = check_auth(&options->auth, error);

    if (rc < 0) {
        return rc;
    }
    request_start(c, TAG_HELLO, 1);
    bolt_pack_map_open(p);
    pack_entry(p, "user_agent", agent == NULL ? "holdfast-bolt/" HOLDFAST_VERSION : agent);
    if (version_least(c->version, 5, 3)) {
        pack_agent(p);
    }
    if (c->uri.routing) {
        bolt_pack_key(p, "routing");
        rc = uri_pack_context(&c->uri, p, error);
    }
    if (c->version.major == 4 && c->version.minor >= 3) {
        bolt_pack_key(p, "patch_bolt");
        bolt_pack_list(p, 1);
        bolt_pack_text(p, "utc");
    }
    if (rc == 0) {
        rc = pack_notifications(c, &options->notifications, error);
    }
    if (rc < 0) {
        return rc;
    }
    if (with_auth) {
        pack_auth(p, &options->auth);
    }
    bolt_pack_end(p);
    return with_auth
               ? add_with_auth(c, BOLT_REQUEST_HELLO, &options->auth, error)
               : request_add(c, &(struct request_draft){.kind = BOLT_REQUEST_HELLO}, NULL, error);
}

int request_logon(struct bolt_connection *c, const struct bolt_auth *auth, struct bolt_error *error)
{
    int rc = check_auth(auth, error);

    if (rc < 0) {
        return rc;
    }
    request_start(c, TAG_LOGON, 1);
    bolt_pack_map_open(&c->scratch);
    pack_auth(&c->scratch, auth);
    bolt_pack_end(&c->scratch);
    return add_with_auth(c, BOLT_REQUEST_LOGON, auth, error);
}

/* ---- RUN, BEGIN ---- */

static void pack_texts(struct bolt_packer *p, const char *const *texts)
{
    bolt_pack_list_open(p);
    for (const char *const *text = texts; text != NULL && *text != NULL; text++) {
        bolt_pack_text(p, *text);
    }
    bolt_pack_end(p);
}

static int check_impersonation(const struct bolt_connection *c, const char *user,
                               struct bolt_error *error)
{
    if (user != NULL && !version_least(c->version, 4, 4)) {
        return bolt_fail(error, BOLT_ERR_UNSUPPORTED,
                         "impersonation needs Bolt 4.4; this server speaks %d.%d", c->version.major,
                         c->version.minor);
    }
    return 0;
}

/* The map that RUN and BEGIN have in common. */
static int pack_extra(struct bolt_connection *c, const struct bolt_tx_options *options,
                      struct bolt_error *error)
{
    static const struct bolt_tx_options NONE = {0};
    const struct bolt_tx_options *o = options == NULL ? &NONE : options;
    struct bolt_packer *p = &c->scratch;
    struct bolt_value metadata;
    int rc = check_impersonation(c, o->impersonated_user, error);

    if (rc == 0 && o->metadata != NULL) {
        rc = check_params(c, o->metadata, error);
    }
    if (rc < 0) {
        return rc;
    }
    bolt_pack_map_open(p);
    if (o->mode == BOLT_READ) {
        pack_entry(p, "mode", "r");
    }
    pack_entry(p, "db", o->database);
    pack_entry(p, "imp_user", o->impersonated_user);
    if (o->bookmarks != NULL && o->bookmarks[0] != NULL) {
        bolt_pack_key(p, "bookmarks");
        pack_texts(p, o->bookmarks);
    }
    if (o->timeout_ms != 0) {
        bolt_pack_key(p, "tx_timeout");
        bolt_pack_integer(p, o->timeout_ms < 0 ? 0 : o->timeout_ms);
    }
    if (o->metadata != NULL) {
        rc = bolt_value_read(o->metadata->data, o->metadata->size, &metadata, NULL, error);
        if (rc < 0) {
            return rc;
        }
        bolt_pack_key(p, "tx_metadata");
        bolt_pack_value(p, &metadata);
    }
    rc = pack_notifications(c, &o->notifications, error);
    bolt_pack_end(p);
    return rc;
}

int bolt_send_run(struct bolt_connection *connection, const char *query,
                  const struct bolt_packer *parameters, const struct bolt_tx_options *options,
                  uint64_t *ret_request, struct bolt_error *error)
{
    struct bolt_connection *c = connection;
    struct bolt_packer *p = &c->scratch;
    struct request_draft draft = {.kind = BOLT_REQUEST_RUN, .params = parameters};
    int rc = parameters == NULL ? 0 : check_params(c, parameters, error);

    if (rc == 0 && c->in_tx && options != NULL) {
        rc = bolt_fail(error, BOLT_ERR_USAGE,
                       "within a transaction a query has no options of its own: BEGIN has them");
    }
    if (rc < 0) {
        return rc;
    }
    request_start(c, TAG_RUN, 3);
    bolt_pack_text(p, query);
    draft.split = p->size;
    if (parameters == NULL) {
        bolt_pack_map(p, 0);
    }
    rc = pack_extra(c, options, error);
    if (rc == 0) {
        rc = request_add(c, &draft, ret_request, error);
    }
    if (rc == 0) {
        c->run_commits = !c->in_tx && (options == NULL || options->mode == BOLT_WRITE);
    }
    return rc;
}

int bolt_send_begin(struct bolt_connection *connection, const struct bolt_tx_options *options,
                    uint64_t *ret_request, struct bolt_error *error)
{
    if (connection->in_tx) {
        return bolt_fail(error, BOLT_ERR_USAGE, "a transaction is open already");
    }
    request_start(connection, TAG_BEGIN, 1);
    int rc = pack_extra(connection, options, error);
    if (rc == 0) {
        rc = request_add(connection, &(struct request_draft){.kind = BOLT_REQUEST_BEGIN},
                         ret_request, error);
    }
    if (rc == 0) {
        connection->in_tx = true;
    }
    return rc;
}

static int end_tx(struct bolt_connection *c, enum bolt_request kind, unsigned char tag,
                  uint64_t *ret_request, struct bolt_error *error)
{
    if (!c->in_tx) {
        return bolt_fail(error, BOLT_ERR_USAGE, "no transaction is open");
    }
    request_start(c, tag, 0);
    int rc = request_add(
        c, &(struct request_draft){.kind = kind, .commits = kind == BOLT_REQUEST_COMMIT},
        ret_request, error);
    if (rc == 0) {
        c->in_tx = false;
        c->run_commits = false;
    }
    return rc;
}

int bolt_send_commit(struct bolt_connection *connection, uint64_t *ret_request,
                     struct bolt_error *error)
{
    return end_tx(connection, BOLT_REQUEST_COMMIT, TAG_COMMIT, ret_request, error);
}

int bolt_send_rollback(struct bolt_connection *connection, uint64_t *ret_request,
                       struct bolt_error *error)
{
    return end_tx(connection, BOLT_REQUEST_ROLLBACK, TAG_ROLLBACK, ret_request, error);
}

/* ---- PULL, DISCARD ---- */

static int fetch(struct bolt_connection *c, enum bolt_request kind, int64_t count, int64_t qid,
                 uint64_t *ret_request, struct bolt_error *error)
{
    struct bolt_packer *p = &c->scratch;

    if (count != BOLT_ALL && count < 1) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "%s of %lld records: allowed is BOLT_ALL, or 1 and "
                         "more",
                         request_name(kind), (long long)count);
    }
    request_start(c, kind == BOLT_REQUEST_PULL ? TAG_PULL : TAG_DISCARD, 1);
    bolt_pack_map(p, qid == BOLT_LAST_QUERY ? 1 : 2);
    bolt_pack_key(p, "n");
    bolt_pack_integer(p, count);
    if (qid != BOLT_LAST_QUERY) {
        bolt_pack_key(p, "qid");
        bolt_pack_integer(p, qid);
    }
    const struct request_draft draft = {
        .kind = kind, .commits = c->run_commits, .last_qid = qid == BOLT_LAST_QUERY};
    return request_add(c, &draft, ret_request, error);
}

int bolt_send_pull(struct bolt_connection *connection, int64_t count, int64_t qid,
                   uint64_t *ret_request, struct bolt_error *error)
{
    return fetch(connection, BOLT_REQUEST_PULL, count, qid, ret_request, error);
}

int bolt_send_discard(struct bolt_connection *connection, int64_t count, int64_t qid,
                      uint64_t *ret_request, struct bolt_error *error)
{
    return fetch(connection, BOLT_REQUEST_DISCARD, count, qid, ret_request, error);
}

/* ---- the rest ---- */

int bolt_send_telemetry(struct bolt_connection *connection, int api, struct bolt_error *error)
{
    if (api < 0 || api > 3) {
        return bolt_fail(error, BOLT_ERR_USAGE, "there is no API number %d", api);
    }
    if (!connection->telemetry) {
        return 0;
    }
    request_start(connection, TAG_TELEMETRY, 1);
    bolt_pack_integer(&connection->scratch, api);
    return request_add(connection, &(struct request_draft){.kind = BOLT_REQUEST_TELEMETRY}, NULL,
                       error);
}

int request_route(struct bolt_connection *c, const char *database, const char *impersonated_user,
                  const char *const *bookmarks, struct bolt_error *error)
{
    struct bolt_packer *p = &c->scratch;
    int rc = check_impersonation(c, impersonated_user, error);

    if (rc < 0) {
        return rc;
    }
    if (!version_least(c->version, 4, 3)) {
        return bolt_fail(error, BOLT_ERR_UNSUPPORTED,
                         "routing tables need Bolt 4.3; this server speaks %d.%d", c->version.major,
                         c->version.minor);
    }
    request_start(c, TAG_ROUTE, 3);
    rc = uri_pack_context(&c->uri, p, error);
    if (rc < 0) {
        return rc;
    }
    pack_texts(p, bookmarks);
    if (version_least(c->version, 4, 4)) {
        bolt_pack_map_open(p);
        pack_entry(p, "db", database);
        pack_entry(p, "imp_user", impersonated_user);
        bolt_pack_end(p);
    } else {
        bolt_pack_text(p, database);
    }
    return request_add(c, &(struct request_draft){.kind = BOLT_REQUEST_ROUTE}, NULL, error);
}

size_t bolt_in_flight(const struct bolt_connection *connection)
{
    return connection->count;
}
