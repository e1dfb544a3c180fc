/*
 * sqlite_internal - what the files of the SQLite driver share.
 *
 * The file is somebody else's. It is opened to read only and for a short while; nothing here
 * checkpoints it, and no lock of ours outlasts a slice of reading (docs/sqlite.md). Only restore
 * writes, as any other program would: in one transaction, or beside and exchanged.
 *
 * SQLite's codes become ours in sqlite_link.c and nowhere else. Its names begin with SQLITE_ and
 * sqlite3_, ours with LITE_ and sqlite_.
 *
 * Never open and close the file by open(2) in this process: closing it would drop the POSIX locks
 * that SQLite holds on it for other threads of ours. stat(2) is harmless.
 */
#ifndef HOLDFAST_SOURCE_SQLITE_INTERNAL_H
#define HOLDFAST_SOURCE_SQLITE_INTERNAL_H

#include <sqlite3.h>
#include <sys/types.h>

#include "source/compare.h"
#include "source/row_origin.h"
#include "source/source.h"

#define LITE_LOOK_BUSY_MS 200      /* a lock of the application is waited for, then looked again */
#define LITE_RESTORE_BUSY_MS 10000 /* the same for a restore, before it gives up */
#define LITE_SLICE_MS 20           /* a rollback-journal file is locked no longer by one read */
#define LITE_KEY_MAX 16            /* columns of one key */
#define LITE_SQL_MAX ((size_t)4 * 1024 * 1024)

/* ---- sqlite_link.c: connections, statements, errors ---- */

/* A connection that ends what it does when cancel (may be NULL) is cancelled. ERR_NOT_FOUND: there
 * is no file. */
int sqlite_connect(const char *path, int flags, int busy_ms, struct wake *cancel, sqlite3 **ret,
                   struct err *err) MUST_CHECK;
void sqlite_disconnect(sqlite3 **db); /* closes, and leaves the log as it is */

/* SQLite's result as ours: ERR_CORRUPT (also what is no database), ERR_BUSY, ERR_NOT_FOUND (no
 * file), ERR_FORBIDDEN, ERR_CONFLICT (a constraint), ERR_FULL, ERR_IO, ERR_LIMIT, ERR_CANCELLED,
 * else ERR_INVALID. */
int sqlite_error(sqlite3 *db, int rc, struct err *err);

int sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct err *err) MUST_CHECK;
/* 1: a row; 0: no more; < 0: an error. */
int sqlite_step(sqlite3 *db, sqlite3_stmt *statement, struct err *err) MUST_CHECK;
void sqlite_stmt_done(sqlite3_stmt **statement); /* for AUTO */
int sqlite_run(sqlite3 *db, const char *sql, struct err *err) MUST_CHECK;
/* The first column of the first row; 0 where there is no row. */
int sqlite_ask(sqlite3 *db, const char *sql, int64_t *ret, struct err *err) MUST_CHECK;
char *sqlite_ask_text(sqlite3 *db, const char *sql); /* heap; NULL: none, NULL or an error */

char *sqlite_name(const char *name); /* in quotes; heap */

/* ---- sqlite_value.c: values as texts with a class, and back ---- */

/*
 * A column of the present row. What can't stand in JSON as it is goes through scratch, which must
 * outlive the value; nothing in it moves once it has `reserve`d for the whole row.
 */
int sqlite_value_read(sqlite3_stmt *statement, int column, const char *name, struct buf *scratch,
                      struct row_value *ret, struct err *err) MUST_CHECK;
size_t sqlite_value_room(sqlite3_stmt *statement, int column); /* of scratch, at most */
int sqlite_value_bind(sqlite3_stmt *statement, int index, const struct row_value *value,
                      struct err *err) MUST_CHECK;
/* Everything of a column that tells it apart, appended for a fingerprint. */
int sqlite_value_print(sqlite3_stmt *statement, int column, struct buf *buf, struct err *err)
    MUST_CHECK;

/* ---- sqlite_schema.c: what the file is made of ---- */

/* How a table is, as it is captured. */
struct sqlite_shape {
    char *name;                    /* as it is configured, else as the file says */
    char *quoted;                  /* the same in quotes */
    struct source_mapping mapping; /* with the columns' names as the file says; owned */
    char **columns;                /* that are captured: no generated ones, none ignored */
    size_t column_count;
    size_t keys[LITE_KEY_MAX]; /* in columns */
    size_t key_count;          /* 0: the rowid is the key */
    bool key_is_plain;         /* one column, whose text is the key */
    const char *rowid;         /* the name it can be asked by; NULL: WITHOUT ROWID */
    char *definition;          /* SQL; the part behind LITE_BEHIND comes after the rows */
};
#define LITE_BEHIND "-- behind the rows\n"
void sqlite_shape_done(struct sqlite_shape *shape);

