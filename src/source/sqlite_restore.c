/*
 * Restore: what the ledger shows and the file lacks. A row is inserted where it is missing, and
 * updated only if it is still what the held destruction left; what somebody else made of it since
 * is theirs: it is counted, and left. Nothing is deleted.
 *
 * The application's triggers don't run: they would change the rows on their way. Its search tables
 * (FTS) that are built from a table's rows are built again.
 */
#include "base/num.h"
#include "source/definition.h"
#include "source/earlier.h"
#include "source/sqlite_internal.h"

struct target {
    char *name;
    const struct source_mapping *mapping; /* NULL: none is configured */
    struct sqlite_shape shape;            /* name NULL: it could not be made */
    struct source_restore_table *answer;
    struct sqlite_reading reading;
    sqlite3_stmt *find;
    bool *has;            /* of the shape's columns: those of the last row that was put */
    sqlite3_stmt *insert; /* of these columns */
    sqlite3_stmt *update; /* NULL: there is nothing to set */
    int64_t highest;      /* integer key that ever was */
    bool has_rows;        /* the ledger has some of it */
};

struct restoring {
    const struct source_options *options;
    struct source_restore *restore;
    struct sqlite_place place;
    struct reader *reader;
    sqlite3 *db;
    struct target targets[SOURCE_TABLES_MAX];
    size_t count;
    struct buf scratch;
};

/* ---- statements ---- */

static int show(struct restoring *r, const char *sql, struct err *err)
{
    return buf_printf(&r->restore->sql, err, "%s;\n", sql);
}

static int run(struct restoring *r, const char *sql, struct err *err)
{
    return show(r, sql, err) < 0 ? -(int)err->code : sqlite_run(r->db, sql, err);
}

enum part { PART_SETTINGS, PART_OBJECTS };

/* Each statement of a definition. Tolerant: one that fails is told, and the next is run; what a
 * file holds beside its rows may need what is not here. */
static int run_each(struct restoring *r, const char *text, enum part part, bool tolerant,
                    struct err *err)
{
    const char *next = text;
    int rc = 0;

    while (rc == 0 && *next != '\0') {
        AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
        struct err why = ERR_INIT;
        int code = sqlite3_prepare_v2(r->db, next, -1, &statement, &next);
        if (code == SQLITE_OK && statement == NULL) {
            return 0; /* comments at the end */
        }
        const char *sql = statement == NULL ? "" : sqlite3_sql(statement);
        bool is_setting = strstr(sql, "PRAGMA ") != NULL;
        if (code == SQLITE_OK && is_setting != (part == PART_SETTINGS)) {
            continue;
        }
        bool is_mode = is_setting && strstr(sql, "journal_mode") != NULL;
        if (is_mode) { /* can't be set in a transaction; and it comes last */
            r->place.is_log = strstr(sql, "'wal'") != NULL;
            continue;
        }
        int done = code != SQLITE_OK ? sqlite_error(r->db, code, &why)
                                     : sqlite_step(r->db, statement, &why);
        rc = done >= 0   ? buf_printf(&r->restore->sql, err, "%s\n", sql)
             : !tolerant ? err_copy(err, &why)
                         : buf_printf(&r->restore->sql, err, "-- left: %s\n", why.message);
    }
    return rc;
}

/* ---- tables ---- */

static struct target *find_target(struct restoring *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++) {
        if (sqlite3_stricmp(r->targets[i].name, name) == 0) {
            return &r->targets[i];
        }
    }
    return NULL;
}

static struct target *add_target(struct restoring *r, const char *name,
                                 const struct source_mapping *mapping)
{
    const char *only = r->restore->only_table;

    if ((only != NULL && sqlite3_stricmp(only, name) != 0) || r->count == SOURCE_TABLES_MAX) {
        return NULL;
    }
    struct target *target = &r->targets[r->count++];
    *target = (struct target){.name = xstrdup(name), .mapping = mapping, .highest = INT64_MIN};
    return target;
}

/* Tables that the ledger has rows of, when the configuration names none; and the highest key that
 * each ever gave out. */
static int note_row(void *arg, const struct memory *memory, const struct last_state *state,
                    struct err *err)
{
    struct restoring *r = arg;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct err none = ERR_INIT;
    int64_t key;

