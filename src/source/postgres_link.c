/* The connections: opened, asked, waited for, always with a deadline and an ear for cancellation.
 */
#include "source/postgres_internal.h"

#include <poll.h>

#include "base/utf8.h"

/* ---- errors ---- */

static const struct {
    const char *state; /* its first characters */
    enum err_code code;
} states[] = {
    {"08", ERR_UNAVAILABLE}, /* connection */
    {"53", ERR_UNAVAILABLE}, /* too many connections, memory, disk */
    {"57", ERR_UNAVAILABLE}, /* shut down, cancelled */
    {"28", ERR_AUTH},         {"3D", ERR_NOT_FOUND}, {"42501", ERR_FORBIDDEN},
    {"55006", ERR_BUSY},      {"55P03", ERR_BUSY},   {"42P01", ERR_NOT_FOUND},
    {"42704", ERR_NOT_FOUND}, {"22", ERR_CONFLICT},  {"23", ERR_CONFLICT},
    {"40", ERR_BUSY},         {"42", ERR_INVALID},   {"58", ERR_UNAVAILABLE},
};

static enum err_code code_of(const PGconn *conn, const char *state)
{
    for (size_t i = 0; state != NULL && i < sizeof(states) / sizeof(states[0]); i++) {
        if (strncmp(state, states[i].state, strlen(states[i].state)) == 0) {
            return states[i].code;
        }
    }
    return PQstatus(conn) == CONNECTION_OK && state != NULL ? ERR_INVALID : ERR_UNAVAILABLE;
}

int pg_error(const PGconn *conn, const PGresult *result, struct err *err)
{
    const char *state = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary =
        result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    struct str text = str_of(primary != NULL ? primary : PQerrorMessage(conn));

    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == ' ')) {
        text.len--;
    }
    if (text.len == 0) { /* libpq says nothing of an answer that is none */
        text = str_of(result == NULL ? "it ended without an answer"
                                     : PQresStatus(PQresultStatus(result)));
    }
    bool refused = state == NULL && strstr(PQerrorMessage(conn), "authentication failed") != NULL;
    AUTO(free_ptr)
    char *said = xprintf(STR_FMT "%s%s", STR_ARG(text), detail == NULL ? "" : "; ",
                         detail == NULL ? "" : detail);
    utf8_make_printable(said, strlen(said)); /* it may quote values */
    return err_set(err, refused ? ERR_AUTH : code_of(conn, state), "PostgreSQL: %s", said);
}

void pg_clear(PGresult **result)
{
    PQclear(*result);
    *result = NULL;
}

/* ---- waiting ---- */

/* The wake may be another thread's too, who takes its signals: then it is looked at so often. */
#define CANCEL_LOOK_MS 500

/* Until `socket` is ready (-1: for nothing), `news` can be read (-1: the same), or the deadline. */
static int wait_until(struct postgres *pg, int socket, short events, int news,
                      struct deadline deadline, bool *ret_ready, struct err *err)
{
    struct deadline end = pg->options->end;
    struct wake *cancel = pg->options->cancel;
    struct pollfd fds[3] = {{.fd = socket, .events = events},
                            {.fd = cancel == NULL ? -1 : cancel->fd, .events = POLLIN},
                            {.fd = news, .events = POLLIN}};

    if (end.at_ms != 0 && end.at_ms < deadline.at_ms) {
        deadline = end;
    }
    for (;;) {
        if (source_cancelled(pg->options, err) < 0) {
            return -(int)err->code;
        }
        int64_t left = deadline_left_ms(deadline);
        int ready = poll(fds, 3, left > CANCEL_LOOK_MS ? CANCEL_LOOK_MS : (int)left);
        *ret_ready = ready > 0 && fds[0].revents != 0;
        if (*ret_ready || (ready > 0 && fds[2].revents != 0) || deadline_left_ms(deadline) == 0) {
            return 0;
        }
    }
}

