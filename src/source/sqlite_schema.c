/* What somebody's file is made of: its tables, their keys and columns, and how to make them. */
#include "source/sqlite_internal.h"

/* ---- all tables ---- */

/* What a virtual table keeps in tables of its own belongs to it. SQLite knows them as shadows only
 * where it knows the module. */
#define LISTED                                                                                     \
    "FROM pragma_table_list l WHERE l.schema = 'main' AND l.type IN ('table', 'virtual', 'view') " \
    "AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND NOT EXISTS (SELECT 1 FROM sqlite_schema v "  \
    "WHERE v.sql LIKE 'CREATE VIRTUAL TABLE%' AND lower(substr(l.name, 1, length(v.name) + 1)) = " \
    "lower(v.name || '_')) AND NOT EXISTS (SELECT 1 FROM sqlite_schema o WHERE o.name = l.name "   \
    "AND " LITE_OURS("o.") ")"

int sqlite_each_table(sqlite3 *db, sqlite_table_fn *each, void *arg, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    int rc;

    if (sqlite_prepare(db, "SELECT l.name " LISTED " ORDER BY l.name", &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(db, statement, err)) > 0) {
        AUTO(free_ptr) char *name = xstrdup((const char *)sqlite3_column_text(statement, 0));
        if (each(arg, name, err) < 0) {
            return -(int)err->code;
        }
    }
    return rc;
}

int sqlite_schema_digest(sqlite3 *db, struct sha256 *ret, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    struct sha256 sum = {.bytes = {0}};
    int rc;

    /* Two passes of SHA-256 a line: a schema has some dozens. */
    if (sqlite_prepare(db,
                       "SELECT coalesce(type, '') || x'0a' || coalesce(name, '') || x'0a' || "
                       "coalesce(tbl_name, '') || x'0a' || coalesce(sql, '') FROM sqlite_schema",
                       &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(db, statement, err)) > 0) {
        const void *line = sqlite3_column_blob(statement, 0);
        sum = sha256_of2(&sum, sizeof(sum), line == NULL ? "" : line,
                         (size_t)sqlite3_column_bytes(statement, 0));
    }
    *ret = sum;
    return rc;
}

/* ---- one table ---- */

const struct source_mapping *sqlite_mapping_of(const struct source_options *options,
                                               const char *table)
{
    for (size_t i = 0; i < options->table_count; i++) {
        if (sqlite3_stricmp(options->tables[i].table, table) == 0) {
            return &options->tables[i];
        }
    }
    return NULL;
}

void sqlite_shape_done(struct sqlite_shape *shape)
{
    free(shape->name);
    free(shape->quoted);
    mapping_done(&shape->mapping);
    for (size_t i = 0; i < shape->column_count; i++) {
        free(shape->columns[i]);
    }
    free(shape->columns);
    free(shape->definition);
    *shape = (struct sqlite_shape){.name = NULL};
}

