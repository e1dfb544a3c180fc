/*
 * read_index - what an index asks of a ledger: where a memory is now, and all that are alive in the
 * order of their places.
 */
#ifndef HOLDFAST_LEDGER_READ_INDEX_H
#define HOLDFAST_LEDGER_READ_INDEX_H

#include "ledger/read.h"

struct memory_place {
    int64_t place;
    uint64_t version;   /* of the effective change; 0: none of its changes counts */
    struct uuid origin; /* of the effective change; nil: none */
    uint64_t seq;
    bool alive; /* has a current state and is not deleted */
};

/* ERR_NOT_FOUND: there never was such a memory. */
int read_place(struct reader *reader, const struct uuid *id, struct memory_place *ret,
               struct err *err) MUST_CHECK;

/* Every memory that is alive with a place >= from, ascending. Borrowed for the call; a non-zero
 * return ends the walk and is returned. */
int read_places(struct reader *reader, int64_t from, read_memory_fn *each, void *arg,
                struct err *err) MUST_CHECK;

#endif