    (void)state;
    if (source_cancelled(r->options, err) < 0) {
        return -(int)err->code;
    }
    if (!row_of_memory(memory, r->options->name, NULL, &origin) || origin.values == NULL) {
        return 0;
    }
    struct target *target = find_target(r, origin.table);
    if (target == NULL && r->options->table_count == 0) {
        target = add_target(r, origin.table, NULL);
    }
    if (target != NULL) {
        target->has_rows = true;
        if (num_parse_i64(str_of(origin.key), INT64_MIN, INT64_MAX, "key", &key, &none) == 0 &&
            key > target->highest) {
            target->highest = key;
        }
    }
    return 0;
}

static int choose_targets(struct restoring *r, struct err *err)
{
    for (size_t i = 0; i < r->options->table_count; i++) {
        (void)add_target(r, r->options->tables[i].table, &r->options->tables[i]);
    }
    if (read_last_all(r->reader, note_row, r, err) < 0) {
        return -(int)err->code;
    }
    return r->count > 0 ? 0
                        : err_set(err, ERR_NOT_FOUND, "source %s captured no table \"%.128s\"",
                                  r->options->name,
                                  r->restore->only_table == NULL ? "" : r->restore->only_table);
}

static int read_shape(struct restoring *r, struct target *target, struct err *err)
{
    AUTO(free_ptr) char *why_not = NULL;

    int rc = sqlite_shape_read(r->db, target->name, target->mapping, &target->shape, &why_not, err);
    if (rc == 0 && why_not != NULL) {
        return err_set(err, ERR_CONFLICT, "table %s can't be restored: what is there now is %s",
                       target->name, why_not);
    }
    return rc;
}

static int make_table(struct restoring *r, struct target *target, struct err *err)
{
    AUTO(free_ptr) char *definition = NULL;

    if (definition_read(r->reader, r->options->name, target->name, &definition, err) < 0) {
        return -(int)err->code;
    }
    char *behind = strstr(definition, LITE_BEHIND);
    if (behind != NULL) {
        *behind = '\0';
    }
    if (run_each(r, definition, PART_OBJECTS, false, err) < 0 || read_shape(r, target, err) < 0) {
        return err_context(err, "table %s", target->name);
    }
    target->answer->created = true;
    return 0;
}

/* The triggers of a table that was made again: when all rows are there. */
static int finish_table(struct restoring *r, struct target *target, struct err *err)
{
    AUTO(free_ptr) char *definition = NULL;

    if (!target->answer->created) {
        return 0;
    }
    if (definition_read(r->reader, r->options->name, target->name, &definition, err) < 0) {
        return -(int)err->code;
    }
    const char *behind = strstr(definition, LITE_BEHIND);
    return behind == NULL ? 0 : run_each(r, behind, PART_OBJECTS, true, err);
}

/* "a" = ?, "b" = ?; or a list of names and marks. From the given columns. */
static int add_list(const struct sqlite_shape *shape, const bool *has, bool sets, struct buf *sql,
                    struct err *err)
{
    bool is_first = true;

    for (size_t i = 0; i < shape->column_count; i++) {
        AUTO(free_ptr) char *name = sqlite_name(shape->columns[i]);
        if (has[i] && buf_printf(sql, err, "%s%s%s", is_first ? "" : ", ", sets ? name : "?",
                                 sets ? " = ?" : "") < 0) {
            return -(int)err->code;
        }
        is_first = is_first && !has[i];
    }
    return 0;
}

static int add_names(const struct sqlite_shape *shape, const bool *has, struct buf *sql,
                     struct err *err)
{
    bool is_first = true;

    for (size_t i = 0; i < shape->column_count; i++) {
        AUTO(free_ptr) char *name = sqlite_name(shape->columns[i]);
        if (has[i] && buf_printf(sql, err, "%s%s", is_first ? "" : ", ", name) < 0) {
            return -(int)err->code;
        }
        is_first = is_first && !has[i];
    }
    return 0;
}

static int prepare_find(struct restoring *r, struct target *target, struct err *err)
{
    target->has = xcalloc(target->shape.column_count + 1, sizeof(*target->has));
    sqlite_reading_init(&target->reading, &target->shape);
    return sqlite_find_prepare(r->db, &target->shape, &target->find, err);
}

