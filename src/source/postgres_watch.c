/*
 * The look from outside. Whoever owns the database can remove everything in it that tells of
 * changes; so every few seconds the catalog is asked what is still there.
 */
#include "source/postgres_internal.h"

#include "base/utf8.h"

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

/* ---- tables ---- */

static int vanished(struct postgres *pg, struct pg_table *table, struct err *err)
{
    AUTO(free_ptr)
    char *summary = xprintf("Table %s of source %s vanished, and nothing told who dropped it. "
                            "Every row is safe in the ledger; to put them back: holdfast restore "
                            "%s",
                            table->name, pg->options->name, pg->options->name);

    table->compare = false;
    if (table->gone) {
        return 0;
    }
    table->gone = true;
    intake_actor(&pg->intake, NULL);
    return intake_gone(&pg->intake, table->name, "source_vanished", summary, err);
}

static int compare(struct postgres *pg, struct pg_table *table, struct err *err)
{
    if (pg_exec(pg, pg->sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) < 0 ||
        pg_compare(pg, table, err) < 0) {
        return -(int)err->code;
    }
    return pg_exec(pg, pg->sql, "COMMIT", err);
}

/* What was seen in the catalog is judged when the stream has come to that moment: what it tells by
 * itself, with the name of who did it, comes first. */
static int compare_due(struct postgres *pg, struct err *err)
{
    for (size_t i = 0; i < pg->table_count && !pg->in_transaction; i++) {
        struct pg_table *table = &pg->tables[i];
        if (!table->compare || pg->received < table->compare_at) {
            continue;
        }
        if (pg_tables_find(pg, err) < 0) {
            return -(int)err->code;
        }
        if (table->oid != 0 && !table->published) {
            continue; /* the next look puts it back first */
        }
        int rc = table->oid == 0 ? vanished(pg, table, err) : compare(pg, table, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int look_at_tables(struct postgres *pg, struct err *err)
{
    uint32_t before[SOURCE_TABLES_MAX];
    AUTO(free_ptr) char *text = NULL;
    pg_lsn now;

    for (size_t i = 0; i < pg->table_count; i++) {
        before[i] = pg->tables[i].oid;
    }
    if (pg_tables_find(pg, err) < 0 ||
        pg_ask(pg, pg->sql, "SELECT pg_catalog.pg_current_wal_lsn()", NULL, &text, err) < 0 ||
        pg_lsn_parse(str_of(text), &now, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        if (table->oid != before[i] || (table->oid == 0 && !table->gone && table->known)) {
            table->known = true;
            table->compare = true;
            table->compare_at = now;
        }
    }
    return 0;
}

/* ---- what init made ---- */

/* A table that was made anew is in no publication; that is nobody's fault, and no alert. */
static bool is_fresh_table(const struct postgres *pg)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        const struct pg_table *table = &pg->tables[i];
        if (table->oid != 0 && !table->published && (table->gone || table->compare)) {
            return true;
        }
    }
    return false;
}

int pg_setup_again(struct postgres *pg, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(POSTGRES_SQL_MAX);

    return pg_setup_sql(pg, false, &sql, err) < 0
               ? -(int)err->code
               : source_postgres_ops.run(&pg->base, buf_str(&sql), err);
}

static int put_back(struct postgres *pg, const char *missing, struct err *err)
{
    struct err why = ERR_INIT;

    if (!is_fresh_table(pg) && pg->trouble[0] == '\0') {
        AUTO(free_ptr)
        char *text = xprintf("Somebody removed a defence from source %s: %s is missing. It is put "
                             "back, and the tables are compared as a whole",
                             pg->options->name, missing);
        intake_actor(&pg->intake, NULL);
        if (intake_alert(&pg->intake, "source_unguarded", text, err) < 0) {
            return -(int)err->code;
        }
    }
    if (pg_setup_again(pg, &why) < 0) {
        AUTO(free_ptr)
        char *text = xprintf("%s is missing, and can't be put back (%s); as its owner run: "
                             "holdfast init postgres",
                             missing, why.message);
        pg_trouble(pg, text);
        return 0;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        pg->tables[i].compare = true;
    }
    return look_at_tables(pg, err);
}

/* ---- the slot and the rows ---- */

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
    } else if (pg->intake.counts.refused > 0) {
        AUTO(free_ptr)
        char *text =
            xprintf("%llu changes of rows could not be kept; the last: %s",
                    (unsigned long long)pg->intake.counts.refused, pg->intake.counts.last_refused);
        pg_trouble(pg, text);
    } else {
        pg_trouble(pg, NULL);
    }
    return 0;
}

/* What is missing. A table that is dropped between two questions takes its trigger along: so what
 * was found is asked once more. */
static int find_missing(struct postgres *pg, char **ret, struct err *err)
{
    for (int round = 0; round < 2; round++) {
        free(*ret);
        *ret = NULL;
        if (look_at_tables(pg, err) < 0 || pg_setup_missing(pg, ret, err) < 0) {
            return -(int)err->code;
        }
        if (*ret == NULL) {
            return 0;
        }
    }
    return 0;
}

int pg_watch(struct postgres *pg, struct err *err)
{
    int64_t now = deadline_in(0).at_ms;
    AUTO(free_ptr) char *missing = NULL;

    if (pg->in_transaction) {
        return 0;
    }
    if (now - pg->watched_ms >= POSTGRES_WATCH_MS) {
        pg->watched_ms = now;
        if (find_missing(pg, &missing, err) < 0) {
            return -(int)err->code;
        }
        int rc = missing != NULL ? put_back(pg, missing, err) : look_at_slot(pg, err);
        if (rc < 0) {
            return rc;
        }
    }
    return compare_due(pg, err);
}
