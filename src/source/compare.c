#include "source/compare.h"

#include "source/lineage.h"
#include "source/row_origin.h"

/* ---- what the ledger heard ---- */

/* -1: the ledger has no rows of it. */
static int table_index(const struct compare *c, const char *table)
{
    for (size_t i = 0; i < c->table_count; i++) {
        if (strcmp(c->tables[i], table) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int add_table(struct compare *c, const char *table, struct err *err)
{
    if (c->table_count == COMPARE_TABLES_MAX) {
        return err_set(err, ERR_LIMIT, "the rows of a source are of more than %d tables",
                       COMPARE_TABLES_MAX);
    }
    c->tables = xrealloc(c->tables, (c->table_count + 1) * sizeof(*c->tables));
    c->tables[c->table_count] = xstrdup(table);
    return (int)c->table_count++;
}

struct loading {
    struct compare *compare;
    const struct source_options *options;
    const char *table; /* NULL: all */
    struct row_origin origin;
};

static int note_known(void *arg, const struct memory *memory, const struct last_state *state,
                      struct err *err)
{
    struct loading *loading = arg;
    struct compare *c = loading->compare;

    (void)state;
    if (source_cancelled(loading->options, err) < 0) {
        return -(int)err->code;
    }
    if (!row_of_memory(memory, c->intake->source, loading->table, &loading->origin) ||
        loading->origin.values == NULL) {
        return 0;
    }
    int table = table_index(c, loading->origin.table);
    table = table < 0 ? add_table(c, loading->origin.table, err) : table;
    if (table < 0) {
        return table;
    }
    if (c->count == c->capacity) {
        c->capacity = c->capacity == 0 ? 1024 : c->capacity * 2;
        c->items = xrealloc(c->items, c->capacity * sizeof(*c->items));
    }
    struct compare_known *item = &c->items[c->count++];
    *item = (struct compare_known){
        .id = memory->id, .table = (uint16_t)table, .is_alive = memory->deleted_us == TIME_NONE};
    return row_digest(memory, &c->scratch, &item->digest, err);
}

static int by_id(const void *a, const void *b)
{
    return uuid_cmp(&((const struct compare_known *)a)->id, &((const struct compare_known *)b)->id);
}

int compare_load(struct compare *c, struct intake *intake, const struct source_options *options,
                 const char *table, struct err *err)
{
    struct loading loading = {.compare = c, .options = options, .table = table};
    struct reader *reader = NULL;

    *c = (struct compare){.intake = intake};
    buf_init(&c->scratch, CHANGE_RECORD_MAX);
    if (intake_flush(intake, NULL, err) < 0 || read_begin(intake->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_last_all(reader, note_known, &loading, err);
    row_origin_done(&loading.origin);
    read_end(reader);
    if (rc == 0 && c->count > 1) {
        qsort(c->items, c->count, sizeof(*c->items), by_id);
    }
    return rc;
}

void compare_done(struct compare *c)
{
    for (size_t i = 0; i < c->table_count; i++) {
        free(c->tables[i]);
    }
    free(c->tables);
    free(c->items);
    buf_done(&c->scratch);
    *c = (struct compare){.intake = NULL};
}

/* ---- what is there ---- */

static int find_known(struct compare *c, const struct row *row, struct compare_known **ret,
                      struct err *err)
{
    struct err none = ERR_INIT;
    struct compare_known wanted;
    struct str key;

    *ret = NULL;
    if (c->count == 0 || row_key(row, &key, &none) < 0) {
        return 0;
    }
    if (intake_id(c->intake, row->table, key, &wanted.id, err) < 0) {
        return -(int)err->code;
    }
    *ret = bsearch(&wanted, c->items, c->count, sizeof(*c->items), by_id);
    return 0;
}

/* A row that is not what anybody said last. *ret_stands: it is what the table told before, and a
 * door has changed or forgotten the memory since: nothing happened there. *ret_is_other: it is not
 * what the table told last either. */
static int look_back(const struct compare *c, const struct uuid *id, const struct row *row,
                     const struct memory *memory, bool *ret_stands, bool *ret_is_other,
                     struct err *err)
{
    struct lineage_of of = {.source = row->source, .table = row->table, .mapping = row->mapping};
    AUTO(lineage_done) struct lineage l = {.seq = 0};
    struct reader *reader = NULL;

    if (read_begin(c->intake->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = lineage_read(reader, &of, id, memory, &l, err);
    read_end(reader);
    *ret_stands = l.said == LINEAGE_AS_BEFORE;
    *ret_is_other = l.said == LINEAGE_NEWS && !lineage_is_told(&l, memory);
    return rc;
}

int compare_row(struct compare *c, const struct row *row, struct err *err)
{
    struct compare_known *item = NULL;
    struct memory memory;
    struct sha256 digest;

    if (find_known(c, row, &item, err) < 0) {
        return -(int)err->code;
    }
    if (item != NULL) {
        item->is_seen = true; /* though it may be one that can't be kept any more */
    }
    if (row_to_memory(row, &memory, NULL, err) < 0) {
        err->code = ERR_NONE;
        return intake_put(c->intake, row, err); /* counts and tells it */
    }
    bool stands = false;
    bool is_other = false;
    int rc = row_digest(&memory, &c->scratch, &digest, err);
    if (rc == 0 && item != NULL) {
        stands = item->is_alive && sha256_eq(&item->digest, &digest);
        rc = stands ? 0 : look_back(c, &item->id, row, &memory, &stands, &is_other, err);
    }
    memory_done(&memory);
    if (rc < 0 || stands) {
        return rc;
    }
    c->changed += is_other && item->is_alive;
    return intake_put(c->intake, row, err);
}

void compare_again(struct compare *c, const char *table)
{
    int index = table_index(c, table);

    for (size_t i = 0; i < c->count; i++) {
        c->items[i].is_seen = c->items[i].is_seen && (int)c->items[i].table != index;
    }
}

int compare_end(struct compare *c, const char *table, struct err *err)
{
    int index = table_index(c, table);

    for (size_t i = 0; i < c->count; i++) {
        const struct compare_known *item = &c->items[i];
        if ((int)item->table != index || !item->is_alive || item->is_seen) {
            continue;
        }
        c->missing++;
        if (intake_delete_id(c->intake, &item->id, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}
