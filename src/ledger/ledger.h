/*
 * ledger - the one durable truth on this machine: journal and projection in one SQLite file, with
 * one writer at a time.
 *
 * Any thread may ask for a write. The first that finds nobody writing takes all requests that wait
 * and commits them as one transaction (group commit), so that one fsync serves many and a lone
 * caller pays for no change of thread. A request is answered when it is on disk. Reads go through
 * readers (ledger/read.h), each with its own connection.
 *
 * The home is locked while a ledger is open on it: a second engine is refused and told who holds
 * it. A failed fsync or a damaged file stops the ledger for good (ERR_IO, ERR_CORRUPT): it is never
 * retried on the same descriptor; the engine ends the process and the next start recovers from
 * SQLite's own log. docs/ledger.md says how it is made.
 *
 * Thread: everything here may be called from any thread but ledger_close. The judge is called on
 * the thread that writes just then, never on two at once; neither it nor a pause may write
 * (ERR_INTERNAL).
 */
#ifndef HOLDFAST_LEDGER_LEDGER_H
#define HOLDFAST_LEDGER_LEDGER_H

#include "base/env.h"
#include "base/wake.h"
#include "model/change.h"
#include "model/memory.h"
#include "model/range.h"
#include "model/session.h"
#include "model/sketch.h"

struct ledger;

#define LEDGER_BATCH_MAX                                                                           \
    4096 /* drafts in one transaction: bounds its memory and the wait of the first in it */
#define LEDGER_QUEUE_MAX 65536 /* drafts waiting; beyond it a writer waits at the door */
#define LEDGER_REQUEST_MAX                                                                         \
    100000 /* drafts of one ledger_write; an atomic request is one transaction however long */

/* What one accepted change did to a memory that was there before: what the guard judges. Additive
 * changes have none. */
enum effect_kind { EFFECT_DELETE, EFFECT_UPDATE };

struct effect {
    enum effect_kind kind;
    struct uuid origin;
    uint64_t seq;
    struct uuid memory;
    const char *project_id; /* of the memory before; borrowed for the call, as all text here */
    const char *moved_to;   /* the project that it is of now; NULL: the same */
    const char *source;     /* who: the change's source */
    const char *how;        /* of the draft */
    struct uuid session_id; /* of the change */
    bool content_changed;
    bool blanked; /* what is left is nothing but white space, or less than a tenth of what was there
                     (of 20 bytes or more) */
    size_t old_bytes; /* of content; 0 when the memory was deleted: nothing is lost, but what is
                         above a deletion is held with it */
    size_t new_bytes; /* 0 for a deletion */
    struct sketch old_text; /* of a content that changed (sketch_change) */
    struct sketch new_text;
    uint64_t old_version; /* the highest this memory had, held ones too */
    uint64_t new_version;
    int64_t at_us; /* wall time of the change */
};

/*
 * The guard's seat at the writer. judge is called inside the transaction, once for each request
 * that had effects, and may ask for decisions, which the writer journals in the same transaction:
 * what is held never shows as current, not even for an instant. It blocks nothing but the request
 * itself. live tells how many memories of a project (NULL: of all) are alive now (this request's
 * deletions already counted off).
 */
struct judge_view {
    uint64_t (*live)(const struct judge_view *view, const char *project_id);
    void *ctx;
};

struct ledger_judge {
    void *arg;
    /* Append to ret_decisions (array of capacity JUDGE_DECISIONS_MAX) and count them; the ledger
     * frees them. Each one's ranges are sorted by origin and seq. 0 or error: then the request
     * fails. */
    int (*judge)(void *arg, const struct effect *effects, size_t count,
                 const struct judge_view *view, struct decision *ret_decisions, size_t *ret_count,
                 struct err *err);
    /* The transaction that held the last verdicts committed, or was rolled back: keep or forget
     * what judge recorded since the last of these calls. */
    void (*settled)(void *arg, bool committed);
};
#define JUDGE_DECISIONS_MAX 16

struct ledger_options {
    const char *home; /* folder; made (0700) with its parents when missing */
    struct env *env;
    const struct ledger_judge *judge; /* may be NULL; borrowed, must outlive the ledger */
    const char *who; /* what the lock tells a second engine, e.g. "holdfast serve (pid 4711)" */
};

/*
 * Lock the home, make or migrate live/ledger.db, make an origin if there is none, start the writer.
 * ERR_BUSY names the holder; ERR_NEWER, ERR_CORRUPT, ERR_IO, ERR_FULL.
 */
int ledger_open(const struct ledger_options *options, struct ledger **ret, struct err *err)
    MUST_CHECK;
void ledger_close(struct ledger *ledger); /* finishes what waits, checkpoints, unlocks */

/* A wish for one change; the writer makes it a change: origin, seq, version, hash. All pointers
 * borrowed for the call. */
