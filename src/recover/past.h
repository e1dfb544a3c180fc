/*
 * past - the recoveries that were made here, as their decisions tell.
 *
 * A recovery is on record under its id by decisions of rule `recover`: ACCEPTED names what it
 * brought, UNDONE takes that out of the view. What its filter kept out of the view is named by
 * decisions of rule `recover_filter` under an id of its own. A later recovery releases (ACCEPTED,
 * under the same id) what it brings into the view.
 */
#ifndef HOLDFAST_RECOVER_PAST_H
#define HOLDFAST_RECOVER_PAST_H

#include "ledger/read_recover.h"

struct past_recovery {
    struct uuid id;
    bool filter;         /* of rule recover_filter */
    bool undone;         /* it was, at some time: never to be undone again */
    struct ranges named; /* sorted: what it brought, or its filter kept out */
    struct ranges held;  /* sorted: what of it is out of the view now */
    uint64_t memories;   /* that it brought */
};

struct past {
    struct past_recovery *items; /* heap; oldest first */
    size_t count;
};

int past_read(struct reader *reader, struct past *ret, struct err *err) MUST_CHECK;
void past_done(struct past *past);

/* All that recoveries keep out of the view, added to *ret and sorted. */
void past_held(const struct past *past, struct ranges *ret);

/* What the guard keeps out of the view (open alerts and reverted ones), added to *ret and sorted.
 */
int past_guarded(struct reader *reader, struct ranges *ret, struct err *err) MUST_CHECK;

#endif
