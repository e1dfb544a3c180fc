#include "bolt/connection.h"
#include "bolt/summary.h"

enum { TAG_RESET = 0x0F, TAG_LOGOFF = 0x6B };

/* A BEGIN that nobody awaits is the first in flight, if it is. */
static size_t awaited(const struct bolt_connection *c)
{
    return c->count > 0 && c->requests[c->first].number == c->quiet ? c->count - 1 : c->count;
}

/* These calls wait for their own reply, which is the next one but for a quiet BEGIN's. */
static int check_idle(const struct bolt_connection *c, struct bolt_error *error)
{
    if (c->dead) {
        return connection_check_alive(c, error);
    }
    if (c->stream.state == STREAM_OPEN) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "a query is still running: read all its records, or bolt_consume");
    }
    if (awaited(c) > 0 && !c->failed) {
        return bolt_fail(error, BOLT_ERR_USAGE,
                         "%zu requests await their replies: bolt_receive or bolt_settle reads them",
                         awaited(c));
    }
    return 0;
}

const struct bolt_string *bolt_fields(const struct bolt_connection *connection, size_t *ret_count)
{
    *ret_count = connection->field_count;
    return connection->fields;
}

/* ---- queries ---- */

static int64_t first_ms_of(const struct bolt_value *metadata)
{
    struct bolt_value value;

    return bolt_map_get(metadata, "t_first", &value) && value.type == BOLT_INTEGER
               ? value.as.integer
               : 0;
}

int bolt_run(struct bolt_connection *connection, const char *query,
             const struct bolt_packer *parameters, const struct bolt_tx_options *options,
             int64_t deadline_ms, struct bolt_error *error)
{
    struct bolt_connection *c = connection;
    struct bolt_value metadata;
    uint64_t run = 0;
    int rc = check_idle(c, error);

    if (rc == 0) {
        rc = bolt_send_run(c, query, parameters, options, &run, error);
    }
    if (rc == 0) {
        c->stream = (struct stream){.state = STREAM_NONE};
        c->fields_known = false;
        rc = bolt_send_pull(c, c->fetch_size, BOLT_LAST_QUERY, NULL, error);
    }
    if (rc == 0) {
        rc = reply_await(c, run, deadline_ms, &metadata, error);
    }
    if (rc == 0) {
        c->stream.state = STREAM_OPEN;
        c->stream.first_ms = first_ms_of(&metadata);
    }
    return rc;
}

/* The last reply to a PULL or DISCARD. 0: ask for more, in flight now; 1: it was the end. */
static int end_of_batch(struct bolt_connection *c, const struct bolt_reply *reply, bool discard,
                        struct bolt_error *error)
{
    if (reply->has_more) {
        return discard ? bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, NULL, error)
                       : bolt_send_pull(c, c->fetch_size, BOLT_LAST_QUERY, NULL, error);
    }
    c->stream.state = STREAM_ENDED;
    c->stream.metadata = reply->metadata;
    return 1;
}

int bolt_next(struct bolt_connection *connection, struct bolt_record *ret, int64_t deadline_ms,
              struct bolt_error *error)
{
    struct bolt_connection *c = connection;

