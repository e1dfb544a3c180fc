/* Connections to somebody else's file, statements, and SQLite's errors as ours. */
#include "source/sqlite_internal.h"

#include <errno.h>

/* ---- errors ---- */

static enum err_code code_of(sqlite3 *db, int rc)
{
    int cause = db == NULL ? 0 : sqlite3_system_errno(db);

    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return ERR_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_SCHEMA:
        return ERR_BUSY;
    case SQLITE_CANTOPEN:
        return cause == ENOENT || cause == ENOTDIR ? ERR_NOT_FOUND
               : cause == EACCES || cause == EPERM ? ERR_FORBIDDEN
                                                   : ERR_UNAVAILABLE;
    case SQLITE_READONLY:
        return rc == SQLITE_READONLY_DBMOVED ? ERR_NOT_FOUND : ERR_UNAVAILABLE;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_FORBIDDEN;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return ERR_CONFLICT;
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_IOERR: /* the file became shorter than its header says */
        return rc == SQLITE_IOERR_SHORT_READ ? ERR_CORRUPT : ERR_IO;
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    case SQLITE_INTERRUPT:
        return ERR_CANCELLED;
    default:
        return ERR_INVALID;
    }
}

int sqlite_error(sqlite3 *db, int rc, struct err *err)
{
    const char *text = db != NULL && rc != SQLITE_NOMEM ? sqlite3_errmsg(db) : sqlite3_errstr(rc);

    if (rc == SQLITE_READONLY_ROLLBACK || rc == SQLITE_READONLY_RECOVERY) {
        return err_set(err, ERR_UNAVAILABLE,
                       "SQLite: a transaction that was interrupted waits to be undone by the "
                       "file's application; open the file with it once");
    }
    return err_set(err, code_of(db, rc), "SQLite: %s", text);
}

/* ---- connections ---- */

static int is_cancelled(void *arg)
{
    return wake_cancelled(arg) ? 1 : 0;
}

/* Nothing that a schema says may do more than hold rows: it is as trustworthy as who wrote it. */
static int configure(sqlite3 *db, int busy_ms, struct wake *cancel)
{
    const int on[] = {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, SQLITE_DBCONFIG_DEFENSIVE};
    const int off[] = {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                       SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
                       SQLITE_DBCONFIG_DQS_DML}; /* a column that is gone is no text */
    int rc = sqlite3_busy_timeout(db, busy_ms);

    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(on) / sizeof(on[0]); i++) {
        rc = sqlite3_db_config(db, on[i], 1, NULL);
    }
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(off) / sizeof(off[0]); i++) {
        rc = sqlite3_db_config(db, off[i], 0, NULL);
    }
    if (cancel != NULL) {
        sqlite3_progress_handler(db, 10000, is_cancelled, cancel);
    }
    /* What is mapped ends the process when somebody cuts the file. */
    return rc == SQLITE_OK ? sqlite3_exec(db,
                                          "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; "
                                          "PRAGMA wal_autocheckpoint = 0",
                                          NULL, NULL, NULL)
                           : rc;
}

int sqlite_connect(const char *path, int flags, int busy_ms, struct wake *cancel, sqlite3 **ret,
                   struct err *err)
{
    sqlite3 *db = NULL;

    int rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    rc = rc == SQLITE_OK ? configure(db, busy_ms, cancel) : rc;
    if (rc != SQLITE_OK) {
        (void)sqlite_error(db, rc, err);
        sqlite_disconnect(&db);
        return -(int)err->code;
    }
    *ret = db;
    return 0;
}

void sqlite_disconnect(sqlite3 **db)
{
    (void)sqlite3_close_v2(*db); /* can't fail: every statement is finalized */
    *db = NULL;
}

/* ---- statements ---- */

int sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct err *err)
{
    int rc = sqlite3_prepare_v2(db, sql, -1, ret, NULL);

    return rc == SQLITE_OK ? 0 : sqlite_error(db, rc, err);
}

int sqlite_step(sqlite3 *db, sqlite3_stmt *statement, struct err *err)
{
    int rc = sqlite3_step(statement);

    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : sqlite_error(db, rc, err);
}

void sqlite_stmt_done(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement); /* repeats the error of the last step */
    *statement = NULL;
}

int sqlite_run(sqlite3 *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : sqlite_error(db, rc, err);
}

int sqlite_ask(sqlite3 *db, const char *sql, int64_t *ret, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;

    if (sqlite_prepare(db, sql, &statement, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite_step(db, statement, err);
    if (rc < 0) {
        return rc;
    }
    *ret = rc == 0 ? 0 : sqlite3_column_int64(statement, 0);
    return 0;
}

char *sqlite_ask_text(sqlite3 *db, const char *sql)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    struct err none = ERR_INIT;

    if (sqlite_prepare(db, sql, &statement, &none) < 0 || sqlite_step(db, statement, &none) <= 0) {
        return NULL;
    }
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    return text == NULL ? NULL : xstrdup(text);
}

char *sqlite_name(const char *name)
{
    char *quoted = sqlite3_mprintf("\"%w\"", name);
    char *ret = xstrdup(quoted == NULL ? "" : quoted);

    sqlite3_free(quoted);
    return ret;
}
