/* The graph vault's connection, and Bolt's errors as ours. */
#include "vault/neo4j_vault.h"

/* ---- errors ---- */

/* What the server's codes mean for us, the first that the code begins with. What is not here is an
 * outage. */
static const struct {
    const char *code;
    enum err_code means;
} codes[] = {
    {"Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", ERR_FORBIDDEN},
    {"Neo.ClientError.Security.AuthorizationExpired", ERR_UNAVAILABLE},
    {"Neo.ClientError.Security.Unauthorized", ERR_AUTH},
    {"Neo.ClientError.Security.CredentialsExpired", ERR_AUTH},
    {"Neo.ClientError.Security.TokenExpired", ERR_AUTH},
    {"Neo.ClientError.Security.AuthenticationRateLimit", ERR_AUTH},
    {"Neo.ClientError.Security.", ERR_FORBIDDEN},
    {"Neo.ClientError.Database.", ERR_CONFIG},
    {"Neo.ClientError.Schema.ConstraintValidationFailed", ERR_CORRUPT},
    {"Neo.ClientError.Statement.SyntaxError", ERR_CONFIG},
    {"Neo.ClientError.Procedure.ProcedureNotFound", ERR_CONFIG},
    {"Neo.ClientError.Statement.", ERR_INVALID},
};

static enum err_code server_code(const struct bolt_error *error)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strncmp(error->code, codes[i].code, strlen(codes[i].code)) == 0) {
            return codes[i].means;
        }
    }
    return ERR_UNAVAILABLE;
}

static enum err_code our_code(const struct bolt_error *error)
{
    switch (error->kind) {
    case BOLT_ERR_SERVER:
        return server_code(error);
    case BOLT_ERR_USAGE:
    case BOLT_ERR_UNSUPPORTED:
    case BOLT_ERR_TLS:
        return ERR_CONFIG;
    case BOLT_ERR_AUTH:
        return ERR_AUTH;
    case BOLT_ERR_LIMIT:
        return ERR_LIMIT;
    case BOLT_ERR_TIMEOUT:
        return ERR_TIMEOUT;
    case BOLT_ERR_CANCELLED:
        return ERR_CANCELLED;
    default:
        return ERR_UNAVAILABLE;
    }
}

int neo4j_failed(struct neo4j_vault *vault, const struct bolt_error *error, struct err *err)
{
    if (error->kind != BOLT_ERR_SERVER && error->kind != BOLT_ERR_IGNORED) {
        neo4j_disconnect(vault);
    }
    return err_set(err, our_code(error), "%s: %s", vault->uri, error->message);
}

int neo4j_go_on(const struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    if (vault->can_cancel && wake_cancelled(vault->cancel.wake)) {
        return err_set(err, ERR_CANCELLED, "%s: cancelled", vault->uri);
    }
    if (deadline_left_ms(deadline) == 0) {
        return err_set(err, ERR_TIMEOUT, "%s: not done in time", vault->uri);
    }
    return 0;
}

/* ---- the connection ---- */

void neo4j_disconnect(struct neo4j_vault *vault)
{
    bolt_close(vault->connection);
    vault->connection = NULL;
}

static int open_connection(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    struct bolt_error error = BOLT_ERROR_INIT;
    struct bolt_options options = {
        .uri = vault->uri,
        .auth = {.scheme = "basic", .principal = vault->user, .credentials = vault->password},
        .user_agent = "holdfast/" HOLDFAST_VERSION,
        .cancel = vault->can_cancel ? &vault->cancel : NULL,
    };

    if (bolt_open(&options, deadline.at_ms, &vault->connection, &error) < 0) {
        vault->connection = NULL;
        return neo4j_failed(vault, &error, err);
    }
    return 0;
}

/* A connection that was silent may be gone without our knowing; one that failed must be reset. */
static bool needs_trial(const struct neo4j_vault *vault)
{
    return bolt_needs_reset(vault->connection) || bolt_in_flight(vault->connection) > 0 ||
           bolt_last_used_ms(vault->connection) + NEO4J_IDLE_MS < bolt_deadline_in(0);
}

int neo4j_connect(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    struct bolt_error error = BOLT_ERROR_INIT;

    int rc = neo4j_go_on(vault, deadline, err);
    if (rc < 0) {
        return rc;
    }
    if (vault->connection != NULL && !bolt_is_alive(vault->connection)) {
        neo4j_disconnect(vault);
    }
    if (vault->connection != NULL && needs_trial(vault) &&
        bolt_reset(vault->connection, deadline.at_ms, &error) < 0) {
        neo4j_disconnect(vault);
    }
    return vault->connection == NULL ? open_connection(vault, deadline, err) : 0;
}

/* ---- statements ---- */

/* Too much is queued: have it written first. */
static bool made_room(struct neo4j_vault *vault, struct deadline deadline, struct bolt_error *error)
{
    return error->kind == BOLT_ERR_BUSY &&
           bolt_flush(vault->connection, deadline.at_ms, error) == 0;
}

int neo4j_send(struct neo4j_vault *vault, enum neo4j_statement statement,
               const struct bolt_packer *parameters, bool records, struct deadline deadline,
               struct bolt_error *error)
{
    struct bolt_connection *connection = vault->connection;
    const char *text = neo4j_statement_text(statement);
    int rc = 0;

    do {
        rc = bolt_send_run(connection, text, parameters, NULL, NULL, error);
    } while (rc < 0 && made_room(vault, deadline, error));
    if (rc < 0) {
        return rc;
    }
    do {
        rc = records ? bolt_send_pull(connection, BOLT_ALL, BOLT_LAST_QUERY, NULL, error)
                     : bolt_send_discard(connection, BOLT_ALL, BOLT_LAST_QUERY, NULL, error);
    } while (rc < 0 && made_room(vault, deadline, error));
    return rc;
}

