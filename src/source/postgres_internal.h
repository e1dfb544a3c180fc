/*
 * postgres_internal - what the files of the PostgreSQL driver share.
 *
 * Two connections: `sql` for questions to the catalog, scans and restore; `stream` for what comes:
 * logical replication, or the outbox. Server's errors become ours in postgres_link.c and nowhere
 * else.
 */
#ifndef HOLDFAST_SOURCE_POSTGRES_INTERNAL_H
#define HOLDFAST_SOURCE_POSTGRES_INTERNAL_H

#include <libpq-fe.h>

#include "source/intake.h"
#include "source/pgoutput.h"
#include "source/source.h"

#define POSTGRES_CONNECT_MS 10000
#define POSTGRES_CALL_MS 30000
#define POSTGRES_LONG_MS ((int64_t)6 * 3600 * 1000) /* scans and restores of large tables */
#define POSTGRES_WATCH_MS 3000                      /* from one look at the catalog to the next */
#define POSTGRES_STATUS_MS 5000 /* the server is told where we are at least so often */
#define POSTGRES_NAME_MAX 63    /* NAMEDATALEN - 1 */
#define POSTGRES_SQL_MAX ((size_t)4 * 1024 * 1024)
#define POSTGRES_VERSION_MIN 130000
#define POSTGRES_VERSION_MESSAGES 140000 /* pgoutput passes logical messages on */
#define POSTGRES_VERSION_FILTERS 150000  /* a publication may leave out rows and columns */

#define PG_MARK_MAX 33 /* an MD5 in hex; by chance alone two are never the same */

/* What of the catalog must not change unseen, told apart by its rows' xmin. */
struct pg_marks {
    char defence[PG_MARK_MAX]; /* publication, triggers */
    char tree[PG_MARK_MAX];    /* the partitions, and the files that they lie in */
    char file[16];             /* a table's own: who rewrites it gives it another */
};

/*
 * How many rows a table should have, by all that was told of it; and the count that this is
 * compared with (postgres_count.c).
 */
struct pg_rows {
    bool known;
    int64_t told;    /* where known */
    char *snapshot;  /* heap: of a count that was not compared yet; NULL: there is none */
    bool is_base;    /* it is a comparison's: where counting begins */
    bool is_counted; /* the server has answered */
    int64_t counted;
    int64_t ahead;  /* by how much what was told since and it does not see changed the number */
    pg_lsn at;      /* what it sees is told when the stream is past this */
    int64_t due_ms; /* when to count again */
    unsigned vain;  /* differences in a row for which the comparison found no reason */
};

/* Transactions that are remembered until others surely see them. More than these can't commit while
 * one that is in the log already waits to be seen: but for a standby that does not answer. */
#define PG_RECENT_MAX 4096

/* A table of the configuration, as it was last seen in the catalog. */
struct pg_table {
    const struct source_mapping *mapping;
    char *name; /* "schema.name" */
    char *schema;
    char *table;
    char *quoted;          /* "schema"."name" */
    uint32_t oid;          /* 0: it does not exist */
    uint32_t last_oid;     /* the last that it had; kept in the ledger */
    uint32_t earlier_oid;  /* the one before, whose end the stream may still tell */
    struct pg_marks marks; /* as they are known; "": not yet; kept in the ledger */
    struct pg_marks seen;  /* as the last look found them */
    char *definition;      /* how it is made; NULL: not read yet */
    bool partitioned;
    bool published; /* is in the publication, with all rows and columns; or has its triggers for the
                       outbox, on all partitions */
    bool filtered;  /* is in it, but with some of them only */
    bool known;     /* the ledger has rows of it, or it was seen since */
    bool gone;      /* its end has been captured */
    bool compare;   /* to be compared as a whole when the stream is past `compare_at`; kept in
                       the ledger, lest a crash between its cause and itself hides a gap */
    pg_lsn compare_at;
    unsigned compare_tries; /* as somebody wrote meanwhile */
    bool doubted;           /* nothing told why there should be a difference; kept with it */
    int64_t compare_due_ms; /* by time alone; 0: not set yet */
    struct pg_rows rows;
    char *kept; /* what the ledger has of all this; NULL: nothing yet */
};