/* A statement with the table's name as its one parameter. */
static int ask_of(sqlite3 *db, const char *sql, const char *name, sqlite3_stmt **ret,
                  struct err *err)
{
    if (sqlite_prepare(db, sql, ret, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite3_bind_text(*ret, 1, name, -1, SQLITE_TRANSIENT);
    return rc == SQLITE_OK ? 0 : sqlite_error(db, rc, err);
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text == NULL ? "" : text;
}

/* Is it a table, and has it a rowid? */
static int read_kind(sqlite3 *db, const char *name, bool *ret_has_rowid, char **ret_why_not,
                     struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;

    if (ask_of(db, "SELECT l.type, l.wr " LISTED " AND l.name = ?1 COLLATE NOCASE", name,
               &statement, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite_step(db, statement, err);
    if (rc <= 0) {
        return rc < 0 ? rc : err_set(err, ERR_NOT_FOUND, "there is no table %s", name);
    }
    const char *type = column_text(statement, 0);
    *ret_has_rowid = sqlite3_column_int(statement, 1) == 0;
    if (strcmp(type, "table") != 0) {
        *ret_why_not = strcmp(type, "view") == 0
                           ? xstrdup("a view")
                           : xstrdup("a virtual table: it keeps its rows in ways of its own");
    }
    return 0;
}

struct found_column {
    char *name;
    char type[24]; /* declared, upper case, its beginning */
    int key;       /* its number in the primary key; 0: none */
    bool is_made;  /* generated */
};

struct found {
    struct found_column *items; /* heap */
    size_t count;
    bool has_rowid;
};

static void found_done(struct found *found)
{
    for (size_t i = 0; i < found->count; i++) {
        free(found->items[i].name);
    }
    free(found->items);
    *found = (struct found){.items = NULL};
}

static int read_columns(sqlite3 *db, const char *name, struct found *found, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    int rc;

    if (ask_of(db, "SELECT name, upper(type), pk, hidden FROM pragma_table_xinfo(?1)", name,
               &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(db, statement, err)) > 0) {
        found->items = xrealloc(found->items, (found->count + 1) * sizeof(*found->items));
        struct found_column *column = &found->items[found->count++];
        *column = (struct found_column){.name = xstrdup(column_text(statement, 0)),
                                        .key = sqlite3_column_int(statement, 2),
                                        .is_made = sqlite3_column_int(statement, 3) != 0};
        (void)snprintf(column->type, sizeof(column->type), "%s", column_text(statement, 1));
    }
    return rc;
}

static const struct found_column *find(const struct found *found, const char *name)
{
    for (size_t i = 0; i < found->count; i++) {
        if (sqlite3_stricmp(found->items[i].name, name) == 0) {
            return &found->items[i];
        }
    }
    return NULL;
}

/* ---- its key ---- */

struct key {
    const char *names[LITE_KEY_MAX]; /* of the found columns */
    size_t count;
    bool is_rowid;
};

static bool names_rowid(const struct found *found, const char *id)
{
    return found->has_rowid && find(found, id) == NULL &&
           (sqlite3_stricmp(id, "rowid") == 0 || sqlite3_stricmp(id, "_rowid_") == 0 ||
            sqlite3_stricmp(id, "oid") == 0);
}

static void take_primary_key(const struct found *found, struct key *key)
{
    for (int number = 1; number <= LITE_KEY_MAX; number++) {
        for (size_t i = 0; i < found->count; i++) {
            if (found->items[i].key == number && !found->items[i].is_made) {
                key->names[key->count++] = found->items[i].name;
            }
        }
    }
}

/* A unique index whose columns are NOT NULL is as good; the first by its name. */
static int take_unique_index(sqlite3 *db, const char *name, const struct found *found,
                             struct key *key, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    AUTO(free_ptr) char *index = NULL;
    int rc;

    if (ask_of(db,
               "SELECT l.name, c.name FROM pragma_index_list(?1) l JOIN pragma_index_info(l.name) "
               "c WHERE l.\"unique\" AND NOT l.partial AND NOT EXISTS (SELECT 1 FROM "
               "pragma_index_info(l.name) i WHERE i.name IS NULL OR NOT EXISTS (SELECT 1 FROM "
               "pragma_table_xinfo(?1) t WHERE t.name = i.name AND t.\"notnull\" AND t.hidden = "
               "0)) ORDER BY l.name, c.seqno",
               name, &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(db, statement, err)) > 0 && key->count < LITE_KEY_MAX) {
        if (index != NULL && strcmp(index, column_text(statement, 0)) != 0) {
            break;
        }
        index = index == NULL ? xstrdup(column_text(statement, 0)) : index;
        const struct found_column *column = find(found, column_text(statement, 1));
        if (column != NULL) {
            key->names[key->count++] = column->name;
        }
    }
    return rc < 0 ? rc : 0;
}

static int choose_key(sqlite3 *db, const char *name, const struct source_mapping *mapping,
                      const struct found *found, struct key *ret, char **ret_why_not,
                      struct err *err)
{
    const char *id = mapping == NULL ? NULL : mapping->id;

    *ret = (struct key){.count = 0};
    if (id != NULL) {
        const struct found_column *column = find(found, id);
        ret->is_rowid = names_rowid(found, id);
        if (column != NULL && !column->is_made) {
            ret->names[ret->count++] = column->name;
        } else if (!ret->is_rowid) {
            *ret_why_not = xprintf("it has no column \"%s\", that is to be its id", id);
        }
        return 0;
    }
    take_primary_key(found, ret);
    if (ret->count == 0 && take_unique_index(db, name, found, ret, err) < 0) {
        return -(int)err->code;
    }
    if (ret->count == 0) {
        *ret_why_not = xstrdup("it has no primary key, nor a unique index without NULLs; say "
                               "which column tells its rows apart with `id:`");
    }
    return 0;
}

/* ---- the shape ---- */

static bool is_text(const char *type)
{
    return strstr(type, "INT") == NULL &&
           (strstr(type, "CHAR") != NULL || strstr(type, "CLOB") != NULL ||
            strstr(type, "TEXT") != NULL);
}

static bool is_key(const struct key *key, const char *name)
{
    for (size_t i = 0; i < key->count; i++) {
        if (strcmp(key->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* "content", else the first column of text that is no key. NULL: there is none. */
static const char *choose_content(const struct found *found, const struct key *key)
{
    const struct found_column *named = find(found, "content");

    for (size_t i = 0; named == NULL && i < found->count; i++) {
        const struct found_column *column = &found->items[i];
        named =
            is_text(column->type) && !column->is_made && !is_key(key, column->name) ? column : NULL;
    }
    return named == NULL ? NULL : named->name;
}

static char *as_in_file(const struct found *found, const char *name)
{
    const struct found_column *column = name == NULL ? NULL : find(found, name);

    return name == NULL ? NULL : xstrdup(column == NULL ? name : column->name);
}

static void fill_mapping(const struct source_mapping *mapping, const struct found *found,
                         const struct key *key, struct sqlite_shape *shape)
{
    struct source_mapping *own = &shape->mapping;

    own->table = xstrdup(shape->name);
    own->id = key->count == 1 ? xstrdup(key->names[0]) : NULL;
    own->content =
        as_in_file(found, mapping != NULL && mapping->content != NULL ? mapping->content
                                                                      : choose_content(found, key));
    own->project = as_in_file(found, mapping == NULL ? NULL : mapping->project);
    for (size_t i = 0; mapping != NULL && i < mapping->ignored_count; i++) {
        own->ignored[own->ignored_count++] = as_in_file(found, mapping->ignored[i]);
    }
}

static void fill_columns(const struct found *found, const struct key *key,
                         struct sqlite_shape *shape)
{
    shape->columns = xcalloc(found->count + 1, sizeof(*shape->columns));
    for (size_t i = 0; i < found->count; i++) {
        const struct found_column *column = &found->items[i];
        if (!column->is_made &&
            (is_key(key, column->name) || !mapping_ignores(&shape->mapping, column->name))) {
            shape->columns[shape->column_count++] = xstrdup(column->name);
        }
    }
    for (size_t k = 0; k < key->count; k++) {
        for (size_t i = 0; i < shape->column_count; i++) {
            if (strcmp(shape->columns[i], key->names[k]) == 0) {
                shape->keys[shape->key_count++] = i;
            }
        }
    }
    const struct found_column *only = key->count == 1 ? find(found, key->names[0]) : NULL;
    shape->key_is_plain =
        only != NULL && only->type[0] != '\0' && strstr(only->type, "BLOB") == NULL;
    static const char *const rowids[] = {"rowid", "_rowid_", "oid"};
    for (size_t i = 0; i < 3 && shape->rowid == NULL && found->has_rowid; i++) {
        shape->rowid = find(found, rowids[i]) == NULL ? rowids[i] : NULL;
    }
}

static int add_statements(sqlite3 *db, const char *sql, const char *name, struct buf *ret,
                          struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    int rc;

    if (ask_of(db, sql, name, &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(db, statement, err)) > 0) {
        if (buf_printf(ret, err, "%s;\n", column_text(statement, 0)) < 0) {
            return -(int)err->code;
        }
    }
    return rc;
}

static int read_definition(sqlite3 *db, const char *name, char **ret, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);

    if (add_statements(db,
                       "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND type "
                       "IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC, name",
                       name, &sql, err) < 0 ||
        buf_add_c(&sql, LITE_BEHIND, err) < 0 ||
        add_statements(db,
                       "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND type "
                       "= 'trigger' AND sql IS NOT NULL AND NOT " LITE_OURS("") " ORDER BY name",
                       name, &sql, err) < 0) {
        return -(int)err->code;
    }
    *ret = buf_take(&sql);
    return 0;
}

int sqlite_shape_read(sqlite3 *db, const char *name, const struct source_mapping *mapping,
                      struct sqlite_shape *ret, char **ret_why_not, struct err *err)
{
    AUTO(found_done) struct found found = {.items = NULL};
    struct key key;

    *ret = (struct sqlite_shape){.name = NULL};
    *ret_why_not = NULL;
    if (read_kind(db, name, &found.has_rowid, ret_why_not, err) < 0 || *ret_why_not != NULL ||
        read_columns(db, name, &found, err) < 0 ||
        choose_key(db, name, mapping, &found, &key, ret_why_not, err) < 0 || *ret_why_not != NULL) {
        return -(int)err->code;
    }
    ret->name = xstrdup(name);
    ret->quoted = sqlite_name(name);
    fill_mapping(mapping, &found, &key, ret);
    fill_columns(&found, &key, ret);
    if (read_definition(db, name, &ret->definition, err) < 0) {
        sqlite_shape_done(ret);
        return -(int)err->code;
    }
    return 0;
}

/* ---- the rest of the file ---- */

static int add_setting(sqlite3 *db, const char *name, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *ask = xprintf("PRAGMA %s", name);
    AUTO(free_ptr) char *value = sqlite_ask_text(db, ask);

    return value == NULL ? 0 : buf_printf(ret, err, "PRAGMA %s = '%s';\n", name, value);
}

static bool is_captured(const struct sqlite_shape *const *captured, size_t count, const char *table)
{
    for (size_t i = 0; i < count; i++) {
        if (sqlite3_stricmp(captured[i]->name, table) == 0) {
            return true;
        }
    }
    return false;
}

/* Tables first, then what is built on them; shadows are made by their virtual table. */
static const char rest_sql[] =
    "SELECT s.sql, s.tbl_name FROM sqlite_schema s LEFT JOIN pragma_table_list l ON l.schema = "
    "'main' AND l.name = s.tbl_name WHERE s.sql IS NOT NULL AND coalesce(l.type, '') <> 'shadow' "
    "AND s.tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND NOT " LITE_OURS(
        "s.") " ORDER BY CASE s.type WHEN 'table' THEN s.sql "
              "LIKE 'CREATE VIRTUAL%' WHEN 'index' THEN 2 WHEN 'view' THEN 3 ELSE 4 END, s.rowid";

int sqlite_rest_read(sqlite3 *db, const char *path, const struct sqlite_shape *const *captured,
                     size_t count, char **ret, struct err *err)
{
    static const char *const settings[] = {"page_size",      "encoding",     "auto_vacuum",
                                           "application_id", "user_version", "journal_mode"};
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    struct sqlite_identity identity;
    int rc = buf_add_c(&sql, "-- settings, and what holds no captured rows\n", err);

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]) && rc == 0; i++) {
        rc = add_setting(db, settings[i], &sql, err);
    }
    if (rc < 0 || sqlite_identify(path, &identity, err) < 0 ||
        buf_printf(&sql, err, "-- mode %04o\n", (unsigned)identity.mode & 07777) < 0 ||
        sqlite_prepare(db, rest_sql, &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(db, statement, err)) > 0) {
        if (!is_captured(captured, count, column_text(statement, 1)) &&
            buf_printf(&sql, err, "%s;\n", column_text(statement, 0)) < 0) {
            return -(int)err->code;
        }
    }
    if (rc == 0) {
        *ret = buf_take(&sql);
    }
    return rc;
}
