/*
 * store_internal - what the files of the store share: its caches, the rows of the projection, and
 * the steps of a change.
 *
 * All of it belongs to the one thread that has the store at the moment.
 */
#ifndef HOLDFAST_LEDGER_STORE_INTERNAL_H
#define HOLDFAST_LEDGER_STORE_INTERNAL_H

#include "ledger/blocks.h"
#include "ledger/conn.h"
#include "ledger/idmap.h"
#include "ledger/key.h"
#include "ledger/origins.h"
#include "ledger/read.h"
#include "ledger/store.h"
#include "ledger/times.h"

/* A held range of changes that are not here yet. */
struct expected {
    int64_t no; /* of its row */
    int64_t first_key;
    int64_t last_key;
    int64_t alert;
};

struct store {
    struct conn conn;
    enum store_mode mode;
    struct env *env;
    char *folder;
    struct origins origins;
    struct blocks blocks;
    struct idmap ids; /* bulk: places of memories while there is no index */
    bool ids_in_map;
    struct expected *expected;
    size_t expected_count;
    size_t expected_capacity;
    bool broken;     /* bulk: a transaction failed, and nothing can undo it */
    struct buf body; /* reused from change to change, as the next two */
    struct buf memory_body;
    struct buf record;
    size_t marked_steps; /* counts at the mark */
    int log_pages;       /* in SQLite's log after the last commit */
    bool log_extended;
    uint64_t commits; /* for tests and metrics */
};

/* ---- a change on its way in ---- */

/* Append the change to the journal: its record, prev and hash are set; the head of its origin
 * moves. */
int journal_append(struct store *store, const struct change *change, int64_t earlier_key,
                   struct err *err) MUST_CHECK;

/* Fill in what a change of ours has: origin, seq, at, prev, record, hash. The body is set. */
int own_change_finish(struct store *store, struct change *change, struct err *err) MUST_CHECK;

/* SQLite's hook: so many pages are in the log after a commit. */
int store_note_log(void *arg, sqlite3 *db, const char *name, int pages);

/* Bulk: make the index of memories now, and use it from here on. */
int store_make_index(struct store *store, struct err *err) MUST_CHECK;

/* ---- memories ---- */

struct memory_row {
    int64_t place;
    int64_t key;
    int64_t last_key;
    uint64_t version;
    struct times times;
    int held;
};
enum {
    HELD_NONE,
    HELD_OUT,
    HELD_OPEN
}; /* memory.held: nothing; some change does not count; an open alert holds one */

/* 1: found; 0: not there. */
int memory_row_find(struct store *store, const struct uuid *id, struct memory_row *ret,
                    struct err *err) MUST_CHECK;
bool memory_row_alive(const struct memory_row *row);
int memory_apply(struct store *store, const struct change *change, const struct times *times,
                 struct err *err) MUST_CHECK;
/* Find the winner among the changes that count, after what counts has changed. */
int memory_recompute(struct store *store, const struct uuid *id, struct err *err) MUST_CHECK;
/* The highest version among all changes from last_key on, held ones too. */
int highest_version(struct store *store, int64_t last_key, uint64_t *ret, struct err *err)
    MUST_CHECK;

/* ---- sessions, projects, tasks, embeddings ---- */

struct thing_row {
    bool found;
    int64_t key;
    int64_t last_key;
    uint64_t version;
};
int thing_find(struct store *store, enum change_kind kind, const char *id, struct thing_row *ret,
               struct err *err) MUST_CHECK;
int thing_apply(struct store *store, const struct change *change, struct err *err) MUST_CHECK;
int thing_recompute(struct store *store, enum change_kind kind, const char *id, struct err *err)
    MUST_CHECK;

/* The change of a key; it borrows from the query, which the caller ends. */
int change_of_key(struct conn *conn, const struct origins *origins, int64_t key,
                  struct query *query, struct change *ret, int64_t *ret_earlier_key,
                  struct err *err) MUST_CHECK;

/* ---- alerts and what they hold ---- */

int held_load(struct store *store, struct err *err) MUST_CHECK;
int guard_apply(struct store *store, const struct change *change, struct err *err) MUST_CHECK;
/* The versions an alert has seen: its next decision's is one more. */
int alert_version(struct store *store, const struct uuid *id, uint64_t *ret, struct err *err)
    MUST_CHECK;
/* A change that came after the decision that holds it: mark it. *ret_held tells. */
int held_on_arrival(struct store *store, int64_t key, bool *ret_held, struct err *err) MUST_CHECK;
int held_is(struct conn *conn, int64_t key, bool *ret_held, bool *ret_open, struct err *err)
    MUST_CHECK;
/* The one project that all of a decision's changes are about, else "". */
int decision_project(struct store *store, const struct decision *decision,
                     char ret[PROJECT_ID_MAX_BYTES + 1], struct err *err) MUST_CHECK;

#endif