/* What a relation of the stream is; by its OID. */
struct pg_relation {
    uint32_t oid;
    struct pg_table *table; /* NULL: not one of ours */
    char **columns;
    size_t count;
    struct pg_relation *next;
};

/* An open alert that was looked through, and holds no row of ours. */
struct pg_passed {
    struct uuid alert;
    uint64_t version;
};

/* How changes come: docs/postgres.md, section 10. */
enum pg_way {
    PG_STREAM, /* by logical replication */
    PG_OUTBOX, /* by triggers that write them into a table */
    PG_WAYS
};

struct pg_outbox;                     /* postgres_outbox.c */
#define PG_OUTBOX_POSITION " outbox " /* in the position of a source that has one */

struct postgres {
    struct source base;
    const struct source_options *options; /* borrowed */
    PGconn *sql;                          /* NULL: there is no such database */
    PGconn *beside;                       /* then: another of the same server */
    char *database;                       /* heap; what the url says */
    PGconn *stream;
    PGconn *counter;           /* NULL: nothing is counted just now, or ever was */
    struct pg_table *counting; /* what the server counts on it; NULL: nothing */
    int64_t counter_ms;        /* when to try again to open it */
    bool is_streaming;         /* the server sends changes on it, and is told how far we are */
    int version;
    enum pg_way way;
    struct pg_outbox *outbox; /* heap; NULL: it is not read */
    char *system;             /* "system identifier/database OID" */
    struct pg_table tables[SOURCE_TABLES_MAX];
    size_t table_count;
    struct pg_relation *relations;
    struct pgoutput *decoder;
    struct intake intake;
    const struct source_events *events;
    pg_lsn position; /* durable in the ledger */
    pg_lsn pending;  /* all up to here is in the intake */
    pg_lsn received; /* the server has nothing for us before this */
    bool in_transaction;
    uint32_t xid;                   /* of the transaction that is decoded, or was last */
    uint32_t recent[PG_RECENT_MAX]; /* a ring of those that are done */
    size_t recent_at;               /* how many ever were */
    char *moving; /* the key of a row that left its partition just now; heap, NULL: none */
    struct pg_table *moving_of;
    char *told;        /* who did this transaction, by its first message; heap, NULL: none yet */
    bool is_forged;    /* another one of it says otherwise */
    int64_t forged_ms; /* when such an alert was raised last; 0: never */
    bool had_position; /* it was captured before, by this ledger */
    bool comparing;    /* `sql` gives the rows of a table just now */
    int64_t watched_ms;
    int64_t told_ms;
    int64_t kept_ms;       /* when a position was last kept */
    int64_t commit_us;     /* of the last transaction that is not durable yet; 0: none */
    struct pg_marks marks; /* of what belongs to no table; as pg_table's */
    struct pg_marks seen;
    char *kept;
    bool unguarded;            /* a defence was removed, and is not back yet */
    bool alerted;              /* of that */
    int64_t compared_ms;       /* when a comparison began last; 0: none did */
    char fence[UUID_TEXT_MAX]; /* the alert for which it is up; "": it is down */
    bool fence_known;          /* `fence` is what the database has */
    bool hears_ledger;         /* `commits` is subscribed: decisions move the fence */
    struct wake commits;       /* of the ledger */
    int64_t heard_ms;          /* when one of them was followed last */
    struct pg_passed *passed;  /* heap */
    size_t passed_count;
    char trouble[256];
};

/* ---- postgres_database.c ---- */

/* Does the server say that it has no such database? Then pg->beside is another of its. */
bool pg_database_is_missing(struct postgres *pg);
/* ERR_UNAVAILABLE: it is missing. */
int pg_database_required(const struct postgres *pg, struct err *err) MUST_CHECK;
/* Capture of one that is missing: if it was dropped, all that it held is held, once. Always an
 * error, which says what became of it. */
