/*
 * schema - the tables of ledger.db, and the steps that bring an older file to them.
 *
 * PRAGMA application_id says whose file it is, PRAGMA user_version how many of the steps it has
 * seen. Each step is one transaction that also counts itself, so that a crash between or within
 * steps loses nothing and is continued.
 */
#ifndef HOLDFAST_LEDGER_SCHEMA_H
#define HOLDFAST_LEDGER_SCHEMA_H

#include "ledger/conn.h"

#define SCHEMA_APPLICATION_ID 0x48464c44 /* "HFLD" */
#define SCHEMA_UNSEALED_ID 0x48465553    /* "HFUS": a bulk copy that nobody finished */

/* Is it a file that we may write to? Changes nothing. ERR_NEWER, ERR_CORRUPT as below, and for an
 * unfinished bulk copy. */
int schema_check(struct conn *conn, struct err *err) MUST_CHECK;

/*
 * Make the tables or migrate them. ERR_NEWER when the file has seen more steps than we know;
 * ERR_CORRUPT when it is another program's file.
 */
int schema_prepare(struct conn *conn, struct err *err) MUST_CHECK;

/* For tests: the file as it is after `steps` of `count` texts instead of the real ones. */
int schema_run(struct conn *conn, const char *const *steps, size_t count, struct err *err)
    MUST_CHECK;
extern const char *const schema_steps[];
extern const size_t schema_version;

#define SCHEMA_MEMORY_INDEX "CREATE UNIQUE INDEX IF NOT EXISTS memory_by_id ON memory(id)"

#endif
