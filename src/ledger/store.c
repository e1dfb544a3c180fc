/* Opening, transactions and sealing of a ledger.db. */
#include "ledger/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/schema.h"
#include "ledger/store_internal.h"

#define BODY_MAX_BYTES                                                                             \
    ((size_t)2 * CHANGE_RECORD_MAX) /* change_write_record answers what is too long for a record   \
                                     */

static const char live_pragmas[] =
    "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
    "PRAGMA journal_size_limit=8388608; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096;"
    "PRAGMA recursive_triggers=ON; PRAGMA secure_delete=OFF;";

static const char bulk_pragmas[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-131072; PRAGMA secure_delete=OFF;";

/* ---- opening ---- */

/* SQLite gives its files the mode of the database; nobody else needs to read what is remembered. */
static int make_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0) {
        (void)close(fd);
        return 0;
    }
    return errno == EEXIST ? 0 : err_errno(err, ERR_IO, errno, "%s", path);
}

/* Bulk: mark the file as unfinished until it is sealed, and put the index off while there is
 * nothing in it. */
static int open_bulk(struct store *store, struct err *err)
{
    int result = schema_prepare(&store->conn, err);

    if (result == 0) {
        AUTO(free_ptr) char *sql = xprintf("PRAGMA application_id = %d", SCHEMA_UNSEALED_ID);
        result = conn_exec(&store->conn, sql, err);
    }
    if (result == 0) {
        result = origins_reload(&store->origins, &store->conn, err);
    }
    if (result == 0 && store->origins.count == 0) {
        store->ids_in_map = true;
        result = conn_exec(&store->conn, "DROP INDEX IF EXISTS memory_by_id", err);
    }
    return result;
}

static int open_live(struct store *store, struct err *err)
{
    int result = schema_check(&store->conn, err);

    if (result == 0) {
        result = conn_use_log(&store->conn, err);
    }
    if (result == 0) {
        result = schema_prepare(&store->conn, err);
    }
    if (result == 0) {
        result = origins_reload(&store->origins, &store->conn, err);
    }
    if (result == 0 && store->origins.own == 0) {
        struct uuid id = uuid_new(store->env);
        result = store_set_origin(store, &id, err);
    }
    return result;
}

static int open_file(struct store *store, const char *path, struct err *err)
{
    bool bulk = store->mode == STORE_BULK;
    int result = make_file(path, err);

    if (result == 0) {
        result = conn_open(&store->conn, path, SQLITE_OPEN_READWRITE, err);
    }
    if (result < 0) {
        return result;
    }
    store->conn.writes = true;
    result = conn_exec(&store->conn, bulk ? bulk_pragmas : live_pragmas, err);
    if (result == 0) {
        /* after PRAGMA wal_autocheckpoint, which takes the hook away */
        (void)sqlite3_wal_hook(store->conn.db, store_note_log, store);
        result = bulk ? open_bulk(store, err) : open_live(store, err);
    }
    if (result == 0) {
        result = held_load(store, err);
    }
    if (result == 0) {
        result = blocks_load_counts(&store->blocks, &store->conn, err);
    }
    return result;
}

int store_open(const char *folder, enum store_mode mode, struct env *env, struct store **ret,
               struct err *err)
{
    AUTO(free_ptr) char *path = path_join(folder, "ledger.db");
    struct store *store = xcalloc(1, sizeof(*store));

    store->mode = mode;
    store->env = env;
    store->folder = xstrdup(folder);
    buf_init(&store->body, BODY_MAX_BYTES);
    buf_init(&store->memory_body, BODY_MAX_BYTES);
    buf_init(&store->record, BODY_MAX_BYTES);
    int result = file_mkdirs(folder, 0700, err);
    if (result == 0) {
        result = open_file(store, path, err);
    }
    if (result == 0 && mode == STORE_LIVE) {
        result = file_sync_dir(folder, err);
    }
    if (result < 0) {
        store_close(store);
        return result;
    }
    *ret = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    if (store->conn.db != NULL && !sqlite3_get_autocommit(store->conn.db)) {
        (void)sqlite3_exec(store->conn.db, "ROLLBACK", NULL, NULL,
                           NULL); /* closing would do it, too */
    }
    conn_close(&store->conn);
    origins_done(&store->origins);
    blocks_done(&store->blocks);
    idmap_done(&store->ids);
    free(store->expected);
    buf_done(&store->body);
    buf_done(&store->memory_body);
    buf_done(&store->record);
    free(store->folder);
    free(store);
}

/* ---- who we are, how far we are ---- */

struct uuid store_origin(const struct store *store)
{
    static const struct uuid nil;
    const struct head *own = origins_head(&store->origins, store->origins.own);

    return own == NULL ? nil : own->origin;
}

int store_set_origin(struct store *store, const struct uuid *origin, struct err *err)
{
    bool alone = sqlite3_get_autocommit(store->conn.db) != 0;

    int result = alone ? store_begin(store, err) : 0;
    if (result == 0) {
        result = origins_set_own(&store->origins, &store->conn, origin, err);
    }
    CRASH_POINT("ledger.origin.set");
    if (result == 0 && alone) {
        result = store_commit(store, err);
    }
    if (result < 0 && alone) {
        store_rollback(store);
    }
    return result;
}

uint64_t store_head(struct store *store, const struct uuid *origin, struct sha256 *ret_hash)
{
    const struct head *head = origins_head(&store->origins, origins_find(&store->origins, origin));

    if (head == NULL) {
        *ret_hash = (struct sha256){{0}};
        return 0;
    }
    *ret_hash = head->hash;
    return head->seq;
}