int pg_database_lost(struct postgres *pg, struct err *err) MUST_CHECK;
/* Make one that was dropped again, and enter it; not in a dry run. */
int pg_database_make(struct postgres *pg, struct source_restore *restore, struct err *err)
    MUST_CHECK;

/* ---- postgres_link.c ---- */

int pg_open(struct postgres *pg, bool replication, PGconn **ret, struct err *err) MUST_CHECK;
/* The same server, another database. */
int pg_open_other(struct postgres *pg, const char *database, PGconn **ret, struct err *err)
    MUST_CHECK;
/* Wait until the socket may be read (or written), or until the deadline: ERR_TIMEOUT,
 * ERR_CANCELLED. */
int pg_wait(struct postgres *pg, PGconn *conn, bool to_write, struct deadline deadline,
            struct err *err) MUST_CHECK;
/* Can it be read, within so long, or until the fence may have to move? ERR_CANCELLED. */
int pg_poll(struct postgres *pg, PGconn *conn, int64_t ms, bool *ret, struct err *err) MUST_CHECK;
/* Wait, whatever comes. ERR_CANCELLED. */
int pg_pause(struct postgres *pg, int64_t ms, struct err *err) MUST_CHECK;
/* The server's error as ours. */
int pg_error(const PGconn *conn, const PGresult *result, struct err *err);
void pg_clear(PGresult **result);

/* One statement with text parameters (NULL: SQL's NULL). *ret has rows or none; pg_clear. */
int pg_query(struct postgres *pg, PGconn *conn, const char *sql, const char *const *values,
             int count, PGresult **ret, struct err *err) MUST_CHECK;
/* Several statements; what they answer is thrown away. */
int pg_exec(struct postgres *pg, PGconn *conn, const char *sql, struct err *err) MUST_CHECK;
/* The same with room for hours. */
int pg_query_long(struct postgres *pg, PGconn *conn, const char *sql, PGresult **ret,
                  struct err *err) MUST_CHECK;
int pg_exec_long(struct postgres *pg, PGconn *conn, const char *sql, uint64_t *ret_rows,
                 struct err *err) MUST_CHECK;
/* The one value of a question; heap, NULL for NULL. ERR_NOT_FOUND: no row. */
int pg_ask(struct postgres *pg, PGconn *conn, const char *sql, const char *value, char **ret,
           struct err *err) MUST_CHECK;
/* The same of one that is true or false. */
int pg_ask_bool(struct postgres *pg, const char *sql, const char *value, bool *ret, struct err *err)
    MUST_CHECK;

/* Each row of a query, without holding more than one. */
typedef int pg_row_fn(void *arg, const PGresult *row, struct err *err);
int pg_each(struct postgres *pg, PGconn *conn, const char *sql, pg_row_fn *each, void *arg,
            struct err *err) MUST_CHECK;

/* Rows of COPY FROM STDIN, and its end: with a refusal it fails by that. Waiting for the server,
 * they can be cancelled. */
int pg_copy_put(struct postgres *pg, PGconn *conn, struct str bytes, struct err *err) MUST_CHECK;
int pg_copy_end(struct postgres *pg, PGconn *conn, const char *refusal, struct err *err) MUST_CHECK;

/* A name or a literal in quotes; heap. */
char *pg_name(const char *name);
char *pg_literal(const char *text);

/* ---- postgres_catalog.c ---- */

int pg_tables_init(struct postgres *pg, struct err *err) MUST_CHECK;
void pg_tables_done(struct postgres *pg);
/* Look the tables up: oid, published. */
int pg_tables_find(struct postgres *pg, struct err *err) MUST_CHECK;
/* The SQL that makes the table; what follows PG_DEFINITION_AFTER comes behind the rows. Heap. */
int pg_definition(struct postgres *pg, const struct pg_table *table, char **ret, struct err *err)
    MUST_CHECK;
#define PG_DEFINITION_AFTER "-- behind the rows\n"
/* The next statement of a definition, without its semicolon; *at moves behind it. Texts of columns
 * and constraints are somebody else's: what stands in their literals ends nothing. Empty: there is
 * no more, or *at is where the part behind the rows begins (then *at is behind that mark). */
