/*
 * decide - the decisions of a recovery, cut into as many as their ranges need.
 */
#ifndef HOLDFAST_RECOVER_DECIDE_H
#define HOLDFAST_RECOVER_DECIDE_H

#include "ledger/ledger.h"

/* What the decisions about one set of changes have in common. */
struct decision_frame {
    struct uuid id; /* of the recovery, or of its filter */
    enum decision_kind kind;
    const char *rule;
    const char *source;
    const char *summary; /* cut at DECISION_TEXT_MAX_BYTES */
    uint64_t memories;   /* told in the first of them */
    int64_t started_us;
};

/* The decisions (heap, with all that is in them) that name these ranges; none for none. */
void decisions_make(const struct decision_frame *frame, const struct ranges *ranges,
                    struct decision **ret, size_t *ret_count);
void decisions_free(struct decision *decisions, size_t count);

/* The draft that journals a decision; it borrows the decision and source. */
struct draft decision_draft(const struct decision *decision, const char *source);

#endif
