/*
 * conn - one SQLite connection with its prepared statements. SQLite's codes become ours here and
 * nowhere else.
 *
 * All SQL of the ledger is in ledger/statements.def; a statement is prepared at its first use and
 * kept. A query that is started while the same statement still runs (a callback that asks the same
 * question) gets one of its own.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_LEDGER_CONN_H
#define HOLDFAST_LEDGER_CONN_H

#include <sqlite3.h>

#include "base/buf.h"
#include "base/uuid.h"

enum sql {
#define SQL(name, text) SQL_##name,
#include "ledger/statements.def"
#undef SQL
    SQL_COUNT
};

struct conn {
    sqlite3 *db;
    char *path;
    bool writes; /* counted faults hit writers only */
    sqlite3_stmt *statements[SQL_COUNT];
};

#define CONN_BUSY_MS                                                                               \
    5000 /* how long a foreign process may hold SQLite's locks before we answer ERR_BUSY */

/* flags as of sqlite3_open_v2. No checkpoint and no removal of the log happens on close, whoever is
 * last. */
int conn_open(struct conn *conn, const char *path, int flags, struct err *err) MUST_CHECK;
void conn_close(struct conn *conn);

/* Run statements that give no rows (PRAGMAs' rows are thrown away). */
int conn_exec(struct conn *conn, const char *sql, struct err *err) MUST_CHECK;
int conn_pragma_i64(struct conn *conn, const char *name, int64_t *ret, struct err *err) MUST_CHECK;
/* The first column of the first row of a question, as text; cut at its end when it is longer. */
#define CONN_ANSWER_MAX 256
int conn_ask(struct conn *conn, const char *sql, char ret[CONN_ANSWER_MAX], struct err *err)
    MUST_CHECK;
/* Switch the file to WAL. ERR_BUSY when somebody else has it open in a way that forbids it. */
int conn_use_log(struct conn *conn, struct err *err) MUST_CHECK;

/*
 * What SQLite's result rc means: ERR_FULL (the disk or a quota; nothing is damaged), ERR_BUSY,
 * ERR_VANISHED (the file was moved or removed), ERR_CORRUPT, ERR_IO (a write or fsync failed;
 * final), else ERR_INTERNAL.
 */
int conn_error(const struct conn *conn, int rc, struct err *err);

struct query {
    struct conn *conn;
    sqlite3_stmt *statement;
    bool own; /* finalized at the end, not kept */
    int rc;   /* the first failed bind */
};

int query_start(struct conn *conn, enum sql sql, struct query *ret, struct err *err) MUST_CHECK;
void query_i64(struct query *query, int index, int64_t value);
void query_null(struct query *query, int index);
void query_blob(struct query *query, int index, const void *bytes,
                size_t len); /* borrowed until the query's end */
void query_text(struct query *query, int index,
                struct str text); /* borrowed until the query's end */
void query_uuid(struct query *query, int index,
                const struct uuid *uuid); /* borrowed until the query's end */

/* 1: a row; 0: no more; < 0: an error. */
int query_step(struct query *query, struct err *err) MUST_CHECK;
/* Step a statement that gives no row, end it. */
int query_run(struct query *query, struct err *err) MUST_CHECK;
/* Step once more from the start with new bindings. */
void query_again(struct query *query);
void query_end(struct query *query); /* may be called twice, and on a zeroed one */

/* Columns from 0; views are valid until the next step. */
int64_t query_get_i64(struct query *query, int column);
bool query_is_null(struct query *query, int column);
struct str query_get_bytes(struct query *query, int column); /* of a blob or a text */
/* A blob that must have len bytes: ERR_CORRUPT. */
int query_get_fixed(struct query *query, int column, void *ret, size_t len, struct err *err)
    MUST_CHECK;

#endif