struct str pg_definition_next(const char **at);
/* Read the definitions, and keep those that changed. */
int pg_keep_definition(struct postgres *pg, struct pg_table *table, bool *ret_changed,
                       struct err *err) MUST_CHECK;
/* The columns that are kept, as a list for SELECT. Heap. */
int pg_columns(struct postgres *pg, const struct pg_table *table, char ***ret, size_t *ret_count,
               struct err *err) MUST_CHECK;
void pg_columns_free(char **columns, size_t count);

/* ---- postgres_state.c: what is kept in the ledger beside the position ---- */

/* At the start of a capture: what an earlier one knew. */
int pg_state_load(struct postgres *pg, struct err *err) MUST_CHECK;
/* Make durable what changed of it. */
int pg_state_keep(struct postgres *pg, struct err *err) MUST_CHECK;
void pg_state_done(struct postgres *pg);
/* The next word of such a text; cut where there is no room. */
void pg_take_word(const char **at, char *ret, size_t size);
/* Look at the catalog; and take what was seen for what is known. */
int pg_marks_look(struct postgres *pg, struct err *err) MUST_CHECK;
void pg_marks_accept(struct postgres *pg);
/* What was changed that nobody but us should change (heap); NULL: nothing. */
char *pg_marks_touched(const struct postgres *pg);

/* ---- postgres_scan.c ---- */

/* In a transaction of `conn`: lock the table for reading; without `waits` only if that needs no
 * waiting. *ret_is_it: its name still leads to this very table. A view in its place would run its
 * author's functions as our role. ERR_BUSY, ERR_NOT_FOUND, ... */
int pg_lock_to_read(struct postgres *pg, PGconn *conn, const struct pg_table *table, bool waits,
                    bool *ret_is_it, struct err *err) MUST_CHECK;
/* Compare a table with what the ledger last heard of it, in the transaction that `sql` is in. */
int pg_compare(struct postgres *pg, struct pg_table *table, struct err *err) MUST_CHECK;

/* ---- postgres_snapshot.c ---- */

/* The transaction that is decoded is done. */
void pg_snapshot_note(struct postgres *pg);
/* Does a snapshot see this transaction, or all that the stream told? */
bool pg_snapshot_sees(const char *snapshot, uint32_t xid);
bool pg_snapshot_sees_told(const struct postgres *pg, const char *snapshot);
/* The one that a connection has; heap. */
int pg_snapshot_of(struct postgres *pg, PGconn *conn, char **ret, struct err *err) MUST_CHECK;
/* Wait until it sees the transaction that is decoded. *ret false: not within 10 s, as a standby
 * must answer first. */
int pg_snapshot_wait(struct postgres *pg, bool *ret, struct err *err) MUST_CHECK;

/* ---- postgres_count.c: as many rows as were told? ---- */

/* What was told of a table changes the number of its rows by so many, or leaves none. */
void pg_rows_told(struct postgres *pg, struct pg_table *table, int64_t change);
void pg_rows_told_none(struct postgres *pg, struct pg_table *table);
/* So many were read in the transaction that `sql` is in. */
int pg_rows_begin(struct postgres *pg, struct pg_table *table, uint64_t count, struct err *err)
    MUST_CHECK;
/* What is kept of it with the position: a text behind it, "" or " rows OID:NUMBER ..."; heap. */
char *pg_rows_text(const struct postgres *pg);
/* Take it off again. */
void pg_rows_read(struct postgres *pg, char *position);
/* Count when it is time; where the number is another one, pg_doubt. */
int pg_rows_step(struct postgres *pg, struct err *err) MUST_CHECK;
void pg_rows_done(struct postgres *pg);

/* ---- postgres_stream.c ---- */

/* Begin at the ledger's position, or with a new slot and a comparison of everything. */
int pg_stream_start(struct postgres *pg, struct err *err) MUST_CHECK;
/* The same with a new slot, whatever the ledger has; `why` is for people. */
int pg_stream_anew(struct postgres *pg, bool has_slot, const char *why, struct err *err) MUST_CHECK;
/* Take what is there, or wait a little; what was taken is durable when there is no more of it. */
int pg_stream_step(struct postgres *pg, struct err *err) MUST_CHECK;
/* What the ledger has of the position behind system and slot (heap), NULL: nothing. *ret_other: it
 * is of another database or slot. */
