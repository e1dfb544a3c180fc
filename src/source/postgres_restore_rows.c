/*
 * Restore of one table's rows. Two temporary tables are filled from the ledger: `want`, the rows as
 * they should be, and `held`, what the destruction that is held made of them. The server compares
 * them with what is there.
 *
 * Of a value that was too large to be kept its digest is known: so a row shows to be still what the
 * destruction left, and what it says is taken from the last version that had it whole.
 */
#include "source/earlier.h"
#include "source/postgres_restore.h"

#define LARGE "\"holdfast.large\"" /* of both: {column: digest}, NULL where all is known */

int restore_run(struct restoring *r, const char *sql, uint64_t *ret_rows, struct err *err)
{
    if (buf_printf(&r->restore->sql, err, "%s;\n", sql) < 0 ||
        pg_exec_long(r->pg, r->pg->sql, sql, ret_rows, err) < 0) {
        return err->code == ERR_CANCELLED ? -(int)err->code
                                          : err_context(err, "restoring %s", r->table->name);
    }
    return 0;
}

/* ---- parts of statements ---- */

enum list { LIST_NAMES, LIST_WANTED, LIST_SET, LIST_LEFT, LIST_EQUAL };

static bool is_fixed(const struct restoring *r, const char *column)
{
    for (int i = 0; i < PQntuples(r->fixed); i++) {
        if (strcmp(PQgetvalue(r->fixed, i, 0), column) == 0) {
            return true;
        }
    }
    return false;
}

static int find_fixed(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *oid = xprintf("%u", r->table->oid);
    const char *values[] = {oid};

    pg_clear(&r->fixed);
    return pg_query(r->pg, r->pg->sql,
                    "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND "
                    "attidentity = 'a'",
                    values, 1, &r->fixed, err);
}

/* "t.c is as o.c says": by its digest where that is all that is known; heap. */
static char *equal_to(const struct restoring *r, const char *column, char other)
{
    AUTO(free_ptr) char *name = pg_name(column);
    AUTO(free_ptr)
    char *plain = xprintf("t.%s::text IS NOT DISTINCT FROM %c.%s::text", name, other, name);

    if (!r->has_large) {
        return xstrdup(plain);
    }
    AUTO(free_ptr) char *literal = pg_literal(column);
    /* SQL_ASCII may have any bytes, and converts none of them. */
    return xprintf("(CASE WHEN %c." LARGE " ? %s THEN encode(sha256(convert_to(t.%s::text, CASE "
                   "getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)), "
                   "'hex') IS NOT DISTINCT FROM %c." LARGE " ->> %s ELSE %s END)",
                   other, literal, name, other, literal, plain);
}

/* "c = w.c", but for a large value that is there already; heap. */
static char *set_of(const struct restoring *r, const char *column)
{
    AUTO(free_ptr) char *name = pg_name(column);
    AUTO(free_ptr) char *equal = equal_to(r, column, 'w');

    return r->has_large
               ? xprintf("%s = CASE WHEN %s THEN t.%s ELSE w.%s END", name, equal, name, name)
               : xprintf("%s = w.%s", name, name);
}

static char *part_of(const struct restoring *r, enum list list, const char *column)
{
    AUTO(free_ptr) char *name = pg_name(column);

    switch (list) {
    case LIST_NAMES:
        return xstrdup(name);
    case LIST_WANTED:
        return xprintf("w.%s", name);
    case LIST_SET:
        return set_of(r, column);
    case LIST_LEFT:
        return equal_to(r, column, 'h');
    case LIST_EQUAL:
        break;
    }
    return equal_to(r, column, 'w');
}

/* The columns in one of the forms that statements need; heap. */
static char *list_of(const struct restoring *r, enum list list)
{
    AUTO(buf_done) struct buf text = BUF_INIT(POSTGRES_SQL_MAX);
    const char *id = mapping_id(r->table->mapping);
    const char *between = list == LIST_LEFT || list == LIST_EQUAL ? " AND " : ", ";
    struct err err = ERR_INIT;

    for (size_t i = 0; i < r->column_count; i++) {
        const char *column = r->columns[i];
        if (list == LIST_SET && (strcmp(column, id) == 0 || is_fixed(r, column))) {
            continue;
        }
        AUTO(free_ptr) char *part = part_of(r, list, column);
        if (buf_printf(&text, &err, "%s%s", text.len == 0 ? "" : between, part) < 0) {
            break; /* 1,664 names of 63 bytes are far below the cap */
        }
    }
    return text.data == NULL ? xstrdup("") : buf_take(&text);
}

