/*
 * postgres_follow - what the files share that write into the database what the ledger says
 * (docs/postgres.md, section 11): the marks of a row's synchronization, and memories that came by a
 * door.
 *
 * Thread: the follower's own, with its own struct postgres and connection. It shares nothing with
 * the capture but the ledger, in which both keep how far they are.
 */
#ifndef HOLDFAST_SOURCE_POSTGRES_FOLLOW_H
#define HOLDFAST_SOURCE_POSTGRES_FOLLOW_H

#include "source/lineage.h"
#include "source/postgres_internal.h"

#define FOLLOW_BATCH 200 /* memories in one transaction */
#define FOLLOW_BATCH_BYTES ((size_t)4 * 1024 * 1024)
#define FOLLOW_LOCK "SET LOCAL lock_timeout = '2s'" /* we wait no longer for others' rows */

/* ---- postgres_target.c: a table that is written into ---- */

enum field {
    FIELD_ID,
    FIELD_CONTENT,
    FIELD_TYPE,
    FIELD_IMPORTANCE,
    FIELD_SESSION,
    FIELD_PROJECT,
    FIELD_TAGS,
    FIELD_VERSION,
    FIELD_CREATED,
    FIELD_UPDATED,
    FIELD_SYNC_STATUS, /* from here on: marks */
    FIELD_SYNCED_AT,
    FIELD_REMOTE_ID,
    FIELDS
};
#define FIELDS_OF_MEMORY FIELD_SYNC_STATUS

/* How a field is called in JSON. */
extern const char *const field_names[FIELDS];

struct pg_target_column {
    char *name;  /* quoted; heap; NULL: the table has no such column that can be set */
    char *value; /* the value of this field of the JSON object `e`, in the column's type; heap */
};

struct pg_target {
    struct pg_table *table; /* NULL: there is none */
    struct pg_target_column columns[FIELDS];
    bool has_marks; /* at least one of them */
    bool may_mark;
    bool has_vault;   /* there is a remote one, for which to mark */
    bool may_write;   /* INSERT, UPDATE, DELETE */
    bool is_mirror;   /* its ids are its memories', and memories of doors are written into it */
    bool is_given_up; /* the marks: the database takes none */
    char *refusal;    /* why nothing can be mirrored into it; heap, NULL: it can */
};

/* Look the table up; all of *ret is made anew. */
int pg_target_find(struct postgres *pg, struct pg_table *table, struct pg_target *ret,
                   struct err *err) MUST_CHECK;
void pg_target_done(struct pg_target *target);
bool pg_target_is_marked(const struct pg_target *target);

/* ---- postgres_follow.c ---- */

/* One that must wait out the guard. */
struct follow_waiting {
    struct uuid id;
    struct uuid origin;
    uint64_t seq;     /* of what was looked at when it was found; the position stays before it */
    int64_t since_us; /* when a door said it */
    int64_t due_us;
};

/* How far a chain was looked through. */
struct follow_cursor {
    struct uuid origin;
    uint64_t seq;
};

struct follow_ids {
    struct uuid *items; /* heap */
    size_t count;
    size_t capacity;
};

struct follow {
    struct postgres *pg;
    struct env *env;
    struct pg_target targets[SOURCE_TABLES_MAX]; /* of pg's tables */
    size_t target_count;
    char *unmarkable[SOURCE_TABLES_MAX]; /* why their marks are given up (heap); NULL: they are not
                                          */
    struct source_mirror status;
    bool may_be_replica; /* sessions may set session_replication_role */
    /* marks */
    struct follow_cursor marked;   /* of this installation */
    struct follow_cursor unmarked; /* up to here rows were set back to pending */
    bool has_unacknowledged;
    int64_t tried_ms; /* the last commit that is not acknowledged was seen first then */
    int64_t marks_kept_ms;
    /* mirror */
    char *generation; /* heap; after each comparison another one */
    struct follow_cursor *cursors;
    size_t cursor_count;
    struct follow_waiting *waiting;
    size_t waiting_count;
    uint64_t unseen; /* changes that were not looked through */
    int64_t kept_ms;
    bool is_dirty; /* what is kept is behind */
};

