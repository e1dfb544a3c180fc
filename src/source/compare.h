/*
 * compare - what a source holds now, against what the ledger last heard of it.
 *
 * What the ledger heard is loaded (id and digest, 56 bytes a row); then every row of a table is
 * given, and what differs goes into the intake; at last the rows that were not given are deleted.
 * A source's first comparison is its initial snapshot: the ledger has heard of nothing then.
 *
 * Thread: one, the intake's.
 */
#ifndef HOLDFAST_SOURCE_COMPARE_H
#define HOLDFAST_SOURCE_COMPARE_H

#include "source/intake.h"

struct compare_known {
    struct uuid id;
    struct sha256 digest;
    uint16_t table; /* in compare.tables */
    bool is_alive;
    bool is_seen;
};

#define COMPARE_TABLES_MAX 1024 /* names that one source's rows ever had */

struct compare {
    struct intake *intake;
    char **tables; /* heap: those the ledger has rows of */
    size_t table_count;
    struct compare_known *items; /* heap, by id */
    size_t count;
    size_t capacity;
    struct buf scratch;
    uint64_t changed; /* rows that are others than was heard */
    uint64_t missing;
};

/* Load what the ledger heard of a table (NULL: of all). ERR_CANCELLED as the options say.
 * compare_done frees, also after an error. */
int compare_load(struct compare *compare, struct intake *intake,
                 const struct source_options *options, const char *table, struct err *err)
    MUST_CHECK;
void compare_done(struct compare *compare);

/* One row that is there. A row that can't be a memory is refused by the intake. */
int compare_row(struct compare *compare, const struct row *row, struct err *err) MUST_CHECK;
/* All rows of the table are to be given once more. */
void compare_again(struct compare *compare, const char *table);
/* All rows of the table were given: the others are gone. */
int compare_end(struct compare *compare, const char *table, struct err *err) MUST_CHECK;

#endif
