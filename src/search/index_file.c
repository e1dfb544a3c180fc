#include "search/index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "search/index.h"
#include "search/index_statements.h"

#define INDEX_FILE_NAME "index.db"
/* What FTS5 gathers before it writes a piece, of which it merges some every now and then. */
#define GATHER_BYTES 8388608

static const char *const texts[INDEX_FILE_STATEMENTS] = {
    [INDEX_PUT] = "INSERT INTO words(rowid, content, tags) VALUES(?, ?, ?)",
    [INDEX_DROP] = "INSERT INTO words(words, rowid, content, tags) VALUES('delete', ?, ?, ?)",
    [INDEX_CHUNK_GET] = "SELECT chunk, body FROM docs WHERE chunk = ?",
    [INDEX_CHUNK_RANGE] = "SELECT chunk, body FROM docs WHERE chunk BETWEEN ? AND ? ORDER BY chunk",
    [INDEX_CHUNK_PUT] = "INSERT OR REPLACE INTO docs(chunk, body) VALUES(?, ?)",
    [INDEX_CHUNK_DROP] = "DELETE FROM docs WHERE chunk = ?",
    [INDEX_TOTALS] = "SELECT docs, words, blocks, sessions, session_words FROM totals",
    [INDEX_TOTALS_PUT] =
        "UPDATE totals SET docs = ?, words = ?, blocks = ?, sessions = ?, session_words = ?",
    [INDEX_CURSORS] = "SELECT no, origin, seq, hash FROM cursors ORDER BY no",
    [INDEX_CURSOR_PUT] = "INSERT OR REPLACE INTO cursors(no, origin, seq, hash) VALUES(?, ?, ?, ?)",
};

static const char schema[] =
    "CREATE VIRTUAL TABLE words USING fts5(content, tags, content='', columnsize=0, "
    "tokenize='porter holdfast');"
    "CREATE TABLE docs(chunk INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;"
    "CREATE TABLE totals(docs INTEGER, words INTEGER, blocks INTEGER, sessions INTEGER, "
    "session_words INTEGER) STRICT;"
    "INSERT INTO totals VALUES(0, 0, 0, 0, 0);"
    "CREATE TABLE cursors("
    "  no INTEGER PRIMARY KEY,"
    "  origin BLOB NOT NULL UNIQUE CHECK(length(origin) = 16),"
    "  seq INTEGER NOT NULL,"
    "  hash BLOB NOT NULL CHECK(length(hash) = 32)"
    ") STRICT;";

int index_file_statement(struct index_file *file, int which, sqlite3_stmt **ret, struct err *err)
{
    sqlite3_stmt **kept = &file->statements[which];

    if (*kept == NULL) {
        int rc = sqlite3_prepare_v3(file->conn.db, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                    kept, NULL);
        if (rc != SQLITE_OK) {
            return conn_error(&file->conn, rc, err);
        }
    }
    *ret = *kept;
    return 0;
}

/* Step a statement that gives no row. */
int index_file_run(struct index_file *file, sqlite3_stmt *statement, struct err *err)
{
    int rc = sqlite3_step(statement);
    int result = rc == SQLITE_DONE ? 0 : conn_error(&file->conn, rc, err);

    (void)sqlite3_reset(statement); /* repeats the error of the step */
    return result;
}

/* ---- opening ---- */

static int exec_number(struct conn *conn, const char *name, int64_t number, struct err *err)
{
    AUTO(free_ptr) char *sql = xprintf("PRAGMA %s = %lld", name, (long long)number);

    return conn_exec(conn, sql, err);
}

static int make_tables(struct conn *conn, struct err *err)
{
    int result = conn_exec(conn, "BEGIN IMMEDIATE", err);
    if (result == 0) {
        result = conn_exec(conn, schema, err);
    }
    if (result == 0) {
        AUTO(free_ptr)
        char *sql = xprintf("INSERT INTO words(words, rank) VALUES('hashsize', %d)", GATHER_BYTES);
        result = conn_exec(conn, sql, err);
    }
    if (result == 0) {
        result = exec_number(conn, "application_id", INDEX_FILE_UNFINISHED_ID, err);
    }
    if (result == 0) {
        result = exec_number(conn, "user_version", INDEX_VERSION, err);
    }
    return result < 0 ? result : conn_exec(conn, "COMMIT", err);
}

