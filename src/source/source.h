/*
 * source - something of the user's that agents write to and may wreck. Holdfast captures its
 * changes, and puts back what was wrecked.
 *
 * A driver is a const table of functions and a line in source.c. Its rows become memories
 * (source/row.h) through the intake (source/intake.h), which commits them together with the
 * source's position. One thread per source runs capture (source/runner.h).
 *
 * Thread: a struct source belongs to one thread at a time; `cancel` ends what it waits for.
 */
#ifndef HOLDFAST_SOURCE_SOURCE_H
#define HOLDFAST_SOURCE_SOURCE_H

#include "base/wake.h"
#include "ledger/ledger.h"
#include "source/globs.h"

#define SOURCE_TABLES_MAX 64
#define SOURCE_NAME_MAX 63          /* [a-z0-9-] */
#define SOURCE_IGNORED_GIVEN_MAX 32 /* columns of one table that the configuration leaves out */
#define SOURCE_IGNORED_MAX (SOURCE_IGNORED_GIVEN_MAX + 3) /* and the marks */

/* Which column of a table is what. All others travel in metadata, and come back on restore. */
struct source_mapping {
    char *table;   /* "schema.name", or "name": of schema public; SQLite: the name */
    char *id;      /* "id" when NULL; SQLite: the table's key */
    char *content; /* "content" when NULL */
    char *project; /* "project_id" when NULL; a table without it: the source's project */
    char *ignored[SOURCE_IGNORED_MAX]; /* what can be computed again, such as vectors */
    size_t ignored_count;
};

struct source_options {
    const char *name;    /* as in the configuration */
    const char *url;     /* where it is; without a password unless the environment gave it */
    const char *slot;    /* PostgreSQL: the replication slot's and the publication's name */
    const char *project; /* of rows that say none */
    bool fence;          /* while an alert holds rows of it, the source refuses to be destroyed */
    const char *capture; /* PostgreSQL: "stream", "outbox"; NULL: whichever can be */
    bool triggers;       /* SQLite: its owner lets triggers in the file note each change */
    bool mirror;         /* PostgreSQL: memories that came by a door are written into it, too */
    int64_t mirror_wait_ms; /* but what changes or takes away so long after, lest it is held */
    /* What of this installation's chain is safe in a remote vault: all up to *ret_seq. False: there
     * is no such vault. From any thread; NULL: nobody can tell. */
    bool (*acknowledged)(void *arg, uint64_t *ret_seq);
    void *acknowledged_arg;
    const struct source_mapping *tables;
    size_t table_count; /* SQLite: 0 means every table with a key */
    const char *path;   /* files: the folder, or the one file; SQLite: the file; absolute */
    const struct globs *include; /* files: what is captured; empty or NULL: the defaults */
    const struct globs *ignore;  /* files: what is not, though it is included */
    struct ledger *ledger;
    struct deadline end; /* whatever is waited for ends by then (ERR_TIMEOUT); at_ms 0: never */
    struct wake *cancel; /* may be NULL; looked at, no signal is taken; when cancelled, calls end
                            with ERR_CANCELLED */
};

/* What is written into a source of what the ledger says. */
struct source_mirror {
    bool is_mirror;    /* memories that came by a door are */
    uint64_t written;  /* rows, since the start */
    uint64_t marked;   /* rows that were marked as safe in a vault, since the start */
    uint64_t refused;  /* memories that can't be rows, since the start */
    uint64_t waiting;  /* changes that were not looked at, and memories that wait out the guard */
    int64_t lag_ms;    /* age of the oldest of these; 0: none waits */
    char trouble[256]; /* what can't be written, and why; "": nothing */
};

/* What capture says on its way, from the source's thread. */
struct source_events {
    void *arg;
    /* It is captured up to here, durably; position for people, lag from the last commit in the
     * source to now (0: nothing was committed). */
    void (*on_position)(void *arg, const char *position, int64_t lag_ms);
    /* Something that a person should see in the log (one sentence). */
    void (*on_note)(void *arg, const char *what);
    /* What is not as it should be while it goes on (NULL: it is again); for status. */
    void (*on_trouble)(void *arg, const char *what);
    /* The source refuses to be destroyed until this alert is resolved (NULL: it does not). */
    void (*on_fence)(void *arg, const char *alert);
    /* By which of several ways it is captured: "stream" or "outbox". */
    void (*on_capture)(void *arg, const char *way);
    /* What is written into it (of follow). */
    void (*on_mirror)(void *arg, const struct source_mirror *mirror);
};

