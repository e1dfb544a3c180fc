/* A column that was dropped: was anything lost with it that is not elsewhere in its row? */
#include "source/postgres_internal.h"

#include "source/row_origin.h"

struct losing {
    const struct postgres *pg;
    const struct pg_table *table;
    const char *column;
    uint64_t lost;
};

static bool equals(const struct row_value *a, const struct row_value *b)
{
    if (a->digest.ptr != NULL || b->digest.ptr != NULL) {
        return a->digest.ptr != NULL && b->digest.ptr != NULL && str_eq(a->digest, b->digest);
    }
    return a->text.ptr != NULL && str_eq(a->text, b->text);
}

static bool column_equals(const struct losing *l, const struct memory *memory,
                          const struct row_origin *origin, const char *other,
                          const struct row_value *value)
{
    struct row_value there;

    if (strcmp(other, l->column) == 0) {
        return false;
    }
    (void)row_value(memory, origin, l->table->mapping, other, &there);
    return equals(&there, value);
}

static bool is_elsewhere(const struct losing *l, const struct memory *memory,
                         const struct row_origin *origin, const struct row_value *value)
{
    if (column_equals(l, memory, origin, mapping_content(l->table->mapping), value)) {
        return true;
    }
    for (size_t i = 0; i < origin->count; i++) {
        if (column_equals(l, memory, origin, origin->values[i].column, value)) {
            return true;
        }
    }
    return false;
}

static int look_for_value(void *arg, const struct memory *memory, const struct last_state *state,
                          struct err *err)
{
    struct losing *l = arg;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct row_value value;

    (void)state;
    (void)err;
    if (memory->deleted_us != TIME_NONE ||
        !row_of_memory(memory, l->pg->options->name, l->table->name, &origin) ||
        origin.values == NULL) {
        return 0;
    }
    (void)row_value(memory, &origin, l->table->mapping, l->column, &value);
    bool has_value = value.text.len > 0 || value.digest.ptr != NULL;
    l->lost += has_value && !is_elsewhere(l, memory, &origin, &value) ? 1 : 0;
    return 0;
}

int pg_column_lost(struct postgres *pg, const struct pg_table *table, const char *column,
                   uint64_t *ret, struct err *err)
{
    struct losing losing = {.pg = pg, .table = table, .column = column};
    struct reader *reader = NULL;

    if (intake_flush(&pg->intake, NULL, err) < 0 ||
        read_begin(pg->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int result = read_last_all(reader, look_for_value, &losing, err);
    read_end(reader);
    *ret = losing.lost;
    return result;
}
