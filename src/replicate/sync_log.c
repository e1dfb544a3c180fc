/* sync.db: opening, cursors, identities, flags. Attempts and dead letters are in sync_events.c. */
#include "replicate/sync_log.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/timestamp.h"
#include "replicate/sync_db.h"

#define SCHEMA_VERSION 1
#define BUSY_MS 1000    /* nobody else should have it open; a person's sqlite3 may */
#define ASIDE_TRIES 100 /* names of one moment */
#define ANSWER_MAX 200  /* with NUL; of a PRAGMA */

static const char *const texts[SYNC_SQL_COUNT] = {
#define SYNC_SQL(name, text) [SYNC_SQL_##name] = (text),
#include "replicate/sync_statements.def"
#undef SYNC_SQL
};

static const char schema[] =
    "CREATE TABLE cursor (vault TEXT NOT NULL, origin BLOB NOT NULL, seq INTEGER NOT NULL,"
    " hash BLOB NOT NULL, PRIMARY KEY (vault, origin)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE vault (name TEXT PRIMARY KEY, identity BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE event (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, vault TEXT NOT NULL,"
    " direction INTEGER NOT NULL, result TEXT NOT NULL, count INTEGER NOT NULL,"
    " origin BLOB NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,"
    " duration_us INTEGER NOT NULL, retries INTEGER NOT NULL, error TEXT) STRICT;"
    "CREATE TABLE dead_letter (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL,"
    " vault TEXT NOT NULL, origin BLOB NOT NULL, seq INTEGER NOT NULL, error TEXT NOT NULL,"
    " UNIQUE (vault, origin, seq)) STRICT;"
    "CREATE TABLE flag (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/* ---- one query ---- */

static enum err_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    default:
        return ERR_UNAVAILABLE; /* derived data: what fails now may work later */
    }
}

static int sync_error(const struct sync_log *log, int rc, struct err *err)
{
    bool of_call = log->db != NULL && rc != SQLITE_NOMEM; /* a column has no message of its own */

    return err_set(err, code_of(rc), "%s: SQLite: %s (%d)", log->path,
                   of_call ? sqlite3_errmsg(log->db) : sqlite3_errstr(rc), rc);
}

int sync_query_start(struct sync_log *log, enum sync_sql sql, struct sync_query *ret,
                     struct err *err)
{
    (void)pthread_mutex_lock(&log->mutex);
    *ret = (struct sync_query){.log = log};
    if (FAULT("sync.sql", EIO)) {
        return err_set(err, ERR_UNAVAILABLE, "%s: SQLite: disk I/O error (injected)", log->path);
    }
    if (log->statements[sql] == NULL) {
        int rc = sqlite3_prepare_v3(log->db, texts[sql], -1, SQLITE_PREPARE_PERSISTENT,
                                    &log->statements[sql], NULL);
        if (rc != SQLITE_OK) {
            return sync_error(log, rc, err);
        }
    }
    ret->statement = log->statements[sql];
    return 0;
}

int sync_query_step(struct sync_query *query, struct err *err)
{
    int rc = query->rc == SQLITE_OK ? sqlite3_step(query->statement) : query->rc;

    if (rc == SQLITE_ROW) {
        return 1;
    }
    return rc == SQLITE_DONE ? 0 : sync_error(query->log, rc, err);
}

void sync_query_end(struct sync_query *query)
{
    if (query->log == NULL) {
        return;
    }
    if (query->statement != NULL) {
        (void)sqlite3_reset(query->statement);          /* repeats the error of the last step */
        (void)sqlite3_clear_bindings(query->statement); /* always 0 */
    }
    (void)pthread_mutex_unlock(&query->log->mutex);
    *query = (struct sync_query){.log = NULL};
}

int sync_query_run(struct sync_query *query, struct err *err)
{
    int rc = sync_query_step(query, err);

    sync_query_end(query);
    return rc < 0 ? rc : 0;
}

static void note(struct sync_query *query, int rc)
{
    query->rc = query->rc == SQLITE_OK ? rc : query->rc;
}

void sync_bind_i64(struct sync_query *query, int index, int64_t value)
{
    note(query, sqlite3_bind_int64(query->statement, index, value));
}

void sync_bind_text(struct sync_query *query, int index, const char *text)
{
    note(query, text == NULL ? sqlite3_bind_null(query->statement, index)
                             : sqlite3_bind_text(query->statement, index, text, -1, SQLITE_STATIC));
}

void sync_bind_blob(struct sync_query *query, int index, const void *bytes, size_t len)
{
    note(query, sqlite3_bind_blob64(query->statement, index, bytes, len, SQLITE_STATIC));
}

