/*
 * Restore: in one transaction, what the ledger holds and the database lacks. What somebody changed
 * since is theirs: it is counted, and left.
 *
 * For each table two temporary ones are filled: `want`, the rows as they should be, and `held`,
 * what the destruction that is held made of them. Missing rows are inserted; a row is updated only
 * if it is still what the destruction left. A dry run does all of it and rolls back, so that its
 * counts are those of the real one.
 */
#include "source/definition.h"
#include "source/postgres_internal.h"

struct restoring {
    struct postgres *pg;
    struct source_restore *restore;
    struct pg_table *table;
    struct source_restore_table *answer;
    struct reader *reader;
    char **columns; /* of the table, that are captured */
    size_t column_count;
    PGresult *fixed; /* columns that no update may set */
    bool held;       /* which of the two tables is filled now */
    struct buf line;
    uint64_t rows;
};

/* ---- statements ---- */

/* Run it, and show it. */
static int run(struct restoring *r, const char *sql, uint64_t *ret_rows, struct err *err)
{
    if (buf_printf(&r->restore->sql, err, "%s;\n", sql) < 0 ||
        pg_exec_long(r->pg, r->pg->sql, sql, ret_rows, err) < 0) {
        return err->code == ERR_CANCELLED ? -(int)err->code
                                          : err_context(err, "restoring %s", r->table->name);
    }
    return 0;
}

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

