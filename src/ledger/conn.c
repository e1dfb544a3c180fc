#include "ledger/conn.h"

#include <errno.h>
#include <pthread.h>

#include "base/fault.h"

static const char *const texts[SQL_COUNT] = {
#define SQL(name, text) [SQL_##name] = (text),
#include "ledger/statements.def"
#undef SQL
};

/* SQLite's memory statistics cost a lock around every allocation. Too late, when somebody has used
 * it, is no harm. */
static void configure_once(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int conn_open(struct conn *conn, const char *path, int flags, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, configure_once);
    *conn = (struct conn){.path = xstrdup(path)};
    int rc =
        sqlite3_open_v2(path, &conn->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_db_config(conn->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_busy_timeout(conn->db, CONN_BUSY_MS);
    }
    if (rc != SQLITE_OK) {
        (void)conn_error(conn, rc, err);
        conn_close(conn);
        return -(int)err->code;
    }
    return 0;
}

void conn_close(struct conn *conn)
{
    if (conn->db != NULL) {
        for (int i = 0; i < SQL_COUNT; i++) {
            (void)sqlite3_finalize(conn->statements[i]); /* repeats the error of its last step */
        }
        (void)sqlite3_close_v2(conn->db); /* can't fail: nothing is busy */
    }
    free(conn->path);
    *conn = (struct conn){.db = NULL};
}

/* ---- errors ---- */

static bool no_room(int errno_value)
{
    return errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG;
}

static enum err_code code_of(const struct conn *conn, int rc)
{
    int cause = conn->db == NULL ? 0 : sqlite3_system_errno(conn->db);

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return ERR_CORRUPT;
    case SQLITE_CANTOPEN:
        return cause == ENOENT ? ERR_VANISHED : ERR_IO;
    case SQLITE_READONLY:
        return rc == SQLITE_READONLY_DBMOVED ? ERR_VANISHED : ERR_IO;
    case SQLITE_IOERR:
        return no_room(cause) && rc != SQLITE_IOERR_FSYNC ? ERR_FULL : ERR_IO;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_PROTOCOL:
    case SQLITE_NOLFS:
        return ERR_IO;
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    default:
        return ERR_INTERNAL;
    }
}

int conn_error(const struct conn *conn, int rc, struct err *err)
{
    enum err_code code = code_of(conn, rc);
    bool of_call = conn->db != NULL && rc != SQLITE_NOMEM; /* a column has no message of its own */
    const char *text = of_call ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc);

    switch (code) {
    case ERR_FULL:
        return err_set(err, code,
                       "%s: the disk or a quota is full; nothing was lost, and writing resumes by "
                       "itself when there is room",
                       conn->path);
    case ERR_BUSY:
        return err_set(
            err, code,
            "%s: another process holds SQLite's lock for more than %d s; close what has it open",
            conn->path, CONN_BUSY_MS / 1000);
    case ERR_VANISHED:
        return err_set(err, code, "%s: the file was removed or replaced", conn->path);
    case ERR_CORRUPT:
        return err_set(err, code, "%s: damaged (%s); recover it from a vault", conn->path, text);
    default:
        return err_set(err, code, "%s: SQLite: %s (%d)", conn->path, text, rc);
    }
}

/* Faults that tests ask for; they look like SQLite's. */
static int injected(const struct conn *conn, struct err *err)
{
    if (!conn->writes) {
        return 0;
    }
    if (FAULT("ledger.sql", EIO)) {
        return err_set(err, ERR_IO, "%s: SQLite: disk I/O error (injected)", conn->path);
    }
    if (FAULT("ledger.sql.odd", EINVAL)) {
        return err_set(err, ERR_INTERNAL, "%s: SQLite: odd (injected)", conn->path);
    }
    if (FAULT("ledger.sql.full", ENOSPC)) {
        return err_set(err, ERR_FULL, "%s: the disk or a quota is full (injected)", conn->path);
    }
    return 0;
}

/* ---- statements ---- */

