/*
 * Does a table have as many rows as it should, by all that was told of it? What tells can be
 * circumvented: entries are taken out of the outbox before they are read, an unlogged table is
 * empty after a crash, rows are lost beneath SQL. So what was told is added up, and the server
 * counts.
 *
 * The moment. A count has a snapshot. What was told before it was taken must be seen by it, else it
 * is taken again later; what is told afterwards is added up apart, if the snapshot does not see it.
 * As soon as all is told that it sees, both numbers are of one moment: so it may be written all the
 * time meanwhile, and the numbers must be the same.
 *
 * The cost. The server counts on a connection of its own, which nobody waits for, with one process,
 * and each table at the longer of POSTGRES_WATCH_MS and a hundred times as long as it took: for 1 %
 * of the time at most.
 *
 * The number is kept with the position. So what is done while the daemon is away shows, too.
 */
#include "source/postgres_internal.h"

#include <inttypes.h>

#include "base/num.h"

#define SHARE 100 /* one part of the time is for counting */
#define VAIN_MAX 10
#define LONGEST_MS ((int64_t)3600 * 1000) /* from one count in vain to the next */
#define OPEN_AGAIN_MS 60000               /* where no connection is left for it */
#define ROWS_WORD " rows"

static void forget(struct pg_rows *rows)
{
    free(rows->snapshot);
    rows->snapshot = NULL;
}

void pg_rows_done(struct postgres *pg)
{
    PQfinish(pg->counter);
    pg->counter = NULL;
    pg->counting = NULL;
    for (size_t i = 0; i < pg->table_count; i++) {
        forget(&pg->tables[i].rows);
    }
}

/* ---- what is told ---- */

void pg_rows_told(struct postgres *pg, struct pg_table *table, int64_t change)
{
    struct pg_rows *rows = &table->rows;

    rows->told += change;
    if (rows->snapshot != NULL && !pg_snapshot_sees(rows->snapshot, pg->xid)) {
        rows->ahead += change;
    }
}

void pg_rows_told_none(struct postgres *pg, struct pg_table *table)
{
    const struct pg_rows *rows = &table->rows;
    bool is_begun = rows->snapshot != NULL && rows->is_base;

    pg_rows_told(pg, table, is_begun ? -(rows->counted + rows->ahead) : -rows->told);
}

int pg_rows_begin(struct postgres *pg, struct pg_table *table, uint64_t count, struct err *err)
{
    struct pg_rows *rows = &table->rows;
    char *snapshot = NULL;

    if (pg_snapshot_of(pg, pg->sql, &snapshot, err) < 0 || pg_end_of_log(pg, &rows->at, err) < 0) {
        free(snapshot);
        return -(int)err->code;
    }
    forget(rows);
    rows->snapshot = snapshot;
    rows->is_base = rows->is_counted = true;
    rows->counted = (int64_t)count;
    rows->ahead = 0;
    rows->known = false; /* until all is told that it saw */
    return 0;
}

/* ---- what is kept ---- */

char *pg_rows_text(const struct postgres *pg)
{
    char *text = xstrdup("");

    for (size_t i = 0; i < pg->table_count; i++) {
        const struct pg_table *table = &pg->tables[i];
        if (table->rows.known && table->oid != 0) {
            AUTO(free_ptr) char *before = text;
            text = xprintf("%s%s %" PRIu32 ":%" PRId64, before, before[0] == '\0' ? ROWS_WORD : "",
                           table->oid, table->rows.told);
        }
    }
    return text;
}

static void read_number(struct postgres *pg, const char *word)
{
    const char *colon = strchr(word, ':');
    struct err none = ERR_INIT;
    uint32_t oid = (uint32_t)strtoul(word, NULL, 10);

    for (size_t i = 0; colon != NULL && i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        if (table->oid != 0 && table->oid == oid) {
            table->rows.known = num_parse_i64(str_of(colon + 1), 0, INT64_MAX, "rows",
                                              &table->rows.told, &none) == 0;
        }
    }
}