/* The columns in one of the forms that statements need; heap. */
static char *list_of(const struct restoring *r, enum list list)
{
    AUTO(buf_done) struct buf text = BUF_INIT(POSTGRES_SQL_MAX);
    const char *id = mapping_id(r->table->mapping);
    struct err err = ERR_INIT;
    bool first = true;

    for (size_t i = 0; i < r->column_count; i++) {
        AUTO(free_ptr) char *name = pg_name(r->columns[i]);
        const char *comma = first ? "" : ", ";
        const char *and = first ? "" : " AND ";
        int rc = 0;
        if (list == LIST_SET && (strcmp(r->columns[i], id) == 0 || is_fixed(r, r->columns[i]))) {
            continue;
        }
        switch (list) {
        case LIST_NAMES:
            rc = buf_printf(&text, &err, "%s%s", comma, name);
            break;
        case LIST_WANTED:
            rc = buf_printf(&text, &err, "%sw.%s", comma, name);
            break;
        case LIST_SET:
            rc = buf_printf(&text, &err, "%s%s = w.%s", comma, name, name);
            break;
        case LIST_LEFT:
            rc = buf_printf(&text, &err, "%st.%s::text IS NOT DISTINCT FROM h.%s::text", and, name,
                            name);
            break;
        case LIST_EQUAL:
            rc = buf_printf(&text, &err, "%st.%s::text IS NOT DISTINCT FROM w.%s::text", and, name,
                            name);
            break;
        }
        first = false;
        if (rc < 0) {
            break; /* 1,664 names of 63 bytes are far below the cap */
        }
    }
    return text.data == NULL ? xstrdup("") : buf_take(&text);
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

static int send_row(struct restoring *r, const struct memory *memory,
                    const struct row_origin *origin, struct err *err)
{
    buf_reset(&r->line);
    for (size_t i = 0; i < r->column_count; i++) {
        struct str text = {NULL, 0};
        (void)row_text(memory, origin, r->table->mapping, r->columns[i], &text);
        if ((i > 0 && buf_add_c(&r->line, "\t", err) < 0) || add_field(&r->line, text, err) < 0) {
            return -(int)err->code;
        }
    }
    if (buf_add_c(&r->line, "\n", err) < 0) {
        return -(int)err->code;
    }
    r->rows++;
    return PQputCopyData(r->pg->sql, r->line.data, (int)r->line.len) < 0
               ? pg_error(r->pg->sql, NULL, err)
               : 0;
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

static int end_copy(struct restoring *r, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;

    if (PQputCopyEnd(r->pg->sql, NULL) < 0) {
        return pg_error(r->pg->sql, NULL, err);
    }
    result = PQgetResult(r->pg->sql);
    int rc = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : pg_error(r->pg->sql, result, err);
    PGresult *more;
    while ((more = PQgetResult(r->pg->sql)) != NULL) {
        PQclear(more);
    }
    return rc;
}

static int fill(struct restoring *r, bool held, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *names = list_of(r, LIST_NAMES);
    const char *to = held ? "holdfast_held" : "holdfast_want";
    AUTO(free_ptr) char *drop = xprintf("DROP TABLE IF EXISTS pg_temp.%s", to);
    AUTO(free_ptr)
    char *make = xprintf("CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA",
                         to, names, r->table->quoted);
    AUTO(free_ptr) char *copy = xprintf("COPY pg_temp.%s (%s) FROM STDIN", to, names);

    r->held = held;
    r->rows = 0;
    if (run(r, drop, NULL, err) < 0 || run(r, make, NULL, err) < 0 ||
        buf_printf(&r->restore->sql, err, "%s;\n", copy) < 0 ||
        pg_query(r->pg, r->pg->sql, copy, NULL, 0, &result, err) < 0 ||
        read_last_all(r->reader, send_memory, r, err) < 0 || end_copy(r, err) < 0) {
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
    (void)err;
    if (!row_of_memory(memory, r->pg->options->name, r->table->name, &origin) ||
        origin.values == NULL) {
        return 0;
    }
    for (size_t i = 0; i < r->column_count; i++) {
        captured->is_captured[i] =
            captured->is_captured[i] ||
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
    AUTO(free_ptr) char *text = NULL;

    if (pg_ask(r->pg, r->pg->sql, sql, NULL, &text, err) < 0) {
        return -(int)err->code;
    }
    *ret = strtoull(text == NULL ? "0" : text, NULL, 10);
    return 0;
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
        (set[0] != '\0' && run(r, update, &r->answer->updated, err) < 0)) {
        return -(int)err->code;
    }
    r->answer->kept = there - r->answer->same - r->answer->updated;
    return run(r, insert, &r->answer->inserted, err);
}

static int make_table(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *definition = NULL;

    int rc = definition_read(r->reader, r->pg->options->name, r->table->name, &definition, err);
    if (rc < 0 || definition == NULL) {
        return rc;
    }
    char *after = strstr(definition, PG_DEFINITION_AFTER);
    if (after != NULL) {
        *after = '\0';
    }
    if (run(r, definition, NULL, err) < 0 || pg_tables_find(r->pg, err) < 0) {
        return -(int)err->code;
    }
    r->answer->created = true;
    return r->table->oid != 0 ? 0
                              : err_set(err, ERR_INTERNAL, "its definition does not make table %s",
                                        r->table->name);
}

/* Foreign keys and triggers of a table that was made again: when all rows are there. */
static int finish_table(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *definition = NULL;

    if (!r->answer->created) {
        return 0;
    }
    int rc = definition_read(r->reader, r->pg->options->name, r->table->name, &definition, err);
    if (rc < 0 || definition == NULL) {
        return rc;
    }
    const char *after = strstr(definition, PG_DEFINITION_AFTER);
    after = after == NULL ? "" : after + strlen(PG_DEFINITION_AFTER);
    return after[0] == '\0' ? 0 : run(r, after, NULL, err);
}

/* Numbers that are given next must be above those that came back. Sequences don't roll back, so a
 * dry run leaves them. */
static int raise_sequences(struct restoring *r, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", r->table->oid);
    const char *values[] = {oid, r->table->quoted};

    if (r->restore->dry_run || r->answer->inserted == 0) {
        return 0;
    }
    if (pg_query(r->pg, r->pg->sql,
                 "SELECT quote_ident(attname), s FROM (SELECT attname, "
                 "pg_catalog.pg_get_serial_sequence($2, attname) AS s FROM pg_catalog.pg_attribute "
                 "WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped) q WHERE s IS NOT "
                 "NULL",
                 values, 2, &result, err) < 0) {
        return -(int)err->code;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        AUTO(free_ptr) char *sequence = pg_literal(PQgetvalue(result, i, 1));
        AUTO(free_ptr)
        char *sql =
            xprintf("SELECT pg_catalog.setval(%s, m) FROM (SELECT max(%s) AS m FROM %s) q "
                    "WHERE m > (SELECT last_value FROM %s)",
                    sequence, PQgetvalue(result, i, 0), r->table->quoted, PQgetvalue(result, i, 1));
        if (run(r, sql, NULL, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

static int put_back(struct restoring *r, struct err *err)
{
    return fill(r, false, err) < 0 || fill(r, true, err) < 0 || put_rows(r, err) < 0 ||
                   raise_sequences(r, err) < 0
               ? -(int)err->code
               : 0;
}

static int restore_table(struct restoring *r, struct err *err)
{
    if (r->table->oid == 0 && make_table(r, err) < 0) {
        return -(int)err->code;
    }
    int rc = find_fixed(r, err);
    rc = rc == 0 ? choose_columns(r, err) : rc;
    if (rc == 0 && r->column_count > 0) { /* else nothing of it was ever seen */
        rc = put_back(r, err);
    }
    pg_columns_free(r->columns, r->column_count);
    r->columns = NULL;
    r->column_count = 0;
    return rc;
}

/* ---- all tables ---- */

/* A superuser's session lets rows in as a replica does: no trigger changes them on their way, and
 * no order of tables is needed. */
static int begin(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *super = NULL;

    if (pg_exec(r->pg, r->pg->sql, "BEGIN", err) < 0 ||
        pg_ask(r->pg, r->pg->sql,
               "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", NULL,
               &super, err) < 0) {
        return -(int)err->code;
    }
    return super != NULL && super[0] == 't'
               ? pg_exec(r->pg, r->pg->sql, "SET LOCAL session_replication_role = replica", err)
               : pg_exec(r->pg, r->pg->sql, "SET CONSTRAINTS ALL DEFERRED", err);
}

/* Those that others refer to come first: a table's depth is one more than that of what it needs. */
static int order_tables(struct postgres *pg, struct pg_table **ret, size_t count, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    size_t depth[SOURCE_TABLES_MAX] = {0};

    if (pg_query(pg, pg->sql,
                 "SELECT conrelid, confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f' AND "
                 "conrelid <> confrelid",
                 NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    for (size_t round = 0; round < count; round++) {
        for (int k = 0; k < PQntuples(result); k++) {
            uint32_t from = (uint32_t)strtoul(PQgetvalue(result, k, 0), NULL, 10);
            uint32_t to = (uint32_t)strtoul(PQgetvalue(result, k, 1), NULL, 10);
            for (size_t i = 0; i < count; i++) {
                for (size_t j = 0; ret[i]->oid == from && j < count; j++) {
                    if (ret[j]->oid == to && depth[i] <= depth[j]) {
                        depth[i] = depth[j] + 1;
                    }
                }
            }
        }
    }
    for (size_t i = 1; i < count; i++) { /* by depth; few tables, and stable */
        for (size_t j = i; j > 0 && depth[j] < depth[j - 1]; j--) {
            struct pg_table *table = ret[j];
            size_t d = depth[j];
            ret[j] = ret[j - 1];
            depth[j] = depth[j - 1];
            ret[j - 1] = table;
            depth[j - 1] = d;
        }
    }
    return 0;
}

static int choose_tables(struct postgres *pg, const char *only, struct pg_table **ret,
                         size_t *ret_count, struct err *err)
{
    *ret_count = 0;
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        if (only == NULL || strcmp(only, table->name) == 0 || strcmp(only, table->table) == 0) {
            ret[(*ret_count)++] = table;
        }
    }
    return *ret_count > 0 ? 0
                          : err_set(err, ERR_NOT_FOUND, "source %s captures no table \"%.128s\"",
                                    pg->options->name, only == NULL ? "" : only);
}

static int restore_all(struct restoring *r, struct pg_table **tables, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        r->table = tables[i];
        r->answer = &r->restore->tables[r->restore->table_count++];
        *r->answer = (struct source_restore_table){.table = xstrdup(r->table->name)};
        if (restore_table(r, err) < 0) {
            return -(int)err->code;
        }
    }
    for (size_t i = 0; i < count; i++) {
        r->table = tables[i];
        r->answer = &r->restore->tables[i];
        if (finish_table(r, err) < 0) {
            return -(int)err->code;
        }
    }
    return pg_exec(r->pg, r->pg->sql, r->restore->dry_run ? "ROLLBACK" : "COMMIT", err);
}

int pg_restore(struct postgres *pg, struct source_restore *restore, struct err *err)
{
    struct restoring r = {.pg = pg, .restore = restore};
    struct pg_table *tables[SOURCE_TABLES_MAX];
    size_t count = 0;

    buf_init(&restore->sql, SOURCE_RESTORE_SQL_MAX);
    if (restore->at_us != TIME_NONE) {
        return err_set(err, ERR_USAGE, "--at is for sources of files");
    }
    buf_init(&r.line, (size_t)4 * CHANGE_RECORD_MAX);
    if (pg_tables_find(pg, err) < 0 ||
        choose_tables(pg, restore->only_table, tables, &count, err) < 0 ||
        order_tables(pg, tables, count, err) < 0 ||
        read_begin(pg->options->ledger, &r.reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = begin(&r, err);
    rc = rc == 0 ? restore_all(&r, tables, count, err) : rc;
    read_end(r.reader);
    pg_clear(&r.fixed);
    buf_done(&r.line);
    return rc; /* the connection is closed by the caller, and with it a transaction that failed */
}