    if (c->stream.state == STREAM_NONE) {
        return bolt_fail(error, BOLT_ERR_USAGE, "no query is running: bolt_run starts one");
    }
    while (c->stream.state == STREAM_OPEN) {
        struct bolt_reply reply;
        int rc = reply_receive(c, deadline_ms, &reply, error);
        if (rc == 0 && reply.is_record) {
            *ret = reply.record;
            return 1;
        }
        if (rc == 0) {
            rc = end_of_batch(c, &reply, false, error);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int bolt_consume(struct bolt_connection *connection, struct bolt_summary *ret, int64_t deadline_ms,
                 struct bolt_error *error)
{
    struct bolt_connection *c = connection;

    if (c->stream.state == STREAM_NONE) {
        return bolt_fail(error, BOLT_ERR_USAGE, "no query is running: bolt_run starts one");
    }
    while (c->stream.state == STREAM_OPEN) {
        struct bolt_reply reply;
        int rc = reply_receive(c, deadline_ms, &reply, error);
        if (rc == 0) {
            rc = reply.is_record ? connection_over(c, deadline_ms, error)
                                 : end_of_batch(c, &reply, true, error);
        }
        if (rc < 0) {
            return rc;
        }
    }
    if (ret != NULL) {
        summary_read(&c->stream.metadata, c->stream.first_ms, ret);
    }
    return 0;
}

int bolt_execute(struct bolt_connection *connection, const char *query,
                 const struct bolt_packer *parameters, const struct bolt_tx_options *options,
                 struct bolt_summary *ret, int64_t deadline_ms, struct bolt_error *error)
{
    struct bolt_connection *c = connection;
    struct bolt_value metadata;
    uint64_t run = 0;
    uint64_t discard = 0;
    int64_t first_ms = 0;
    int rc = check_idle(c, error);

    if (rc == 0) {
        rc = bolt_send_run(c, query, parameters, options, &run, error);
    }
    if (rc == 0) {
        c->stream = (struct stream){.state = STREAM_NONE};
        rc = bolt_send_discard(c, BOLT_ALL, BOLT_LAST_QUERY, &discard, error);
    }
    if (rc == 0) {
        rc = reply_await(c, run, deadline_ms, &metadata, error);
    }
    if (rc == 0) {
        first_ms = first_ms_of(&metadata);
        rc = reply_await(c, discard, deadline_ms, &metadata, error);
    }
    if (rc == 0 && ret != NULL) {
        summary_read(&metadata, first_ms, ret);
    }
    return rc;
}

/* ---- transactions ---- */

int bolt_begin(struct bolt_connection *connection, const struct bolt_tx_options *options,
               int64_t deadline_ms, struct bolt_error *error)
{
    uint64_t number = 0;
    int rc = check_idle(connection, error);

    if (rc == 0) {
        rc = bolt_send_begin(connection, options, &number, error);
    }
    return rc < 0 ? rc : reply_await(connection, number, deadline_ms, NULL, error);
}

int connection_begin(struct bolt_connection *c, const struct bolt_tx_options *options,
                     struct bolt_error *error)
{
    uint64_t number = 0;
    int rc = check_idle(c, error);

    if (rc == 0) {
        rc = bolt_send_begin(c, options, &number, error);
    }
    if (rc == 0) {
        c->quiet = number;
    }
    return rc;
}

/* What is left of a query is dropped: the transaction can't end before it. */
static int end_stream(struct bolt_connection *c, int64_t deadline_ms, struct bolt_error *error)
{
    return c->stream.state == STREAM_OPEN ? bolt_consume(c, NULL, deadline_ms, error) : 0;
}

static int end_transaction(struct bolt_connection *c,
                           int (*send)(struct bolt_connection *connection, uint64_t *ret_request,
                                       struct bolt_error *error),
                           int64_t deadline_ms, struct bolt_error *error)
{
    int rc = end_stream(c, deadline_ms, error);

    if (rc == 0) {
        rc = connection_check_alive(c, error);
    }
    if (rc == 0) {
        rc = send(c, NULL, error);
    }
    return rc < 0 ? rc : bolt_settle(c, deadline_ms, error);
}

int bolt_commit(struct bolt_connection *connection, int64_t deadline_ms, struct bolt_error *error)
{
    return end_transaction(connection, bolt_send_commit, deadline_ms, error);
}

int bolt_rollback(struct bolt_connection *connection, int64_t deadline_ms, struct bolt_error *error)
{
    return end_transaction(connection, bolt_send_rollback, deadline_ms, error);
}

/* ---- the connection's state ---- */

int bolt_reset(struct bolt_connection *connection, int64_t deadline_ms, struct bolt_error *error)
{
    struct bolt_connection *c = connection;
    int rc = connection_check_alive(c, error);

    if (rc == 0 && !c->resetting) {
        rc = request_plain(c, BOLT_REQUEST_RESET, TAG_RESET, error);
        if (rc == 0) {
            c->resetting = true;
            c->in_tx = false;
            c->run_commits = false;
            c->settle_failed = false;
            c->stream.state = STREAM_NONE;
        }
    }
    while (rc == 0 && c->resetting) {
        struct bolt_reply reply;
        size_t before = c->count;
        rc = reply_receive(c, deadline_ms, &reply, error);
        if (rc == 0 && reply.is_record) {
            rc = connection_over(c, deadline_ms, error);
        } else if (rc < 0 && c->count < before && c->count > 0 && !c->dead) {
            rc = 0; /* what was before it failed, or was ignored */
        }
    }
    if (rc < 0 && error->kind != BOLT_ERR_TIMEOUT && error->kind != BOLT_ERR_CANCELLED &&
        error->kind != BOLT_ERR_COMMIT_UNKNOWN) {
        c->dead = true;
    }
    return rc;
}

bool bolt_needs_reset(const struct bolt_connection *connection)
{
    return connection->failed && !connection->dead;
}

int bolt_logon(struct bolt_connection *connection, const struct bolt_auth *auth,
               int64_t deadline_ms, struct bolt_error *error)
{
    struct bolt_connection *c = connection;
    int rc = check_idle(c, error);

    if (rc == 0 && !version_least(c->version, 5, 1)) {
        rc = bolt_fail(error, BOLT_ERR_UNSUPPORTED,
                       "changing the user needs Bolt 5.1; this server speaks %d.%d",
                       c->version.major, c->version.minor);
    }
    if (rc == 0 && c->in_tx) {
        rc = bolt_fail(error, BOLT_ERR_USAGE, "a transaction is open: end it first");
    }
    if (rc == 0) {
        rc = request_plain(c, BOLT_REQUEST_LOGOFF, TAG_LOGOFF, error);
    }
    if (rc == 0) {
        rc = request_logon(c, auth, error);
    }
    return rc < 0 ? rc : reply_await(c, c->last_number, deadline_ms, NULL, error);
}

int bolt_route(struct bolt_connection *connection, const char *database,
               const char *impersonated_user, const char *const *bookmarks, int64_t deadline_ms,
               struct bolt_value *ret, struct bolt_error *error)
{
    struct bolt_connection *c = connection;
    struct bolt_value metadata;
    struct bolt_value table;
    int rc = check_idle(c, error);

    if (rc == 0) {
        rc = request_route(c, database, impersonated_user, bookmarks, error);
    }
    if (rc == 0) {
        rc = reply_await(c, c->last_number, deadline_ms, &metadata, error);
    }
    if (rc < 0) {
        return rc;
    }
    if (!bolt_map_get(&metadata, "rt", &table) || table.type != BOLT_MAP) {
        (void)bolt_fail(error, BOLT_ERR_PROTOCOL, "%s: the server gave no routing table",
                        c->net.peer);
        return connection_broken(c, error);
    }
    *ret = table;
    return 0;
}

const char *bolt_bookmark(const struct bolt_connection *connection)
{
    return connection->bookmark == NULL ? "" : connection->bookmark;
}