int conn_exec(struct conn *conn, const char *sql, struct err *err)
{
    int result = injected(conn, err);
    if (result < 0) {
        return result;
    }
    int rc = sqlite3_exec(conn->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : conn_error(conn, rc, err);
}

int conn_pragma_i64(struct conn *conn, const char *name, int64_t *ret, struct err *err)
{
    AUTO(free_ptr) char *sql = xprintf("PRAGMA %s", name);
    sqlite3_stmt *statement = NULL;

    int rc = sqlite3_prepare_v2(conn->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    int result = rc == SQLITE_ROW ? 0 : conn_error(conn, rc, err);
    if (result == 0) {
        *ret = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement); /* its error is the step's, told above */
    return result;
}

int conn_ask(struct conn *conn, const char *sql, char ret[CONN_ANSWER_MAX], struct err *err)
{
    sqlite3_stmt *statement = NULL;
    const char *text = NULL;

    int rc = sqlite3_prepare_v2(conn->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_ROW && !FAULT("ledger.sql.text", ENOMEM)) {
        text = (const char *)sqlite3_column_text(statement, 0);
    }
    if (rc == SQLITE_ROW && text == NULL) {
        rc = SQLITE_NOMEM;
    }
    int result = rc == SQLITE_ROW ? 0 : conn_error(conn, rc, err);
    if (result == 0) {
        (void)snprintf(ret, CONN_ANSWER_MAX, "%s", text);
    }
    (void)sqlite3_finalize(statement); /* its error is the step's, told above */
    return result;
}

int conn_use_log(struct conn *conn, struct err *err)
{
    char mode[CONN_ANSWER_MAX];

    int result = conn_ask(conn, "PRAGMA journal_mode=WAL", mode, err);
    if (result == 0 && strcmp(mode, "wal") != 0) {
        result = err_set(
            err, ERR_BUSY,
            "%s: another process has the file open; it can't be switched to a write-ahead log",
            conn->path);
    }
    return result;
}

int query_start(struct conn *conn, enum sql sql, struct query *ret, struct err *err)
{
    sqlite3_stmt **kept = &conn->statements[sql];
    bool own = *kept != NULL && sqlite3_stmt_busy(*kept);
    sqlite3_stmt *statement = own ? NULL : *kept;

    *ret = (struct query){.conn = NULL};
    if (statement == NULL) {
        unsigned flags = own ? 0 : SQLITE_PREPARE_PERSISTENT;
        int rc = sqlite3_prepare_v3(conn->db, texts[sql], -1, flags, &statement, NULL);
        if (rc != SQLITE_OK) {
            return conn_error(conn, rc, err);
        }
        if (!own) {
            *kept = statement;
        }
    }
    *ret = (struct query){.conn = conn, .statement = statement, .own = own};
    return 0;
}

static void note(struct query *query, int rc)
{
    if (query->rc == SQLITE_OK) {
        query->rc = rc;
    }
}

void query_i64(struct query *query, int index, int64_t value)
{
    note(query, sqlite3_bind_int64(query->statement, index, value));
}

void query_null(struct query *query, int index)
{
    note(query, sqlite3_bind_null(query->statement, index));
}

void query_blob(struct query *query, int index, const void *bytes, size_t len)
{
    note(query, sqlite3_bind_blob64(query->statement, index, bytes, len, SQLITE_STATIC));
}

void query_text(struct query *query, int index, struct str text)
{
    note(query, sqlite3_bind_text64(query->statement, index, text.len == 0 ? "" : text.ptr,
                                    text.len, SQLITE_STATIC, SQLITE_UTF8));
}

void query_uuid(struct query *query, int index, const struct uuid *uuid)
{
    query_blob(query, index, uuid->bytes, sizeof(uuid->bytes));
}

int query_step(struct query *query, struct err *err)
{
    int result = injected(query->conn, err);
    if (result < 0) {
        return result;
    }
    int rc = query->rc == SQLITE_OK ? sqlite3_step(query->statement) : query->rc;
    if (rc == SQLITE_ROW) {
        return 1;
    }
    return rc == SQLITE_DONE ? 0 : conn_error(query->conn, rc, err);
}

int query_run(struct query *query, struct err *err)
{
    int result = query_step(query, err);

    query_end(query);
    return result < 0 ? result : 0;
}

void query_again(struct query *query)
{
    (void)sqlite3_reset(query->statement); /* repeats the error of the last step */
    query->rc = SQLITE_OK;
}

void query_end(struct query *query)
{
    if (query->statement == NULL) {
        return;
    }
    if (query->own) {
        (void)sqlite3_finalize(query->statement); /* repeats the error of the last step */
    } else {
        (void)sqlite3_reset(query->statement); /* likewise */
    }
    *query = (struct query){.conn = NULL};
}

int64_t query_get_i64(struct query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

bool query_is_null(struct query *query, int column)
{
    return sqlite3_column_type(query->statement, column) == SQLITE_NULL;
}

struct str query_get_bytes(struct query *query, int column)
{
    const void *bytes = sqlite3_column_blob(query->statement, column);
    int len = sqlite3_column_bytes(query->statement, column);

    return (struct str){bytes == NULL ? "" : bytes, bytes == NULL ? 0 : (size_t)len};
}

int query_get_fixed(struct query *query, int column, void *ret, size_t len, struct err *err)
{
    struct str bytes = query_get_bytes(query, column);

    if (bytes.len != len) {
        return err_set(err, ERR_CORRUPT, "%s: column %d of a row has %zu bytes where %zu belong",
                       query->conn->path, column, bytes.len, len);
    }
    memcpy(ret, bytes.ptr, len);
    return 0;
}
