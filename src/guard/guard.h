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

/* Sources that are told apart. */
#define GUARD_SOURCES_MAX 16

/* What `status` shows and the configuration sets. Windows in milliseconds, shares in 0..1. */
struct guard_options {
    bool enabled; /* switching it off is itself an alert */

    /* deletes: more deletions than this (10; DESTRUCTION_THRESHOLD) by one actor within the window
     * (60 s; DESTRUCTION_WINDOW_SECONDS). */
    uint64_t delete_max;
    int64_t delete_window_ms;

    /* share: more than this share of a project (0.20), and at least so many memories (5), deleted
     * or blanked within the window (60 s) or, for slow destruction, the drip window (one hour). */
    double share_max;
    uint64_t share_min;
    int64_t share_window_ms;
    int64_t drip_window_ms;

    /* bulk_update: more than this share of a project's living memories (0.50), and at least so many
     * (10), with their content changed within the window (60 s), or with their text replaced by
     * another within the drip window. */
    double update_max;
    uint64_t update_min;
    int64_t update_window_ms;

    /* content_loss: so many memories (5) that lost at least a quarter of their content within the
     * window (60 s), and together more than this share of it (0.50), or each of them more than
     * that; or so many that lost more than that within the drip window, and with those destroyed
     * more than share_max of the project. */
    double loss_max;
    uint64_t loss_min;
    int64_t loss_window_ms;

    /* total_loss: over all projects and actors, more memories than this (100) deleted, blanked or
     * with more than loss_max of their content gone within the share window; or more than share_max
     * of all, and at least so many (20), within it or the drip window. total_update: more than
     * update_max of all, and at least so many, replaced by other texts within the drip window. */
    uint64_t total_max;
    uint64_t total_min;

    uint64_t version_jump_max; /* version_jump: a sync_version that rises by more (1,000) */
};
#define GUARD_OPTIONS_DEFAULT                                                                      \
    {                                                                                              \
        .enabled = true, .delete_max = 10, .delete_window_ms = 60000, .share_max = 0.20,           \
        .share_min = 5, .share_window_ms = 60000, .drip_window_ms = 3600000, .update_max = 0.50,   \
        .update_min = 10, .update_window_ms = 60000, .loss_max = 0.50, .loss_min = 5,              \
        .loss_window_ms = 60000, .total_max = 100, .total_min = 20, .version_jump_max = 1000       \
    }

/* A day: what is read again at a start, and kept in memory, is bounded. */
#define GUARD_WINDOW_MAX_MS (24 * 3600 * 1000LL)

/*
 * A threshold at which its rule lets anything through is as good as switching it off: a share of
 * all (1), a number above GUARD_COUNT_BLIND, windows so short that what an agent does one by one
 * never meets in them. Such a configuration is allowed, and is itself an alert.
 */
#define GUARD_COUNT_BLIND 200            /* memories: what many a project or home has in all */
#define GUARD_VERSION_JUMP_BLIND 1000000 /* versions: no memory has so many */
#define GUARD_WINDOW_BLIND_MS 10000      /* shorter: ten calls of an agent, one after the other */
#define GUARD_DRIP_WINDOW_BLIND_MS (10 * 60 * 1000) /* shorter: hardly slower than the others */

/* The settings that switch a rule off, as the configuration names them, and what would not:
 * "guard.share_max is 1 (less than 1)", several joined by ", "; of a source those alone that are
 * not as `unless` (may be NULL) has them. Heap; NULL: all rules are in force. */
char *guard_blind(const struct guard_options *options, const struct guard_options *unless);

/* A source, and the thresholds by which its changes are judged (guard/limits.h). */
struct guard_source {
    const char *name; /* borrowed for the call */
    struct guard_options options;
};

/* ERR_CONFIG: a share outside of 0..1, a window outside of 1 ms..a day. sources: at most
 * GUARD_SOURCES_MAX. */
int guard_open(const struct guard_options *options, const struct guard_source *sources,
               size_t source_count, struct env *env, struct guard **ret, struct err *err)
    MUST_CHECK;
void guard_close(struct guard *guard);

/*
 * For ledger_options.judge. ERR_LIMIT when a request destroys more than can be held at once
 * (JUDGE_DECISIONS_MAX * RANGES_MAX ranges of changes): it is then refused whole.
 */
struct ledger_judge guard_judge_for(struct guard *guard);

/*
 * Fill the windows from what the journal holds of the longest window, and take up the open alerts;
 * called once, after ledger_open and before doors open. Wall time counts here: what lies in the
 * future counts as of now.
 */
int guard_rebuild(struct guard *guard, struct reader *reader, struct err *err) MUST_CHECK;

struct guard_status {
    uint64_t deletes_in_window; /* of the actor with the most; held ones too */
    uint64_t threshold;         /* of that actor */
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

/*
 * An alert that comes from outside the writer (a vault emptied, the store vanished, the guard
 * switched off): it names no changes. A decision for ledger_write, the caller's.
 */
void guard_outside_alert(struct env *env, const char *rule, const char *actor, const char *summary,
                         struct decision *ret);

#endif
