/*
 * recover - brings memories back from a vault, or back to a moment: plan, stage, validate,
 * activate, undo.
 *
 * Stage: home/staging/<uuid>/ gets a copy of the live ledger and every change of the vault that it
 * lacks, as it was (origin, seq, hash). Validate: chains, counts, hashes against the vault's heads.
 * Activate: with the writer standing still, what was written meanwhile is caught up, then the two
 * folders are exchanged in one system call. Nothing local is overwritten: newer local changes win
 * as everywhere. A state of the past (`at`) or a deletion that is taken back becomes new changes of
 * this origin. Undo is a decision too: the recovery's changes are held from the current view;
 * nothing is removed.
 *
 * Thread: one recovery at a time (ERR_CONFLICT), from any thread.
 */
#ifndef HOLDFAST_RECOVER_RECOVER_H
#define HOLDFAST_RECOVER_RECOVER_H

#include "ledger/read.h"
#include "search/index.h"
#include "vault/vault.h"

struct recover_report;

/*
 * Asked before anything is changed, with what would be done: a recovery may take memories away, or
 * put a foreign or older content in the place of theirs. A negative return refuses, and is
 * returned.
 */
struct recover_consent {
    int (*ask)(void *arg, const struct recover_report *report, struct err *err);
    void *arg;
};

struct recover_request {
    const char *project_id; /* NULL: all */
    struct uuid session_id; /* nil: all */
    struct uuid memory_id;  /* nil: all */
    int64_t since_us;       /* only memories changed at or after this; TIME_NONE: no bound */
    int64_t at_us; /* the state at this moment, deletions and overwritings after it taken back;
                      TIME_NONE: the latest */
    bool dry_run;
    const char *source;                    /* who asks */
    const struct recover_consent *consent; /* NULL: nobody is asked */
};

/* Counts are of memories. */
struct recover_project {
    char *project_id;
    uint64_t recovered; /* new: not here before; newer: here with an older version; taken back:
                           deleted or changed after `at` */
    uint64_t fresh;
    uint64_t newer;
    uint64_t taken_back;
    uint64_t taken_away;  /* were alive here, and are not any more */
    uint64_t overwritten; /* were alive here, and say what another installation or an earlier moment
                             says; counted as newer or taken back as well */
    uint64_t before;      /* memories alive here before; counted where the two above are not 0 */
    uint64_t skipped;     /* here already, the same or newer */
    uint64_t conflicts;   /* both changed: the winner is current, the loser is history */
};

struct recover_report {
    bool dry_run;
    struct uuid id; /* of this recovery, for undo; nil when nothing was to do */
    uint64_t recovered_count;
    uint64_t taken_away_count;
    uint64_t overwritten_count;
    uint64_t skipped_count;
    uint64_t conflict_count;
    uint64_t changes_imported;
    int64_t duration_us;
    char *from; /* "file:/path", or "journal" when no vault was needed */
    struct recover_project *projects;
    size_t project_count;
    struct ranges gaps; /* changes that the vault never could take and the ledger has not: not here
                           after the recovery, either */
    struct vault_damage *damages; /* heap: what of the vault is damaged; the rest was taken */
    size_t damage_count;
};
void recover_report_done(struct recover_report *report);

/* What a recovery tells while it runs, for a progress line: done of total changes (total 0: not
 * known). May be NULL. */
typedef void recover_progress_fn(void *arg, const char *step, uint64_t done, uint64_t total);

struct recover_context {
    struct ledger *ledger;
    struct index *index; /* reopened after activation; may be NULL */
    struct vault *vault; /* opened, may be read-only; NULL with at_us: the own journal alone */
    const char *vault_spec;
    recover_progress_fn *progress;
    void *progress_arg;
    struct wake *cancel; /* may be NULL */
};

/*
 * Stage, validate, plan, and unless dry_run activate. A vault that can't be read is
 * ERR_UNAVAILABLE; damage of which nothing can be salvaged is ERR_CORRUPT: both leave the live
 * ledger as it was. From a damaged vault comes all that is intact, and the report names the damage
 * and the gaps that it leaves. Running it twice recovers 0 the second time.
 */
int recover_run(const struct recover_context *context, const struct recover_request *request,
                struct recover_report *ret, struct err *err) MUST_CHECK;

/*
 * Take the last recovery that was not undone (or the given one) out of the current view.
 * ret->recovered_count is how many memories it had brought; taken_away counts those that would be
 * gone, or be what they were before. ERR_NOT_FOUND when there is none. consent as in a request.
 */
int recover_undo(struct ledger *ledger, const struct uuid *id, const char *source,
                 const struct recover_consent *consent, struct recover_report *ret, struct err *err)
    MUST_CHECK;

/*
 * Remove what a recovery that died left in home/staging; one that is alive keeps its things. Called
 * by the engine before it opens the ledger.
 */
int recover_clean(const char *home, struct err *err) MUST_CHECK;

#endif
