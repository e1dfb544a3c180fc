/* The graph vault's driver, its transactions, and Bolt's errors as ours. */
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
    {"Neo.ClientError.Schema.ConstraintCreationFailed", ERR_CORRUPT},
    {"Neo.DatabaseError.Schema.ConstraintCreationFailed", ERR_CORRUPT},
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

int neo4j_failed(const struct neo4j_vault *vault, const struct bolt_error *error, struct err *err)
{
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

/* ---- the driver ---- */

void neo4j_link_close(struct neo4j_vault *vault)
{
    bolt_session_close(vault->session);
    vault->session = NULL;
    bolt_driver_close(vault->driver);
    vault->driver = NULL;
}

static int open_session(struct neo4j_vault *vault, struct bolt_error *error)
{
    const struct bolt_session_options options = {.database = vault->database};

    bolt_session_close(vault->session);
    vault->session = NULL;
    return bolt_session_open(vault->driver, &options, &vault->session, error);
}

/* Is there a server for this, and does it let us in? Once, without waiting for one to come. */
static int reach(struct neo4j_vault *vault, enum bolt_mode mode, struct deadline deadline,
                 struct bolt_error *error)
{
    const struct bolt_purpose purpose = {.mode = mode, .database = vault->database};
    struct bolt_connection *connection;
    int rc = bolt_driver_acquire(vault->driver, &purpose, deadline.at_ms, &connection, error);

    if (rc == 0) {
        bolt_driver_release(vault->driver, connection, NULL);
    }
    return rc;
}

int neo4j_link_open(struct neo4j_vault *vault, struct deadline deadline, struct err *err)
{
    const struct bolt_driver_options options = {
        .connection = {.uri = vault->uri,
                       .auth = {.scheme = "basic",
                                .principal = vault->user,
                                .credentials = vault->password},
                       .ca_file = vault->ca_file,
                       .user_agent = "holdfast/" HOLDFAST_VERSION,
                       .cancel = vault->can_cancel ? &vault->cancel : NULL},
        .idle_check_ms = NEO4J_IDLE_MS,
        .retry_ms = NEO4J_RETRY_MS,
        .retry_first_ms = NEO4J_RETRY_FIRST_MS,
    };
    struct bolt_error error = BOLT_ERROR_INIT;

    vault->read_mode = BOLT_WRITE;
    int rc = neo4j_go_on(vault, deadline, err);
    if (rc < 0) {
        return rc;
    }
    rc = bolt_driver_open(&options, &vault->driver, &error);
    rc = rc == 0 ? open_session(vault, &error) : rc;
    rc = rc == 0 ? reach(vault, BOLT_WRITE, deadline, &error) : rc;
    if (rc == -(int)BOLT_ERR_CONNECT && vault->read_only) {
        vault->read_mode = BOLT_READ;
        rc = reach(vault, BOLT_READ, deadline, &error);
    }
    return rc < 0 ? neo4j_failed(vault, &error, err) : 0;
}

/* ---- transactions ---- */

struct transaction {
    struct neo4j_tx tx;
    neo4j_work *work;
    void *arg;
    int rc;        /* what work gave */
    bool set_back; /* the server did not get to what we wrote before, in all the time it had */
};

/*
 * A server that we were not connected to may be a moment behind what we wrote, and is waited for:
 * it answers BEGIN when it has our bookmark. One whose data were replaced by older ones never does.
 */
static int catch_up(struct transaction *transaction)
{
    struct neo4j_tx *tx = &transaction->tx;
    int64_t opened_ms = bolt_info(tx->connection)->opened_ms;
    struct deadline end = deadline_in(NEO4J_CATCH_UP_MS);

    if (opened_ms == tx->vault->caught_up) {
        return 0;
    }
    bool bounded = end.at_ms < tx->deadline.at_ms;
    int rc = bolt_settle(tx->connection, bounded ? end.at_ms : tx->deadline.at_ms, tx->error);
    if (rc == 0) {
        tx->vault->caught_up = opened_ms;
    }
    transaction->set_back = bounded && rc == -(int)BOLT_ERR_TIMEOUT;
    return rc;
}

/* For the session: what Bolt said is its matter, what is wrong otherwise is ours. */
static int do_work(struct bolt_connection *connection, int64_t deadline_ms, void *arg,
                   struct bolt_error *error)
{
    struct transaction *transaction = arg;
    struct neo4j_tx *tx = &transaction->tx;

    (void)deadline_ms; /* it is tx->deadline */
    tx->connection = connection;
    tx->error = error;
    int rc = catch_up(transaction);
    transaction->rc = rc == 0 ? transaction->work(tx, transaction->arg) : rc;
    if (transaction->rc == 0) {
        return 0;
    }
    return error->kind != BOLT_OK ? -(int)error->kind : 1;
}

static int run(struct neo4j_vault *vault, enum bolt_mode mode, struct transaction *transaction,
               struct bolt_error *error)
{
    int64_t at_ms = transaction->tx.deadline.at_ms;

    return mode == BOLT_READ
               ? bolt_session_read(vault->session, NULL, do_work, transaction, at_ms, error)
               : bolt_session_write(vault->session, NULL, do_work, transaction, at_ms, error);
}

int neo4j_transact(struct neo4j_vault *vault, enum bolt_mode mode, neo4j_work *work, void *arg,
                   struct deadline deadline, struct bolt_error *ret_error, struct err *err)
{
    struct transaction transaction = {
        .tx = {.vault = vault, .deadline = deadline, .err = err}, .work = work, .arg = arg};
    enum bolt_mode to = mode == BOLT_READ ? vault->read_mode : BOLT_WRITE;

    *ret_error = (struct bolt_error)BOLT_ERROR_INIT;
    int rc = neo4j_go_on(vault, deadline, err);
    if (rc < 0) {
        return rc;
    }
    rc = run(vault, to, &transaction, ret_error);
    if (transaction.set_back) {
        transaction.set_back = false;
        rc = open_session(vault, ret_error);
        rc = rc == 0 ? run(vault, to, &transaction, ret_error) : rc;
    }
    if (rc < 0) {
        return neo4j_failed(vault, ret_error, err);
    }
    *ret_error = (struct bolt_error)BOLT_ERROR_INIT; /* whatever a try before the last met */
    return rc == 0 ? 0 : transaction.rc;
}

/* ---- statements ---- */

/* Too much is queued: have it written first. */
static bool made_room(struct neo4j_tx *tx)
{
    if (tx->error->kind != BOLT_ERR_BUSY ||
        bolt_flush(tx->connection, tx->deadline.at_ms, tx->error) < 0) {
        return false;
    }
    tx->error->kind = BOLT_OK;
    return true;
}

int neo4j_send(struct neo4j_tx *tx, enum neo4j_statement statement,
               const struct bolt_packer *parameters, bool records)
{
    const char *text = neo4j_statement_text(statement);
    int rc = 0;

    do {
        rc = bolt_send_run(tx->connection, text, parameters, NULL, NULL, tx->error);
    } while (rc < 0 && made_room(tx));
    if (rc < 0) {
        return rc;
    }
    do {
        rc = records
                 ? bolt_send_pull(tx->connection, BOLT_ALL, BOLT_LAST_QUERY, NULL, tx->error)
                 : bolt_send_discard(tx->connection, BOLT_ALL, BOLT_LAST_QUERY, NULL, tx->error);
    } while (rc < 0 && made_room(tx));
    return rc;
}

int neo4j_records(struct neo4j_tx *tx, neo4j_record_fn *each, void *arg)
{
    struct bolt_reply reply;
    int rc = 0;

    do {
        rc = bolt_receive(tx->connection, &reply, tx->deadline.at_ms, tx->error);
        if (rc == 0 && reply.is_record && each != NULL) {
            rc = neo4j_go_on(tx->vault, tx->deadline, tx->err);
            rc = rc == 0 ? each(arg, &reply.record, tx->err) : rc;
        }
    } while (rc == 0 && (reply.is_record || reply.request == BOLT_REQUEST_RUN));
    return rc;
}

/* ---- one statement alone ---- */

struct query {
    enum neo4j_statement statement;
    const struct bolt_packer *parameters;
    neo4j_record_fn *each;
    void *arg;
    bool given; /* a record; so it can't be asked again from the beginning */
};

static int give_record(void *arg, const struct bolt_record *record, struct err *err)
{
    struct query *query = arg;

    query->given = true;
    return query->each == NULL ? 0 : query->each(query->arg, record, err);
}

static int query_work(struct neo4j_tx *tx, void *arg)
{
    struct query *query = arg;

    if (query->given) {
        return err_set(tx->err, ERR_UNAVAILABLE, "%s: the end of an answer was lost",
                       tx->vault->uri);
    }
    int rc = neo4j_send(tx, query->statement, query->parameters, true);
    rc = rc == 0 ? neo4j_records(tx, give_record, query) : rc;
    if (rc < 0 && query->given && tx->error->kind != BOLT_OK) {
        rc = neo4j_failed(tx->vault, tx->error, tx->err);
        tx->error->kind = BOLT_OK;
    }
    return rc;
}

int neo4j_query(struct neo4j_vault *vault, enum bolt_mode mode, enum neo4j_statement statement,
                const struct bolt_packer *parameters, neo4j_record_fn *each, void *arg,
                struct deadline deadline, struct err *err)
{
    struct query query = {
        .statement = statement, .parameters = parameters, .each = each, .arg = arg};
    struct bolt_error error;

    return neo4j_transact(vault, mode, query_work, &query, deadline, &error, err);
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
