/*
 * store - one write connection on a ledger.db: begin, apply, commit. The thread that writes
 * owns the live one; a recovery owns the one it is staging.
 *
 * Tables (schema.c is the truth): journal (key = origin number << 40 | seq; record; hash;
 * earlier_key = the change before this one of the same thing, so that history is a walk and needs
 * no index), memory (place, id, the effective change's key, the last change's key, version, times),
 * block (place >> 20 -> project and session), session, project, alert, held (keys that count for
 * history only), origin, meta. A memory's *place* is block << 20 | position: memories of one
 * session lie beside each other in the order they were made, so a session, a project and "the two
 * before" are ranges.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_LEDGER_STORE_H
#define HOLDFAST_LEDGER_STORE_H

#include <sys/types.h>

#include "ledger/ledger.h"

struct store;

enum store_mode {
    STORE_LIVE, /* WAL, synchronous=FULL: a commit is durable */
    STORE_BULK, /* no journal, nothing synced until store_seal: for staging, where a crash just
                   discards the folder */
};

/*
 * Open or make folder/ledger.db. A live one gets an origin when it has none; a bulk one is given
 * its own by store_set_origin (a staged copy goes on as the installation that is live now), or gets
 * one when it is opened live. A bulk file counts as unfinished until store_seal; after that it may
 * be opened in bulk once more, and must be sealed again. ERR_CORRUPT for an unfinished one. Nobody
 * in this process may open() ledger.db by other means: closing that descriptor would drop SQLite's
 * locks.
 */
int store_open(const char *folder, enum store_mode mode, struct env *env, struct store **ret,
               struct err *err) MUST_CHECK;
void store_close(struct store *store); /* rolls back what is open */

struct uuid store_origin(const struct store *store); /* nil: none yet */
int store_set_origin(struct store *store, const struct uuid *origin, struct err *err)
    MUST_CHECK; /* in or outside of a transaction */
uint64_t store_head(struct store *store, const struct uuid *origin,
                    struct sha256 *ret_hash); /* 0 and zero hash for an unknown one */

int store_begin(struct store *store, struct err *err) MUST_CHECK;
int store_commit(struct store *store, struct err *err) MUST_CHECK;
void store_rollback(struct store *store); /* heads and caches go back too; a bulk store can't go
                                             back: it only refuses all that follows */

/* A point to return to within the transaction (one level; ended by unmark or by the return). */
int store_mark(struct store *store, struct err *err) MUST_CHECK;
int store_unmark(struct store *store, struct err *err) MUST_CHECK;
int store_return_to_mark(struct store *store, struct err *err) MUST_CHECK;

/* Make a change of this installation from a draft. *ret_effect->kind is valid when *ret_has_effect.
 * Errors as ledger_write's per draft. */
int store_write(struct store *store, const struct draft *draft, struct written *ret,
                struct effect *ret_effect, bool *ret_has_effect, struct err *err) MUST_CHECK;

/*
 * Take in a change as it is, of any origin: seq must be that origin's head + 1 and prev its hash
 * (ERR_CORRUPT otherwise). That its hash is that of prev and record is the caller's to have checked
 * (change_read_line does). A seq at or below the head is skipped when its hash is the one we hold
 * (*ret_new false), else ERR_CORRUPT: a fork.
 */
int store_import(struct store *store, const struct change *change, bool *ret_new, struct err *err)
    MUST_CHECK;

/*
 * A part of a chain that can't stand where it was: its numbers are taken by others (a fork), or the
 * change before it is lost (a gap). It comes in as the chain `to`, from 1, with everything it says
 * but origin, seq, prev and hash; what its decisions name of moved parts is named there.
 */
struct store_move {
    struct uuid from;
    uint64_t after; /* the part begins behind this */
    uint64_t until; /* inclusive */
    struct uuid to;
};

/* The chain that a part is moved to: the same for the same part, whoever moves it. */
struct uuid store_move_target(const struct uuid *from, const struct sha256 *first);

/* As store_import, for a change of one of these parts; what the target has already is skipped. */
int store_import_moved(struct store *store, const struct change *change,
                       const struct store_move *moves, size_t count, bool *ret_new, struct err *err)
    MUST_CHECK;

/* Within a transaction. */
int store_set_position(struct store *store, const struct source_position *position, struct err *err)
    MUST_CHECK;

uint64_t store_live(struct store *store, const char *project_id); /* memories alive */
void store_counts(const struct store *store, uint64_t *ret_live,
                  uint64_t *ret_deleted);          /* memories in all */
uint64_t store_commits(const struct store *store); /* transactions since it was opened */
uint64_t store_rows_written(
    const struct store *store); /* since it was opened, also those rolled back */

/*
 * Live only: bring SQLite's log into the file, as far as readers let it; whole: empty it as well.
 * What readers hold up is no error, and not waited for.
 */
int store_checkpoint(struct store *store, bool whole, struct err *err) MUST_CHECK;
int store_log_pages(const struct store *store); /* of 4 KiB, that the last commit left in the log */

/* Live only: fill the log with zeros in advance, so that commits overwrite instead of append, which
 * halves what they wait for. A full disk is an error without consequence. */
#define STORE_LOG_BYTES                                                                            \
    ((off_t)4744 * 1024) /* a log of 1,024 pages and the batch that makes it longer */
int store_extend_log(struct store *store, struct err *err) MUST_CHECK;
bool store_log_extended(const struct store *store);

/* Bulk only: make all of it durable (indexes, integrity check, fsync of file and folder) before the
 * exchange. */
int store_seal(struct store *store, struct err *err) MUST_CHECK;

#endif
