/*
 * definition - how a table is made, as the source last told it: kept as a memory of its own
 * (source/row.h), and run as SQL when the table is restored.
 *
 * Its memory can be written by any agent. What they wrote is not run: only what capture itself
 * journaled counts, and only while it is not held.
 */
#ifndef HOLDFAST_SOURCE_DEFINITION_H
#define HOLDFAST_SOURCE_DEFINITION_H

#include "ledger/read.h"
#include "source/row.h"

/* The SQL; heap. ERR_NOT_FOUND: it was never captured. */
int definition_read(struct reader *reader, const char *source, const char *table, char **ret,
                    struct err *err) MUST_CHECK;

#endif
