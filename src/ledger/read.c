/* Readers: their pool, their snapshots, and what the files that answer questions share. */
#include "ledger/read.h"

#include "base/file.h"
#include "ledger/ledger_internal.h"
#include "ledger/reader.h"

static const char reader_pragmas[] = "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA "
                                     "cache_size=-1024; PRAGMA temp_store=MEMORY;";

/* ---- connections ---- */

static void close_reader(struct reader *reader)
{
    if (reader == NULL) {
        return;
    }
    conn_close(&reader->conn);
    origins_done(&reader->origins);
    free(reader);
}

static int open_reader(const char *folder, struct reader **ret, struct err *err)
{
    AUTO(free_ptr) char *path = path_join(folder, "ledger.db");
    struct reader *reader = xcalloc(1, sizeof(*reader));

    int result = conn_open(&reader->conn, path, SQLITE_OPEN_READWRITE, err);
    if (result == 0) {
        result = conn_exec(&reader->conn, reader_pragmas, err);
    }
    if (result == 0) {
        result = origins_load(&reader->origins, &reader->conn,
                              err); /* opens the log, too, so that it stays readable */
    }
    if (result < 0) {
        close_reader(reader);
        return result;
    }
    *ret = reader;
    return 0;
}

/* Fix the snapshot, and learn of origins that came since the last use. */
static int begin(struct reader *reader, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    uint64_t last;

    int result = query_start(&reader->conn, SQL_BEGIN_READ, &query, err);
    if (result == 0) {
        result = query_run(&query, err);
    }
    if (result == 0) {
        result = reader_count(reader, SQL_ORIGIN_LAST, &last, err);
    }
    if (result == 0 && last > reader->origins.count) {
        result = origins_load(&reader->origins, &reader->conn, err);
    }
    return result;
}

static void end(struct reader *reader)
{
    if (!sqlite3_get_autocommit(reader->conn.db)) {
        (void)sqlite3_exec(reader->conn.db, "ROLLBACK", NULL, NULL,
                           NULL); /* ends a snapshot; nothing was written */
    }
}

/* ---- the pool ---- */

static struct reader *pop(struct ledger *ledger)
{
    struct reader *reader = ledger->pool;

    if (reader != NULL) {
        ledger->pool = reader->next;
        ledger->pool_idle--;
        reader->next = NULL;
    }
    return reader;
}

static bool may_open(const struct ledger *ledger)
{
    return !ledger->pool_frozen || pthread_equal(ledger->pool_freezer, pthread_self());
}

/*
 * Wait, as long as one may, for an idle connection, or (to_open) for leave to open one, or until
 * none is out that could come back. The pool's mutex is held.
 */
static struct reader *wait_for_one(struct ledger *ledger, bool to_open)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += READER_WAIT_MS / 1000;
    while (ledger->pool == NULL && (to_open ? !may_open(ledger) : ledger->pool_out > 0)) {
        if (pthread_cond_timedwait(&ledger->pool_back, &ledger->pool_mutex, &until) != 0) {
            break;
        }
    }
    return pop(ledger);
}

/* A new connection. The pool's mutex is held before and after, not in between. */
static struct reader *open_another(struct ledger *ledger, struct err *err)
{
    unsigned generation = ledger->generation;
    struct reader *reader = NULL;

    ledger->pool_opening++;
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
    int result = open_reader(ledger->live, &reader, err);
    (void)pthread_mutex_lock(&ledger->pool_mutex);
    ledger->pool_opening--;
    (void)pthread_cond_broadcast(&ledger->pool_back);
    if (result < 0) {
        return NULL;
    }
    reader->ledger = ledger;
    reader->generation = generation;
    return reader;
}

/* An idle connection, else a new one, else (the file may be gone while others still read it) one
 * that comes back. */
static int take_reader(struct ledger *ledger, struct reader **ret, struct err *err)
{
    (void)pthread_mutex_lock(&ledger->pool_mutex);
    struct reader *reader = wait_for_one(ledger, true);
    if (reader == NULL && may_open(ledger)) {
        reader = open_another(ledger, err);
    } else if (reader == NULL) {
        (void)err_set(err, ERR_BUSY, "%s: it is being exchanged for a recovered one", ledger->live);
    }
    if (reader == NULL) {
        reader = wait_for_one(ledger, false);
    }
    if (reader != NULL && reader->generation == ledger->generation) {
        ledger->pool_out++;
    }
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
    *ret = reader;
    return reader == NULL ? -(int)err->code : 0;
}

static void put_reader(struct ledger *ledger, struct reader *reader)
{
    (void)pthread_mutex_lock(&ledger->pool_mutex);
    if (reader->generation == ledger->generation) {
        ledger->pool_out--;
        if (ledger->pool_idle < READERS_IDLE_MAX) {
            reader->next = ledger->pool;
            ledger->pool = reader;
            ledger->pool_idle++;
            reader = NULL;
        }
        (void)pthread_cond_broadcast(&ledger->pool_back);
    }
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
    close_reader(reader);
}

int read_begin(struct ledger *ledger, struct reader **ret, struct err *err)
{
    struct reader *reader = NULL;

    int result = take_reader(ledger, &reader, err);
    if (result < 0) {
        return result;
    }
    result = begin(reader, err);
    if (result < 0) {
        read_end(reader);
        return result;
    }
    *ret = reader;
    return 0;
}

