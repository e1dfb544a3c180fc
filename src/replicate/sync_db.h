/*
 * sync_db - the connection of sync.db and its queries, for the files of sync_log.
 *
 * A query holds the log's mutex from its start to its end, so a callback that is given a row must
 * not ask the log anything.
 */
#ifndef HOLDFAST_REPLICATE_SYNC_DB_H
#define HOLDFAST_REPLICATE_SYNC_DB_H

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>

#include "replicate/sync_log.h"

enum sync_sql {
#define SYNC_SQL(name, text) SYNC_SQL_##name,
#include "replicate/sync_statements.def"
#undef SYNC_SQL
    SYNC_SQL_COUNT
};

struct sync_log {
    char *path;
    struct env *env;
    pthread_mutex_t mutex; /* guards all below */
    sqlite3 *db;
    sqlite3_stmt *statements[SYNC_SQL_COUNT];
    uint64_t events_since_prune;
};

struct sync_query {
    struct sync_log *log; /* NULL: not started, or ended */
    sqlite3_stmt *statement;
    int rc; /* the first failed bind */
};

/* Takes the mutex, also when it fails: end it either way. */
int sync_query_start(struct sync_log *log, enum sync_sql sql, struct sync_query *ret,
                     struct err *err) MUST_CHECK;
void sync_query_end(struct sync_query *query); /* may be called twice, and on a zeroed one */

/* Indexes from 1; what is bound is borrowed until the end. */
void sync_bind_i64(struct sync_query *query, int index, int64_t value);
void sync_bind_text(struct sync_query *query, int index, const char *text); /* NULL: null */
void sync_bind_blob(struct sync_query *query, int index, const void *bytes, size_t len);

/* 1: a row; 0: no more; < 0: an error. */
int sync_query_step(struct sync_query *query, struct err *err) MUST_CHECK;
int sync_query_run(struct sync_query *query, struct err *err)
    MUST_CHECK; /* one step, and the end */

/* Columns from 0. A text is NULL for a null, and valid until the next step; an error is that memory
 * ran out. */
int64_t sync_get_i64(struct sync_query *query, int column);
int sync_get_text(struct sync_query *query, int column, const char **ret, struct err *err)
    MUST_CHECK;
int sync_get_blob(struct sync_query *query, int column, void *ret, size_t len, struct err *err)
    MUST_CHECK;

#endif
