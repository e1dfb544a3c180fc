/* The full comparison: every row of a table, read in one snapshot, against what the ledger last
 * heard of it (source/compare.h). */
#include "source/compare.h"
#include "source/postgres_internal.h"

struct comparing {
    struct postgres *pg;
    struct pg_table *table;
    struct compare compare;
    char **columns;
    struct row_value *values;
    size_t column_count;
    uint64_t rows;
};

#define SCAN_TELL_ROWS 20000 /* the server ends a stream that says nothing for a minute */

static int give_row(void *arg, const PGresult *result, struct err *err)
{
    struct comparing *c = arg;
    struct row row = {.source = c->pg->options->name,
                      .table = c->table->name,
                      .mapping = c->table->mapping,
                      .project = c->pg->options->project,
                      .values = c->values,
                      .count = c->column_count};

    for (size_t i = 0; i < c->column_count; i++) {
        bool is_null = PQgetisnull(result, 0, (int)i);
        c->values[i] =
            (struct row_value){.column = c->columns[i],
                               .text = {is_null ? NULL : PQgetvalue(result, 0, (int)i),
                                        is_null ? 0 : (size_t)PQgetlength(result, 0, (int)i)}};
    }
    if (++c->rows % SCAN_TELL_ROWS == 0 && c->pg->is_streaming && pg_stream_tell(c->pg, err) < 0) {
        return -(int)err->code;
    }
    return compare_row(&c->compare, &row, err);
}

int pg_lock_to_read(struct postgres *pg, PGconn *conn, const struct pg_table *table, bool waits,
                    bool *ret_is_it, struct err *err)
{
    AUTO(pg_clear) PGresult *locked = NULL;
    AUTO(free_ptr)
    char *lock =
        xprintf("LOCK TABLE %s IN ACCESS SHARE MODE%s", table->quoted, waits ? "" : " NOWAIT");
    AUTO(free_ptr) char *oid = NULL;

    *ret_is_it = false;
    if (pg_query(pg, conn, lock, NULL, 0, &locked, err) < 0 ||
        pg_ask(pg, conn, "SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", table->quoted, &oid,
               err) < 0) {
        return -(int)err->code;
    }
    *ret_is_it = oid != NULL && strtoul(oid, NULL, 10) == table->oid;
    return 0;
}

static int scan_rows(struct comparing *c, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(POSTGRES_SQL_MAX);
    bool is_it = false;

    if (pg_lock_to_read(c->pg, c->pg->sql, c->table, true, &is_it, err) < 0) {
        return -(int)err->code;
    }
    if (!is_it) {
        return err_set(err, ERR_UNAVAILABLE, "table %s is another one by now: looked at again",
                       c->table->name);
    }
    if (pg_columns(c->pg, c->table, &c->columns, &c->column_count, err) < 0) {
        return -(int)err->code;
    }
    c->values = xcalloc(c->column_count + 1, sizeof(*c->values));
    int rc = buf_add_c(&sql, "SELECT ", err);
    for (size_t i = 0; i < c->column_count && rc == 0; i++) {
        AUTO(free_ptr) char *name = pg_name(c->columns[i]);
        rc = buf_printf(&sql, err, "%s%s", i == 0 ? "" : ", ", name);
    }
    rc = rc == 0 ? buf_printf(&sql, err, " FROM %s", c->table->quoted) : rc;
    return rc == 0 ? pg_each(c->pg, c->pg->sql, sql.data, give_row, c, err) : rc;
}

/* Of a table that was doubted: what was found, of which nothing told. The guard may have held what
 * is missing already; of new rows nothing is lost. Rows are others, too, after an ALTER TABLE that
 * comes at the same time, or came while the daemon was away: so that counts where neither can be.
 */
static int tell_found(struct comparing *c, bool is_altered, struct err *err)
{
    const struct compare *found = &c->compare;
    struct postgres *pg = c->pg;
    bool is_unseen = found->changed > 0 && !is_altered && c->table->rows.known;

    if (!c->table->doubted || (found->missing == 0 && !is_unseen)) {
        return 0;
    }
    c->table->rows.vain = 0;
    AUTO(free_ptr)
    char *text =
        xprintf("Table %s of source %s was changed and nothing told of it: %llu rows are "
                "missing, and %llu say something else. Every row is safe in the ledger; to put "
                "them back: holdfast restore %s",
                c->table->name, pg->options->name, (unsigned long long)found->missing,
                (unsigned long long)found->changed, pg->options->name);
    return pg->intake.unheld.count > 0 ? intake_hold(&pg->intake, "source_gap", text, err)
                                       : intake_alert(&pg->intake, "source_gap", text, err);
}

int pg_compare(struct postgres *pg, struct pg_table *table, struct err *err)
{
    struct comparing c = {.pg = pg, .table = table};
    bool changed = false;

    intake_actor(&pg->intake, NULL, NULL);
    int rc = pg_keep_definition(pg, table, &changed, err);
    rc = rc == 0 ? compare_load(&c.compare, &pg->intake, pg->options, table->name, err) : rc;
    pg->comparing = true;
    rc = rc == 0 ? scan_rows(&c, err) : rc;
    pg->comparing = false;
    intake_suspect(&pg->intake, table->doubted);
    rc = rc == 0 ? compare_end(&c.compare, table->name, err) : rc;
    intake_suspect(&pg->intake, false);
    rc = rc == 0 ? intake_flush(&pg->intake, NULL, err) : rc;
    rc = rc == 0 ? tell_found(&c, changed, err) : rc;
    rc = rc == 0 ? pg_rows_begin(pg, table, c.rows, err) : rc;
    rc = rc == 0 ? pg_mirror_again(pg, err) : rc;
    pg_columns_free(c.columns, c.column_count);
    free(c.values);
    compare_done(&c.compare);
    if (rc == 0) {
        table->known = true;
        table->gone = false;
        table->compare = false;
        table->doubted = false;
    }
    return rc < 0 ? err_context(err, "comparing table %s", table->name) : 0;
}