static int application_id(struct index_file *file, int64_t *ret, struct err *err)
{
    return conn_pragma_i64(&file->conn, "application_id", ret, err);
}

/* A file that is not empty must be ours. */
static int check(struct index_file *file, struct err *err)
{
    int64_t version;
    int64_t id;

    int result = application_id(file, &id, err);
    if (result == 0) {
        result = conn_pragma_i64(&file->conn, "user_version", &version, err);
    }
    if (result < 0) {
        return result;
    }
    bool unfinished = id == INDEX_FILE_UNFINISHED_ID && file->mode == INDEX_FILE_SEARCH;
    if ((id != INDEX_FILE_APPLICATION_ID && !unfinished) || version != INDEX_VERSION) {
        return err_set(err, ERR_CORRUPT, "%s: not an index of this version, or not a whole one",
                       file->conn.path);
    }
    return 0;
}

/* SQLite's call after each commit, instead of a checkpoint. */
static int note_log(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct index_file *file = arg;

    (void)db;
    (void)name;
    file->log_pages = pages;
    return SQLITE_OK;
}

static int prepare(struct index_file *file, struct err *err)
{
    static const char *const pragmas[] = {
        [INDEX_FILE_KEEP] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA "
                            "wal_autocheckpoint = 2000",
        [INDEX_FILE_SEARCH] = "PRAGMA wal_autocheckpoint = 0",
    };
    int64_t pages;

    int result = conn_pragma_i64(&file->conn, "page_count", &pages, err);
    bool fresh = result == 0 && pages == 0 && file->mode != INDEX_FILE_SEARCH;
    if (result == 0 && !fresh) {
        result = check(file, err);
    }
    if (result == 0) {
        result = words_register(&file->conn, &file->tally, err);
    }
    if (result == 0) {
        result = conn_exec(&file->conn, pragmas[file->mode], err);
    }
    (void)sqlite3_wal_hook(file->conn.db, note_log, file);
    return result == 0 && fresh ? make_tables(&file->conn, err) : result;
}

/* SQLite would take a folder, a pipe or the like for a failing disk. */
static int check_regular(const char *path, struct err *err)
{
    struct stat st;

    return lstat(path, &st) < 0 || S_ISREG(st.st_mode)
               ? 0
               : err_set(err, ERR_CORRUPT, "%s: not a file", path);
}

/*
 * SQLite would let everybody read a new file. One that exists is not opened: closing it would drop
 * the locks that other connections of this process have on it.
 */
static void make_private(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0) {
        (void)close(fd); /* nothing was written */
    }
}

int index_file_open(const char *folder, enum index_file_mode mode, struct index_file **ret,
                    struct err *err)
{
    AUTO(free_ptr) char *path = path_join(folder, INDEX_FILE_NAME);
    int flags = mode == INDEX_FILE_SEARCH ? SQLITE_OPEN_READONLY
                                          : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    struct index_file *file = xcalloc(1, sizeof(*file));

    file->mode = mode;
    file->chunk.no = -1;
    int result = check_regular(path, err);
    if (result == 0 && mode != INDEX_FILE_SEARCH) {
        make_private(path); /* what fails here fails in SQLite, too */
    }
    if (result == 0) {
        result = conn_open(&file->conn, path, flags, err);
    }
    if (result == 0) {
        result = prepare(file, err);
    }
    if (result < 0) {
        index_file_close(file);
        return err_context(err, "index");
    }
    *ret = file;
    return 0;
}

void index_file_close(struct index_file *file)
{
    if (file == NULL) {
        return;
    }
    for (int i = 0; i < INDEX_FILE_STATEMENTS; i++) {
        (void)sqlite3_finalize(file->statements[i]); /* repeats the error of its last step */
    }
    conn_close(&file->conn);
    free(file);
}