int pg_wait(struct postgres *pg, PGconn *conn, bool to_write, struct deadline deadline,
            struct err *err)
{
    short events = (short)(POLLIN | (to_write ? POLLOUT : 0));
    bool ready;

    if (wait_until(pg, PQsocket(conn), events, -1, deadline, &ready, err) < 0) {
        return -(int)err->code;
    }
    return ready ? 0 : err_set(err, ERR_TIMEOUT, "PostgreSQL did not answer in time");
}

int pg_poll(struct postgres *pg, PGconn *conn, int64_t ms, bool *ret, struct err *err)
{
    int news = pg_fence_fd(pg, &ms);

    return wait_until(pg, PQsocket(conn), POLLIN, news, deadline_in(ms), ret, err);
}

int pg_pause(struct postgres *pg, int64_t ms, struct err *err)
{
    bool ready;

    return wait_until(pg, -1, 0, -1, deadline_in(ms), &ready, err);
}

static int connect_wait(struct postgres *pg, PGconn *conn, struct err *err)
{
    struct deadline deadline = deadline_in(POSTGRES_CONNECT_MS);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED || PQstatus(conn) == CONNECTION_BAD) {
            return pg_error(conn, NULL, err);
        }
        if (pg_wait(pg, conn, state == PGRES_POLLING_WRITING, deadline, err) < 0) {
            return -(int)err->code;
        }
        state = PQconnectPoll(conn);
    }
    return 0;
}

/* libpq quotes what it can't read, and a password may stand in it. */
static int check_url(const char *url, struct err *err)
{
    char *why = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &why);

    PQfreemem(why);
    if (parsed == NULL) {
        return err_set(
            err, ERR_CONFIG,
            "the source's url is not one that PostgreSQL takes; it is "
            "postgresql://USER@HOST:PORT/DATABASE (a password comes from PGPASSWORD or a "
            "passfile)");
    }
    PQconninfoFree(parsed);
    return 0;
}

static void no_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

/* Values are compared and restored as texts: their form must not depend on anybody's settings. */
static const char session_options[] =
    "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c bytea_output=hex "
    "-c timezone=UTC -c search_path=pg_catalog -c statement_timeout=0 -c lock_timeout=10s "
    "-c idle_in_transaction_session_timeout=0 "
    "-c row_security=off"; /* rows that a policy hides would look deleted: an error tells it */

/* A database in SQL_ASCII may have any bytes, and as UTF-8 it gives no row that has others. */
static int take_any_bytes(struct postgres *pg, PGconn *conn, struct err *err)
{
    const char *encoding = PQparameterStatus(conn, "server_encoding");

    return encoding != NULL && strcmp(encoding, "SQL_ASCII") == 0
               ? pg_exec(pg, conn, "SET client_encoding = 'SQL_ASCII'", err)
               : 0;
}

/* more: one parameter besides; NULL: none. */
static int open_with(struct postgres *pg, const char *more, const char *value, PGconn **ret,
                     struct err *err)
{
    const char *const keys[] = {"dbname", "application_name", "client_encoding", "options", more,
                                NULL};
    const char *const values[] = {pg->options->url, "holdfast", "UTF8",
                                  session_options,  value,      NULL};

    if (check_url(pg->options->url, err) < 0) {
        return -(int)err->code;
    }
    PGconn *conn = PQconnectStartParams(keys, values, 1);
    if (conn == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "libpq has no memory for a connection");
    }
    if (pg->database == NULL && PQdb(conn) != NULL) {
        pg->database = xstrdup(PQdb(conn));
    }
    if (connect_wait(pg, conn, err) < 0) {
        PQfinish(conn);
        return -(int)err->code;
    }
    (void)PQsetNoticeReceiver(conn, no_notice, NULL);
    (void)PQsetnonblocking(conn, 1); /* fails for a connection that is none only */
    pg->version = PQserverVersion(conn);
    if (pg->version < POSTGRES_VERSION_MIN) {
        int major = pg->version / 10000;
        PQfinish(conn);
        return err_set(err, ERR_CONFIG, "this is PostgreSQL %d; 13 and later can be captured",
                       major);
    }
    if (take_any_bytes(pg, conn, err) < 0) {
        PQfinish(conn);
        return -(int)err->code;
    }
    *ret = conn;
    return 0;
}

