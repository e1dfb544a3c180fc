/*
 * origins - the installations whose changes a ledger holds, by number, each with its head.
 *
 * Numbers are given from 1 without gaps, in the order of first arrival here.
 */
#ifndef HOLDFAST_LEDGER_ORIGINS_H
#define HOLDFAST_LEDGER_ORIGINS_H

#include "ledger/conn.h"
#include "ledger/read.h"

struct origins {
    struct head *heads; /* [number - 1] */
    size_t count;
    size_t capacity;
    size_t hint; /* the index found last */
    int64_t own; /* number of this installation; 0: none yet */
};

void origins_done(struct origins *origins);

/* Add what the table has beyond the ones known. Heads stay 0. */
int origins_load(struct origins *origins, struct conn *conn, struct err *err) MUST_CHECK;
/* Read all heads from the journal. */
int origins_load_heads(struct origins *origins, struct conn *conn, struct err *err) MUST_CHECK;
/* Forget all and read them again. */
int origins_reload(struct origins *origins, struct conn *conn, struct err *err) MUST_CHECK;

int64_t origins_find(struct origins *origins, const struct uuid *id); /* its number; 0: unknown */
struct head *origins_head(const struct origins *origins,
                          int64_t no); /* NULL for a number that does not exist */
/* Its number; a new one is given when it has none (ERR_LIMIT beyond ORIGINS_MAX). */
int origins_number(struct origins *origins, struct conn *conn, const struct uuid *id,
                   int64_t *ret_no, struct err *err) MUST_CHECK;
/* Make id this installation. */
int origins_set_own(struct origins *origins, struct conn *conn, const struct uuid *id,
                    struct err *err) MUST_CHECK;

#endif