/* Statements that put rows with these columns. */
static int prepare_put(struct restoring *r, struct target *target, const bool *has, struct err *err)
{
    const struct sqlite_shape *shape = &target->shape;
    AUTO(buf_done) struct buf insert = BUF_INIT(LITE_SQL_MAX);
    AUTO(buf_done) struct buf update = BUF_INIT(LITE_SQL_MAX);
    bool by_rowid = shape->key_count == 0;

    if (target->insert != NULL &&
        memcmp(has, target->has, shape->column_count * sizeof(*has)) == 0) {
        return 0;
    }
    sqlite_stmt_done(&target->insert);
    sqlite_stmt_done(&target->update);
    memcpy(target->has, has, shape->column_count * sizeof(*has));
    if (buf_printf(&insert, err, "INSERT INTO %s (", shape->quoted) < 0 ||
        add_names(shape, has, &insert, err) < 0 ||
        (by_rowid && buf_printf(&insert, err, ", %s", shape->rowid) < 0) ||
        buf_add_c(&insert, ") VALUES (", err) < 0 ||
        add_list(shape, has, false, &insert, err) < 0 ||
        buf_add_c(&insert, by_rowid ? ", ?)" : ")", err) < 0 ||
        buf_printf(&update, err, "UPDATE %s SET ", shape->quoted) < 0 ||
        add_list(shape, has, true, &update, err) < 0 || sqlite_where_key(shape, &update, err) < 0) {
        return -(int)err->code;
    }
    if (show(r, insert.data, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite_prepare(r->db, insert.data, &target->insert, err);
    return rc == 0 ? sqlite_prepare(r->db, update.data, &target->update, err) : rc;
}

/* ---- rows ---- */

/* The row that has this key now; without content where it can't be one of ours: somebody made it
 * since. 0: there is none. */
static int read_now(struct restoring *r, struct target *target, const struct memory *memory,
                    const struct row_origin *origin, struct memory *ret, struct err *err)
{
    struct row row;

    (void)sqlite3_reset(target->find); /* repeats the error of the last step */
    if (sqlite_bind_key(&target->shape, target->find, 1, memory, origin, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite_step(r->db, target->find, err);
    if (rc <= 0) {
        return rc;
    }
    if (sqlite_row_read(&target->reading, r->options, &target->shape, target->find, &row, err) <
        0) {
        return -(int)err->code;
    }
    if (row_to_memory(&row, ret, NULL, err) < 0) {
        err->code = ERR_NONE;
    }
    return 1;
}

static int equals(struct restoring *r, const struct memory *a, const struct memory *b, bool *ret,
                  struct err *err)
{
    struct sha256 of_a;
    struct sha256 of_b;

    *ret = false;
    if (a->content == NULL || b->content == NULL) {
        return 0;
    }
    if (row_digest(a, &r->scratch, &of_a, err) < 0 || row_digest(b, &r->scratch, &of_b, err) < 0) {
        return -(int)err->code;
    }
    *ret = sha256_eq(&of_a, &of_b);
    return 0;
}

/* One row that is put: what is there of it, and what it is to be. */
struct putting {
    const struct memory *now; /* NULL: it is missing */
    const struct memory *memory;
    const struct row_origin *origin;
    struct earlier *values; /* of the shape's columns; heap */
    bool *has;              /* those that are set; heap */
    bool is_lost;           /* one was too large ever to have been kept */
    bool is_done;           /* false: something of the file's forbids it */
};

/* The same too large value. */
static bool is_there_now(const struct restoring *r, const struct target *target,
                         const struct memory *now, const struct row_value *value)
{
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    struct row_value there;

    return now != NULL && row_of_memory(now, r->options->name, NULL, &origin) &&
           !row_value(now, &origin, &target->shape.mapping, value->column, &there) &&
           there.class == value->class && str_eq(there.digest, value->digest);
}

/* Of a too large value what it was before, unless it is there. */
static int choose_value(struct restoring *r, struct target *target, struct putting *put, size_t i,
                        struct err *err)
{
    const struct source_mapping *mapping = &target->shape.mapping;
    const char *column = target->shape.columns[i];
    struct earlier *earlier = &put->values[i];
    struct row_value value;

    put->has[i] = row_value(put->memory, put->origin, mapping, column, &value);
    if (put->has[i] || value.digest.ptr == NULL || is_there_now(r, target, put->now, &value)) {
        earlier->value = value;
        return 0;
    }
    int rc = earlier_read(r->reader, put->memory, r->options->name, mapping, column, earlier, err);
    put->has[i] = earlier->is_known;
    put->is_lost = put->is_lost || !earlier->is_known;
    return rc;
}

static int write_row(struct restoring *r, struct target *target, struct putting *put,
                     struct err *err)
{
    const struct sqlite_shape *shape = &target->shape;
    bool binds_key = put->now != NULL || shape->key_count == 0;
    int at = 1;

    if (prepare_put(r, target, put->has, err) < 0) {
        return -(int)err->code;
    }
    sqlite3_stmt *statement = put->now != NULL ? target->update : target->insert;
    (void)sqlite3_reset(statement); /* repeats the error of the last step */
    for (size_t i = 0; i < shape->column_count; i++) {
        if (put->has[i] && sqlite_value_bind(statement, at++, &put->values[i].value, err) < 0) {
            return -(int)err->code;
        }
    }
    if (binds_key && sqlite_bind_key(shape, statement, at, put->memory, put->origin, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite_step(r->db, statement, err);
    put->is_done = rc >= 0;
    if (rc < 0 && err->code == ERR_CONFLICT) {
        err->code = ERR_NONE;
        rc = 0;
    }
    return rc;
}

/* Insert or update. */
static int put_row(struct restoring *r, struct target *target, struct putting *put, struct err *err)
{
    size_t count = target->shape.column_count;
    AUTO(free_ptr) struct earlier *values = xcalloc(count + 1, sizeof(*values));
    AUTO(free_ptr) bool *has = xcalloc(count + 1, sizeof(*has));
    int rc = 0;

    put->values = values;
    put->has = has;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = choose_value(r, target, put, i, err);
    }
    rc = rc == 0 && !put->is_lost ? write_row(r, target, put, err) : rc;
    for (size_t i = 0; i < count; i++) {
        earlier_done(&values[i]);
    }
    return rc;
}

/* What shows of a memory of which the last change is held; ERR_NOT_FOUND is no error. */
static int read_shown(struct restoring *r, const struct memory *last, struct memory *ret,
                      struct err *err)
{
    struct memory_state state;

    int rc = read_memory(r->reader, &last->id, ret, &state, err);
    if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        rc = 0;
    }
    return rc;
}

static int restore_row(struct restoring *r, struct target *target, const struct memory *shown,
                       const struct memory *held, struct err *err)
{
    struct source_restore_table *answer = target->answer;
    AUTO(memory_done) struct memory now;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    bool is_same = false;
    bool is_left = false;

    memory_init(&now);
    if (!row_of_memory(shown, r->options->name, target->name, &origin) || origin.values == NULL) {
        return 0;
    }
    int there = read_now(r, target, shown, &origin, &now, err);
    if (there < 0 || equals(r, &now, shown, &is_same, err) < 0 ||
        (held != NULL && equals(r, &now, held, &is_left, err) < 0)) {
        return -(int)err->code;
    }
    if (is_same) {
        answer->same++;
        return 0;
    }
    struct putting put = {
        .now = there > 0 ? &now : NULL, .memory = shown, .origin = &origin, .is_done = false};
    if ((there == 0 || is_left) && put_row(r, target, &put, err) < 0) {
        return -(int)err->code;
    }
    answer->inserted += put.is_done && there == 0;
    answer->updated += put.is_done && there > 0;
    answer->lost += put.is_lost;
    answer->kept += !put.is_done && !put.is_lost;
    return 0;
}

static int restore_memory(void *arg, const struct memory *memory, const struct last_state *state,
                          struct err *err)
{
    struct restoring *r = arg;
    AUTO(memory_done) struct memory effective;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};

    memory_init(&effective);
    if (source_cancelled(r->options, err) < 0) {
        return -(int)err->code;
    }
    if (!row_of_memory(memory, r->options->name, NULL, &origin) || origin.values == NULL) {
        return 0;
    }
    struct target *target = find_target(r, origin.table);
    if (target == NULL || target->shape.name == NULL ||
        (!state->counts && read_shown(r, memory, &effective, err) < 0)) {
        return -(int)err->code;
    }
    const struct memory *shown = state->counts ? memory : &effective;
    if (shown->deleted_us != TIME_NONE || shown->content == NULL) {
        return 0;
    }
    bool was_changed = !state->counts && memory->deleted_us == TIME_NONE;
    return restore_row(r, target, shown, was_changed ? memory : NULL, err);
}

/* ---- the whole file ---- */

/* Numbers that were given once are not given again. */
static int raise_sequence(struct restoring *r, const struct target *target, struct err *err)
{
    int64_t exists = 0;

    if (target->answer->inserted == 0 || target->highest == INT64_MIN ||
        sqlite_ask(r->db, "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'",
                   &exists, err) < 0) {
        return -(int)err->code;
    }
    char *sql = sqlite3_mprintf("UPDATE sqlite_sequence SET seq = max(seq, %lld) WHERE name = %Q "
                                "COLLATE NOCASE",
                                (long long)target->highest, target->name);
    int rc = exists == 0 ? 0 : run(r, sql, err);
    sqlite3_free(sql);
    return rc;
}

/* A table that was made again gets our triggers again, if it had some. */
static int make_triggers(struct restoring *r, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    bool is_any = false;

    for (size_t i = 0; i < r->count && r->options->triggers; i++) {
        const struct target *target = &r->targets[i];
        bool had = false;
        if (target->answer->created &&
            sqlite_guarded_had(r->options, target->name, &had, err) < 0) {
            return -(int)err->code;
        }
        is_any = is_any || had;
    }
    if (!is_any) {
        return 0;
    }
    int rc = sqlite_triggers_add(r->options, r->db, &sql, err);
    return rc == 0 ? run_each(r, sql.data, PART_OBJECTS, true, err) : rc;
}

/* Search tables that hold no rows of their own are made from those that came back. */
static int rebuild_search(struct restoring *r, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    int rc;

    if (sqlite_prepare(r->db,
                       "SELECT name, replace(sql, ' ', '') LIKE '%content=%' AND replace(sql, ' ', "
                       "'') NOT LIKE '%content=''''%' FROM sqlite_schema WHERE sql LIKE 'CREATE "
                       "VIRTUAL TABLE%USING fts%'",
                       &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(r->db, statement, err)) > 0) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        if (sqlite3_column_int(statement, 1) == 0) {
            rc = buf_printf(&r->restore->sql, err,
                            "-- left: the search table %s has rows of its own; its application "
                            "must fill it\n",
                            name);
        } else {
            AUTO(free_ptr) char *quoted = sqlite_name(name);
            AUTO(free_ptr)
            char *sql = xprintf("INSERT INTO %s (%s) VALUES ('rebuild');\n", quoted, quoted);
            rc = run_each(r, sql, PART_OBJECTS, true, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

static int restore_tables(struct restoring *r, struct err *err)
{
    for (size_t i = 0; i < r->count; i++) {
        struct target *target = &r->targets[i];
        int rc = read_shape(r, target, err);
        if (rc < 0 && err->code == ERR_NOT_FOUND) {
            err->code = ERR_NONE;
            rc = target->has_rows ? make_table(r, target, err) : 0;
        }
        rc = rc == 0 && target->shape.name != NULL ? prepare_find(r, target, err) : rc;
        if (rc < 0) {
            return rc;
        }
    }
    if (read_last_all(r->reader, restore_memory, r, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < r->count; i++) {
        if (raise_sequence(r, &r->targets[i], err) < 0 ||
            finish_table(r, &r->targets[i], err) < 0) {
            return -(int)err->code;
        }
    }
    return make_triggers(r, err) < 0 ? -(int)err->code : rebuild_search(r, err);
}

/* What a restore made must be sound. Rows that refer to what is not there are told: the file may
 * have had them before. */
static int validate(struct restoring *r, struct err *err)
{
    int64_t dangling = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct target *target = &r->targets[i];
        if (target->shape.name == NULL || target->answer->inserted + target->answer->updated == 0) {
            continue;
        }
        AUTO(free_ptr) char *sql = xprintf("PRAGMA integrity_check(%s)", target->shape.quoted);
        AUTO(free_ptr) char *answer = sqlite_ask_text(r->db, sql);
        if (answer == NULL || strcmp(answer, "ok") != 0) {
            return err_set(err, ERR_CORRUPT, "table %s is not sound: %s", target->name,
                           answer == NULL ? sqlite3_errmsg(r->db) : answer);
        }
    }
    if (sqlite_ask(r->db, "SELECT count(*) FROM pragma_foreign_key_check", &dangling, err) < 0) {
        err->code = ERR_NONE; /* a key that refers to no table at all: nothing can be said */
    }
    return dangling == 0
               ? 0
               : buf_printf(&r->restore->sql, err,
                            "-- %lld rows refer to rows that are not there\n", (long long)dangling);
}

/* The rest of a file that is made from nothing. */
static int make_rest(struct restoring *r, enum part part, struct err *err)
{
    AUTO(free_ptr) char *rest = NULL;

    if (definition_read(r->reader, r->options->name, LITE_REST, &rest, err) < 0) {
        bool is_none = err->code == ERR_NOT_FOUND;
        err->code = is_none ? ERR_NONE : err->code;
        return is_none ? 0 : -(int)err->code;
    }
    const char *told = strstr(rest, "-- mode ");
    if (told != NULL && r->place.mode == 0) {
        r->place.mode = (mode_t)strtoul(told + strlen("-- mode "), NULL, 8) & 07777;
    }
    return run_each(r, rest, part, true, err);
}

static void statements_done(struct restoring *r)
{
    for (size_t i = 0; i < r->count; i++) {
        sqlite_stmt_done(&r->targets[i].find);
        sqlite_stmt_done(&r->targets[i].insert);
        sqlite_stmt_done(&r->targets[i].update);
    }
}

static int write_all(struct restoring *r, struct err *err)
{
    if ((r->place.is_empty && make_rest(r, PART_SETTINGS, err) < 0) ||
        sqlite_run(r->db, "BEGIN IMMEDIATE", err) < 0 ||
        (r->place.is_empty && make_rest(r, PART_OBJECTS, err) < 0) || restore_tables(r, err) < 0 ||
        validate(r, err) < 0) {
        return -(int)err->code;
    }
    statements_done(r);
    return sqlite_run(r->db, "COMMIT", err);
}

static void targets_done(struct restoring *r)
{
    statements_done(r);
    for (size_t i = 0; i < r->count; i++) {
        struct target *target = &r->targets[i];
        sqlite_reading_done(&target->reading);
        sqlite_shape_done(&target->shape);
        free(target->has);
        free(target->name);
    }
    buf_done(&r->scratch);
}

static int open_target(struct restoring *r, struct err *err)
{
    if (sqlite_connect(r->place.target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                       LITE_RESTORE_BUSY_MS, r->options->cancel, &r->db, err) < 0) {
        return -(int)err->code;
    }
    return sqlite_run(r->db, "PRAGMA foreign_keys = OFF", err);
}

static int exchange(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *kept = NULL;

    if (sqlite_place_exchange(&r->place, &kept, err) < 0) {
        return -(int)err->code;
    }
    if (buf_printf(&r->restore->sql, err,
                   "-- built beside, and put in the place of %s%s%s; programs that had the old "
                   "file open must open it again\n",
                   r->place.path, kept == NULL ? "" : "; what was there is ",
                   kept == NULL ? "" : kept) < 0) {
        return -(int)err->code;
    }
    return r->place.holder == 0
               ? 0
               : buf_printf(&r->restore->sql, err,
                            "-- process %d still has a removed file of it open: end it\n",
                            r->place.holder);
}

int sqlite_restore(const struct source_options *options, struct source_restore *restore,
                   struct err *err)
{
    struct restoring r = {.options = options, .restore = restore};

    buf_init(&restore->sql, SOURCE_RESTORE_SQL_MAX);
    buf_init(&r.scratch, CHANGE_RECORD_MAX);
    if (restore->at_us != TIME_NONE) {
        return err_set(err, ERR_USAGE, "--at is for sources of files");
    }
    int rc = read_begin(options->ledger, &r.reader, err);
    rc = rc == 0 ? choose_targets(&r, err) : rc;
    for (size_t i = 0; i < r.count; i++) {
        r.targets[i].answer = &restore->tables[restore->table_count++];
        *r.targets[i].answer = (struct source_restore_table){.table = xstrdup(r.targets[i].name)};
    }
    rc = rc == 0 ? sqlite_place_choose(options, restore->dry_run, &r.place, err) : rc;
    rc = rc == 0 ? open_target(&r, err) : rc;
    rc = rc == 0 ? write_all(&r, err) : rc;
    if (rc == 0 && r.place.is_log && (r.place.is_beside || r.place.is_empty)) {
        rc = sqlite_run(r.db, "PRAGMA journal_mode = WAL", err);
    }
    targets_done(&r);
    sqlite_disconnect(&r.db);
    if (rc == 0 && r.place.is_beside && !restore->dry_run) {
        rc = exchange(&r, err);
    }
    sqlite_place_done(&r.place);
    if (r.reader != NULL) {
        read_end(r.reader);
    }
    return rc == 0 ? 0 : err_context(err, "restoring %s", options->path);
}
