/*
 * activate - makes what was planned the current state, at once: while the writer stands still, what
 * was written since the plan is caught up, the plan becomes changes of this installation, and the
 * staged folder takes the live one's place.
 *
 * A plan without a staged folder is one transaction on the live ledger instead. A crash at any
 * point leaves either the ledger as it was or the one that was recovered.
 *
 * Thread: one at a time, and none that holds a reader.
 */
#ifndef HOLDFAST_RECOVER_ACTIVATE_H
#define HOLDFAST_RECOVER_ACTIVATE_H

#include "recover/plan.h"
#include "recover/stage.h"

struct activation {
    const struct recover_context *context;
    struct plan *plan;
    struct stage *stage;
    const struct head *heads; /* of the live ledger, as the plan saw it */
    size_t head_count;
};

/* Fills in the report's id. ERR_FULL, ERR_IO and the ledger's errors: the live ledger is as it was.
 */
int activate(struct activation *activation, struct err *err) MUST_CHECK;

#endif