int64_t sync_get_i64(struct sync_query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

int sync_get_text(struct sync_query *query, int column, const char **ret, struct err *err)
{
    bool is_null = sqlite3_column_type(query->statement, column) == SQLITE_NULL;

    *ret = FAULT("sync.sql.text", ENOMEM)
               ? NULL
               : (const char *)sqlite3_column_text(query->statement, column);
    return *ret == NULL && !is_null ? sync_error(query->log, SQLITE_NOMEM, err) : 0;
}

int sync_get_blob(struct sync_query *query, int column, void *ret, size_t len, struct err *err)
{
    const void *bytes = sqlite3_column_blob(query->statement, column);

    if (bytes == NULL || (size_t)sqlite3_column_bytes(query->statement, column) != len) {
        return err_set(err, ERR_CORRUPT, "%s: column %d of a row is damaged", query->log->path,
                       column);
    }
    memcpy(ret, bytes, len);
    return 0;
}

/* ---- opening ---- */

static int exec(struct sync_log *log, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(log->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : sync_error(log, rc, err);
}

/* The first column of the first row of a question. */
static int ask(struct sync_log *log, const char *sql, char ret_text[ANSWER_MAX], struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int rc = sqlite3_prepare_v2(log->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    if (rc != SQLITE_ROW) {
        int result = sync_error(log, rc, err);
        (void)sqlite3_finalize(statement); /* its error is told */
        return result;
    }
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    int result = text == NULL ? sync_error(log, SQLITE_NOMEM, err) : 0;
    (void)snprintf(ret_text, ANSWER_MAX, "%s", text == NULL ? "" : text); /* cut, if need be */
    (void)sqlite3_finalize(statement);                                    /* a row was there */
    return result;
}

static int make_schema(struct sync_log *log, struct err *err)
{
    int rc = exec(log, "BEGIN IMMEDIATE", err);

    if (rc == 0) {
        rc = exec(log, schema, err);
    }
    if (rc == 0) {
        rc = exec(log, "PRAGMA user_version=1", err);
    }
    return rc == 0 ? exec(log, "COMMIT", err) : rc;
}

/* It opens, is whole, and is of a version that is known. ERR_CORRUPT: make it anew. */
static int check(struct sync_log *log, struct err *err)
{
    char version[ANSWER_MAX];
    char whole[ANSWER_MAX];

    int rc = exec(log,
                  "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;"
                  "PRAGMA cache_size=-512",
                  err);
    if (rc == 0) {
        rc = ask(log, "PRAGMA user_version", version, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (strcmp(version, "0") == 0) {
        return make_schema(log, err);
    }
    if (strcmp(version, "1") != 0) {
        return err_set(err, ERR_CORRUPT, "%s has the schema version %s; %d is known", log->path,
                       version, SCHEMA_VERSION);
    }
    rc = ask(log, "PRAGMA quick_check(1)", whole, err);
    if (rc == 0 && strcmp(whole, "ok") != 0) {
        return err_set(err, ERR_CORRUPT, "%s is damaged: %s", log->path, whole);
    }
    return rc;
}

static void close_db(struct sync_log *log)
{
    for (int i = 0; i < SYNC_SQL_COUNT; i++) {
        (void)sqlite3_finalize(log->statements[i]); /* repeats the error of its last step */
        log->statements[i] = NULL;
    }
    (void)sqlite3_close_v2(log->db); /* takes NULL; nothing is busy */
    log->db = NULL;
}

static int open_db(struct sync_log *log, struct err *err)
{
    static const int FLAGS = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                             SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW;
    int rc = sqlite3_open_v2(log->path, &log->db, FLAGS, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_busy_timeout(log->db, BUSY_MS);
    }
    int result = rc == SQLITE_OK ? check(log, err) : sync_error(log, rc, err);
    if (result < 0) {
        close_db(log);
    }
    return result;
}

/* A damaged one is kept for inspection, with the log that belongs to it. */
static int put_aside(struct sync_log *log, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char when[TIMESTAMP_TEXT_MAX];

    timestamp_format(log->env->now_us(log->env), when);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        AUTO(free_ptr) char *from = xprintf("%s%s", log->path, suffixes[i]);
        AUTO(free_ptr) char *to = NULL;
        for (int n = 1; n <= ASIDE_TRIES && (to == NULL || file_exists(to)); n++) {
            free(to);
            to = xprintf("%s.damaged-%s-%d%s", log->path, when, n, suffixes[i]);
        }
        if (rename(from, to) != 0 && errno != ENOENT) {
            return err_errno(err, ERR_UNAVAILABLE, errno, "putting aside %s", from);
        }
    }
    return 0;
}

int sync_log_open(const char *home, struct env *env, struct sync_log **ret, struct err *err)
{
    struct sync_log *log = xcalloc(1, sizeof(*log));

    log->path = path_join(home, "sync.db");
    log->env = env;
    (void)pthread_mutex_init(&log->mutex, NULL); /* a plain one can't fail */
    int rc = open_db(log, err);
    if (rc == -ERR_CORRUPT) {
        rc = put_aside(log, err);
        if (rc == 0) {
            rc = open_db(log, err);
        }
    }
    if (rc < 0) {
        sync_log_close(log);
        return rc;
    }
    *ret = log;
    return 0;
}

void sync_log_close(struct sync_log *log)
{
    if (log == NULL) {
        return;
    }
    close_db(log);
    (void)pthread_mutex_destroy(&log->mutex); /* nobody holds it */
    free(log->path);
    free(log);
}

/* ---- cursors ---- */

int sync_cursor_get(struct sync_log *log, const char *vault, const struct uuid *origin,
                    uint64_t *ret_seq, struct sha256 *ret_hash, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};
    struct sha256 hash = {{0}};
    uint64_t seq = 0;

    int rc = sync_query_start(log, SYNC_SQL_CURSOR_GET, &query, err);
    if (rc == 0) {
        sync_bind_text(&query, 1, vault);
        sync_bind_blob(&query, 2, origin->bytes, sizeof(origin->bytes));
        rc = sync_query_step(&query, err);
    }
    if (rc > 0) {
        seq = (uint64_t)sync_get_i64(&query, 0);
        rc = sync_get_blob(&query, 1, hash.bytes, sizeof(hash.bytes), err);
    }
    if (rc == 0) {
        *ret_seq = seq;
        *ret_hash = hash;
    }
    return rc;
}

int sync_cursors(struct sync_log *log, sync_cursor_fn *each, void *arg, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_CURSOR_LIST, &query, err);
    while (rc == 0 && (rc = sync_query_step(&query, err)) > 0) {
        struct sync_cursor cursor = {.seq = (uint64_t)sync_get_i64(&query, 2)};
        rc = sync_get_text(&query, 0, &cursor.vault, err);
        if (rc == 0) {
            rc = sync_get_blob(&query, 1, cursor.origin.bytes, sizeof(cursor.origin.bytes), err);
        }
        if (rc == 0) {
            rc = each(arg, &cursor, err);
        }
    }
    return rc;
}

int sync_cursor_set(struct sync_log *log, const char *vault, const struct uuid *origin,
                    uint64_t seq, const struct sha256 *hash, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_CURSOR_SET, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_text(&query, 1, vault);
    sync_bind_blob(&query, 2, origin->bytes, sizeof(origin->bytes));
    sync_bind_i64(&query, 3, (int64_t)seq);
    sync_bind_blob(&query, 4, hash->bytes, sizeof(hash->bytes));
    return sync_query_run(&query, err);
}

/* ---- identities ---- */

int sync_vault_identity_get(struct sync_log *log, const char *vault, struct uuid *ret,
                            struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};
    struct uuid identity = {{0}};

    int rc = sync_query_start(log, SYNC_SQL_IDENTITY_GET, &query, err);
    if (rc == 0) {
        sync_bind_text(&query, 1, vault);
        rc = sync_query_step(&query, err);
    }
    if (rc > 0) {
        rc = sync_get_blob(&query, 0, identity.bytes, sizeof(identity.bytes), err);
    }
    if (rc == 0) {
        *ret = identity;
    }
    return rc;
}

int sync_vault_identity_set(struct sync_log *log, const char *vault, const struct uuid *identity,
                            struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_IDENTITY_SET, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_text(&query, 1, vault);
    sync_bind_blob(&query, 2, identity->bytes, sizeof(identity->bytes));
    return sync_query_run(&query, err);
}

/* ---- flags ---- */

int sync_flag_get(struct sync_log *log, const char *name, char **ret_value, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_FLAG_GET, &query, err);
    if (rc == 0) {
        sync_bind_text(&query, 1, name);
        rc = sync_query_step(&query, err);
    }
    if (rc == 0) {
        return err_set(err, ERR_NOT_FOUND, "no flag \"%s\" is set", name);
    }
    if (rc < 0) {
        return rc;
    }
    const char *value;
    rc = sync_get_text(&query, 0, &value, err);
    if (rc == 0) {
        *ret_value = xstrdup(value);
    }
    return rc;
}

int sync_flag_set(struct sync_log *log, const char *name, const char *value, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, value == NULL ? SYNC_SQL_FLAG_REMOVE : SYNC_SQL_FLAG_SET, &query,
                              err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_text(&query, 1, name);
    if (value != NULL) {
        sync_bind_text(&query, 2, value);
    }
    return sync_query_run(&query, err);
}

int sync_vault_flag_get(struct sync_log *log, const char *vault, const char *flag, char **ret,
                        struct err *err)
{
    AUTO(free_ptr) char *name = xprintf("%s.%s", flag, vault);
    struct err why = ERR_INIT;
    char *value = NULL;

    int rc = sync_flag_get(log, name, &value, &why);
    if (rc < 0 && rc != -ERR_NOT_FOUND) {
        return err_copy(err, &why);
    }
    *ret = rc == 0 ? value : NULL;
    return 0;
}

int sync_vault_flag_set(struct sync_log *log, const char *vault, const char *flag,
                        const char *value, struct err *err)
{
    AUTO(free_ptr) char *name = xprintf("%s.%s", flag, vault);

    return sync_flag_set(log, name, value, err);
}
