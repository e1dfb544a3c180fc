/* One row of somebody's file: as the intake takes it, and found again by its key. */
#include "source/sqlite_internal.h"

/* ---- as the intake takes it ---- */

void sqlite_reading_init(struct sqlite_reading *reading, const struct sqlite_shape *shape)
{
    reading->values = xcalloc(shape->column_count + 1, sizeof(*reading->values));
    buf_init(&reading->scratch, (size_t)256 * 1024 * 1024); /* 2,000 columns of 64 KiB */
    buf_init(&reading->key, (size_t)1024 * 1024);
}

void sqlite_reading_done(struct sqlite_reading *reading)
{
    free(reading->values);
    buf_done(&reading->scratch);
    buf_done(&reading->key);
    reading->values = NULL;
}

char *sqlite_column_list(const struct sqlite_shape *shape)
{
    AUTO(buf_done) struct buf list = BUF_INIT(LITE_SQL_MAX);
    struct err err = ERR_INIT;

    int rc = buf_add(&list, "", 0, &err);
    for (size_t i = 0; i < shape->column_count && rc == 0; i++) {
        AUTO(free_ptr) char *name = sqlite_name(shape->columns[i]);
        rc = buf_printf(&list, &err, "%s%s", i == 0 ? "" : ", ", name);
    }
    if (rc == 0 && shape->rowid != NULL) {
        rc = buf_printf(&list, &err, ", %s", shape->rowid);
    }
    return buf_take(&list); /* SQLite's limit on a statement is far below the cap */
}

/* A key that no column tells alone, as a JSON array, each value with its class. A row with a part
 * of it that is too large is refused; it is told by this. */
static int write_key(const struct sqlite_shape *shape, const struct row_value *values,
                     struct buf *ret, struct err *err)
{
    static const char *const heads[ROW_CLASSES] = {"", "i", "r", "b", "t"};
    int rc = buf_add_c(ret, "[", err);

    for (size_t k = 0; k < shape->key_count && rc == 0; k++) {
        const struct row_value *value = &values[shape->keys[k]];
        rc = k > 0 ? buf_add_c(ret, ",", err) : 0;
        rc = rc == 0 ? buf_add_c(ret, heads[value->class], err) : rc;
        struct str text = value->digest.ptr != NULL ? value->digest : value->text;
        rc = rc != 0            ? rc
             : text.ptr == NULL ? buf_add_c(ret, "null", err)
                                : json_canonical_string(text, ret, err);
    }
    return rc == 0 ? buf_add_c(ret, "]", err) : rc;
}

static int read_key(struct sqlite_reading *reading, const struct sqlite_shape *shape,
                    sqlite3_stmt *statement, struct str *ret, struct err *err)
{
    *ret = (struct str){NULL, 0};
    if (shape->key_is_plain) {
        return 0; /* the id column's text, or none: then it is refused */
    }
    buf_reset(&reading->key);
    int rc = shape->key_count == 0
                 ? buf_printf(&reading->key, err, "%lld",
                              (long long)sqlite3_column_int64(statement, (int)shape->column_count))
                 : write_key(shape, reading->values, &reading->key, err);
    *ret = buf_str(&reading->key);
    return rc;
}

int sqlite_row_read(struct sqlite_reading *reading, const struct source_options *options,
                    const struct sqlite_shape *shape, sqlite3_stmt *statement, struct row *ret,
                    struct err *err)
{
    size_t room = 0;

    for (size_t i = 0; i < shape->column_count; i++) {
        room += sqlite_value_room(statement, (int)i);
    }
    buf_reset(&reading->scratch);
    if (buf_reserve(&reading->scratch, room, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < shape->column_count; i++) {
        if (sqlite_value_read(statement, (int)i, shape->columns[i], &reading->scratch,
                              &reading->values[i], err) < 0) {
            return -(int)err->code;
        }
    }
    for (size_t k = 0; k < shape->key_count; k++) {
        reading->values[shape->keys[k]].is_key = true;
    }
    *ret = (struct row){.source = options->name,
                        .table = shape->name,
                        .mapping = &shape->mapping,
                        .project = options->project,
                        .values = reading->values,
                        .count = shape->column_count};
    return read_key(reading, shape, statement, &ret->key, err);
}

/* ---- by its key ---- */

int sqlite_where_key(const struct sqlite_shape *shape, struct buf *sql, struct err *err)
{
    if (shape->key_count == 0) {
        return buf_printf(sql, err, " WHERE %s = ?", shape->rowid);
    }
    for (size_t k = 0; k < shape->key_count; k++) {
        AUTO(free_ptr) char *name = sqlite_name(shape->columns[shape->keys[k]]);
        if (buf_printf(sql, err, "%s%s = ?", k == 0 ? " WHERE " : " AND ", name) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

int sqlite_find_prepare(sqlite3 *db, const struct sqlite_shape *shape, sqlite3_stmt **ret,
                        struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    AUTO(free_ptr) char *list = sqlite_column_list(shape);

    if (buf_printf(&sql, err, "SELECT %s FROM %s", list, shape->quoted) < 0 ||
        sqlite_where_key(shape, &sql, err) < 0) {
        return -(int)err->code;
    }
    return sqlite_prepare(db, sql.data, ret, err);
}

int sqlite_bind_key(const struct sqlite_shape *shape, sqlite3_stmt *statement, int index,
                    const struct memory *memory, const struct row_origin *origin, struct err *err)
{
    struct row_value value = {.column = "rowid", .text = str_of(origin->key), .class = ROW_INTEGER};

    if (shape->key_count == 0) {
        return sqlite_value_bind(statement, index, &value, err);
    }
    for (size_t k = 0; k < shape->key_count; k++) {
        (void)row_value(memory, origin, &shape->mapping, shape->columns[shape->keys[k]], &value);
        if (sqlite_value_bind(statement, index + (int)k, &value, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}
