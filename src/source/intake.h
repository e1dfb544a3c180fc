/*
 * intake - from a source's rows to the ledger: rows become drafts, drafts a batch, and the batch is
 * committed together with the position.
 *
 * A transaction of the source may be longer than a batch; its position is set with its last one
 * only. So after a crash the whole of it comes again, which changes nothing: what is there already
 * is not journaled twice.
 *
 * A row that can't be a memory (a limit, not UTF-8) is counted and told, and does not hold the
 * others back.
 *
 * Thread: one.
 */
#ifndef HOLDFAST_SOURCE_INTAKE_H
#define HOLDFAST_SOURCE_INTAKE_H

#include "ledger/read.h"
#include "model/range.h"
#include "source/row.h"

#define INTAKE_BATCH 1000                            /* drafts in one commit */
#define INTAKE_BATCH_BYTES ((size_t)4 * 1024 * 1024) /* of rows, roughly */

struct intake_counts {
    uint64_t refused;       /* rows that can't be memories */
    char last_refused[256]; /* why, of the last one */
};

/* Whether a table's rows keep their UUIDs (source/ids.h), once it was asked. */
struct intake_table {
    char *name; /* heap */
    bool keeps_ids;
};

/*
 * A row that is a memory now, before it is journaled: is it nothing but what was written there for
 * the ledger (*ret_is_echo)? Else the memory may be given what no row has. All that was put of it
 * before is in the ledger.
 */
typedef int intake_hear_fn(void *arg, const struct row *row, struct memory *heard,
                           bool *ret_is_echo, struct err *err);

struct intake {
    struct ledger *ledger;
    const char *source;               /* borrowed, as all names */
    char actor[SOURCE_MAX_BYTES + 1]; /* of what comes next */
    char *how;                        /* heap: so does it (struct draft); NULL: not known */
    bool is_how_used;                 /* by a draft that waits */
    char **hows;                      /* heap: those before it that are */
    size_t how_count;
    struct memory *memories;
    struct draft *drafts;
    struct written *written;
    char (*actors)[SOURCE_MAX_BYTES + 1]; /* of each draft */
    bool *suspects;                       /* each draft: made while suspect was set */
    bool suspect;
    struct ranges unheld; /* suspect changes that the guard let stand */
    size_t count;
    size_t bytes;
    struct intake_table *tables; /* heap */
    size_t table_count;
    bool has_held;        /* some of what was written was held; its user's to take back */
    bool versioned;       /* of what comes next (struct draft) */
    intake_hear_fn *hear; /* NULL: nothing is written there; set after intake_init, with its arg */
    void *hear_arg;
    struct intake_counts counts;
};

void intake_init(struct intake *intake, struct ledger *ledger, const char *source);
void intake_done(struct intake *intake);

/* Who does what comes next: "name" of the source, and what is known, e.g. "app: agent (psql)".
 * NULL: nothing is. how: "from 10.0.0.7, pid 4711: DELETE FROM notes", for the alert; may be NULL.
 */
void intake_actor(struct intake *intake, const char *who, const char *how);

/* The id of the memory that a table's row is. */
int intake_id(struct intake *intake, const char *table, struct str key, struct uuid *ret,
              struct err *err) MUST_CHECK;

int intake_put(struct intake *intake, const struct row *row, struct err *err) MUST_CHECK;
/* One that is a memory already; taken over, on failure too. */
int intake_put_take(struct intake *intake, struct memory *memory, struct err *err) MUST_CHECK;
int intake_define(struct intake *intake, const char *table, const char *project, struct str sql,
                  struct err *err) MUST_CHECK;
int intake_delete(struct intake *intake, const char *table, struct str key, struct err *err)
    MUST_CHECK;

int intake_delete_id(struct intake *intake, const struct uuid *id, struct err *err) MUST_CHECK;

/* What comes next is no honest work (or is again): intake_hold holds it, if the guard does not. */
void intake_suspect(struct intake *intake, bool suspect);
/* Write what waits, and hold by an alert of its own the suspect changes that the guard let stand,
 * if there are any. Nothing is suspect afterwards. */
int intake_hold(struct intake *intake, const char *rule, const char *summary, struct err *err)
    MUST_CHECK;

/*
 * All rows of a table (NULL: of the source) are gone at once (TRUNCATE, DROP). What the guard does
 * not hold by itself is held here, by an alert of its own with this summary: a table that vanishes
 * is never just work.
 */
int intake_gone(struct intake *intake, const char *table, const char *rule, const char *summary,
                struct err *err) MUST_CHECK;

/* The same of memories by their ids; the summary is said as it is. */
int intake_gone_ids(struct intake *intake, const struct uuid *ids, size_t count, const char *rule,
                    const char *summary, struct err *err) MUST_CHECK;

/* Write what waits; with a position (may be NULL) in the last transaction. */
int intake_flush(struct intake *intake, const char *position, struct err *err) MUST_CHECK;

/* An alert that names no changes. */
int intake_alert(struct intake *intake, const char *rule, const char *summary, struct err *err)
    MUST_CHECK;

#endif
