/*
 * The look from outside. Whoever owns the database can remove everything in it that tells of
 * changes; so every few seconds the catalog is asked what is still there.
 */
#include "source/postgres_internal.h"

#include "base/fault.h"
#include "base/utf8.h"

#define UNGUARDED_COMPARE_MS (60 * 1000)
#define OUTBOX_WARN_BYTES ((uint64_t)64 << 20)
#define OUTBOX_WARN_ROWS 1000 /* the table itself shrinks by and by only, when it was vacuumed */
#define RETAINED_WARN_BYTES ((uint64_t)1 << 30) /* of the server's log, kept for our slot */

void pg_trouble(struct postgres *pg, const char *what)
{
    size_t len = what == NULL ? 0 : utf8_cut(str_of(what), sizeof(pg->trouble) - 1);

    if (strncmp(pg->trouble, what == NULL ? "" : what, len) == 0 && pg->trouble[len] == '\0') {
        return;
    }
    if (len > 0) {
        memcpy(pg->trouble, what, len);
    }
    pg->trouble[len] = '\0';
    pg->events->on_trouble(pg->events->arg, len > 0 ? pg->trouble : NULL);
}

/* ---- the moment of a look ---- */

int pg_end_of_log(struct postgres *pg, pg_lsn *ret, struct err *err)
{
    AUTO(free_ptr) char *text = NULL;

    return pg_ask(pg, pg->sql, "SELECT pg_catalog.pg_current_wal_insert_lsn()", NULL, &text, err) <
                   0
               ? -(int)err->code
               : pg_lsn_parse(str_of(text == NULL ? "" : text), ret, err);
}

#define COMPARE_TRIES 10 /* for a moment in which nobody writes */

/* A transaction of `sql` whose snapshot is of the moment that the stream has come to. What it
 * lacked of that would be taken back; what it had more would be found here, without who did it, and
 * for a TRUNCATE of a few rows without the rule that holds it. Where somebody always writes, the
 * second must be borne. The outbox is read to that very moment. */
static int begin_moment(struct postgres *pg, struct pg_table *table, bool *ret, struct err *err)
{
    AUTO(free_ptr) char *snapshot = NULL;
    pg_lsn now;

    if (pg->way == PG_OUTBOX) {
        return pg_outbox_moment(pg, ret, err);
    }
    if (pg_exec(pg, pg->sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) < 0 ||
        pg_snapshot_of(pg, pg->sql, &snapshot, err) < 0 || pg_end_of_log(pg, &now, err) < 0) {
        return -(int)err->code;
    }
    *ret = pg_snapshot_sees_told(pg, snapshot);
    if (*ret && pg->received < now && table->compare_tries < COMPARE_TRIES) {
        table->compare_tries++;
        table->compare_at = now;
        *ret = false;
    }
    table->compare_tries = *ret ? 0 : table->compare_tries;
    return 0;
}

static int end_moment(struct postgres *pg, struct err *err)
{
    return pg->way == PG_OUTBOX ? pg_outbox_moment_end(pg, err)
                                : pg_exec(pg, pg->sql, "COMMIT", err);
}

/* ---- tables ---- */

static int vanished(struct postgres *pg, struct pg_table *table, struct err *err)
{
    AUTO(free_ptr)
    char *summary = xprintf("Table %s of source %s vanished, and nothing told who dropped it. "
                            "Every row is safe in the ledger; to put them back: holdfast restore "
                            "%s",
                            table->name, pg->options->name, pg->options->name);

    table->compare = table->doubted = false;
    if (table->gone) {
        return 0;
    }
    table->gone = true;
    intake_actor(&pg->intake, NULL, NULL);
    return intake_gone(&pg->intake, table->name, "source_vanished", summary, err);
}

#define OUTBOX_COMPARE_MS (10 * 60 * 1000) /* from one comparison by time to the next, */
#define OUTBOX_COMPARE_SHARE 100           /* one part of the time at most, */
#define OUTBOX_COMPARE_FIRST_MS 60000      /* the first of them */