/* How a table can be captured. *ret_why_not says why it can't (heap; else NULL): it is no table, or
 * has no key. ERR_NOT_FOUND: there is nothing of that name. */
int sqlite_shape_read(sqlite3 *db, const char *name, const struct source_mapping *mapping,
                      struct sqlite_shape *ret, char **ret_why_not, struct err *err) MUST_CHECK;

/* Every table, virtual table and view of the file, but what belongs to another (shadows,
 * sqlite_...). */
typedef int sqlite_table_fn(void *arg, const char *name, struct err *err);
int sqlite_each_table(sqlite3 *db, sqlite_table_fn *each, void *arg, struct err *err) MUST_CHECK;

/* Changes with anything in the schema, also with what writable_schema does to it. */
int sqlite_schema_digest(sqlite3 *db, struct sha256 *ret, struct err *err) MUST_CHECK;

/* What is not of one captured table: settings, other tables, virtual tables, views. Kept as the
 * definition of a table by this name, which no table may have. */
#define LITE_REST "sqlite_schema"
int sqlite_rest_read(sqlite3 *db, const char *path, const struct sqlite_shape *const *captured,
                     size_t count, char **ret, struct err *err) MUST_CHECK;

/* What the configuration says of a table; NULL: nothing. */
const struct source_mapping *sqlite_mapping_of(const struct source_options *options,
                                               const char *table);

/* ---- sqlite_triggers.c: what its owner lets us make in the file ---- */

/*
 * One table, a ring of the last changes of rows, into which three triggers of each captured table
 * write: its number, a tag of the table's shape, what was done, and the row's values in the order
 * of the shape's columns, behind them the rowid if there is one.
 */
#define LITE_OUTBOX "holdfast_outbox"
#define LITE_OUTBOX_RING 4096                     /* entries: some MiB of somebody else's file */
#define LITE_OUTBOX_NUMBER_MAX ((int64_t)1 << 53) /* of an entry: no honest one comes so far */
#define LITE_OUTBOX_COLUMNS_MAX 100 /* values of one row; a wider table has no triggers */
/* Of a row that is larger (characters and bytes) than any memory only the key is noted. */
#define LITE_OUTBOX_ROW_MAX (MEMORY_CONTENT_MAX + MEMORY_METADATA_MAX_BYTES)
#define LITE_OP_PUT "put"       /* what the row is now */
#define LITE_OP_KEY "key"       /* it changed, and is too large */
#define LITE_OP_DELETE "delete" /* the key that it had */
#define LITE_TRIGGERS 3         /* of a table: insert, update, delete */
/* Of a row of sqlite_schema (prefix: "" or "s."): is it of ours? */
#define LITE_OURS(prefix)                                                                          \
    "((" prefix "type = 'table' AND " prefix "name = '" LITE_OUTBOX "' AND " prefix                \
    "sql LIKE 'CREATE TABLE " LITE_OUTBOX " (n INTEGER PRIMARY KEY, shape, op, v0%') OR (" prefix  \
    "type = 'trigger' AND " prefix "name LIKE 'holdfast\\_%' ESCAPE '\\' AND " prefix              \
    "sql LIKE '%" LITE_OUTBOX "%'))"

/* The beginning of a digest; ret: LITE_TAG_LEN + 1. */
#define LITE_TAG_LEN 16
void sqlite_tag(const void *data, size_t len, char *ret);
void sqlite_shape_tag(const struct sqlite_shape *shape, char *ret);
/* Has it few enough columns? */
bool sqlite_shape_fits(const struct sqlite_shape *shape);
/* One of its triggers, as it stands in the schema. */
int sqlite_trigger_sql(const struct sqlite_shape *shape, size_t which, struct buf *ret,
                       struct err *err) MUST_CHECK;
/* The statement that made what has this name; NULL: there is none. Heap. */
int sqlite_sql_of(sqlite3 *db, const char *type, const char *name, char **ret, struct err *err)
    MUST_CHECK;
