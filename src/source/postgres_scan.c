/*
 * The full comparison: every row of a table against what the ledger last heard of it. The first one
 * is the initial snapshot: the ledger then has heard of none.
 */
#include "source/postgres_internal.h"

/* What the ledger last heard: id and digest, 56 bytes a row. */
struct known {
    struct uuid id;
    struct sha256 digest;
    bool is_alive;
    bool is_seen;
};

struct comparing {
    struct postgres *pg;
    struct pg_table *table;
    struct known *items; /* sorted by id */
    size_t count;
    size_t capacity;
    char **columns;
    struct row_value *values;
    size_t column_count;
    uint64_t rows;
    struct buf scratch;
};

static int note_known(void *arg, const struct memory *memory, const struct last_state *state,
                      struct err *err)
{
    struct comparing *c = arg;
    struct row_origin origin;

    (void)state;
    if (pg_cancelled(c->pg, err) < 0) {
        return -(int)err->code;
    }
    if (!row_of_memory(memory, c->pg->options->name, c->table->name, &origin) ||
        origin.values == NULL) {
        return 0;
    }
    if (c->count == c->capacity) {
        c->capacity = c->capacity == 0 ? 1024 : c->capacity * 2;
        c->items = xrealloc(c->items, c->capacity * sizeof(*c->items));
    }
    struct known *item = &c->items[c->count++];
    *item = (struct known){.id = memory->id, .is_alive = memory->deleted_us == TIME_NONE};
    return row_digest(memory, &c->scratch, &item->digest, err);
}

static int by_id(const void *a, const void *b)
{
    return uuid_cmp(&((const struct known *)a)->id, &((const struct known *)b)->id);
}

static int load_known(struct comparing *c, struct err *err)
{
    struct reader *reader = NULL;

    if (intake_flush(&c->pg->intake, NULL, err) < 0 ||
        read_begin(c->pg->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_last_all(reader, note_known, c, err);
    read_end(reader);
    if (rc == 0 && c->count > 1) {
        qsort(c->items, c->count, sizeof(*c->items), by_id);
    }
    return rc;
}

static int find_known(struct comparing *c, const struct row *row, struct known **ret,
                      struct err *err)
{
    struct err none = ERR_INIT;
    struct known wanted;
    struct str key;

    *ret = NULL;
    if (c->count == 0 || row_key(row, &key, &none) < 0) {
        return 0;
    }
    if (intake_id(&c->pg->intake, row->table, key, &wanted.id, err) < 0) {
        return -(int)err->code;
    }
    *ret = bsearch(&wanted, c->items, c->count, sizeof(*c->items), by_id);
    return 0;
}

#define SCAN_TELL_ROWS 20000 /* the server ends a stream that says nothing for a minute */

static int compare_row(void *arg, const PGresult *result, struct err *err)
{
    struct comparing *c = arg;
    struct row row = {.source = c->pg->options->name,
                      .table = c->table->name,
                      .mapping = c->table->mapping,
                      .project = c->pg->options->project,
                      .values = c->values,
                      .count = c->column_count};
    struct memory memory;
    struct sha256 digest;

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
    struct known *item = NULL;
    if (find_known(c, &row, &item, err) < 0) {
        return -(int)err->code;
    }
    if (item != NULL) {
        item->is_seen = true; /* though it may be one that can't be kept any more */
    }
    if (row_to_memory(&row, &memory, err) < 0) {
        err->code = ERR_NONE;
        return intake_put(&c->pg->intake, &row, err); /* counts and tells it */
    }
    int rc = row_digest(&memory, &c->scratch, &digest, err);
    memory_done(&memory);
    if (rc < 0 || (item != NULL && item->is_alive && sha256_eq(&item->digest, &digest))) {
        return rc;
    }
    return intake_put(&c->pg->intake, &row, err);
}

static int scan_rows(struct comparing *c, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(POSTGRES_SQL_MAX);

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
    return rc == 0 ? pg_each(c->pg, c->pg->sql, sql.data, compare_row, c, err) : rc;
}

static int delete_unseen(struct comparing *c, struct err *err)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].is_alive && !c->items[i].is_seen &&
            intake_delete_id(&c->pg->intake, &c->items[i].id, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

int pg_compare(struct postgres *pg, struct pg_table *table, struct err *err)
{
    struct comparing c = {.pg = pg, .table = table};
    bool changed;

    buf_init(&c.scratch, CHANGE_RECORD_MAX);
    intake_actor(&pg->intake, NULL);
    int rc = pg_keep_definition(pg, table, &changed, err);
    rc = rc == 0 ? load_known(&c, err) : rc;
    rc = rc == 0 ? scan_rows(&c, err) : rc;
    rc = rc == 0 ? delete_unseen(&c, err) : rc;
    rc = rc == 0 ? intake_flush(&pg->intake, NULL, err) : rc;
    pg_columns_free(c.columns, c.column_count);
    free(c.values);
    free(c.items);
    buf_done(&c.scratch);
    if (rc == 0) {
        table->known = true;
        table->gone = false;
        table->compare = false;
    }
    return rc < 0 ? err_context(err, "comparing table %s", table->name) : 0;
}