int pg_open(struct postgres *pg, bool replication, PGconn **ret, struct err *err)
{
    return open_with(pg, replication ? "replication" : NULL, "database", ret, err);
}

/* libpq takes the last word for a parameter: the url's database is the first. */
int pg_open_other(struct postgres *pg, const char *database, PGconn **ret, struct err *err)
{
    return open_with(pg, "dbname", database, ret, err);
}

/* ---- asking ---- */

static int next_result(struct postgres *pg, PGconn *conn, struct deadline deadline, PGresult **ret,
                       struct err *err)
{
    int unsent = PQflush(conn);

    if (source_cancelled(pg->options, err) < 0) {
        return -(int)err->code;
    }
    while (unsent > 0 || PQisBusy(conn)) {
        if (unsent < 0 || pg_wait(pg, conn, unsent > 0, deadline, err) < 0) {
            return unsent < 0 ? pg_error(conn, NULL, err) : -(int)err->code;
        }
        if (PQconsumeInput(conn) == 0) {
            return pg_error(conn, NULL, err);
        }
        unsent = PQflush(conn);
    }
    *ret = PQgetResult(conn);
    return 0;
}

static bool went_well(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
           status == PGRES_SINGLE_TUPLE || status == PGRES_COPY_IN || status == PGRES_COPY_BOTH;
}

/* The last result of what was sent, the first error of it. */
static int last_result(struct postgres *pg, PGconn *conn, int64_t ms, PGresult **ret,
                       struct err *err)
{
    struct deadline deadline = deadline_in(ms);
    PGresult *last = NULL;
    int rc = 0;

    for (;;) {
        PGresult *result = NULL;
        if (next_result(pg, conn, deadline, &result, err) < 0) {
            PQclear(last);
            return -(int)err->code;
        }
        if (result == NULL) {
            break;
        }
        rc = rc == 0 && !went_well(result) ? pg_error(conn, result, err) : rc;
        PQclear(last);
        last = result;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_COPY_BOTH || status == PGRES_COPY_IN) {
            break; /* what follows is another protocol */
        }
    }
    if (rc < 0 || last == NULL) {
        PQclear(last);
        return rc < 0 ? rc : pg_error(conn, NULL, err);
    }
    *ret = last;
    return 0;
}

int pg_query(struct postgres *pg, PGconn *conn, const char *sql, const char *const *values,
             int count, PGresult **ret, struct err *err)
{
    int sent = count == 0 ? PQsendQuery(conn, sql)
                          : PQsendQueryParams(conn, sql, count, NULL, values, NULL, NULL, 0);

    return sent == 0 ? pg_error(conn, NULL, err)
                     : last_result(pg, conn, POSTGRES_CALL_MS, ret, err);
}

int pg_query_long(struct postgres *pg, PGconn *conn, const char *sql, PGresult **ret,
                  struct err *err)
{
    return PQsendQuery(conn, sql) == 0 ? pg_error(conn, NULL, err)
                                       : last_result(pg, conn, POSTGRES_LONG_MS, ret, err);
}

int pg_exec(struct postgres *pg, PGconn *conn, const char *sql, struct err *err)
{
    return pg_exec_long(pg, conn, sql, NULL, err);
}

int pg_exec_long(struct postgres *pg, PGconn *conn, const char *sql, uint64_t *ret_rows,
                 struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;

    if (pg_query_long(pg, conn, sql, &result, err) < 0) {
        return -(int)err->code;
    }
    if (ret_rows != NULL) {
        *ret_rows = strtoull(PQcmdTuples(result), NULL, 10);
    }
    return 0;
}