void pg_rows_read(struct postgres *pg, char *position)
{
    char *at = strstr(position, ROWS_WORD " ");
    char word[48];

    if (at == NULL) {
        return;
    }
    *at = '\0';
    const char *next = at + strlen(ROWS_WORD " ");
    while (*next != '\0') {
        pg_take_word(&next, word, sizeof(word));
        read_number(pg, word);
    }
}

/* ---- the server counts ---- */

static int64_t next_ms(const struct pg_rows *rows, int64_t took_ms)
{
    int64_t apart = took_ms * SHARE > pg_watch_ms() ? took_ms * SHARE : pg_watch_ms();
    unsigned vain = rows->vain < VAIN_MAX ? rows->vain : VAIN_MAX;
    int64_t longer = apart << vain;

    return vain == 0 || apart > LONGEST_MS ? apart : longer < LONGEST_MS ? longer : LONGEST_MS;
}

/* Without a connection for it nothing is counted for a while; the capture goes on. */
static int give_up(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr)
    char *note = xprintf("its rows can't be counted (%s); tried again in a minute", err->message);

    if (err->code == ERR_CANCELLED) {
        return -(int)err->code;
    }
    pg->events->on_note(pg->events->arg, note);
    if (pg->counting != NULL) {
        forget(&pg->counting->rows);
    }
    PQfinish(pg->counter);
    pg->counter = NULL;
    pg->counting = NULL;
    pg->counter_ms = deadline_in(OPEN_AGAIN_MS).at_ms;
    err->code = ERR_NONE;
    return 0;
}

/* The number, and how many ms it took. Rows of tables that inherit from it are read with its own,
 * and never told: then there is nothing to compare, and no number. */
static char *count_sql(const struct pg_table *table)
{
    return xprintf("SELECT CASE WHEN %s OR NOT EXISTS(SELECT FROM pg_catalog.pg_inherits WHERE "
                   "inhparent = %" PRIu32 ") THEN (SELECT count(*) FROM %s) END, (extract(epoch "
                   "FROM clock_timestamp() - statement_timestamp()) * 1000)::bigint; COMMIT",
                   table->partitioned ? "true" : "false", table->oid, table->quoted);
}

static int end_count(struct postgres *pg, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;

    return pg_query(pg, pg->counter, "ROLLBACK", NULL, 0, &result, err);
}