int neo4j_records(struct neo4j_vault *vault, neo4j_record_fn *each, void *arg,
                  struct deadline deadline, struct bolt_error *error, struct err *err)
{
    struct bolt_reply reply;
    int rc = 0;

    do {
        if (bolt_receive(vault->connection, &reply, deadline.at_ms, error) < 0) {
            return neo4j_failed(vault, error, err);
        }
        if (reply.is_record && each != NULL) {
            rc = neo4j_go_on(vault, deadline, err);
            rc = rc == 0 ? each(arg, &reply.record, err) : rc;
        }
    } while (rc == 0 && (reply.is_record || reply.request == BOLT_REQUEST_RUN ||
                         reply.request == BOLT_REQUEST_BEGIN));
    return rc;
}

int neo4j_query(struct neo4j_vault *vault, enum bolt_mode mode, enum neo4j_statement statement,
                const struct bolt_packer *parameters, neo4j_record_fn *each, void *arg,
                struct deadline deadline, struct err *err)
{
    struct bolt_tx_options options = {.mode = mode, .database = vault->database};
    struct bolt_error error = BOLT_ERROR_INIT;

    int rc = neo4j_connect(vault, deadline, err);
    if (rc < 0) {
        return rc;
    }
    if (bolt_send_run(vault->connection, neo4j_statement_text(statement), parameters, &options,
                      NULL, &error) < 0 ||
        bolt_send_pull(vault->connection, BOLT_ALL, BOLT_LAST_QUERY, NULL, &error) < 0) {
        return neo4j_failed(vault, &error, err);
    }
    return neo4j_records(vault, each, arg, deadline, &error, err);
}

/* ---- fields ---- */

static int wrong_field(size_t at, const struct bolt_value *value, const char *wanted,
                       struct err *err)
{
    return err_set(err, ERR_CORRUPT, "column %zu is a %s where there must be %s", at + 1,
                   value == NULL ? "missing one" : bolt_type_name(value->type), wanted);
}

static const struct bolt_value *field(const struct bolt_record *record, size_t at)
{
    return at < record->count ? &record->values[at] : NULL;
}

int neo4j_get_uint(const struct bolt_record *record, size_t at, uint64_t *ret, struct err *err)
{
    const struct bolt_value *value = field(record, at);

    if (value == NULL || value->type != BOLT_INTEGER || value->as.integer < 0) {
        return wrong_field(at, value, "a number", err);
    }
    *ret = (uint64_t)value->as.integer;
    return 0;
}

int neo4j_take_uint(void *arg, const struct bolt_record *record, struct err *err)
{
    return neo4j_get_uint(record, 0, arg, err);
}

int neo4j_get_float(const struct bolt_record *record, size_t at, double *ret, struct err *err)
{
    const struct bolt_value *value = field(record, at);

    if (value == NULL || value->type != BOLT_FLOAT) {
        return wrong_field(at, value, "a score", err);
    }
    *ret = value->as.real;
    return 0;
}

int neo4j_get_str(const struct bolt_record *record, size_t at, struct str *ret, struct err *err)
{
    const struct bolt_value *value = field(record, at);

    if (value == NULL || value->type != BOLT_STRING) {
        return wrong_field(at, value, "a text", err);
    }
    *ret = (struct str){value->as.string, value->count};
    return 0;
}

int neo4j_get_uuid(const struct bolt_record *record, size_t at, struct uuid *ret, struct err *err)
{
    struct str text;

    int rc = neo4j_get_str(record, at, &text, err);
    if (rc == 0 && uuid_parse(text, ret, err) < 0) {
        err->code = ERR_CORRUPT;
        rc = -ERR_CORRUPT;
    }
    return rc;
}

int neo4j_get_hash(const struct bolt_record *record, size_t at, struct sha256 *ret, struct err *err)
{
    struct str text;

    int rc = neo4j_get_str(record, at, &text, err);
    if (rc == 0 && sha256_parse_hex(text, ret, err) < 0) {
        err->code = ERR_CORRUPT;
        rc = -ERR_CORRUPT;
    }
    return rc;
}

void neo4j_pack_uuid(struct bolt_packer *packer, const struct uuid *uuid)
{
    char text[UUID_TEXT_MAX];

    if (uuid_is_nil(uuid)) {
        bolt_pack_null(packer);
        return;
    }
    uuid_format(uuid, text);
    bolt_pack_string(packer, text, UUID_TEXT_LEN);
}

void neo4j_pack_hash(struct bolt_packer *packer, const struct sha256 *hash)
{
    char text[SHA256_HEX_MAX];

    sha256_hex(hash, text);
    bolt_pack_string(packer, text, SHA256_HEX_MAX - 1);
}

void neo4j_pack_str(struct bolt_packer *packer, struct str text)
{
    bolt_pack_string(packer, text.ptr, text.len);
}

void neo4j_pack_time(struct bolt_packer *packer, int64_t us)
{
    int64_t seconds = us / 1000000;
    int64_t rest = us % 1000000;

    if (us == TIME_NONE) {
        bolt_pack_null(packer);
        return;
    }
    if (rest < 0) {
        seconds--;
        rest += 1000000;
    }
    bolt_pack_datetime(packer, seconds, rest * 1000, 0);
}

void neo4j_pack_chain(struct bolt_packer *packer, const struct neo4j_chain *chain)
{
    bolt_pack_key(packer, "origin");
    neo4j_pack_uuid(packer, &chain->origin);
    bolt_pack_key(packer, "copy");
    bolt_pack_integer(packer, chain->copy);
}