/* The memories that changes (at most `limit`, up to `until`) and decisions in them are about, each
 * once. *ret_last: the last change looked at. */
int follow_changes(struct follow *f, struct reader *reader, const struct uuid *origin,
                   uint64_t after, uint64_t until, struct follow_ids *ids, uint64_t *ret_last,
                   struct err *err) MUST_CHECK;
void follow_ids_add(struct follow_ids *ids, const struct uuid *id);
void follow_ids_done(struct follow_ids *ids);
struct lineage_of follow_lineage_of(const struct follow *f, const struct pg_target *target);

/* A transaction that may write into the table. *ret_open false: it is fenced, nothing was begun. */
int follow_begin(struct follow *f, const struct pg_target *target, const char *more, bool *ret_open,
                 struct err *err) MUST_CHECK;
int follow_commit(struct follow *f, struct err *err) MUST_CHECK;
/* Give up what was begun; the error stays the one to tell. */
void follow_rollback(struct follow *f);
/* What can't be written, for status; told once. */
void follow_trouble(struct follow *f, const char *what);

/* What is kept beside the source's position, "SOURCE/what"; heap, NULL: nothing. */
int follow_recall(const struct source_options *options, struct reader *reader, const char *what,
                  char **ret, struct err *err) MUST_CHECK;
int follow_remember(const struct source_options *options, const char *what, const char *text,
                    struct err *err) MUST_CHECK;
#define FOLLOW_MARKED "marked"
#define FOLLOW_MIRROR "mirror"
#define FOLLOW_COMPARED "compared"

/* ---- postgres_marks.c ---- */

/* How far a remote vault has everything; false: there is no such vault. */
bool follow_safe(const struct follow *f, uint64_t *ret_seq);
/* Mark what was acknowledged since. *ret_more: there is more to do at once. */
int follow_marks(struct follow *f, bool *ret_more, struct err *err) MUST_CHECK;

/* ---- postgres_mirror_rows.c ---- */

enum mirror_action { MIRROR_NOTHING, MIRROR_INSERT, MIRROR_UPDATE, MIRROR_DELETE };

struct mirror_item {
    struct uuid id;
    enum mirror_action action; /* MIRROR_INSERT: or update what is there */
    int64_t since_us;          /* when a door said it */
    json_t *row;
};

struct mirror_batch {
    struct mirror_item *items; /* heap; FOLLOW_BATCH of them */
    size_t count;
    size_t bytes;
};
void mirror_batch_done(struct mirror_batch *batch);

/* A memory as a row: the fields that are not what the table told last. */
json_t *mirror_row(const struct follow *f, const struct pg_target *target, const struct lineage *l);
/* Write a batch in one transaction; where that can't be, each by itself. What can't be a row is
 * counted; what can't be written just now waits, and the position with it (before `from`). */
int mirror_write(struct follow *f, const struct pg_target *target, struct mirror_batch *batch,
                 const struct follow_cursor *from, struct err *err) MUST_CHECK;

/* ---- postgres_mirror.c ---- */

void mirror_wait(struct follow *f, const struct follow_waiting *waiting);

/* Write what doors changed since. *ret_due_us: when something that waits is due; INT64_MAX. */
int follow_mirror(struct follow *f, bool *ret_more, int64_t *ret_due_us, struct err *err)
    MUST_CHECK;
int follow_mirror_keep(struct follow *f, struct err *err) MUST_CHECK;
void follow_mirror_done(struct follow *f);
/* How far an origin was mirrored, durably; 0: not at all. */
int follow_mirrored(const struct source_options *options, struct reader *reader,
                    const struct uuid *origin, uint64_t *ret, struct err *err) MUST_CHECK;

#endif