int pg_position_read(struct postgres *pg, char **ret_rest, bool *ret_other, struct err *err)
    MUST_CHECK;
/* Changes and position in one commit of the ledger; `shown` is for people. */
int pg_position_keep(struct postgres *pg, const char *rest, const char *shown, struct err *err)
    MUST_CHECK;
/* Where it was captured before: say that changes went by unseen, and why. */
int pg_announce(struct postgres *pg, const char *why, struct err *err) MUST_CHECK;
/* Compare every table, in the transaction that `sql` is in. */
int pg_compare_all(struct postgres *pg, struct err *err) MUST_CHECK;
/* What the ledger knows of the tables is the beginning; what is due is so from `end` on. */
int pg_definitions_begin(struct postgres *pg, pg_lsn end, struct err *err) MUST_CHECK;
/* Tell the server where we are. */
int pg_stream_tell(struct postgres *pg, struct err *err) MUST_CHECK;
void pg_relations_done(struct postgres *pg);

/* ---- postgres_apply.c ---- */

/* One message of the stream, into the intake. */
int pg_apply(struct postgres *pg, const struct pgoutput_message *message, struct err *err)
    MUST_CHECK;

/* ---- postgres_outbox.c ---- */

/* As pg_stream_start and pg_stream_step. */
int pg_outbox_start(struct postgres *pg, struct err *err) MUST_CHECK;
int pg_outbox_step(struct postgres *pg, struct err *err) MUST_CHECK;
void pg_outbox_done(struct postgres *pg);
/* Begin a transaction of `sql`, which sees exactly what was read. *ret false: it can't, just now.
 * It is ended by pg_outbox_moment_end. */
int pg_outbox_moment(struct postgres *pg, bool *ret, struct err *err) MUST_CHECK;
int pg_outbox_moment_end(struct postgres *pg, struct err *err) MUST_CHECK;
/* Has all been read that was committed before `received`? */
bool pg_outbox_is_even(const struct postgres *pg);
/* How much of it waits; the rows are counted where it has more bytes than this. *ret_laggard: the
 * other source that is the farthest behind us, while we read (heap; NULL: none is). */
int pg_outbox_size(struct postgres *pg, uint64_t count_above, uint64_t *ret_rows,
                   uint64_t *ret_bytes, char **ret_laggard, struct err *err) MUST_CHECK;

/* ---- postgres_outbox_setup.c ---- */

/* What is written into the outbox; NUL-terminated, the body of the function holdfast.keep(). */
extern const char pg_keep_body[];
extern const char pg_keep_settings[];
#define PG_OUTBOX_TELL(what)                                                                       \
    "  IF pg_catalog.to_regclass('holdfast.outbox') IS NOT NULL THEN\n"                            \
    "    INSERT INTO holdfast.outbox (op, body) VALUES ('M', (" what ")::pg_catalog.text);\n"      \
    "    PERFORM pg_catalog.pg_notify('holdfast', '');\n"                                          \
    "  END IF;\n"
int pg_outbox_add_tables(struct buf *ret, struct err *err) MUST_CHECK;
int pg_outbox_add_source(struct postgres *pg, struct buf *ret, struct err *err) MUST_CHECK;
int pg_outbox_add_triggers(struct postgres *pg, const struct pg_table *table, struct buf *ret,
                           struct err *err) MUST_CHECK;
int pg_outbox_remove_triggers(const struct pg_table *table, struct buf *ret, struct err *err)
    MUST_CHECK;
/* All of the outbox, where the schema stays for the sake of the other way. */
int pg_outbox_remove_tables(struct buf *ret, struct err *err) MUST_CHECK;
/* Heap; NULL: nothing is. */
int pg_outbox_missing(struct postgres *pg, char **ret_missing, struct err *err) MUST_CHECK;
/* Does another source read it (of this table, if one is given)? */
int pg_outbox_has_others(struct postgres *pg, const struct pg_table *table, bool *ret,
                         struct err *err) MUST_CHECK;