/* How many values an entry has room for; 0: the table is not there, or is not ours. */
int sqlite_outbox_columns(sqlite3 *db, size_t *ret, struct err *err) MUST_CHECK;
/* Are the table's triggers exactly what they would be made to be now? */
int sqlite_triggers_fit(sqlite3 *db, const struct sqlite_shape *shape, size_t columns, bool *ret,
                        struct err *err) MUST_CHECK;
/* The statements that make all of it, "" where all is there. ERR_CONFLICT: somebody else's table
 * has that name. ERR_NOT_FOUND: there is no table for them. ERR_CORRUPT: the outbox is damaged. */
int sqlite_triggers_add(const struct source_options *options, sqlite3 *db, struct buf *ret,
                        struct err *err) MUST_CHECK;
/* Those that take all of it out. A damaged outbox can't be: a comment says that it is left. */
int sqlite_triggers_remove(sqlite3 *db, struct buf *ret, struct err *err) MUST_CHECK;

/* ---- sqlite_row.c: one row ---- */

/* "a", "b", and behind them the rowid, if there is one; heap. */
char *sqlite_column_list(const struct sqlite_shape *shape);

/* The present row of a statement with these columns. Values and texts are valid until the next. */
struct sqlite_reading {
    struct row_value *values; /* heap, of the shape's columns */
    struct buf scratch;
    struct buf key;
};
void sqlite_reading_init(struct sqlite_reading *reading, const struct sqlite_shape *shape);
void sqlite_reading_done(struct sqlite_reading *reading);
int sqlite_row_read(struct sqlite_reading *reading, const struct source_options *options,
                    const struct sqlite_shape *shape, sqlite3_stmt *statement, struct row *ret,
                    struct err *err) MUST_CHECK;

/* The row that a memory is of: a condition on the key, the statement that asks for it, and its
 * values, from this index on. */
int sqlite_where_key(const struct sqlite_shape *shape, struct buf *sql, struct err *err) MUST_CHECK;
int sqlite_find_prepare(sqlite3 *db, const struct sqlite_shape *shape, sqlite3_stmt **ret,
                        struct err *err) MUST_CHECK;
int sqlite_bind_key(const struct sqlite_shape *shape, sqlite3_stmt *statement, int index,
                    const struct memory *memory, const struct row_origin *origin, struct err *err)
    MUST_CHECK;

/* ---- sqlite_scan.c: all rows ---- */

/* A row that was taken in: 33 bytes a row, as long as the file is captured. */
struct sqlite_mark {
    struct uuid id;
    uint8_t print[16]; /* of the row with its key */
    bool is_seen;
};

/* What an entry of the outbox told the ledger of a row, since the last walk. */
struct sqlite_told {
    struct uuid id;
    uint8_t print[16];
    bool is_gone;
    size_t order;
};

struct sqlite_table {
    char *name;
    const struct source_mapping *configured; /* NULL: captured since it has a key */
    struct sqlite_shape shape;
    bool is_there;
    char *why_not;             /* it is there, but can't be captured: why; heap */
    bool is_known;             /* it was captured, or the ledger has rows of it */
    bool is_gone;              /* its end is captured */
    bool is_damaged;           /* could not be read to its end */
    bool is_compared;          /* marks are what the ledger heard */
    struct sqlite_mark *marks; /* heap; sorted by print up to sorted */
    size_t count;
    size_t sorted;
    size_t capacity;
    int64_t last_rowid;
    int64_t due_ms;              /* not walked before */
    bool is_due;                 /* something may have changed since the last walk */
    bool has_triggers;           /* that fit */
    char tag[LITE_TAG_LEN + 1];  /* of the shape; of its entries in the outbox */
    char made[LITE_TAG_LEN + 1]; /* of the statement that made it */
    char *had;                   /* the same when it had triggers last, as the ledger knows; heap */
    struct sqlite_told *told;    /* heap; the next walk makes marks of it */
    size_t told_count;
    size_t told_capacity;
};

struct sqlite;

/* What of a look is no honest work, since the file was not written by its application. */
enum sqlite_suspect { LITE_NOTHING, LITE_DELETIONS, LITE_EVERYTHING };

/* Take in what changed in a table: rows behind the last one at once, all others when a walk is
 * due. */
int sqlite_scan(struct sqlite *sq, struct sqlite_table *table, enum sqlite_suspect suspect,
                struct err *err) MUST_CHECK;
void sqlite_marks_clear(struct sqlite_table *table);
/* The ledger heard so of a row; print NULL: that it is gone. */
void sqlite_tell(struct sqlite_table *table, const struct uuid *id, const uint8_t *print);
/* A mark's fingerprint of the present row, whose columns are the shape's (behind them the rowid),
 * and of their names. */