static int64_t compare_apart_ms(int64_t took_ms)
{
    int64_t apart = (int64_t)FAULT_LIMIT("HOLDFAST_COMPARE_MS", OUTBOX_COMPARE_MS);

    return took_ms * OUTBOX_COMPARE_SHARE > apart ? took_ms * OUTBOX_COMPARE_SHARE : apart;
}

/* A table in the publication, or with all its triggers, or one that is gone. A look puts back first
 * what is missing. */
static int compare_now(struct postgres *pg, struct pg_table *table, int64_t now, struct err *err)
{
    if (pg_tables_find(pg, err) < 0) {
        return -(int)err->code;
    }
    if (table->oid != 0 && !table->published) {
        return 0;
    }
    pg->compared_ms = now;
    int rc = table->oid == 0 ? vanished(pg, table, err) : pg_compare(pg, table, err);
    int64_t end = deadline_in(0).at_ms;
    table->compare_due_ms = end + compare_apart_ms(end - now);
    return rc;
}

static int compare(struct postgres *pg, struct pg_table *table, int64_t now, struct err *err)
{
    bool is_now = false;

    if (begin_moment(pg, table, &is_now, err) < 0 ||
        (is_now && compare_now(pg, table, now, err) < 0)) {
        return -(int)err->code;
    }
    return end_moment(pg, err);
}

/* What is in the outbox can be taken out before it is read, by who owns it. */
static void compare_by_time(struct postgres *pg, int64_t now)
{
    int64_t apart = compare_apart_ms(0);
    int64_t first = apart < OUTBOX_COMPARE_FIRST_MS ? apart : OUTBOX_COMPARE_FIRST_MS;

    for (size_t i = 0; i < pg->table_count && pg->way == PG_OUTBOX; i++) {
        struct pg_table *table = &pg->tables[i];
        if (table->compare_due_ms == 0) {
            table->compare_due_ms = now + first;
        }
        if (table->oid != 0 && table->published && !table->gone && !table->compare &&
            table->compare_due_ms <= now) {
            table->compare = table->doubted = true;
            table->compare_at = pg->received;
        }
    }
}

/* What was seen in the catalog is judged when the stream has come to that moment: what it tells by
 * itself, with the name of who did it, comes first. */