struct draft {
    enum change_kind kind;
    enum change_op op; /* memory: put | delete; session, project: put; guard: hold | release */
    const struct memory
        *memory;    /* memory put: the whole new state. id nil: new; version 0: the next one; times
                       TIME_NONE: now (created_at of an existing memory is kept) */
    bool over_held; /* memory put: what shows is said again although a later change is held; so it
                       is journaled, and stays when that change is accepted */
    bool versioned; /* memory put, delete: what it takes away is in the history of its owner's
                       version control, which says the same as the draft: the guard is not asked */
    struct uuid id; /* memory delete */
    const struct session *session;   /* session put */
    const struct project *project;   /* project put */
    const struct decision *decision; /* guard */
    const char *source;              /* who asks, 1..SOURCE_MAX_BYTES */
    const char *how; /* where they came from and what they said, for a person who reads an alert;
                        NULL: not known. It is journaled with an alert only */
};

struct written {
    enum err_code code; /* ERR_NONE: durable */
    char *message;      /* heap, when code is set */
    struct uuid id;
    struct uuid origin;
    uint64_t seq; /* of the change that says this now; of an earlier one when unchanged */
    uint64_t version;
    bool unchanged; /* the same was already there: nothing was journaled */
    bool held;      /* the guard holds it */
    bool is_whole; /* with code: nothing of the request was written; it is not this draft's fault */
};

/*
 * Write drafts in their order; return when they are durable. Each draft succeeds or fails by itself
 * (ret_written[i]), unless atomic is set: then the first failure undoes all, and all others get its
 * code with a message naming its index. Rules for a memory put: an explicit version must be higher
 * than the current one unless everything is the same (ERR_CONFLICT names both versions); a project
 * or session not seen before is journaled too, before it. A put of what is there already is
 * `unchanged`. Deleting what is deleted is `unchanged`; what never was is ERR_NOT_FOUND. Returns
 * non-zero only if nothing at all was written for a reason of the ledger's (ERR_FULL, ERR_IO,
 * ERR_VANISHED, ERR_CANCELLED at shutdown).
 */
int ledger_write(struct ledger *ledger, const struct draft *drafts, size_t count, bool atomic,
                 struct written *ret_written, struct err *err) MUST_CHECK;
void written_done(struct written *written, size_t count); /* frees the messages */

/* How far a source has been captured: what a driver needs to go on from there. */
#define SOURCE_POSITION_MAX 4096 /* bytes: names, and an address or the transactions under way */
struct source_position {
    const char *source; /* its name in the configuration */
    const char *text;   /* the driver's own, 1..SOURCE_POSITION_MAX bytes */
};

/*
 * As ledger_write, not atomic, for changes that a source gave: its position is set in the
 * transaction of the last draft, so that a crash can't come between the two. A draft that fails by
 * itself (its code says so) does not keep the position back: it is the caller's to tell of it. When
 * the guard refuses the last drafts as a whole (is_whole), the position stays where it was. Without
 * drafts the position alone is set; then a ledger that stopped is told by what is returned, as no
 * code can. ERR_LIMIT also for a position that is too long. It belongs to this ledger alone: a
 * recovery does not bring it back, and the source is then compared as a whole.
 */
int ledger_write_source(struct ledger *ledger, const struct draft *drafts, size_t count,
                        const struct source_position *position, struct written *ret_written,
                        struct err *err) MUST_CHECK;

/*
 * Go on as a new installation: what is journaled from now on begins a chain of its own. For a
 * ledger that went back in time, when a vault has given the numbers behind `after` to what was
 * forgotten here. What was journaled as `from` behind `after` since then is journaled once more in
 * the new chain, as it was but for its number, so that the vault can take it. Nothing is done when
 * this installation is not `from` any more; *ret_renewed tells.
 */
int ledger_renew_origin(struct ledger *ledger, const struct uuid *from, uint64_t after,
                        bool *ret_renewed, struct err *err) MUST_CHECK;

/* This installation. */
struct uuid ledger_origin(struct ledger *ledger);
const char *ledger_home(const struct ledger *ledger);
struct env *ledger_env(const struct ledger *ledger);

/* Signalled after each commit that journaled something; the wake must live until unsubscribed. */
void ledger_subscribe(struct ledger *ledger, struct wake *wake);
void ledger_unsubscribe(struct ledger *ledger, struct wake *wake);

/* What stopped the ledger, copied into err: 0 while it runs, else -ERR_IO, -ERR_CORRUPT or
 * -ERR_VANISHED. */
int ledger_health(struct ledger *ledger, struct err *err) MUST_CHECK;

/* live/ledger.db is still the file that is open (its inode, its folder): ERR_VANISHED says what
 * happened to it. */
int ledger_check_store(struct ledger *ledger, struct err *err) MUST_CHECK;

/*
 * Run fn on this thread between two transactions, with no write under way: for what must see
 * the ledger stand still (the activation of a recovery). fn gets the folder that is live now, and
 * may have replaced it when it returns 0 with *ret_exchanged set: the ledger then opens it anew,
 * readers follow at their next use.
 */
typedef int ledger_pause_fn(void *arg, const char *live_folder, bool *ret_exchanged,
                            struct err *err);
int ledger_with_writer_paused(struct ledger *ledger, ledger_pause_fn *fn, void *arg,
                              struct err *err) MUST_CHECK;

#endif