/* *ret: may it be counted? Not while somebody has it locked, or another is in its place. */
static int begin_count(struct postgres *pg, const struct pg_table *table, bool *ret,
                       struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;

    *ret = false;
    if (pg_query(pg, pg->counter,
                 "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL "
                 "max_parallel_workers_per_gather = 0",
                 NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    int rc = pg_lock_to_read(pg, pg->counter, table, false, ret, err);
    if (rc == -ERR_BUSY || rc == -ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc;
}

static int ask_server(struct postgres *pg, struct pg_table *table, struct err *err)
{
    AUTO(free_ptr) char *sql = count_sql(table);
    struct pg_rows *rows = &table->rows;
    char *snapshot = NULL;
    bool may = false;

    if (begin_count(pg, table, &may, err) < 0 ||
        (may && pg_snapshot_of(pg, pg->counter, &snapshot, err) < 0)) {
        return -(int)err->code;
    }
    if (!may || !pg_snapshot_sees_told(pg, snapshot)) {
        free(snapshot);
        return end_count(pg, err);
    }
    forget(rows);
    rows->snapshot = snapshot;
    rows->is_base = rows->is_counted = false;
    rows->ahead = 0;
    pg->counting = table;
    if (pg_end_of_log(pg, &rows->at, err) < 0) {
        return -(int)err->code;
    }
    return PQsendQuery(pg->counter, sql) == 0 ? pg_error(pg->counter, NULL, err) : 0;
}

static bool is_countable(const struct pg_table *table)
{
    return table->oid != 0 && table->published && !table->gone && !table->compare;
}

static int begin_due(struct postgres *pg, struct err *err)
{
    int64_t now = deadline_in(0).at_ms;
    struct pg_table *due = NULL;

    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        if (is_countable(table) && table->rows.known && table->rows.snapshot == NULL &&
            table->rows.due_ms <= now && (due == NULL || table->rows.due_ms < due->rows.due_ms)) {
            due = table;
        }
    }
    if (due == NULL || now < pg->counter_ms) {
        return 0;
    }
    due->rows.due_ms = now + pg_watch_ms(); /* should it come to nothing */
    bool is_open = pg->counter != NULL || pg_open(pg, false, &pg->counter, err) == 0;
    return is_open && ask_server(pg, due, err) == 0 ? 0 : give_up(pg, err);
}

/* A count that is refused (the table is locked, or was dropped just now) is none; nor is one of
 * before a comparison, with which counting began anew. */
static void take_answer(struct pg_rows *rows, const PGresult *result)
{
    struct err none = ERR_INIT;
    int64_t took_ms = 0;

    if (rows->snapshot == NULL || rows->is_base || rows->is_counted) {
        return;
    }
    rows->is_counted =
        PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
        num_parse_i64(str_of(PQgetvalue(result, 0, 0)), 0, INT64_MAX, "rows", &rows->counted,
                      &none) == 0 &&
        num_parse_i64(str_of(PQgetvalue(result, 0, 1)), 0, INT64_MAX, "ms", &took_ms, &none) == 0;
    if (rows->is_counted) {
        rows->due_ms = deadline_in(0).at_ms + next_ms(rows, took_ms);
    } else {
        forget(rows);
    }
}

static int look_for_answer(struct postgres *pg, struct err *err)
{
    bool is_done = false;

    if (PQflush(pg->counter) < 0 || PQconsumeInput(pg->counter) == 0) {
        (void)pg_error(pg->counter, NULL, err);
        return give_up(pg, err);
    }
    while (!is_done && !PQisBusy(pg->counter)) {
        AUTO(pg_clear) PGresult *result = PQgetResult(pg->counter);
        is_done = result == NULL;
        if (!is_done) {
            take_answer(&pg->counting->rows, result);
        }
    }
    if (!is_done) {
        return 0;
    }
    pg->counting = NULL;
    bool is_ended = PQtransactionStatus(pg->counter) == PQTRANS_IDLE; /* not after an error */
    return !is_ended && end_count(pg, err) < 0 ? give_up(pg, err) : 0;
}

/* ---- the two numbers ---- */

static int compare_numbers(struct postgres *pg, struct pg_table *table, struct err *err)
{
    struct pg_rows *rows = &table->rows;
    int64_t should = rows->told - rows->ahead;
    bool differs = !rows->is_base && should != rows->counted;

    forget(rows);
    rows->told = rows->counted + rows->ahead;
    rows->known = !differs;
    if (!differs) {
        rows->vain -= !rows->is_base && rows->vain > 0;
        return 0;
    }
    rows->vain++;
    AUTO(free_ptr)
    char *note = xprintf("table %s has %" PRId64 " rows, and by what was told it should have "
                         "%" PRId64 "; it is compared as a whole",
                         table->name, rows->counted, should);
    pg->events->on_note(pg->events->arg, note);
    return pg_doubt(pg, table, err);
}

int pg_rows_step(struct postgres *pg, struct err *err)
{
    if ((pg->counting != NULL ? look_for_answer(pg, err) : begin_due(pg, err)) < 0) {
        return -(int)err->code;
    }
    if (pg->way == PG_OUTBOX && !pg_outbox_is_even(pg)) {
        return 0;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        struct pg_rows *rows = &table->rows;
        if (rows->snapshot == NULL || !rows->is_counted || pg->received < rows->at) {
            continue;
        }
        if (!is_countable(table)) { /* a comparison will begin anew */
            forget(rows);
            rows->known = false;
        } else if (compare_numbers(pg, table, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}