/* ---- rows to the server ---- */

/* What COPY's text format has another form for; NULL: c is itself. */
static const char *escaped(char c)
{
    switch (c) {
    case '\\':
        return "\\\\";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    default:
        return NULL;
    }
}

static int add_field(struct buf *line, struct str text, struct err *err)
{
    size_t plain = 0; /* from here on nothing was added yet */

    if (text.ptr == NULL) {
        return buf_add_c(line, "\\N", err);
    }
    for (size_t i = 0; i < text.len; i++) {
        const char *as = escaped(text.ptr[i]);
        if (as == NULL) {
            continue;
        }
        if (buf_add(line, text.ptr + plain, i - plain, err) < 0 || buf_add_c(line, as, err) < 0) {
            return -(int)err->code;
        }
        plain = i + 1;
    }
    return buf_add(line, text.ptr + plain, text.len - plain, err);
}

/* One value; *ret_known false: it was never kept. */
static int add_value(struct restoring *r, const struct memory *memory, const char *column,
                     bool *ret_known, struct err *err)
{
    AUTO(earlier_done) struct earlier earlier = {.is_known = false};
    struct str text = {NULL, 0};

    *ret_known = true;
    if (row_too_large(&r->origin, column).ptr == NULL) {
        (void)row_text(memory, &r->origin, r->table->mapping, column, &text);
        return add_field(&r->lines, text, err);
    }
    r->has_large = true;
    if (r->held) { /* it is compared by its digest */
        return add_field(&r->lines, text, err);
    }
    if (earlier_read(r->reader, memory, r->pg->options->name, r->table->mapping, column, &earlier,
                     err) < 0) {
        return -(int)err->code;
    }
    *ret_known = earlier.is_known;
    return add_field(&r->lines, earlier.value.text, err);
}

static int add_digests(struct restoring *r, struct err *err)
{
    return buf_add_c(&r->lines, "\t", err) < 0 ||
                   add_field(&r->lines, r->origin.too_large_json, err) < 0
               ? -(int)err->code
               : 0;
}

#define SEND_BYTES ((size_t)64 * 1024) /* rows that are sent together */

static int send_lines(struct restoring *r, struct err *err)
{
    int rc = pg_copy_put(r->pg, r->pg->sql, buf_str(&r->lines), err);

    buf_reset(&r->lines);
    return rc;
}

/* The row that r->origin has. */
static int send_row(struct restoring *r, const struct memory *memory, struct err *err)
{
    size_t before = r->lines.len;

    for (size_t i = 0; i < r->column_count; i++) {
        bool is_known = true;
        if ((i > 0 && buf_add_c(&r->lines, "\t", err) < 0) ||
            add_value(r, memory, r->columns[i], &is_known, err) < 0) {
            return -(int)err->code;
        }
        if (!is_known) {
            r->answer->lost++;
            r->lines.len = before;
            return 0;
        }
    }
    if ((!r->directly && add_digests(r, err) < 0) || buf_add_c(&r->lines, "\n", err) < 0) {
        return -(int)err->code;
    }
    r->rows++;
    return r->lines.len < SEND_BYTES ? 0 : send_lines(r, err);
}

/* Is it a row of this table, that was not deleted? Then r->origin has it. */
static bool is_row(struct restoring *r, const struct memory *memory)
{
    return row_of_memory(memory, r->pg->options->name, r->table->name, &r->origin) &&
           r->origin.values != NULL && memory->deleted_us == TIME_NONE;
}

static int send_memory(void *arg, const struct memory *memory, const struct last_state *state,
                       struct err *err)
{
    struct restoring *r = arg;