int sqlite_row_print(const struct sqlite_shape *shape, const struct sha256 *names,
                     sqlite3_stmt *statement, struct buf *scratch, uint8_t *ret, struct err *err)
    MUST_CHECK;
struct sha256 sqlite_names_of(const struct sqlite_shape *shape);

/* ---- sqlite_column.c ---- */

/* An alert for each column that went, if something that was in it is not in its row any more: else
 * it was renamed, or copied first. The table has its new shape in the file, not yet in *table. */
int sqlite_note_columns(struct sqlite *sq, const struct sqlite_shape *before,
                        const struct sqlite_shape *now, struct err *err) MUST_CHECK;

/* ---- sqlite_watch.c: waiting for a change ---- */

struct sqlite_watch {
    int fd; /* inotify; -1: none */
    char *path;
    char *real;      /* what the path leads to */
    bool saw_file;   /* something happened to the file itself since somebody looked */
    bool saw_log;    /* its log or journal was written since then */
    bool saw_end;    /* one of the set was removed: others may follow */
    bool is_distant; /* on a file system where others' writes are not told */
};
/* ERR_NOT_FOUND: the folder is not there. */
int sqlite_watch_open(struct sqlite_watch *watch, const char *path, struct err *err) MUST_CHECK;
void sqlite_watch_close(struct sqlite_watch *watch);
/* The path may be a link that leads elsewhere now. */
int sqlite_watch_refresh(struct sqlite_watch *watch, struct err *err) MUST_CHECK;
/* Wait for a change until the deadline. 1: something changed; 0: the time is over. ERR_CANCELLED;
 * ERR_NOT_FOUND: the folder was removed. */
int sqlite_watch_wait(struct sqlite_watch *watch, struct wake *cancel, struct deadline deadline,
                      struct err *err) MUST_CHECK;

/* What the file's name leads to, from outside. */
struct sqlite_identity {
    dev_t device;
    ino_t inode;
    mode_t mode;
    int64_t size;
    int64_t mtime_us;
    int64_t log_size; /* of -wal; -1: there is none */
    uint32_t counter; /* the header's change counter; 0: not read */
};
/* ERR_NOT_FOUND. The counter is not read. */
int sqlite_identify(const char *path, struct sqlite_identity *ret, struct err *err) MUST_CHECK;
/* The header's change counter, through SQLite's own descriptor. */
uint32_t sqlite_counter(sqlite3 *db);

/*
 * Up to where commits count in a write-ahead log. A commit is written to the log, which wakes us;
 * it counts when the index beside it says so, and that is mapped memory: nothing tells of it. So a
 * log that is ahead of its index is looked at again.
 */
struct sqlite_log {
    unsigned char index[48]; /* the index's header */
    bool is_ahead;           /* the log has frames that the index does not count */
};
/* In a transaction. Without a log: zeros. */
struct sqlite_log sqlite_log_read(sqlite3 *db);

/* ---- sqlite_outbox.c: what the triggers wrote ---- */

/*
 * Entries become changes before the walk sees what they led to. They are somebody else's words:
 * what one of them says of a row is what the walk compares the row with, so that the file itself
 * has the last word.
 */
struct sqlite_outbox {
    size_t columns; /* 0: there is none */
    bool has_number;
    int64_t number; /* of the last entry that was taken; 0: there was none */
    char digest[LITE_TAG_LEN + 1];
    char *trouble;   /* which triggers are missing; heap; NULL: none */
    char *unread;    /* why entries can't be taken; heap; NULL: they can */
    int64_t told_ms; /* the last gap */
};

/* Up to where it was taken, as the ledger knows it. */
int sqlite_outbox_begin(struct sqlite *sq, struct err *err) MUST_CHECK;
void sqlite_outbox_done(struct sqlite *sq);
/* Take in what was written since, in the transaction that reads. That an outbox is damaged, or was
 * tampered with, is told, and no error. */
int sqlite_outbox_take(struct sqlite *sq, struct err *err) MUST_CHECK;
/* The file is another: what its outbox says so far is not of what was captured. */
int sqlite_outbox_leave(struct sqlite *sq, struct err *err) MUST_CHECK;
/* Up to where the file is captured; heap. */
char *sqlite_position(const struct sqlite *sq);

/* ---- sqlite_guarded.c: which tables have triggers ---- */