/* What a person should know who has an outbox. */
#define SOURCE_OUTBOX_IS_WEAKER                                                                    \
    "an outbox of triggers is weaker than logical replication: who owns a table can switch its "   \
    "triggers off, and what is done meanwhile is found by a comparison only, without who did it; " \
    "and it costs the application one more write for each row"

struct source_health {
    char detail[512]; /* one line for `doctor` */
    int64_t latency_us;
};

struct source_restore_table {
    char *table;  /* heap; of files: the path that was asked for, "." for all */
    bool created; /* it was gone, and was made again */
    uint64_t inserted;
    uint64_t updated;
    uint64_t kept; /* changed since by somebody else: left as they are */
    uint64_t same;
    uint64_t lost; /* with a value too large ever to have been kept: they can't be put back */
};

struct source_restore {
    bool dry_run;
    const char *only_table; /* NULL: all; of files: a path below the folder */
    int64_t at_us; /* files: as it was at this moment; TIME_NONE: as the ledger shows it now */
    /* The answer; source_restore_done. */
    struct source_restore_table tables[SOURCE_TABLES_MAX];
    size_t table_count;
    struct buf sql; /* what was run, or would be */
};
#define SOURCE_RESTORE_SQL_MAX ((size_t)4 * 1024 * 1024)
void source_restore_done(struct source_restore *restore);

struct source;

struct source_ops {
    const char *kind;

    int (*open)(const struct source_options *options, struct source **ret, struct err *err);
    /* Capture changes until cancelled (ERR_CANCELLED) or something fails. Errors of class retry
     * and others alike leave everything to be done again by the next call. */
    int (*capture)(struct source *source, const struct source_events *events, struct err *err);
    /* Write into the source what the ledger says, until cancelled or something fails; in a thread
     * of its own beside capture's, with a struct source of its own. NULL: nothing is. */
    int (*follow)(struct source *source, const struct source_events *events, struct err *err);
    /* Put back what the ledger holds and the source lacks, in one transaction where there are
     * any. */
    int (*restore)(struct source *source, struct source_restore *restore, struct err *err);
    int (*check)(struct source *source, struct source_health *ret, struct err *err);
    /* The statements that prepare the source for capture, or take everything of ours out again;
     * where nothing has to be prepared: what would be captured, for people. */
    int (*setup)(struct source *source, bool remove, struct buf *ret_sql, struct err *err);
    /* Run what setup answered, in one transaction. */
    int (*run)(struct source *source, struct str sql, struct err *err);
    void (*close)(struct source *source);
};

/* Every driver's struct begins with this. */
struct source {
    const struct source_ops *ops;
};

/* The driver of a kind. ERR_CONFIG lists the kinds there are. */
int source_driver(const char *kind, const struct source_ops **ret, struct err *err) MUST_CHECK;

extern const struct source_ops source_postgres_ops;
extern const struct source_ops source_files_ops;
extern const struct source_ops source_sqlite_ops;

/* ERR_CANCELLED, once the options' wake is cancelled: for what goes on for long without waiting. */
int source_cancelled(const struct source_options *options, struct err *err) MUST_CHECK;

/* What the ledger keeps under the name (a source's position, or what a driver keeps besides); heap,
 * NULL: nothing. */
int source_kept(struct ledger *ledger, const char *name, char **ret, struct err *err) MUST_CHECK;

/* The column's name, or what it is when the mapping says none. */
const char *mapping_id(const struct source_mapping *mapping);
const char *mapping_content(const struct source_mapping *mapping);
const char *mapping_project(const struct source_mapping *mapping);
bool mapping_ignores(const struct source_mapping *mapping, const char *column);
/* Is it called as the specification's table, in whatever schema? */
bool mapping_is_memories(const struct source_mapping *mapping);
void mapping_done(struct source_mapping *mapping);

#endif
