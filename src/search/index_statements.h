/*
 * index_statements - the SQL of index.db, shared by the files that use it.
 */
#ifndef HOLDFAST_SEARCH_INDEX_STATEMENTS_H
#define HOLDFAST_SEARCH_INDEX_STATEMENTS_H

#include "search/index_file.h"

enum {
    INDEX_PUT,
    INDEX_DROP,
    INDEX_CHUNK_GET,
    INDEX_CHUNK_RANGE,
    INDEX_CHUNK_PUT,
    INDEX_CHUNK_DROP,
    INDEX_TOTALS,
    INDEX_TOTALS_PUT,
    INDEX_CURSORS,
    INDEX_CURSOR_PUT,
    INDEX_STATEMENTS,
};
_Static_assert((int)INDEX_STATEMENTS == (int)INDEX_FILE_STATEMENTS, "room for all statements");

/* Prepared at its first use and kept. Binds of it can't fail: they are in range. */
int index_file_statement(struct index_file *file, int which, sqlite3_stmt **ret, struct err *err)
    MUST_CHECK;

/* Step a statement that gives no row. */
int index_file_run(struct index_file *file, sqlite3_stmt *statement, struct err *err) MUST_CHECK;

#endif