/* The schema is new: which tables have triggers that fit? An alert when some had, and have not. */
int sqlite_guarded_check(struct sqlite *sq, struct err *err) MUST_CHECK;
/* Had the table triggers that fit, when it was looked at last? */
int sqlite_guarded_had(const struct source_options *options, const char *table, bool *ret,
                       struct err *err) MUST_CHECK;

/* ---- sqlite.c, sqlite_look.c ---- */

enum sqlite_state { LITE_SOUND, LITE_GONE, LITE_DAMAGED };

struct sqlite {
    struct source base;
    const struct source_options *options; /* borrowed */
    const struct source_events *events;
    struct sqlite_watch watch;
    sqlite3 *db; /* of the last look, kept a little while: it reads on when its name is gone */
    int64_t close_ms;
    struct intake intake;
    struct compare compare; /* what the ledger heard; empty once a look was done */
    bool is_begun;
    struct sqlite_table tables[SOURCE_TABLES_MAX];
    size_t table_count;
    struct sha256 schema;
    bool has_schema;
    int64_t schema_version;      /* of this look, as SQLite counts it */
    struct sqlite_identity last; /* as of the last look */
    bool has_last;
    bool is_log;   /* the file keeps a write-ahead log: reading locks nobody out */
    bool saw_file; /* of the watch, until a look was done */
    bool saw_log;  /* the log was written since it was last seen whole */
    struct sqlite_log log;
    struct sqlite_log last_log; /* as of the last look that was done */
    int64_t ahead_ms; /* since when commits may be on their way that nothing will tell; 0: none */
    bool is_nameless; /* what is read has no name any more: the journal of that name is another's */
    bool is_torn;     /* somebody committed between two slices of this look */
    enum sqlite_state state;
    int64_t bad_since_ms;
    int64_t event_ms;   /* the last event */
    bool is_told;       /* of the state */
    bool is_log_lost;   /* the state came with the removal of its log */
    int64_t locked_ms;  /* since when somebody locks us out; 0: nobody does */
    int64_t changed_us; /* the first event that is not captured yet; 0: none */
    bool position_is_kept;
    struct sqlite_outbox outbox;
    char trouble[256];
};

void sqlite_trouble(struct sqlite *sq, const char *what); /* NULL: all is well */

/* What the ledger refused is no fault of the file's: ERR_UNAVAILABLE. Passes rc through. */
int sqlite_took(int rc, struct err *err);

/* Look what became of the file, and take it in. What is bad with it is the state, no error. */
int sqlite_look(struct sqlite *sq, struct err *err) MUST_CHECK;
/* Let whoever waits for the file write, and read on. ERR_BUSY: the schema is another by then, and
 * what was prepared is of the one that was. */
int sqlite_let_go(struct sqlite *sq, struct err *err) MUST_CHECK;
/* When to look again though nothing is told to have happened; DEADLINE_NEVER. */
int64_t sqlite_look_due_ms(const struct sqlite *sq);
/* The tables of the configuration, and those that the ledger has rows of. */
int sqlite_tables_init(struct sqlite *sq, struct err *err) MUST_CHECK;
void sqlite_tables_done(struct sqlite *sq);

/* ---- sqlite_swap.c: where a restore writes ---- */

/*
 * A sound file is written in place, in one transaction: whoever has it open sees the rows. A file
 * that is gone or damaged is built beside and exchanged; so is a copy of a sound one, while a
 * program holds a removed file of its set (its locks and its log are not ours then).
 */
struct sqlite_place {
    char *path;   /* the file's, links resolved */
    char *target; /* what is written: the same, or one beside it */
    bool is_beside;
    bool is_empty; /* there is nothing in it yet: settings can be made */
    bool is_log;   /* it is to have a write-ahead log */
    mode_t mode;   /* of a new file */
    int holder;    /* a process that has a removed file of the set open; 0: none */
};
int sqlite_place_choose(const struct source_options *options, bool dry_run,
                        struct sqlite_place *ret, struct err *err) MUST_CHECK;
/* Put what was built beside in the file's place. What was there is kept under another name. */
int sqlite_place_exchange(struct sqlite_place *place, char **ret_kept, struct err *err) MUST_CHECK;
void sqlite_place_done(struct sqlite_place *place); /* removes what is beside */

/* ---- sqlite_restore.c ---- */

int sqlite_restore(const struct source_options *options, struct source_restore *restore,
                   struct err *err) MUST_CHECK;

#endif