static int compare_due(struct postgres *pg, struct err *err)
{
    int64_t now = deadline_in(0).at_ms;

    if (pg->unguarded && pg->compared_ms != 0 && now - pg->compared_ms < UNGUARDED_COMPARE_MS) {
        return 0; /* it is due again and again, until the defence is back */
    }
    compare_by_time(pg, now);
    for (size_t i = 0; i < pg->table_count && !pg->in_transaction; i++) {
        struct pg_table *table = &pg->tables[i];
        if (table->compare && pg->received >= table->compare_at &&
            compare(pg, table, now, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

int pg_compare_later(struct postgres *pg, struct err *err)
{
    pg_lsn now;

    if (pg_end_of_log(pg, &now, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        pg->tables[i].compare = true;
        pg->tables[i].compare_at = now;
    }
    return pg_state_keep(pg, err);
}

static int look_at_tables(struct postgres *pg, struct err *err)
{
    pg_lsn now;

    if (pg_tables_find(pg, err) < 0 || pg_marks_look(pg, err) < 0 ||
        pg_end_of_log(pg, &now, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        bool is_another = table->oid != 0 && table->last_oid != 0 && table->oid != table->last_oid;
        bool is_new = table->oid != 0 && !table->known;
        bool is_gone = table->oid == 0 && !table->gone && table->known;
        bool has_other_parts = table->oid != 0 && table->marks.tree[0] != '\0' &&
                               strcmp(table->marks.tree, table->seen.tree) != 0;
        /* ALTER TABLE, which nothing tells without event triggers; VACUUM FULL, too */
        bool is_rewritten = table->oid != 0 && table->marks.file[0] != '\0' &&
                            strcmp(table->marks.file, table->seen.file) != 0;
        if (is_another || is_new || is_gone || has_other_parts || is_rewritten) {
            table->known = true;
            table->compare = true;
            table->compare_at = now;
        }
    }
    return 0;
}

/* Something else may be the reason, which the catalog tells. */
int pg_doubt(struct postgres *pg, struct pg_table *table, struct err *err)
{
    if (look_at_tables(pg, err) < 0) {
        return -(int)err->code;
    }
    if (!table->compare) {
        table->compare = table->doubted = true;
        table->compare_at = pg->received;
    }
    return pg_state_keep(pg, err);
}

/* ---- what init made ---- */

/* A table that was made anew is in no publication, and a new partition has no trigger; that is
 * nobody's fault, and no alert. */
static bool is_fresh_table(const struct postgres *pg)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        const struct pg_table *table = &pg->tables[i];
        bool has_other_parts =
            table->marks.tree[0] != '\0' && strcmp(table->marks.tree, table->seen.tree) != 0;
        /* Who switches a trigger off alters the table, which makes a comparison due, too. */
        bool is_another = pg->way == PG_OUTBOX ? table->oid != table->last_oid : table->compare;
        if (table->oid != 0 &&
            (has_other_parts || (!table->published && (table->gone || is_another)))) {
            return true;
        }
    }
    return false;
}

static int tell_unguarded(struct postgres *pg, const char *missing, const char *touched,
                          struct err *err)
{
    AUTO(free_ptr)
    char *text =
        missing != NULL
            ? xprintf("Somebody removed a defence from source %s: %s is missing. It is put back, "
                      "and the tables are compared as a whole",
                      pg->options->name, missing)
            : xprintf("Somebody changed a defence of source %s, and changed it back: %s. What "
                      "happened meanwhile may have gone by unseen; the tables are compared as a "
                      "whole",
                      pg->options->name, touched);

    intake_actor(&pg->intake, NULL, NULL);
    pg->alerted = true;
    return intake_alert(&pg->intake, "source_unguarded", text, err);
}

/* The comparison is due before the defence is back: else a crash between the two would hide what
 * went by. */
static int put_back(struct postgres *pg, const char *missing, const char *touched, struct err *err)
{
    struct err why = ERR_INIT;

    if (!is_fresh_table(pg) && !pg->alerted && tell_unguarded(pg, missing, touched, err) < 0) {
        return -(int)err->code;
    }
    pg->unguarded = true;
    if (pg_compare_later(pg, err) < 0) {
        return -(int)err->code;
    }
    if (pg_setup_again(pg, &why) == 0) {
        pg->unguarded = false;
        return pg_compare_later(pg, err); /* what is in the log by now comes first */
    }
    if (why.code == ERR_CANCELLED || PQstatus(pg->sql) != CONNECTION_OK) {
        return err_copy(err, &why);
    }
    AUTO(free_ptr)
    char *text =
        xprintf(why.code == ERR_BUSY ? "%s is missing or was changed, and a transaction that is "
                                       "under way keeps it from being put back (%s); it is tried "
                                       "again every 3 s"
                                     : "%s is missing or was changed, and can't be put back (%s); "
                                       "as its owner run: holdfast init postgres",
                missing != NULL ? missing : touched, why.message);
    pg_trouble(pg, text);
    return 0;
}

/* ---- the slot and the rows ---- */

/* Rows that can't be memories, when nothing worse is to be told. */
static void tell_refused(struct postgres *pg)
{
    if (pg->intake.counts.refused == 0) {
        pg_trouble(pg, NULL);
        return;
    }
    AUTO(free_ptr)
    char *text =
        xprintf("%llu changes of rows could not be kept whole; the last: %s",
                (unsigned long long)pg->intake.counts.refused, pg->intake.counts.last_refused);
    pg_trouble(pg, text);
}

/* What we have not read yet we read now; what another source has not may wait for ever. */
static int look_at_outbox(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *laggard = NULL;
    uint64_t bytes = 0;
    uint64_t rows = 0;

    if (pg_outbox_size(pg, OUTBOX_WARN_BYTES, &rows, &bytes, &laggard, err) < 0) {
        return -(int)err->code;
    }
    if (rows <= OUTBOX_WARN_ROWS || laggard == NULL) {
        tell_refused(pg);
        return 0;
    }
    AUTO(free_ptr)
    char *text =
        xprintf("the outbox in the database has %llu rows, %llu MiB, which %.63s has not "
                "taken; is it still captured? Else: DELETE FROM holdfast.outboxes WHERE "
                "source = '%.63s'",
                (unsigned long long)rows, (unsigned long long)(bytes >> 20), laggard, laggard);
    pg_trouble(pg, text);
    return 0;
}

static int look_at_slot(struct postgres *pg, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    const char *values[] = {pg->options->slot};

    if (pg_query(pg, pg->sql,
                 "SELECT coalesce(wal_status, ''), coalesce(pg_catalog.pg_wal_lsn_diff("
                 "pg_catalog.pg_current_wal_lsn(), restart_lsn), 0)::bigint FROM "
                 "pg_catalog.pg_replication_slots WHERE slot_name = $1",
                 values, 1, &result, err) < 0) {
        return -(int)err->code;
    }
    if (PQntuples(result) != 1) {
        return err_set(err, ERR_UNAVAILABLE, "the replication slot %s is gone", pg->options->slot);
    }
    uint64_t retained = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
    bool in_danger = strcmp(PQgetvalue(result, 0, 0), "unreserved") == 0;
    if (in_danger || retained > RETAINED_WARN_BYTES) {
        AUTO(free_ptr)
        char *text = xprintf("the server keeps %llu MiB of its log for slot %s%s",
                             (unsigned long long)(retained >> 20), pg->options->slot,
                             in_danger ? ", more than it may: it is about to be lost" : "");
        pg_trouble(pg, text);
    } else {
        tell_refused(pg);
    }
    return 0;
}

/* What is missing or touched (each heap or NULL). A table that is dropped between two questions
 * takes its trigger along: so what was found is asked once more. */
static int find_missing(struct postgres *pg, char **ret_missing, char **ret_touched,
                        struct err *err)
{
    for (int round = 0; round < 2; round++) {
        free(*ret_missing);
        free(*ret_touched);
        *ret_missing = *ret_touched = NULL;
        if (look_at_tables(pg, err) < 0 || pg_setup_missing(pg, ret_missing, err) < 0) {
            return -(int)err->code;
        }
        *ret_touched = pg_marks_touched(pg);
        if (*ret_missing == NULL && *ret_touched == NULL) {
            return 0;
        }
    }
    return 0;
}

static int look_from_outside(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *missing = NULL;
    AUTO(free_ptr) char *touched = NULL;

    if (find_missing(pg, &missing, &touched, err) < 0) {
        return -(int)err->code;
    }
    if (missing != NULL || touched != NULL) {
        return put_back(pg, missing, touched, err) < 0 ? -(int)err->code : pg_fence(pg, err);
    }
    pg->alerted = pg->unguarded = false;
    pg_marks_accept(pg);
    if (pg_state_keep(pg, err) < 0 || pg_fence(pg, err) < 0) {
        return -(int)err->code;
    }
    return pg->way == PG_OUTBOX ? look_at_outbox(pg, err) : look_at_slot(pg, err);
}

int64_t pg_watch_ms(void)
{
    return (int64_t)FAULT_LIMIT("HOLDFAST_WATCH_MS", POSTGRES_WATCH_MS);
}

int pg_watch(struct postgres *pg, struct err *err)
{
    int64_t now = deadline_in(0).at_ms;

    if (pg->in_transaction) {
        return 0;
    }
    if (now - pg->watched_ms >= pg_watch_ms()) {
        pg->watched_ms = now;
        if (look_from_outside(pg, err) < 0) {
            return -(int)err->code;
        }
    } else if ((pg->intake.has_held || pg_fence_heard(pg)) && pg_fence(pg, err) < 0) {
        return -(int)err->code;
    }
    pg->intake.has_held = false;
    return pg_rows_step(pg, err) < 0 ? -(int)err->code : compare_due(pg, err);
}