int pg_outbox_is_there(struct postgres *pg, bool *ret, struct err *err) MUST_CHECK;

/* ---- postgres_column.c ---- */

/* How many of a table's rows had a value in this column, as the stream is now, that is nowhere else
 * in the row: the intake is written first. */
int pg_column_lost(struct postgres *pg, const struct pg_table *table, const char *column,
                   uint64_t *ret, struct err *err) MUST_CHECK;

/* ---- postgres_watch.c ---- */

/* Look from outside, when it is time: what was removed, what vanished. */
int pg_watch(struct postgres *pg, struct err *err) MUST_CHECK;
/* The end of the server's log just now. */
int pg_end_of_log(struct postgres *pg, pg_lsn *ret, struct err *err) MUST_CHECK;
/* Compare all tables, once the stream is past this moment. */
int pg_compare_later(struct postgres *pg, struct err *err) MUST_CHECK;
/* A table has not what was told of it: compare it, and hold what is missing. */
int pg_doubt(struct postgres *pg, struct pg_table *table, struct err *err) MUST_CHECK;
int64_t pg_watch_ms(void);                              /* from one look to the next */
void pg_trouble(struct postgres *pg, const char *what); /* NULL: all is well */

/* ---- postgres_fence.c ---- */

/* Up while an alert is open that holds rows of this source; down when none is. */
int pg_fence(struct postgres *pg, struct err *err) MUST_CHECK;
/* From here on the ledger's commits tell when it may have to move; where there is a fence at all.
 */
int pg_fence_listen(struct postgres *pg, struct err *err) MUST_CHECK;
void pg_fence_deafen(struct postgres *pg);
/* What becomes readable then (-1: nothing just now); *ms is cut to when to ask again. */
int pg_fence_fd(const struct postgres *pg, int64_t *ms);
/* May it have to move since the last time? */
bool pg_fence_heard(struct postgres *pg);

/* ---- postgres_follow.c, postgres_echo.c: what is written into the database ---- */

int pg_follow(struct postgres *pg, const struct source_events *events, struct err *err) MUST_CHECK;
/* The intake's: is this row what was written there? If not, it keeps what no row has. */
intake_hear_fn pg_hear;
/* Have the intake ask, where something is written there; the tables were found. */
int pg_hear_if_needed(struct postgres *pg, struct err *err) MUST_CHECK;
/* Why a memory can't be a row of this table (heap); NULL: it can. */
int pg_mirror_refusal(struct postgres *pg, const struct pg_table *table, char **ret_why,
                      struct err *err) MUST_CHECK;
/* ERR_CONFIG: `mirror: true` is asked for, and there is no table for it. The tables were found. */
int pg_mirror_check(struct postgres *pg, struct err *err) MUST_CHECK;
/* Rows may have gone unseen, or all at once: what doors made is to be looked through again. */
int pg_mirror_again(struct postgres *pg, struct err *err) MUST_CHECK;

/* ---- postgres_setup.c ---- */

/* A table and its partitions, each by its quoted name; pg_clear. */
int pg_parts(struct postgres *pg, const struct pg_table *table, PGresult **ret, struct err *err)
    MUST_CHECK;
int pg_setup_sql(struct postgres *pg, bool remove, struct buf *ret, struct err *err) MUST_CHECK;
/* Run what init runs, once more; whatever was there is made anew. It does not wait for the locks
 * of others (ERR_BUSY), who would wait behind it. */
int pg_setup_again(struct postgres *pg, struct err *err) MUST_CHECK;
/* Is what init made all there? *ret_missing names the first thing that is not (heap; NULL: all
 * is). */
int pg_setup_missing(struct postgres *pg, char **ret_missing, struct err *err) MUST_CHECK;

/* ---- postgres_restore.c ---- */

int pg_restore(struct postgres *pg, struct source_restore *restore, struct err *err) MUST_CHECK;

#endif
