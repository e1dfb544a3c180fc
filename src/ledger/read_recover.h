/*
 * read_recover - what a recovery asks of a ledger: every memory without its content, and the
 * recoveries made before.
 */
#ifndef HOLDFAST_LEDGER_READ_RECOVER_H
#define HOLDFAST_LEDGER_READ_RECOVER_H

#include "ledger/read.h"

/* Which change says what a memory is now, without its content: for comparing a million of them. */
struct memory_brief {
    struct uuid id;
    struct uuid origin; /* of the effective change */
    uint64_t seq;
    bool deleted;
    const char *project_id; /* borrowed for the call; NULL from read_brief */
    struct uuid session_id; /* nil from read_brief */
};

/* All that have a current state, deleted ones too, in no promised order. A non-zero return ends the
 * walk and is returned. */
typedef int read_brief_fn(void *arg, const struct memory_brief *brief, struct err *err);
int read_briefs(struct reader *reader, read_brief_fn *each, void *arg, struct err *err) MUST_CHECK;

/* One of them. ERR_NOT_FOUND. */
int read_brief(struct reader *reader, const struct uuid *id, struct memory_brief *ret,
               struct err *err) MUST_CHECK;

/*
 * The decisions of this installation's recoveries (rule_is_recovery): recoveries oldest first, the
 * decisions of each in their order. Borrowed for the call.
 */
typedef int read_decision_fn(void *arg, const struct decision *decision, struct err *err);
int read_recoveries(struct reader *reader, read_decision_fn *each, void *arg, struct err *err)
    MUST_CHECK;

#endif
