/*
 * definition - how a table was made, as the source told it from time to time: kept as a memory of
 * its own (source/row.h), and run as SQL when the table is restored.
 *
 * Its memory can be written by any agent. What they wrote is not run: only what capture itself
 * journaled counts, and only while it is not held.
 */
#ifndef HOLDFAST_SOURCE_DEFINITION_H
#define HOLDFAST_SOURCE_DEFINITION_H

#include "ledger/read.h"
#include "source/row.h"

struct definitions {
    char **items; /* heap: SQL, oldest first */
    size_t count;
};

/* All of them; none is no error. definitions_done frees, also after an error. */
int definitions_read(struct reader *reader, const char *source, const char *table,
                     struct definitions *ret, struct err *err) MUST_CHECK;
void definitions_done(struct definitions *definitions);

/* The last one; heap. ERR_NOT_FOUND: it was never captured. */
int definition_read(struct reader *reader, const char *source, const char *table, char **ret,
                    struct err *err) MUST_CHECK;

#endif
