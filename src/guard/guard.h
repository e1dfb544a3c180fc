/*
 * guard - judges what changes do to what was there, and holds destruction back.
 *
 * Rules are a table (guard/rules.c, explained in docs/guard.md), each with its thresholds in struct
 * guard_options. Additive changes never reach it. When a rule trips, the whole incident is held:
 * also the changes that came before the threshold was crossed. What is held stays in journal and
 * vaults as history and shows nowhere as current, until a person resolves the alert. Further
 * changes that belong to the same incident join it while less than the rule's window has passed
 * since its last one; a burst after that raises an alert of its own, and counts nothing that
 * belonged to an earlier one.
 *
 * Windows run on the monotonic clock; at a start they are rebuilt from the journal, so a restart
 * gives nobody a fresh allowance.
 *
 * Thread: the judge on the thread that writes; guard_status and guard_seal from any other.
 */
#ifndef HOLDFAST_GUARD_GUARD_H
#define HOLDFAST_GUARD_GUARD_H

#include "ledger/ledger.h"
#include "ledger/read.h"

struct guard;

/* What `status` shows and the configuration sets. Windows in milliseconds, shares in 0..1. */
struct guard_options {
    bool enabled;        /* switching it off is itself an alert */
    uint64_t delete_max; /* more deletions than this by one actor ... (10; DESTRUCTION_THRESHOLD) */
    int64_t delete_window_ms; /* ... within this (60 s; DESTRUCTION_WINDOW_SECONDS) */
    double share_max;         /* more than this share of a project deleted or blanked (0.20) ... */
    uint64_t share_min; /* ... and at least so many memories (5), within share_window_ms or the hour
                           below */
    int64_t share_window_ms; /* 60 s */
    int64_t drip_window_ms;  /* one hour: the same share rule for slow destruction; only deletions
                                and losses are kept so long */
    double update_max;   /* more than this share of a project's memories alive with their content
                            changed (0.50) ... */
    uint64_t update_min; /* ... and at least so many distinct ones (10) ... */
    int64_t update_window_ms; /* ... within this (60 s) */
    double loss_max; /* updates that take away more than this share of the content they touch (0.50)
                        ... */
    uint64_t loss_min;         /* ... over at least so many distinct memories (5) ... */
    int64_t loss_window_ms;    /* ... within this (60 s) */
    uint64_t version_jump_max; /* a sync_version that jumps by more than this (1,000) */
};
#define GUARD_OPTIONS_DEFAULT                                                                      \
    {                                                                                              \
        .enabled = true, .delete_max = 10, .delete_window_ms = 60000, .share_max = 0.20,           \
        .share_min = 5, .share_window_ms = 60000, .drip_window_ms = 3600000, .update_max = 0.50,   \
        .update_min = 10, .update_window_ms = 60000, .loss_max = 0.50, .loss_min = 5,              \
        .loss_window_ms = 60000, .version_jump_max = 1000                                          \
    }

#define GUARD_WINDOW_MAX_MS                                                                        \
    (24 * 3600 * 1000LL) /* a day: what is read again at a start, and kept in memory, is bounded   \
                          */

/* ERR_CONFIG: a share outside of 0..1, a window outside of 1 ms..a day. */
int guard_open(const struct guard_options *options, struct env *env, struct guard **ret,
               struct err *err) MUST_CHECK;
void guard_close(struct guard *guard);

/* For ledger_options.judge. ERR_LIMIT when a request destroys more than can be held at once: it is
 * then refused whole. */
struct ledger_judge guard_judge_for(struct guard *guard);

/*
 * Fill the windows from what the journal holds of the longest window, and take up the open alerts;
 * called once, after ledger_open and before doors open. Wall time counts here: what lies in the
 * future counts as of now.
 */
int guard_rebuild(struct guard *guard, struct reader *reader, struct err *err) MUST_CHECK;

struct guard_status {
    uint64_t deletes_in_window; /* of the actor with the most; held ones too */
    uint64_t threshold;
    int64_t window_ms;
};
void guard_status(struct guard *guard, struct guard_status *ret);

/*
 * Before an alert is resolved: nothing joins it any more, and what was just joining it is on disk
 * when this returns, so that a reader begun afterwards sees all that the alert holds. Call it
 * first, then read_begin and guard_resolution. What comes later is a new burst, whether or not the
 * alert is resolved in the end. ERR_TIMEOUT when the ledger hangs. Any thread that isn't writing.
 */
int guard_seal(struct guard *guard, const struct uuid *alert, struct err *err) MUST_CHECK;

/*
 * A person's word on an open alert: a draft's decision over all that it holds, for ledger_write (op
 * hold for a reversal, release for an acceptance); the caller's (decision_done). ERR_NOT_FOUND
 * names the open ones, ERR_CONFLICT says who resolved it already, and how.
 */
int guard_resolution(struct reader *reader, const struct uuid *alert, bool accept,
                     const char *person, struct decision *ret, struct err *err) MUST_CHECK;

/* An alert that comes from outside the writer (a vault emptied, the store vanished, the guard
 * switched off): no ranges. */
void guard_outside_alert(struct env *env, const char *rule, const char *actor, const char *summary,
                         struct decision *ret);

#endif