int pg_ask(struct postgres *pg, PGconn *conn, const char *sql, const char *value, char **ret,
           struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;

    if (pg_query(pg, conn, sql, &value, value == NULL ? 0 : 1, &result, err) < 0) {
        return -(int)err->code;
    }
    if (PQntuples(result) < 1 || PQnfields(result) < 1) {
        return err_set(err, ERR_NOT_FOUND, "PostgreSQL knows of none");
    }
    *ret = PQgetisnull(result, 0, 0) ? NULL : xstrdup(PQgetvalue(result, 0, 0));
    return 0;
}

int pg_ask_bool(struct postgres *pg, const char *sql, const char *value, bool *ret, struct err *err)
{
    AUTO(free_ptr) char *text = NULL;

    if (pg_ask(pg, pg->sql, sql, value, &text, err) < 0) {
        return -(int)err->code;
    }
    *ret = text != NULL && text[0] == 't';
    return 0;
}

int pg_each(struct postgres *pg, PGconn *conn, const char *sql, pg_row_fn *each, void *arg,
            struct err *err)
{
    struct deadline deadline = deadline_in(POSTGRES_LONG_MS);
    int rc = 0;

    if (PQsendQuery(conn, sql) == 0 || PQsetSingleRowMode(conn) == 0) {
        return pg_error(conn, NULL, err);
    }
    for (;;) {
        AUTO(pg_clear) PGresult *result = NULL;
        if (next_result(pg, conn, deadline, &result, err) < 0) {
            return -(int)err->code;
        }
        if (result == NULL) {
            return rc;
        }
        if (rc == 0 && !went_well(result)) {
            rc = pg_error(conn, result, err);
        } else if (rc == 0 && PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
            rc = each(arg, result, err);
            if (rc != 0) {
                return rc; /* the connection is closed by whoever sees the error */
            }
        }
    }
}

/* ---- COPY ---- */

/* Until the server has taken what waits for it. */
static int flush(struct postgres *pg, PGconn *conn, struct err *err)
{
    struct deadline deadline = deadline_in(POSTGRES_CALL_MS);
    int unsent;

    while ((unsent = PQflush(conn)) > 0) {
        if (pg_wait(pg, conn, true, deadline, err) < 0) {
            return -(int)err->code;
        }
        if (PQconsumeInput(conn) == 0) { /* a server that is full of its own messages */
            return pg_error(conn, NULL, err);
        }
    }
    return unsent < 0 ? pg_error(conn, NULL, err) : 0;
}

int pg_copy_put(struct postgres *pg, PGconn *conn, struct str bytes, struct err *err)
{
    int taken;

    /* libpq's room for what is not sent yet grows: so it is emptied after each. */
    while ((taken = PQputCopyData(conn, bytes.ptr, (int)bytes.len)) == 0) {
        if (flush(pg, conn, err) < 0) {
            return -(int)err->code;
        }
    }
    return taken < 0 ? pg_error(conn, NULL, err) : flush(pg, conn, err);
}

int pg_copy_end(struct postgres *pg, PGconn *conn, const char *refusal, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    int ended;

    while ((ended = PQputCopyEnd(conn, refusal)) == 0) {
        if (flush(pg, conn, err) < 0) {
            return -(int)err->code;
        }
    }
    return ended < 0 ? pg_error(conn, NULL, err)
                     : last_result(pg, conn, POSTGRES_LONG_MS, &result, err);
}

/* ---- quoting ---- */

static char *quoted(const char *text, const char *begin, const char *doubled)
{
    size_t at = strlen(begin);
    char *result = xmalloc(at + 2 * strlen(text) + 2);

    memcpy(result, begin, at);
    for (; *text != '\0'; text++) {
        if (strchr(doubled, *text) != NULL) {
            result[at++] = *text;
        }
        result[at++] = *text;
    }
    result[at++] = doubled[0];
    result[at] = '\0';
    return result;
}

char *pg_name(const char *name)
{
    return quoted(name, "\"", "\"");
}

char *pg_literal(const char *text)
{
    return strchr(text, '\\') == NULL ? quoted(text, "'", "'") : quoted(text, "E'", "'\\");
}
