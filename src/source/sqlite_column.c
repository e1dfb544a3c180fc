/* A column that went: was anything lost with it? */
#include "source/sqlite_internal.h"

struct losing {
    struct sqlite *sq;
    const struct sqlite_shape *before;
    const struct sqlite_shape *now;
    const char *column;
    sqlite3_stmt *find;
    struct sqlite_reading reading;
    uint64_t lost;
    uint64_t too_large; /* of these: the ledger has their digests */
};

/* One that was too large is known by its digest. */
static bool equals(const struct row_value *now, const struct row_value *value)
{
    char hex[SHA256_HEX_MAX];

    if (now->class != value->class) {
        return false;
    }
    if (value->digest.ptr == NULL) {
        return now->text.ptr != NULL && str_eq(now->text, value->text);
    }
    if (now->digest.ptr == NULL && now->text.ptr != NULL) {
        row_value_digest(now, hex);
        return str_eq_c(value->digest, hex);
    }
    return now->digest.ptr != NULL && str_eq(now->digest, value->digest);
}

static bool holds(const struct row *row, const struct row_value *value)
{
    for (size_t i = 0; i < row->count; i++) {
        if (equals(&row->values[i], value)) {
            return true;
        }
    }
    return false;
}

/* A row that is gone altogether is for the walk to find. */
static int look_for_value(void *arg, const struct memory *memory, const struct last_state *state,
                          struct err *err)
{
    struct losing *l = arg;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct row_value value;
    struct row row;

    (void)state;
    if (memory->deleted_us != TIME_NONE ||
        !row_of_memory(memory, l->sq->options->name, l->now->name, &origin) ||
        origin.values == NULL) {
        return 0;
    }
    (void)row_value(memory, &origin, &l->before->mapping, l->column, &value);
    if (value.text.len == 0 && value.digest.ptr == NULL) {
        return 0;
    }
    (void)sqlite3_reset(l->find); /* repeats the error of the last step */
    if (sqlite_bind_key(l->now, l->find, 1, memory, &origin, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite_step(l->sq->db, l->find, err);
    if (rc > 0) {
        rc = sqlite_row_read(&l->reading, l->sq->options, l->now, l->find, &row, err);
        bool is_lost = rc == 0 && !holds(&row, &value);
        l->lost += is_lost;
        l->too_large += is_lost && value.digest.ptr != NULL;
    }
    return rc;
}

static int count_lost(struct losing *l, struct err *err)
{
    struct reader *reader = NULL;

    if (sqlite_took(read_begin(l->sq->options->ledger, &reader, err), err) < 0) {
        return -(int)err->code;
    }
    sqlite_reading_init(&l->reading, l->now);
    int rc = sqlite_find_prepare(l->sq->db, l->now, &l->find, err);
    rc = rc == 0 ? read_last_all(reader, look_for_value, l, err) : rc;
    sqlite_stmt_done(&l->find);
    sqlite_reading_done(&l->reading);
    read_end(reader);
    return rc;
}

static int tell(struct losing *l, struct err *err)
{
    AUTO(free_ptr)
    char *large = l->too_large == 0
                      ? xstrdup("")
                      : xprintf("; of %llu, too large to be kept, what was there before them is",
                                (unsigned long long)l->too_large);
    AUTO(free_ptr)
    char *text =
        xprintf("Column %s of table %s of source %s was dropped, and %llu value%s with it. "
                "They are safe in the ledger, in the history of each row%s",
                l->column, l->now->name, l->sq->options->name, (unsigned long long)l->lost,
                l->lost == 1 ? "" : "s", large);

    return sqlite_took(intake_alert(&l->sq->intake, "source_column_dropped", text, err), err);
}

static bool has_column(const struct sqlite_shape *shape, const char *column)
{
    for (size_t i = 0; i < shape->column_count; i++) {
        if (strcmp(shape->columns[i], column) == 0) {
            return true;
        }
    }
    return false;
}

int sqlite_note_columns(struct sqlite *sq, const struct sqlite_shape *before,
                        const struct sqlite_shape *now, struct err *err)
{
    for (size_t i = 0; i < before->column_count; i++) {
        struct losing losing = {
            .sq = sq, .before = before, .now = now, .column = before->columns[i]};
        if (has_column(now, losing.column)) {
            continue;
        }
        if (count_lost(&losing, err) < 0 || (losing.lost > 0 && tell(&losing, err) < 0)) {
            return -(int)err->code;
        }
    }
    return 0;
}
