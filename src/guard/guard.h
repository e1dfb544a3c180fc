/*
 * guard - judges what changes do to what was there, and holds destruction back.
 *
 * Rules are a table (guard/rules.c), each with its thresholds in struct guard_options. Additive changes never reach it.
 * When a rule trips, the whole incident is held: also the changes that came before the threshold was crossed. What is held
 * stays in journal and vaults as history and shows nowhere as current, until a person resolves the alert. Further changes
 * that belong to the same incident join it; a burst after it is quiet raises an alert of its own.
 *
 * The windows are rebuilt from the journal's last hour at start, so a restart gives nobody a fresh allowance.
 *
 * Thread: guard_judge and guard_settled on the writer thread; guard_status from any.
 */
#ifndef HOLDFAST_GUARD_GUARD_H
#define HOLDFAST_GUARD_GUARD_H

#include "ledger/ledger.h"
#include "ledger/read.h"

struct guard;

/* What `status` shows and the configuration sets. Windows in milliseconds, shares in 0..1. */
struct guard_options {
    bool enabled;             /* switching it off is itself an alert */
    uint64_t delete_max;      /* more deletions than this by one actor ... (10; DESTRUCTION_THRESHOLD) */
    int64_t delete_window_ms; /* ... within this (60 s; DESTRUCTION_WINDOW_SECONDS) */
    double share_max;         /* more than this share of a project deleted or blanked (0.20) ... */
    uint64_t share_min;       /* ... and at least so many memories (5), within share_window_ms or the hour below */
    int64_t share_window_ms;  /* 60 s */
    int64_t drip_window_ms;   /* one hour: the same share rule for slow destruction */
    double update_max;        /* more than this share of a project's memories with their content changed (0.50) ... */
    uint64_t update_min;      /* ... and at least so many distinct ones (10) ... */
    int64_t update_window_ms; /* ... within this (60 s) */
    double loss_max;          /* updates that take away more than this share of the content they touch (0.50) ... */
    uint64_t loss_min;        /* ... over at least so many distinct memories (5) ... */
    int64_t loss_window_ms;   /* ... within this (60 s) */
    uint64_t version_jump_max; /* a sync_version that jumps by more than this (1,000) */
};
#define GUARD_OPTIONS_DEFAULT                                                                                                                        \
    {                                                                                                                                                \
        .enabled = true, .delete_max = 10, .delete_window_ms = 60000, .share_max = 0.20, .share_min = 5, .share_window_ms = 60000,                    \
        .drip_window_ms = 3600000, .update_max = 0.50, .update_min = 10, .update_window_ms = 60000, .loss_max = 0.50, .loss_min = 5,                  \
        .loss_window_ms = 60000, .version_jump_max = 1000                                                                                            \
    }

int guard_open(const struct guard_options *options, struct env *env, struct guard **ret, struct err *err) MUST_CHECK;
void guard_close(struct guard *guard);

/* For ledger_options.judge. */
struct ledger_judge guard_judge_for(struct guard *guard);

/* Fill the windows from the journal's last hour and the open alerts; called once, after ledger_open and before doors open. */
int guard_rebuild(struct guard *guard, struct reader *reader, struct err *err) MUST_CHECK;

struct guard_status {
    uint64_t deletes_in_window; /* of the actor with the most */
    uint64_t threshold;
    int64_t window_ms;
};
void guard_status(struct guard *guard, struct guard_status *ret);

/*
 * A person's word on an open alert, or an alert that comes from outside the writer (a vault emptied, the store vanished,
 * the guard switched off: no ranges). Both are drafts for ledger_write; the decision is the caller's (decision_done).
 */
int guard_resolution(struct reader *reader, const struct uuid *alert, bool accept, const char *person, struct decision *ret, struct err *err) MUST_CHECK; /* ERR_NOT_FOUND, ERR_CONFLICT when resolved already */
void guard_outside_alert(struct env *env, const char *rule, const char *actor, const char *summary, struct decision *ret);

/* Everything that was recorded as what the incident did: for showing before and after. Summaries are one sentence: "12 of 40 memories of project x were deleted by mcp:claude-code within 8 s". */
#endif
