/*
 * reader - what the files that answer questions share.
 */
#ifndef HOLDFAST_LEDGER_READER_H
#define HOLDFAST_LEDGER_READER_H

#include "ledger/conn.h"
#include "ledger/key.h"
#include "ledger/origins.h"
#include "ledger/read.h"
#include "ledger/times.h"

#define CHAIN_MAX                                                                                  \
    ((size_t)1 << 24) /* changes of one thing: a circle in damaged rows must end; 128 MiB of keys  \
                       */

struct reader {
    struct conn conn;
    struct origins origins;
    struct ledger *ledger; /* NULL: of a folder */
    unsigned generation;
    struct reader *next;
};

/* The change of the row that query is at, whose columns `hash` and `hash + 1` are hash and record.
 * prev stays zero. */
int reader_change(struct reader *reader, struct query *query, int64_t key, int hash_column,
                  struct change *ret, struct err *err) MUST_CHECK;

/* Start a query about a UUID, step once. 1: a row; 0: none. The caller ends it. */
int reader_find(struct reader *reader, enum sql sql, const struct uuid *id, struct query *ret,
                struct err *err) MUST_CHECK;

/* The change of a key. The caller ends the query, from which it borrows. */
int reader_get(struct reader *reader, int64_t key, struct query *query, struct change *ret,
               int64_t *ret_earlier_key, struct err *err) MUST_CHECK;

/* All keys of a thing, from last_key back: heap array. */
int reader_chain(struct reader *reader, int64_t last_key, int64_t **ret_keys, size_t *ret_count,
                 struct err *err) MUST_CHECK;

int reader_held(struct reader *reader, int64_t key, bool *ret_held, struct err *err) MUST_CHECK;

int reader_count(struct reader *reader, enum sql sql, uint64_t *ret, struct err *err)
    MUST_CHECK; /* the one number that it gives */

#endif