int index_file_remove(const char *folder, struct err *err)
{
    static const char *const names[] = {INDEX_FILE_NAME, INDEX_FILE_NAME "-wal",
                                        INDEX_FILE_NAME "-shm", INDEX_FILE_NAME "-journal"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        AUTO(free_ptr) char *path = path_join(folder, names[i]);
        int result = file_remove_tree(path, err);
        if (result < 0) {
            return err_context(err, "index");
        }
    }
    return 0;
}

int index_file_is_new(struct index_file *file, bool *ret, struct err *err)
{
    int64_t id;

    int result = application_id(file, &id, err);
    if (result == 0) {
        *ret = id == INDEX_FILE_UNFINISHED_ID;
    }
    return result;
}

int index_file_finish(struct index_file *file, struct err *err)
{
    return exec_number(&file->conn, "application_id", INDEX_FILE_APPLICATION_ID, err);
}

/* ---- transactions ---- */

static int totals_read(struct index_file *file, struct err *err)
{
    sqlite3_stmt *row = NULL;

    int result = index_file_statement(file, INDEX_TOTALS, &row, err);
    if (result < 0) {
        return result;
    }
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW) {
        file->totals = (struct totals){
            .docs = sqlite3_column_int64(row, 0),
            .words = sqlite3_column_int64(row, 1),
            .blocks = sqlite3_column_int64(row, 2),
            .sessions = sqlite3_column_int64(row, 3),
            .session_words = sqlite3_column_int64(row, 4),
        };
    } else {
        result = rc == SQLITE_DONE ? err_set(err, ERR_CORRUPT, "%s: no totals", file->conn.path)
                                   : conn_error(&file->conn, rc, err);
    }
    (void)sqlite3_reset(row); /* repeats the error of the step */
    return result;
}

static int totals_write(struct index_file *file, struct err *err)
{
    const struct totals *totals = &file->totals;
    sqlite3_stmt *statement = NULL;

    int result = index_file_statement(file, INDEX_TOTALS_PUT, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, totals->docs);
    (void)sqlite3_bind_int64(statement, 2, totals->words);
    (void)sqlite3_bind_int64(statement, 3, totals->blocks);
    (void)sqlite3_bind_int64(statement, 4, totals->sessions);
    (void)sqlite3_bind_int64(statement, 5, totals->session_words);
    return index_file_run(file, statement, err);
}

int index_file_begin(struct index_file *file, struct err *err)
{
    file->chunk.no = -1; /* others may have written since */
    file->chunk_changed = false;
    int result =
        conn_exec(&file->conn, file->mode == INDEX_FILE_SEARCH ? "BEGIN" : "BEGIN IMMEDIATE", err);
    if (result == 0) {
        result = totals_read(file, err);
        if (result < 0) {
            index_file_rollback(file);
        }
    }
    return result;
}

int index_file_commit(struct index_file *file, struct err *err)
{
    int result = index_file_flush(file, err);
    if (result == 0 && file->mode != INDEX_FILE_SEARCH) {
        result = totals_write(file, err);
    }
    CRASH_POINT("index.commit.before");
    if (result == 0 && FAULT("index.commit", ENOSPC)) {
        result =
            err_set(err, ERR_FULL, "%s: the disk or a quota is full (injected)", file->conn.path);
    }
    if (result == 0) {
        result = conn_exec(&file->conn, "COMMIT", err);
    }
    CRASH_POINT("index.commit.after");
    return result;
}

void index_file_rollback(struct index_file *file)
{
    file->chunk.no = -1;
    file->chunk_changed = false;
    (void)sqlite3_exec(file->conn.db, "ROLLBACK", NULL, NULL,
                       NULL); /* fails when SQLite has rolled back already */
}

int index_file_checkpoint(struct index_file *file, int least_pages, struct err *err)
{
    if (file->log_pages < least_pages) {
        return 0;
    }
    int rc = sqlite3_wal_checkpoint_v2(file->conn.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
        return conn_error(&file->conn, rc, err);
    }
    file->log_pages = 0; /* what a reader held up is in the count again after the next commit */
    return 0;
}

void index_file_trim(struct index_file *file)
{
    (void)sqlite3_db_release_memory(file->conn.db); /* as much as there is */
    (void)malloc_trim(0);
}
