#include "search/index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/num.h"
#include "search/index.h"

#define INDEX_FILE_NAME "index.db"
#define GATHER_BYTES                                                                               \
    16777216 /* what FTS5 gathers before it writes: a batch becomes one piece, which is one merge  \
                less */

enum {
    PUT,
    DROP,
    CHUNK_GET,
    CHUNK_RANGE,
    CHUNK_PUT,
    CHUNK_DROP,
    TOTALS,
    TOTALS_PUT,
    CURSORS,
    CURSOR_PUT,
    STATEMENTS,
};
_Static_assert((int)STATEMENTS == (int)INDEX_FILE_STATEMENTS, "room for all statements");

static const char *const texts[STATEMENTS] = {
    [PUT] = "INSERT INTO words(rowid, content, tags) VALUES(?, ?, ?)",
    [DROP] = "INSERT INTO words(words, rowid, content, tags) VALUES('delete', ?, ?, ?)",
    [CHUNK_GET] = "SELECT chunk, body FROM docs WHERE chunk = ?",
    [CHUNK_RANGE] = "SELECT chunk, body FROM docs WHERE chunk BETWEEN ? AND ? ORDER BY chunk",
    [CHUNK_PUT] = "INSERT INTO docs(chunk, body) VALUES(?, ?) ON CONFLICT(chunk) DO UPDATE SET "
                  "body = excluded.body",
    [CHUNK_DROP] = "DELETE FROM docs WHERE chunk = ?",
    [TOTALS] = "SELECT docs, words, blocks, sessions, session_words FROM totals",
    [TOTALS_PUT] =
        "UPDATE totals SET docs = ?, words = ?, blocks = ?, sessions = ?, session_words = ?",
    [CURSORS] = "SELECT no, origin, seq, hash FROM cursors ORDER BY no",
    [CURSOR_PUT] = "INSERT INTO cursors(no, origin, seq, hash) VALUES(?, ?, ?, ?)"
                   " ON CONFLICT(no) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
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

static int statement_of(struct index_file *file, int which, sqlite3_stmt **ret, struct err *err)
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
static int run(struct index_file *file, sqlite3_stmt *statement, struct err *err)
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
    if ((id != INDEX_FILE_APPLICATION_ID && !unfinished) || version != INDEX_VERSION ||
        file->mode == INDEX_FILE_BULK) {
        return err_set(err, ERR_CORRUPT, "%s: not an index of this version, or not a whole one",
                       file->conn.path);
    }
    return 0;
}

