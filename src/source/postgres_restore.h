/* postgres_restore - what the two files of a restore share: the tables, and their rows. */
#ifndef HOLDFAST_SOURCE_POSTGRES_RESTORE_H
#define HOLDFAST_SOURCE_POSTGRES_RESTORE_H

#include "source/postgres_internal.h"
#include "source/row_origin.h"

struct restoring {
    struct postgres *pg;
    struct source_restore *restore;
    struct pg_table *table;
    struct source_restore_table *answer;
    struct reader *reader;
    char **columns; /* of the table; those that are captured first */
    size_t column_count;
    size_t all_count;
    PGresult *fixed;          /* columns that no update may set */
    bool held;                /* which of the two tables is filled now */
    bool directly;            /* neither is: the rows go into the table itself */
    bool misfits;             /* some row has a column that the first one lacks */
    bool copying;             /* the server waits for rows, and takes nothing else */
    bool has_large;           /* some row of theirs has a value of which only the digest is known */
    struct buf lines;         /* rows that are not sent yet */
    struct row_origin origin; /* of the row that is looked at */
    uint64_t rows;
};

/* Run a statement, and show it. */
int restore_run(struct restoring *r, const char *sql, uint64_t *ret_rows, struct err *err)
    MUST_CHECK;
/* Make the partitions that the table had, as its `back`th definition before the last told. What
 * can't be made is left out. *ret_more: there is such a definition. */
int restore_parts(struct restoring *r, size_t back, bool *ret_more, struct err *err) MUST_CHECK;

/* Fill `want` and `held` for r->table, and put back what is missing or destroyed. */
int restore_rows(struct restoring *r, struct err *err) MUST_CHECK;

#endif