int store_set_position(struct store *store, const struct source_position *position, struct err *err)
{
    struct query query;

    if (query_start(&store->conn, SQL_SOURCE_SET, &query, err) < 0) {
        return -(int)err->code;
    }
    query_text(&query, 1, str_of(position->source));
    query_text(&query, 2, str_of(position->text));
    return query_run(&query, err);
}

uint64_t store_live(struct store *store, const char *project_id)
{
    return blocks_project(&store->blocks, project_id)->live;
}

void store_counts(const struct store *store, uint64_t *ret_live, uint64_t *ret_deleted)
{
    *ret_live = store->blocks.live;
    *ret_deleted = store->blocks.deleted;
}

uint64_t store_rows_written(const struct store *store)
{
    return (uint64_t)sqlite3_total_changes64(store->conn.db);
}

uint64_t store_commits(const struct store *store)
{
    return store->commits;
}

/* ---- transactions ---- */

static int run(struct store *store, enum sql sql, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    int result = query_start(&store->conn, sql, &query, err);
    return result < 0 ? result : query_run(&query, err);
}

int store_begin(struct store *store, struct err *err)
{
    if (store->broken) {
        return err_set(err, ERR_IO, "%s: an earlier failure left this copy unfinished; remove it",
                       store->folder);
    }
    CRASH_POINT("ledger.write.begin");
    return run(store, SQL_BEGIN_WRITE, err);
}

int store_commit(struct store *store, struct err *err)
{
    CRASH_POINT("ledger.commit.before");
    int result = run(store, SQL_COMMIT, err);
    CRASH_POINT("ledger.commit.after");
    if (result == 0) {
        blocks_keep_counts(&store->blocks);
        store->commits++;
    }
    return result;
}

/* What is cached of tables that went back is read again; only the counts are too dear for that. */
static int refresh(struct store *store, size_t steps, struct err *err)
{
    blocks_undo_counts(&store->blocks, steps);
    blocks_forget(&store->blocks);
    int result = origins_reload(&store->origins, &store->conn, err);
    return result < 0 ? result : held_load(store, err);
}

void store_rollback(struct store *store)
{
    struct err err = ERR_INIT;

    if (!sqlite3_get_autocommit(store->conn.db)) {
        (void)sqlite3_exec(store->conn.db, "ROLLBACK", NULL, NULL,
                           NULL); /* refresh tells when reading is impossible, too */
    }
    if (store->mode == STORE_BULK || refresh(store, 0, &err) < 0) {
        store->broken = true;
    }
}

int store_mark(struct store *store, struct err *err)
{
    int result = run(store, SQL_MARK, err);

    store->marked_steps = store->blocks.step_count;
    return result;
}

int store_unmark(struct store *store, struct err *err)
{
    return run(store, SQL_MARK_RELEASE, err);
}

int store_return_to_mark(struct store *store, struct err *err)
{
    int result = run(store, SQL_MARK_RETURN, err);

    if (result == 0) {
        result = run(store, SQL_MARK_RELEASE, err);
    }
    return result < 0 ? result : refresh(store, store->marked_steps, err);
}

/* ---- sealing ---- */

static int check_integrity(struct store *store, struct err *err)
{
    char found[CONN_ANSWER_MAX];

    int result = conn_ask(&store->conn, "PRAGMA quick_check(1)", found, err);
    if (result == 0 && strcmp(found, "ok") != 0) {
        result = err_set(err, ERR_CORRUPT, "%s: the copy is damaged: %s", store->folder, found);
    }
    return result;
}

/* SQLite's own descriptor: opening and closing another one would drop its locks on the file. */
static int sync_file(struct store *store, struct err *err)
{
    sqlite3_file *file = NULL;

    int rc = sqlite3_file_control(store->conn.db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && FAULT("ledger.seal.fsync", EIO)) {
        rc = SQLITE_IOERR_FSYNC;
    }
    if (rc == SQLITE_OK) {
        rc = file->pMethods->xSync(file, SQLITE_SYNC_FULL);
    }
    return rc == SQLITE_OK ? 0 : conn_error(&store->conn, rc, err);
}

int store_make_index(struct store *store, struct err *err)
{
    if (!store->ids_in_map) {
        return 0;
    }
    int result = conn_exec(&store->conn, SCHEMA_MEMORY_INDEX, err);
    if (result == 0) {
        store->ids_in_map = false;
        idmap_done(&store->ids);
    }
    return result;
}

int store_seal(struct store *store, struct err *err)
{
    AUTO(free_ptr) char *sql = xprintf("PRAGMA application_id = %d", SCHEMA_APPLICATION_ID);

    if (store->broken) {
        return err_set(err, ERR_IO, "%s: an earlier failure left this copy unfinished; remove it",
                       store->folder);
    }
    int result = store_make_index(store, err);
    if (result == 0) {
        result = check_integrity(store, err);
    }
    if (result == 0) {
        result = sync_file(store, err);
    }
    CRASH_POINT("ledger.seal.synced");
    if (result == 0) {
        result = conn_exec(&store->conn, sql, err);
    }
    if (result == 0) { /* now, while it costs no fsyncs of its own as at the first opening */
        result = conn_use_log(&store->conn, err);
    }
    if (result == 0) {
        result = sync_file(store, err);
    }
    if (result == 0) {
        result = file_sync_dir(store->folder, err);
    }
    CRASH_POINT("ledger.seal.after");
    return result;
}
