/*
 * history - what a memory's changes make of it when what recoveries hide counts again.
 */
#ifndef HOLDFAST_RECOVER_HISTORY_H
#define HOLDFAST_RECOVER_HISTORY_H

#include "ledger/read.h"

/* One change to a memory, and the memory as of it. */
struct version {
    struct uuid origin;
    uint64_t seq;
    int64_t at_us;
    struct memory memory;
};

struct history {
    struct version *items; /* heap; the winner last; without what the guard holds */
    size_t count;
    const struct version *latest; /* the winner of all; NULL when there is none */
};

void history_done(struct history *history);

/*
 * Read the changes of a memory: those that count, and held ones that are in hidden and not in
 * guarded (both sorted). A memory that is not there has none.
 */
int history_read(struct reader *reader, const struct uuid *id, const struct ranges *hidden,
                 const struct ranges *guarded, struct history *ret, struct err *err) MUST_CHECK;

/* The winner among the changes at or before a moment; NULL when there is none. */
const struct version *history_as_of(const struct history *history, int64_t at_us);

/* Do they say different things? */
bool version_differs(const struct version *a, const struct version *b);

/* Did a change of these (sorted) and another one make two different things of one version? */
bool history_conflicts(const struct history *history, const struct ranges *imported);

#endif