int read_folder(const char *folder, struct reader **ret, struct err *err)
{
    struct reader *reader = NULL;

    int result = open_reader(folder, &reader, err);
    if (result == 0) {
        result = begin(reader, err);
    }
    if (result < 0) {
        close_reader(reader);
        return result;
    }
    *ret = reader;
    return 0;
}

void read_end(struct reader *reader)
{
    if (reader == NULL) {
        return;
    }
    end(reader);
    if (reader->ledger == NULL) {
        close_reader(reader);
    } else {
        put_reader(reader->ledger, reader);
    }
}

int pool_open(struct ledger *ledger, struct err *err)
{
    struct reader *reader;

    int result = read_begin(ledger, &reader, err);
    if (result == 0) {
        read_end(reader);
    }
    return result;
}

void pool_close(struct ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->pool_mutex);
    struct reader *reader = ledger->pool;
    ledger->pool = NULL;
    ledger->pool_idle = 0;
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
    while (reader != NULL) {
        struct reader *next = reader->next;
        close_reader(reader);
        reader = next;
    }
}

void pool_freeze(struct ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->pool_mutex);
    ledger->pool_frozen = true;
    ledger->pool_freezer = pthread_self();
    while (ledger->pool_opening > 0) {
        (void)pthread_cond_wait(&ledger->pool_back, &ledger->pool_mutex);
    }
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
}

void pool_thaw(struct ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->pool_mutex);
    ledger->pool_frozen = false;
    (void)pthread_cond_broadcast(&ledger->pool_back);
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
}

int pool_renew(struct ledger *ledger, struct err *err)
{
    (void)pthread_mutex_lock(&ledger->pool_mutex);
    ledger->generation++;
    ledger->pool_out = 0;
    (void)pthread_mutex_unlock(&ledger->pool_mutex);
    pool_close(ledger);
    return pool_open(ledger, err);
}

/* ---- shared ---- */

int reader_change(struct reader *reader, struct query *query, int64_t key, int hash_column,
                  struct change *ret, struct err *err)
{
    const struct head *origin = origins_head(&reader->origins, key_origin_no(key));

    if (change_read_record(query_get_bytes(query, hash_column + 1), ret, err) < 0 ||
        query_get_fixed(query, hash_column, ret->hash.bytes, sizeof(ret->hash.bytes), err) < 0) {
        char text[UUID_TEXT_MAX] = "(unknown)";
        if (origin != NULL) {
            uuid_format(&origin->origin, text);
        }
        return err_context(err, "change %llu of origin %s", (unsigned long long)key_seq(key), text);
    }
    return 0;
}

int reader_find(struct reader *reader, enum sql sql, const struct uuid *id, struct query *ret,
                struct err *err)
{
    if (query_start(&reader->conn, sql, ret, err) < 0) {
        return -(int)err->code;
    }
    query_uuid(ret, 1, id);
    return query_step(ret, err);
}

int reader_get(struct reader *reader, int64_t key, struct query *query, struct change *ret,
               int64_t *ret_earlier_key, struct err *err)
{
    if (query_start(&reader->conn, SQL_JOURNAL_GET, query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(query, 1, key);
    int result = query_step(query, err);
    if (result < 0) {
        return result;
    }
    if (result == 0) {
        return err_set(err, ERR_CORRUPT, "%s: change %lld of origin %lld is not in the journal",
                       reader->conn.path, (long long)key_seq(key), (long long)key_origin_no(key));
    }
    *ret_earlier_key = query_get_i64(query, 0);
    return reader_change(reader, query, key, 1, ret, err);
}

int reader_chain(struct reader *reader, int64_t last_key, int64_t **ret_keys, size_t *ret_count,
                 struct err *err)
{
    AUTO(free_ptr) int64_t *keys = NULL;
    AUTO(query_end) struct query query = {.conn = NULL};
    size_t count = 0;
    size_t capacity = 0;

    if (query_start(&reader->conn, SQL_JOURNAL_EARLIER, &query, err) < 0) {
        return -(int)err->code;
    }
    for (int64_t key = last_key; key != 0;) {
        if (count == CHAIN_MAX) {
            return err_set(err, ERR_CORRUPT, "%s: the changes of one thing lead in a circle",
                           reader->conn.path);
        }
        if (count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            keys = xrealloc(keys, capacity * sizeof(*keys));
        }
        keys[count++] = key;
        query_again(&query);
        query_i64(&query, 1, key);
        int result = query_step(&query, err);
        if (result <= 0) {
            return result < 0 ? result
                              : err_set(err, ERR_CORRUPT,
                                        "%s: the journal lacks change %lld of origin %lld",
                                        reader->conn.path, (long long)key_seq(key),
                                        (long long)key_origin_no(key));
        }
        key = query_get_i64(&query, 0);
    }
    *ret_keys = keys;
    *ret_count = count;
    keys = NULL;
    return 0;
}

int reader_held(struct reader *reader, int64_t key, bool *ret_held, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&reader->conn, SQL_HELD_IS, &query, err) < 0) {
        return -(int)err->code;
    }
    query_i64(&query, 1, key);
    int result = query_step(&query, err);
    *ret_held = result > 0;
    return result < 0 ? result : 0;
}

int reader_count(struct reader *reader, enum sql sql, uint64_t *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    if (query_start(&reader->conn, sql, &query, err) < 0) {
        return -(int)err->code;
    }
    int result = query_step(&query, err);
    *ret = result > 0 ? (uint64_t)query_get_i64(&query, 0) : 0;
    return result < 0 ? result : 0;
}