    (void)state;
    if (source_cancelled(r->pg->options, err) < 0) {
        return -(int)err->code;
    }
    return is_row(r, memory) ? send_row(r, memory, err) : 0;
}

/* Show and start a COPY of the columns that were chosen. */
static int copy_begin(struct restoring *r, const char *to, const char *more, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *names = list_of(r, LIST_NAMES);
    AUTO(free_ptr) char *copy = xprintf("COPY %s (%s%s) FROM STDIN", to, names, more);

    r->rows = 0;
    if (buf_printf(&r->restore->sql, err, "%s;\n", copy) < 0 ||
        pg_query(r->pg, r->pg->sql, copy, NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    r->copying = true;
    return 0;
}

static int copy_end(struct restoring *r, struct err *err)
{
    if (send_lines(r, err) < 0) {
        return -(int)err->code;
    }
    r->copying = false;
    if (pg_copy_end(r->pg, r->pg->sql, NULL, err) < 0) {
        return -(int)err->code;
    }
    return buf_printf(&r->restore->sql, err, "-- %llu rows from the ledger\n",
                      (unsigned long long)r->rows);
}

/* want: what shows now. held: what was said last, where that is held. */

static int fill(struct restoring *r, bool held, struct err *err)
{
    AUTO(free_ptr) char *names = list_of(r, LIST_NAMES);
    const char *to = held ? "pg_temp.holdfast_held" : "pg_temp.holdfast_want";
    AUTO(free_ptr) char *drop = xprintf("DROP TABLE IF EXISTS %s", to);
    AUTO(free_ptr)
    char *make = xprintf("CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT %s, NULL::jsonb AS " LARGE
                         " FROM %s WITH NO DATA",
                         to, names, r->table->quoted);

    r->held = held;
    if (restore_run(r, drop, NULL, err) < 0 || restore_run(r, make, NULL, err) < 0 ||
        copy_begin(r, to, ", " LARGE, err) < 0 ||
        (held ? read_last_uncounted : read_effective_all)(r->reader, send_memory, r, err) < 0) {
        return -(int)err->code;
    }
    return copy_end(r, err);
}

/* ---- columns ---- */

/* Columns that were captured of some row; others get their default. */
struct captured {
    struct restoring *restoring;
    bool *is_captured;
};

static void note_captured(const struct captured *captured, const struct memory *memory)
{
    const struct restoring *r = captured->restoring;
    struct str text;

    for (size_t i = 0; i < r->all_count; i++) {
        captured->is_captured[i] =
            captured->is_captured[i] || row_too_large(&r->origin, r->columns[i]).ptr != NULL ||
            row_text(memory, &r->origin, r->table->mapping, r->columns[i], &text);
    }
}

/* Is one captured that was not chosen? */
static bool has_others(const struct restoring *r, const bool *is_captured)
{
    for (size_t i = r->column_count; i < r->all_count; i++) {
        if (is_captured[i]) {
            return true;
        }
    }
    return false;
}

/* Those first, in their order. */
static void put_first(struct restoring *r, const bool *is_captured)
{
    AUTO(free_ptr) char **others = xcalloc(r->all_count + 1, sizeof(*others));
    size_t count = 0;

    r->column_count = 0;
    for (size_t i = 0; i < r->all_count; i++) {
        if (is_captured[i]) {
            r->columns[r->column_count++] = r->columns[i];
        } else {
            others[count++] = r->columns[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        r->columns[r->column_count + i] = others[i];
    }
}

static int note_columns(void *arg, const struct memory *memory, const struct last_state *state,
                        struct err *err)
{
    struct captured *captured = arg;
    struct restoring *r = captured->restoring;

    (void)state;
    if (source_cancelled(r->pg->options, err) < 0) {
        return -(int)err->code;
    }
    if (is_row(r, memory)) {
        note_captured(captured, memory);
    }
    return 0;
}

static int choose_columns(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) bool *is_captured = xcalloc(r->all_count + 1, sizeof(*is_captured));
    struct captured captured = {.restoring = r, .is_captured = is_captured};

    if (read_effective_all(r->reader, note_columns, &captured, err) < 0 ||
        read_last_uncounted(r->reader, note_columns, &captured, err) < 0) {
        return -(int)err->code;
    }
    put_first(r, is_captured);
    return 0;
}

/* ---- a table that has no rows ---- */

/* The first row says which columns there are. One that has others still ends it. */
static int send_directly(void *arg, const struct memory *memory, const struct last_state *state,
                         struct err *err)
{
    struct restoring *r = arg;

    (void)state;
    if (source_cancelled(r->pg->options, err) < 0) {
        return -(int)err->code;
    }
    if (!is_row(r, memory)) {
        return 0;
    }
    if (r->column_count < r->all_count) {
        AUTO(free_ptr) bool *is_captured = xcalloc(r->all_count + 1, sizeof(*is_captured));
        struct captured captured = {.restoring = r, .is_captured = is_captured};
        note_captured(&captured, memory);
        if (r->column_count == 0) {
            put_first(r, is_captured);
            if (copy_begin(r, r->table->quoted, "", err) < 0) {
                return -(int)err->code;
            }
        } else if (has_others(r, is_captured)) {
            r->misfits = true;
            return 1;
        }
    }
    return send_row(r, memory, err);
}

static int copy_directly(struct restoring *r, struct err *err)
{
    if (read_effective_all(r->reader, send_directly, r, err) < 0) {
        return -(int)err->code;
    }
    if (r->misfits) {
        r->copying = false;
        return pg_copy_end(r->pg, r->pg->sql, "its rows have other columns", err);
    }
    return r->column_count > 0 ? copy_end(r, err) : 0;
}

/* Nobody else may write into it until we are done. */
static int is_empty(struct restoring *r, bool *ret, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *ask = xprintf("SELECT FROM %s LIMIT 1", r->table->quoted);
    AUTO(free_ptr)
    char *lock = xprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE NOWAIT", r->table->quoted);

    *ret = r->answer->created;
    if (*ret) {
        return 0;
    }
    if (restore_run(r, lock, NULL, err) < 0 ||
        pg_query(r->pg, r->pg->sql, ask, NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    *ret = PQntuples(result) == 0;
    return 0;
}

/* What the server says of its rows; another way may be open to them. */
static bool is_refusal(const struct restoring *r, const struct err *err)
{
    return !r->copying && (r->misfits || err->code == ERR_CONFLICT || err->code == ERR_INVALID ||
                           err->code == ERR_BUSY || err->code == ERR_FORBIDDEN);
}

/* The rows go straight into it, as nothing can be there to be kept, or to be compared with.
 * *ret_done false: they must go the long way. */
static int restore_directly(struct restoring *r, bool *ret_done, struct err *err)
{
    size_t shown = r->restore->sql.len;
    struct err why = ERR_INIT;

    *ret_done = false;
    if (r->table->partitioned || r->all_count == 0) { /* a row's partition may be gone */
        return 0;
    }
    if (pg_exec(r->pg, r->pg->sql, "SAVEPOINT holdfast_empty", err) < 0) {
        return -(int)err->code;
    }
    r->directly = true;
    r->misfits = false;
    r->rows = 0;
    int rc = is_empty(r, ret_done, &why);
    rc = rc == 0 && *ret_done ? copy_directly(r, &why) : rc;
    r->directly = false;
    if (rc < 0 && !is_refusal(r, &why)) {
        return err_copy(err, &why);
    }
    if (rc == 0 && *ret_done && !r->misfits) {
        r->answer->inserted = r->rows;
        return 0;
    }
    *ret_done = false;
    r->answer->lost = 0;
    r->restore->sql.len = shown;
    buf_reset(&r->lines);
    return pg_exec(r->pg, r->pg->sql, "ROLLBACK TO SAVEPOINT holdfast_empty", err);
}

/* ---- a table that has some ---- */

static int count_rows(struct restoring *r, const char *condition, uint64_t *ret, struct err *err)
{
    AUTO(free_ptr) char *id = pg_name(mapping_id(r->table->mapping));
    AUTO(free_ptr)
    char *sql = xprintf("SELECT count(*) FROM %s t JOIN pg_temp.holdfast_want w ON t.%s = w.%s%s%s",
                        r->table->quoted, id, id, condition[0] == '\0' ? "" : " WHERE ", condition);
    AUTO(pg_clear) PGresult *result = NULL;

    if (pg_query_long(r->pg, r->pg->sql, sql, &result, err) < 0) {
        return -(int)err->code;
    }
    *ret = PQntuples(result) == 1 ? strtoull(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    return 0;
}

#define PARTS_BACK_MAX 32 /* definitions that are tried for the partition of a row */

/* Rows of a partition that is gone have no place: it is made again, as it was last. */
static int insert_into_parts(struct restoring *r, const char *insert, struct err *err)
{
    struct err why = ERR_INIT;
    bool more = true;

    for (size_t back = 0; more && back < PARTS_BACK_MAX; back++) {
        if (pg_exec(r->pg, r->pg->sql, "SAVEPOINT holdfast_rows", err) < 0) {
            return -(int)err->code;
        }
        why.code = ERR_NONE;
        if (restore_run(r, insert, &r->answer->inserted, &why) == 0) {
            return 0;
        }
        if (why.code != ERR_CONFLICT) {
            return err_copy(err, &why);
        }
        if (pg_exec(r->pg, r->pg->sql, "ROLLBACK TO SAVEPOINT holdfast_rows", err) < 0 ||
            restore_parts(r, back, &more, err) < 0) {
            return -(int)err->code;
        }
    }
    (void)err_copy(err, &why);
    return err_context(err,
                       "where a partition was detached, attach it again (ALTER TABLE %s "
                       "ATTACH PARTITION ...), then restore again",
                       r->table->quoted);
}

static int put_rows(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *names = list_of(r, LIST_NAMES);
    AUTO(free_ptr) char *wanted = list_of(r, LIST_WANTED);
    AUTO(free_ptr) char *set = list_of(r, LIST_SET);
    AUTO(free_ptr) char *left = list_of(r, LIST_LEFT);
    AUTO(free_ptr) char *equal = list_of(r, LIST_EQUAL);
    AUTO(free_ptr) char *id = pg_name(mapping_id(r->table->mapping));
    uint64_t there = 0;

    AUTO(free_ptr)
    char *update =
        xprintf("UPDATE %s t SET %s FROM pg_temp.holdfast_want w JOIN "
                "pg_temp.holdfast_held h ON h.%s = w.%s WHERE t.%s = w.%s AND %s AND NOT "
                "(%s)",
                r->table->quoted, set, id, id, id, id, left, equal);
    AUTO(free_ptr)
    char *insert = xprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM "
                           "pg_temp.holdfast_want w WHERE NOT EXISTS (SELECT FROM %s t WHERE t.%s "
                           "= w.%s) ON CONFLICT DO NOTHING",
                           r->table->quoted, names, wanted, r->table->quoted, id, id);
    if (count_rows(r, "", &there, err) < 0 || count_rows(r, equal, &r->answer->same, err) < 0 ||
        (set[0] != '\0' && restore_run(r, update, &r->answer->updated, err) < 0)) {
        return -(int)err->code;
    }
    r->answer->kept = there - r->answer->same - r->answer->updated;
    return r->table->partitioned ? insert_into_parts(r, insert, err)
                                 : restore_run(r, insert, &r->answer->inserted, err);
}

int restore_rows(struct restoring *r, struct err *err)
{
    bool is_done = false;

    r->column_count = 0;
    int rc = pg_columns(r->pg, r->table, &r->columns, &r->all_count, err);
    rc = rc == 0 ? restore_directly(r, &is_done, err) : rc;
    if (rc == 0 && !is_done) {
        r->has_large = false;
        rc = find_fixed(r, err);
        rc = rc == 0 ? choose_columns(r, err) : rc;
    }
    if (rc == 0 && !is_done && r->column_count > 0) { /* else nothing of it was ever seen */
        rc = fill(r, false, err);
        rc = rc == 0 ? fill(r, true, err) : rc;
        rc = rc == 0 ? put_rows(r, err) : rc;
    }
    pg_columns_free(r->columns, r->all_count);
    r->columns = NULL;
    r->column_count = r->all_count = 0;
    return rc;
}