static int prepare(struct index_file *file, struct err *err)
{
    static const char *const pragmas[] = {
        [INDEX_FILE_KEEP] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA "
                            "wal_autocheckpoint = 2000",
        [INDEX_FILE_BULK] = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA "
                            "locking_mode = EXCLUSIVE; PRAGMA cache_size = -16384",
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
    return result == 0 && fresh ? make_tables(&file->conn, err) : result;
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
    int result = conn_open(&file->conn, path, flags, err);
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
    for (int i = 0; i < STATEMENTS; i++) {
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

/* ---- docs ---- */

static void doc_decode(const unsigned char *p, struct doc *ret)
{
    uint32_t last = be32_get(p + 16);

    *ret = (struct doc){
        .key = be64_get(p),
        .created_us = (int64_t)be64_get(p + 8),
        .words = last >> 8,
        .is_private = (last & 1) != 0,
        .loose = (last & 2) != 0,
    };
}

static void doc_encode(const struct doc *doc, unsigned char *p)
{
    be64_put(p, doc->key);
    be64_put(p + 8, (uint64_t)doc->created_us);
    be32_put(p + 16, doc->words << 8 | (doc->loose ? 2u : 0u) | (doc->is_private ? 1u : 0u));
}

static int chunk_decode(struct index_file *file, sqlite3_stmt *statement, struct doc_chunk *ret,
                        struct err *err)
{
    const unsigned char *bytes = sqlite3_column_blob(statement, 1);
    size_t len = (size_t)sqlite3_column_bytes(statement, 1);

    if (len % DOC_BYTES != 0 || len > (size_t)DOCS_PER_CHUNK * DOC_BYTES) {
        return err_set(err, ERR_CORRUPT, "%s: a row of docs has %zu bytes", file->conn.path, len);
    }
    *ret = (struct doc_chunk){.no = sqlite3_column_int64(statement, 0)};
    for (size_t i = 0; i < len / DOC_BYTES; i++) {
        doc_decode(bytes + i * DOC_BYTES, &ret->docs[i]);
    }
    return 0;
}

int index_file_chunks(struct index_file *file, int64_t first, int64_t last, doc_chunk_fn *each,
                      void *arg, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    struct doc_chunk chunk;
    int rc = SQLITE_ROW;

    int result = statement_of(file, CHUNK_RANGE, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, first); /* these binds can't fail */
    (void)sqlite3_bind_int64(statement, 2, last);
    while (result == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        result = chunk_decode(file, statement, &chunk, err);
        if (result == 0) {
            result = each(arg, &chunk);
        }
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        result = conn_error(&file->conn, rc, err);
    }
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    return result;
}

int index_file_chunk(struct index_file *file, int64_t no, struct doc_chunk *ret, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result = statement_of(file, CHUNK_GET, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, no);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        result = chunk_decode(file, statement, ret, err);
    } else if (rc == SQLITE_DONE) {
        *ret = (struct doc_chunk){.no = no};
    } else {
        result = conn_error(&file->conn, rc, err);
    }
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    return result;
}

static int some_chunk(void *arg, const struct doc_chunk *chunk)
{
    (void)arg;
    (void)chunk;
    return 1;
}

/* The chunk in hand is the first of its block, or was the last: count the block. Called while the
 * chunk has no row. */
static int count_block(struct index_file *file, int sign, struct err *err)
{
    int64_t first = file->chunk.no / INDEX_CHUNKS_PER_BLOCK * INDEX_CHUNKS_PER_BLOCK;

    int result =
        index_file_chunks(file, first, first + INDEX_CHUNKS_PER_BLOCK - 1, some_chunk, NULL, err);
    if (result == 0) {
        file->totals.blocks += sign;
        file->totals.sessions += file->chunk_loose ? 0 : sign;
    }
    return result < 0 ? result : 0;
}

static int write_chunk(struct index_file *file, const void *bytes, int len, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result = statement_of(file, len == 0 ? CHUNK_DROP : CHUNK_PUT, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, file->chunk.no);
    if (len > 0) {
        (void)sqlite3_bind_blob(statement, 2, bytes, len, SQLITE_STATIC);
    }
    return run(file, statement, err);
}

/* Write the changed chunk; one that has become empty goes away. */
int index_file_flush(struct index_file *file, struct err *err)
{
    unsigned char bytes[DOCS_PER_CHUNK * DOC_BYTES];
    int used = 0;

    if (!file->chunk_changed) {
        return 0;
    }
    for (int i = 0; i < DOCS_PER_CHUNK; i++) {
        doc_encode(&file->chunk.docs[i], bytes + i * DOC_BYTES);
        used = file->chunk.docs[i].key != 0 ? i + 1 : used;
    }
    int result = 0;
    if (file->chunk_was_empty && used > 0) {
        result = count_block(file, 1, err);
    }
    if (result == 0) {
        result = write_chunk(file, bytes, used * DOC_BYTES, err);
    }
    if (result == 0 && !file->chunk_was_empty && used == 0) {
        result = count_block(file, -1, err);
    }
    file->chunk_was_empty = used == 0;
    file->chunk_changed = false;
    return result;
}

static bool chunk_empty(const struct doc_chunk *chunk)
{
    for (int i = 0; i < DOCS_PER_CHUNK; i++) {
        if (chunk->docs[i].key != 0) {
            return false;
        }
    }
    return true;
}

/* The doc of a place within the chunk in hand. */
static int doc_at(struct index_file *file, int64_t place, struct doc **ret, struct err *err)
{
    int64_t no = place / DOCS_PER_CHUNK;

    if (file->chunk.no != no) {
        int result = index_file_flush(file, err);
        if (result < 0) {
            return result;
        }
        file->chunk.no = -1;
        result = index_file_chunk(file, no, &file->chunk, err);
        if (result < 0) {
            return result;
        }
        file->chunk_was_empty = chunk_empty(&file->chunk);
    }
    *ret = &file->chunk.docs[place % DOCS_PER_CHUNK];
    return 0;
}

int index_file_doc(struct index_file *file, int64_t place, struct doc *ret, struct err *err)
{
    struct doc *doc;

    int result = doc_at(file, place, &doc, err);
    if (result == 0) {
        *ret = *doc;
    }
    return result;
}

/* ---- words ---- */

static int run_words(struct index_file *file, int which, int64_t place, struct str content,
                     struct str tags, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result = statement_of(file, which, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, place);
    (void)sqlite3_bind_text64(statement, 2, content.ptr, content.len, SQLITE_STATIC, SQLITE_UTF8);
    (void)sqlite3_bind_text64(statement, 3, tags.ptr, tags.len, SQLITE_STATIC, SQLITE_UTF8);
    file->tally.count = 0;
    result = run(file, statement, err);
    (void)sqlite3_clear_bindings(statement);
    return result;
}

static void count_doc(struct index_file *file, const struct doc *doc, int sign)
{
    file->totals.docs += sign;
    file->totals.words += sign * (int64_t)doc->words;
    file->totals.session_words += doc->loose ? 0 : sign * (int64_t)doc->words;
    file->chunk_changed = true;
    file->chunk_loose = doc->loose;
}

int index_file_put(struct index_file *file, int64_t place, const struct doc *doc,
                   struct str content, struct str tags, struct err *err)
{
    struct doc *there;

    int result = doc_at(file, place, &there, err);
    if (result == 0) {
        result = run_words(file, PUT, place, content, tags, err);
    }
    if (result == 0) {
        *there = *doc;
        there->words =
            file->tally.count < DOC_WORDS_MAX ? (uint32_t)file->tally.count : DOC_WORDS_MAX;
        count_doc(file, there, 1);
    }
    return result;
}

int index_file_drop(struct index_file *file, int64_t place, struct str content, struct str tags,
                    struct err *err)
{
    struct doc *there;

    int result = doc_at(file, place, &there, err);
    if (result == 0) {
        result = run_words(file, DROP, place, content, tags, err);
    }
    if (result == 0) {
        count_doc(file, there, -1);
        *there = (struct doc){.key = 0};
    }
    return result;
}

/* ---- transactions ---- */

static int totals_read(struct index_file *file, struct err *err)
{
    sqlite3_stmt *row = NULL;

    int result = statement_of(file, TOTALS, &row, err);
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

    int result = statement_of(file, TOTALS_PUT, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, totals->docs);
    (void)sqlite3_bind_int64(statement, 2, totals->words);
    (void)sqlite3_bind_int64(statement, 3, totals->blocks);
    (void)sqlite3_bind_int64(statement, 4, totals->sessions);
    (void)sqlite3_bind_int64(statement, 5, totals->session_words);
    return run(file, statement, err);
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

/* ---- cursors ---- */

static int cursor_read(struct index_file *file, sqlite3_stmt *row, struct cursor *ret,
                       struct err *err)
{
    const void *origin = sqlite3_column_blob(row, 1);
    const void *hash = sqlite3_column_blob(row, 3);

    if (sqlite3_column_bytes(row, 1) != (int)sizeof(ret->origin) ||
        sqlite3_column_bytes(row, 3) != (int)sizeof(ret->hash)) {
        return err_set(err, ERR_CORRUPT, "%s: a cursor that is none", file->conn.path);
    }
    ret->no = sqlite3_column_int64(row, 0);
    ret->seq = (uint64_t)sqlite3_column_int64(row, 2);
    memcpy(&ret->origin, origin, sizeof(ret->origin));
    memcpy(&ret->hash, hash, sizeof(ret->hash));
    return 0;
}

int index_file_cursors(struct index_file *file, struct cursor **ret, size_t *ret_count,
                       struct err *err)
{
    sqlite3_stmt *statement = NULL;
    struct cursor *cursors = NULL;
    size_t count = 0;
    int rc;

    int result = statement_of(file, CURSORS, &statement, err);
    while (result == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            result = conn_error(&file->conn, rc, err);
            break;
        }
        cursors = xrealloc(cursors, (count + 1) * sizeof(*cursors));
        result = cursor_read(file, statement, &cursors[count++], err);
    }
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    if (result < 0) {
        free(cursors);
        return result;
    }
    *ret = cursors;
    *ret_count = count;
    return 0;
}

int index_file_set_cursor(struct index_file *file, const struct cursor *cursor, struct err *err)
{
    sqlite3_stmt *statement = NULL;

    int result = statement_of(file, CURSOR_PUT, &statement, err);
    if (result < 0) {
        return result;
    }
    (void)sqlite3_bind_int64(statement, 1, cursor->no);
    (void)sqlite3_bind_blob(statement, 2, &cursor->origin, sizeof(cursor->origin), SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 3, (int64_t)cursor->seq);
    (void)sqlite3_bind_blob(statement, 4, &cursor->hash, sizeof(cursor->hash), SQLITE_STATIC);
    return run(file, statement, err);
}

/* ---- the end of bulk work ---- */

int index_file_seal(struct index_file *file, struct err *err)
{
    const char *path = file->conn.path;

    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, ERR_IO, errno, "opening %s", path);
    }
    return file_sync(fd, path, err);
}

void index_file_trim(struct index_file *file)
{
    (void)sqlite3_db_release_memory(file->conn.db); /* as much as there is */
    (void)malloc_trim(0);
}
