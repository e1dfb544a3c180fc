/*
 * STRICT tables; integers for keys, times (microseconds, UTC) and enumerations (as in
 * model/change.h and ledger/read.h).
 *
 * A journal key is origin.no << 40 | seq. `key` elsewhere is that of the effective change, the one
 * that says what the thing is now (0: all its changes are held); `last_key` that of the change that
 * came last, from where earlier_key leads through all others. docs/ledger.md says why.
 */
#include "ledger/schema.h"

#include "base/fault.h"

static const char step_1[] =
    "CREATE TABLE origin("
    "  no INTEGER PRIMARY KEY,"
    "  id BLOB NOT NULL UNIQUE CHECK(length(id) = 16),"
    "  own INTEGER NOT NULL" /* 1: this installation */
    ") STRICT;"

    "CREATE TABLE journal("
    "  key INTEGER PRIMARY KEY,"
    "  earlier_key INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL,"
    "  id BLOB NOT NULL," /* 16 bytes of a UUID; of kinds whose ids are text, its bytes */
    "  version INTEGER NOT NULL,"
    "  at_us INTEGER NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  record TEXT NOT NULL"
    ") STRICT;"
    "CREATE TRIGGER journal_keeps_rows BEFORE DELETE ON journal"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;"
    "CREATE TRIGGER journal_keeps_content BEFORE UPDATE ON journal"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;"

    "CREATE TABLE block(" /* a range of places: no << 20 .. no << 20 | 0xfffff */
    "  no INTEGER PRIMARY KEY,"
    "  project_id TEXT NOT NULL,"
    "  session_id BLOB NOT NULL" /* 16 zero bytes: none */
    ") STRICT;"
    "CREATE INDEX block_by_name ON block(project_id, session_id);"
    "CREATE INDEX block_by_session ON block(session_id);"

    "CREATE TABLE memory("
    "  place INTEGER PRIMARY KEY,"
    "  id BLOB NOT NULL,"
    "  key INTEGER NOT NULL,"
    "  last_key INTEGER NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  created_us INTEGER NOT NULL,"
    "  updated_us INTEGER NOT NULL,"
    "  deleted_us INTEGER,"
    "  held INTEGER NOT NULL" /* 0; 1: some change does not count; 2: an open alert holds one */
    ") STRICT;" SCHEMA_MEMORY_INDEX ";"

    "CREATE TABLE session("
    "  id BLOB PRIMARY KEY,"
    "  project_id TEXT NOT NULL,"
    "  started_us INTEGER NOT NULL,"
    "  key INTEGER NOT NULL,"
    "  last_key INTEGER NOT NULL,"
    "  version INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX session_by_start ON session(started_us);"

    "CREATE TABLE project("
    "  id TEXT PRIMARY KEY,"
    "  key INTEGER NOT NULL,"
    "  last_key INTEGER NOT NULL,"
    "  version INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE thing(" /* tasks and embeddings */
    "  kind INTEGER NOT NULL,"
    "  id BLOB NOT NULL,"
    "  key INTEGER NOT NULL,"
    "  last_key INTEGER NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  PRIMARY KEY(kind, id)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE alert("
    "  no INTEGER PRIMARY KEY,"
    "  id BLOB NOT NULL UNIQUE,"
    "  state INTEGER NOT NULL,"
    "  key INTEGER NOT NULL,"      /* its latest decision */
    "  held_key INTEGER NOT NULL," /* its latest HELD decision, 0: none */
    "  last_key INTEGER NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  detected_us INTEGER NOT NULL"
    ") STRICT;"

    "CREATE TABLE held(" /* changes that count for history only, and the alert that says so */
    "  key INTEGER NOT NULL,"
    "  alert INTEGER NOT NULL,"
    "  PRIMARY KEY(key, alert)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX held_by_alert ON held(alert, key);"

    "CREATE TABLE expected(" /* held ranges whose changes are not here yet */
    "  no INTEGER PRIMARY KEY,"
    "  first_key INTEGER NOT NULL,"
    "  last_key INTEGER NOT NULL,"
    "  alert INTEGER NOT NULL"
    ") STRICT;";

static const char step_2[] =
    "CREATE TABLE source(" /* up to where a source's changes are in the journal */
    "  name TEXT PRIMARY KEY,"
    "  position TEXT NOT NULL" /* as its driver writes it */
    ") STRICT, WITHOUT ROWID;";

const char *const schema_steps[] = {step_1, step_2};
const size_t schema_version = sizeof(schema_steps) / sizeof(schema_steps[0]);

static int run_step(struct conn *conn, const char *text, size_t number, struct err *err)
{
    AUTO(free_ptr) char *count = xprintf("PRAGMA user_version = %zu", number);

    if (conn_exec(conn, "BEGIN IMMEDIATE", err) < 0) {
        return -(int)err->code;
    }
    CRASH_POINT("ledger.migrate.begin");
    int result = conn_exec(conn, text, err);
    CRASH_POINT("ledger.migrate.tables");
    if (result == 0) {
        result = conn_exec(conn, count, err);
    }
    CRASH_POINT("ledger.migrate.counted");
    if (result == 0) {
        result = conn_exec(conn, "COMMIT", err);
    }
    CRASH_POINT("ledger.migrate.committed");
    if (result < 0) {
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL,
                           NULL); /* the first error is the one to tell */
        return err_context(err, "migration step %zu", number);
    }
    return 0;
}

static int check_version(struct conn *conn, size_t known, size_t *ret, struct err *err)
{
    int64_t version;

    int result = conn_pragma_i64(conn, "user_version", &version, err);
    if (result == 0 && (version < 0 || (uint64_t)version > known)) {
        return err_set(err, ERR_NEWER,
                       "%s: a newer Holdfast wrote this file (schema %lld; this one knows up to "
                       "%zu); install that version or a later one",
                       conn->path, (long long)version, known);
    }
    *ret = result == 0 ? (size_t)version : 0;
    return result;
}

int schema_run(struct conn *conn, const char *const *steps, size_t count, struct err *err)
{
    size_t version = 0;

    int result = check_version(conn, count, &version, err);
    for (size_t i = version; result == 0 && i < count; i++) {
        result = run_step(conn, steps[i], i + 1, err);
    }
    return result;
}

int schema_check(struct conn *conn, struct err *err)
{
    int64_t application_id;
    int64_t tables;
    size_t version;

    int result = conn_pragma_i64(conn, "application_id", &application_id, err);
    if (result < 0 || application_id == SCHEMA_APPLICATION_ID) {
        return result < 0 ? result : check_version(conn, schema_version, &version, err);
    }
    if (application_id == SCHEMA_UNSEALED_ID) {
        return err_set(err, ERR_CORRUPT, "%s: a staged copy that was never finished; remove it",
                       conn->path);
    }
    result = conn_pragma_i64(conn, "schema_version", &tables, err);
    if (result == 0 && (application_id != 0 || tables != 0)) {
        return err_set(err, ERR_CORRUPT, "%s: not a ledger of Holdfast's", conn->path);
    }
    return result;
}

int schema_prepare(struct conn *conn, struct err *err)
{
    AUTO(free_ptr) char *sql = xprintf("PRAGMA application_id = %d", SCHEMA_APPLICATION_ID);
    int64_t application_id;

    int result = schema_check(conn, err);
    if (result == 0) {
        result = conn_pragma_i64(conn, "application_id", &application_id, err);
    }
    if (result == 0 && application_id == 0) {
        result = conn_exec(conn, sql, err);
    }
    return result < 0 ? result : schema_run(conn, schema_steps, schema_version, err);
}
