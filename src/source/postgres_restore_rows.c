/*
 * Restore of one table's rows. Two temporary tables are filled from the ledger: `want`, the rows as
 * they should be, and `held`, what the destruction that is held made of them. The server compares
 * them with what is there.
 *
 * Of a value that was too large to be kept its digest is known: so a row shows to be still what the
 * destruction left, and what it says is taken from the last version that had it whole.
 */
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
    return xprintf("(CASE WHEN %c." LARGE " ? %s THEN encode(sha256(convert_to(t.%s::text, "
                   "'UTF8')), 'hex') IS NOT DISTINCT FROM %c." LARGE " ->> %s ELSE %s END)",
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

/* ---- what was too large ---- */

/* The last that was said of a column before it was too large. */
struct earlier {
    const struct restoring *restoring;
    const char *column;
    char *text; /* heap; NULL: NULL */
    size_t len;
    bool is_known;
};

static int note_earlier(void *arg, const struct change *change, const struct memory *memory,
                        bool held, struct err *err)
{
    struct earlier *earlier = arg;
    const struct restoring *r = earlier->restoring;
    struct row_origin origin;
    struct str text;

    (void)change;
    (void)err;
    if (held || memory->deleted_us != TIME_NONE ||
        !row_of_memory(memory, r->pg->options->name, r->table->name, &origin) ||
        !row_text(memory, &origin, r->table->mapping, earlier->column, &text)) {
        return 0;
    }
    free(earlier->text);
    earlier->text = text.ptr == NULL ? NULL : xstrndup(text.ptr, text.len);
    earlier->len = text.len;
    earlier->is_known = true;
    return 0;
}

/* ---- rows to the server ---- */

static int add_field(struct buf *line, struct str text, struct err *err)
{
    if (text.ptr == NULL) {
        return buf_add_c(line, "\\N", err);
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        const char *as = c == '\\' ? "\\\\" : c == '\t' ? "\\t" : c == '\n' ? "\\n" : NULL;
        int rc = c == '\r'    ? buf_add_c(line, "\\r", err)
                 : as != NULL ? buf_add_c(line, as, err)
                              : buf_add(line, &c, 1, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* One value; *ret_known false: it was never kept. */
static int add_value(struct restoring *r, const struct memory *memory,
                     const struct row_origin *origin, const char *column, bool *ret_known,
                     struct err *err)
{
    struct earlier earlier = {.restoring = r, .column = column};
    struct str text = {NULL, 0};

    *ret_known = true;
    if (row_too_large(origin, column).ptr == NULL) {
        (void)row_text(memory, origin, r->table->mapping, column, &text);
        return add_field(&r->lines, text, err);
    }
    r->has_large = true;
    if (r->held) { /* it is compared by its digest */
        return add_field(&r->lines, text, err);
    }
    int rc = read_history(r->reader, &memory->id, note_earlier, &earlier, err);
    if (rc == 0 && earlier.text != NULL) {
        text = (struct str){earlier.text, earlier.len};
    }
    rc = rc == 0 ? add_field(&r->lines, text, err) : rc;
    *ret_known = earlier.is_known;
    free(earlier.text);
    return rc;
}

static int add_digests(struct restoring *r, const struct row_origin *origin, struct err *err)
{
    AUTO(free_ptr)
    char *digests = origin->too_large == NULL
                        ? NULL
                        : json_dumps(origin->too_large, JSON_COMPACT | JSON_SORT_KEYS);
    struct str text = digests == NULL ? (struct str){NULL, 0} : str_of(digests);

    return buf_add_c(&r->lines, "\t", err) < 0 || add_field(&r->lines, text, err) < 0
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

static int send_row(struct restoring *r, const struct memory *memory,
                    const struct row_origin *origin, struct err *err)
{
    size_t before = r->lines.len;

    for (size_t i = 0; i < r->column_count; i++) {
        bool is_known = true;
        if ((i > 0 && buf_add_c(&r->lines, "\t", err) < 0) ||
            add_value(r, memory, origin, r->columns[i], &is_known, err) < 0) {
            return -(int)err->code;
        }
        if (!is_known) {
            r->answer->lost++;
            r->lines.len = before;
            return 0;
        }
    }
    if (add_digests(r, origin, err) < 0 || buf_add_c(&r->lines, "\n", err) < 0) {
        return -(int)err->code;
    }
    r->rows++;
    return r->lines.len < SEND_BYTES ? 0 : send_lines(r, err);
}

/* want: what shows now. held: what was said last, where that is held. */
static int send_memory(void *arg, const struct memory *memory, const struct last_state *state,
                       struct err *err)
{
    struct restoring *r = arg;
    AUTO(memory_done) struct memory effective;
    const struct memory *said = memory;
    struct memory_state effective_state;
    struct row_origin origin;

    memory_init(&effective);
    if (pg_cancelled(r->pg, err) < 0) {
        return -(int)err->code;
    }
    if ((r->held && state->counts) ||
        !row_of_memory(memory, r->pg->options->name, r->table->name, &origin) ||
        origin.values == NULL) {
        return 0;
    }
    if (!r->held && !state->counts) {
        int rc = read_memory(r->reader, &memory->id, &effective, &effective_state, err);
        if (rc < 0) {
            bool none = err->code == ERR_NOT_FOUND;
            err->code = none ? ERR_NONE : err->code;
            return none ? 0 : rc;
        }
        said = &effective;
        if (!row_of_memory(said, r->pg->options->name, r->table->name, &origin)) {
            return 0;
        }
    }
    return said->deleted_us != TIME_NONE ? 0 : send_row(r, said, &origin, err);
}

static int fill(struct restoring *r, bool held, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *names = list_of(r, LIST_NAMES);
    const char *to = held ? "holdfast_held" : "holdfast_want";
    AUTO(free_ptr) char *drop = xprintf("DROP TABLE IF EXISTS pg_temp.%s", to);
    AUTO(free_ptr)
    char *make = xprintf("CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT %s, NULL::jsonb AS " LARGE
                         " FROM %s WITH NO DATA",
                         to, names, r->table->quoted);
    AUTO(free_ptr) char *copy = xprintf("COPY pg_temp.%s (%s, " LARGE ") FROM STDIN", to, names);

    r->held = held;
    r->rows = 0;
    if (restore_run(r, drop, NULL, err) < 0 || restore_run(r, make, NULL, err) < 0 ||
        buf_printf(&r->restore->sql, err, "%s;\n", copy) < 0 ||
        pg_query(r->pg, r->pg->sql, copy, NULL, 0, &result, err) < 0 ||
        read_last_all(r->reader, send_memory, r, err) < 0 || send_lines(r, err) < 0 ||
        pg_copy_end(r->pg, r->pg->sql, err) < 0) {
        return -(int)err->code;
    }
    return buf_printf(&r->restore->sql, err, "-- %llu rows from the ledger\n",
                      (unsigned long long)r->rows);
}

/* ---- one table ---- */

/* Columns that were captured of some row; others get their default. */
struct captured {
    struct restoring *restoring;
    bool *is_captured;
};

static int note_columns(void *arg, const struct memory *memory, const struct last_state *state,
                        struct err *err)
{
    struct captured *captured = arg;
    struct restoring *r = captured->restoring;
    struct row_origin origin;
    struct str text;

    (void)state;
    if (pg_cancelled(r->pg, err) < 0) {
        return -(int)err->code;
    }
    if (!row_of_memory(memory, r->pg->options->name, r->table->name, &origin) ||
        origin.values == NULL) {
        return 0;
    }
    for (size_t i = 0; i < r->column_count; i++) {
        captured->is_captured[i] =
            captured->is_captured[i] || row_too_large(&origin, r->columns[i]).ptr != NULL ||
            row_text(memory, &origin, r->table->mapping, r->columns[i], &text);
    }
    return 0;
}

static int choose_columns(struct restoring *r, struct err *err)
{
    if (pg_columns(r->pg, r->table, &r->columns, &r->column_count, err) < 0) {
        return -(int)err->code;
    }
    AUTO(free_ptr) bool *is_captured = xcalloc(r->column_count + 1, sizeof(*is_captured));
    struct captured captured = {.restoring = r, .is_captured = is_captured};
    if (read_last_all(r->reader, note_columns, &captured, err) < 0) {
        return -(int)err->code;
    }
    size_t count = 0;
    for (size_t i = 0; i < r->column_count; i++) {
        if (is_captured[i]) {
            r->columns[count++] = r->columns[i];
        } else {
            free(r->columns[i]);
        }
    }
    r->column_count = count;
    return 0;
}

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
    r->has_large = false;
    int rc = find_fixed(r, err);
    rc = rc == 0 ? choose_columns(r, err) : rc;
    if (rc == 0 && r->column_count > 0) { /* else nothing of it was ever seen */
        rc = fill(r, false, err);
        rc = rc == 0 ? fill(r, true, err) : rc;
        rc = rc == 0 ? put_rows(r, err) : rc;
    }
    pg_columns_free(r->columns, r->column_count);
    r->columns = NULL;
    r->column_count = 0;
    return rc;
}
