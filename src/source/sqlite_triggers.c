/*
 * What the owner of a file lets us make in it (docs/sqlite.md, section 5): one table that is a ring
 * of the last changes, and three triggers on each captured table that write into it.
 *
 * Values are put there as they are: a column without a type keeps the class of each. So a trigger
 * names every column of its table; a row of the ring has them in the order of the table's shape,
 * and says by a tag which shape that was. A table that looks otherwise by now has another tag.
 *
 * All names in these statements are quoted: they are somebody else's.
 */
#include "source/sqlite_internal.h"

/* ---- the statements ---- */

void sqlite_tag(const void *data, size_t len, char *ret)
{
    struct sha256 sum = sha256_of(data, len);
    char hex[SHA256_HEX_MAX];

    sha256_hex(&sum, hex);
    memcpy(ret, hex, LITE_TAG_LEN);
    ret[LITE_TAG_LEN] = '\0';
}

void sqlite_shape_tag(const struct sqlite_shape *shape, char *ret)
{
    struct sha256 sum = sha256_of(shape->name, strlen(shape->name));

    for (size_t i = 0; i < shape->column_count; i++) {
        sum = sha256_of2(&sum, sizeof(sum), shape->columns[i], strlen(shape->columns[i]));
    }
    for (size_t k = 0; k < shape->key_count; k++) {
        uint64_t number = shape->keys[k];
        sum = sha256_of2(&sum, sizeof(sum), &number, sizeof(number));
    }
    sqlite_tag(&sum, sizeof(sum), ret);
}

/* Values of a row in the ring: the columns, and the rowid. */
static size_t values_of(const struct sqlite_shape *shape)
{
    return shape->column_count + (shape->rowid != NULL ? 1 : 0);
}

bool sqlite_shape_fits(const struct sqlite_shape *shape)
{
    return values_of(shape) <= LITE_OUTBOX_COLUMNS_MAX;
}

static bool is_key(const struct sqlite_shape *shape, size_t value)
{
    if (value == shape->column_count) {
        return shape->key_count == 0; /* the rowid */
    }
    for (size_t k = 0; k < shape->key_count; k++) {
        if (shape->keys[k] == value) {
            return true;
        }
    }
    return false;
}

/* NEW."a"; heap. */
static char *value_name(const struct sqlite_shape *shape, const char *row, size_t value)
{
    AUTO(free_ptr)
    char *name =
        value == shape->column_count ? xstrdup(shape->rowid) : sqlite_name(shape->columns[value]);

    return xprintf("%s.%s", row, name);
}

/* How large a row is, roughly: characters of texts, bytes of blobs. */
static int add_size(const struct sqlite_shape *shape, struct buf *sql, struct err *err)
{
    int rc = buf_add_c(sql, " WHERE ", err);

    for (size_t i = 0; i < shape->column_count && rc == 0; i++) {
        AUTO(free_ptr) char *name = value_name(shape, "NEW", i);
        rc = buf_printf(sql, err, "%scoalesce(length(%s), 0)", i == 0 ? "" : " + ", name);
    }
    return rc;
}

/* INSERT INTO holdfast_outbox ...: all values of a row, or those of its key. */
static int add_entry(const struct sqlite_shape *shape, const char *op, const char *row,
                     bool keys_only, struct buf *sql, struct err *err)
{
    char tag[LITE_TAG_LEN + 1];
    AUTO(buf_done) struct buf values = BUF_INIT(LITE_SQL_MAX);
    int rc = buf_add_c(sql, "  INSERT INTO " LITE_OUTBOX " (shape, op", err);

    sqlite_shape_tag(shape, tag);
    rc = rc == 0 ? buf_add(&values, "", 0, err) : rc;
    for (size_t i = 0; i < values_of(shape) && rc == 0; i++) {
        AUTO(free_ptr) char *name = value_name(shape, row, i);
        if (!keys_only || is_key(shape, i)) {
            rc = buf_printf(sql, err, ", v%zu", i);
            rc = rc == 0 ? buf_printf(&values, err, ", %s", name) : rc;
        }
    }
    return rc == 0 ? buf_printf(sql, err, ") SELECT '%s', '%s'%s", tag, op, values.data) : rc;
}

/* What a row is now; of one that is too large for a memory only that it changed. */
static int add_put(const struct sqlite_shape *shape, struct buf *sql, struct err *err)
{
    if (add_entry(shape, LITE_OP_PUT, "NEW", false, sql, err) < 0 ||
        add_size(shape, sql, err) < 0 ||
        buf_printf(sql, err, " <= %d;\n", LITE_OUTBOX_ROW_MAX) < 0 ||
        add_entry(shape, LITE_OP_KEY, "NEW", true, sql, err) < 0 || add_size(shape, sql, err) < 0) {
        return -(int)err->code;
    }
    return buf_printf(sql, err, " > %d;\n", LITE_OUTBOX_ROW_MAX);
}

static int add_delete(const struct sqlite_shape *shape, bool when_moved, struct buf *sql,
                      struct err *err)
{
    int rc = add_entry(shape, LITE_OP_DELETE, "OLD", true, sql, err);
    const char *word = " WHERE ";

    for (size_t i = 0; i < values_of(shape) && when_moved && rc == 0; i++) {
        AUTO(free_ptr) char *old = value_name(shape, "OLD", i);
        AUTO(free_ptr) char *new = value_name(shape, "NEW", i);
        if (is_key(shape, i)) {
            rc = buf_printf(sql, err, "%s%s COLLATE BINARY IS NOT %s OR typeof(%s) <> typeof(%s)",
                            word, old, new, old, new);
            word = " OR ";
        }
    }
    return rc == 0 ? buf_add_c(sql, ";\n", err) : rc;
}

static const char *const events[LITE_TRIGGERS] = {"insert", "update", "delete"};

int sqlite_trigger_sql(const struct sqlite_shape *shape, size_t which, struct buf *ret,
                       struct err *err)
{
    static const char *const words[LITE_TRIGGERS] = {"INSERT", "UPDATE", "DELETE"};
    AUTO(free_ptr) char *plain = xprintf("holdfast_%s_%s", events[which], shape->name);
    AUTO(free_ptr) char *name = sqlite_name(plain);
    bool deletes = which > 0;
    bool puts = which < 2;

    if (buf_printf(ret, err, "CREATE TRIGGER %s AFTER %s ON %s BEGIN\n", name, words[which],
                   shape->quoted) < 0 ||
        (deletes && add_delete(shape, puts, ret, err) < 0) ||
        (puts && add_put(shape, ret, err) < 0)) {
        return -(int)err->code;
    }
    return buf_printf(ret, err,
                      "  DELETE FROM " LITE_OUTBOX " WHERE n <= (SELECT max(n) FROM " LITE_OUTBOX
                      ") - %d;\nEND",
                      LITE_OUTBOX_RING);
}

static int outbox_sql(size_t columns, struct buf *ret, struct err *err)
{
    int rc = buf_add_c(ret, "CREATE TABLE " LITE_OUTBOX " (n INTEGER PRIMARY KEY, shape, op", err);

    for (size_t i = 0; i < columns && rc == 0; i++) {
        rc = buf_printf(ret, err, ", v%zu", i);
    }
    return rc == 0 ? buf_add_c(ret, ")", err) : rc;
}

/* ---- what is there ---- */

int sqlite_sql_of(sqlite3 *db, const char *type, const char *name, char **ret, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;

    *ret = NULL;
    if (sqlite_prepare(db,
                       "SELECT sql FROM sqlite_schema WHERE type = ?1 AND name = ?2 COLLATE "
                       "NOCASE",
                       &statement, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite3_bind_text(statement, 1, type, -1, SQLITE_TRANSIENT);
    rc = rc == SQLITE_OK ? sqlite3_bind_text(statement, 2, name, -1, SQLITE_TRANSIENT) : rc;
    rc = rc == SQLITE_OK ? sqlite_step(db, statement, err) : sqlite_error(db, rc, err);
    if (rc > 0) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        *ret = xstrdup(text == NULL ? "" : text);
    }
    return rc < 0 ? rc : 0;
}

int sqlite_outbox_columns(sqlite3 *db, size_t *ret, struct err *err)
{
    AUTO(buf_done) struct buf wanted = BUF_INIT(LITE_SQL_MAX);
    AUTO(free_ptr) char *found = NULL;
    int64_t columns = 0;

    *ret = 0;
    if (sqlite_sql_of(db, "table", LITE_OUTBOX, &found, err) < 0 ||
        sqlite_ask(db, "SELECT count(*) FROM pragma_table_xinfo('" LITE_OUTBOX "')", &columns,
                   err) < 0) {
        return -(int)err->code;
    }
    if (found == NULL || columns <= 3 || columns > LITE_OUTBOX_COLUMNS_MAX + 3) {
        return 0;
    }
    if (outbox_sql((size_t)columns - 3, &wanted, err) < 0) {
        return -(int)err->code;
    }
    *ret = strcmp(found, wanted.data) == 0 ? (size_t)columns - 3 : 0;
    return 0;
}

int sqlite_triggers_fit(sqlite3 *db, const struct sqlite_shape *shape, size_t columns, bool *ret,
                        struct err *err)
{
    *ret = sqlite_shape_fits(shape) && values_of(shape) <= columns;
    for (size_t i = 0; i < LITE_TRIGGERS && *ret; i++) {
        AUTO(buf_done) struct buf wanted = BUF_INIT(LITE_SQL_MAX);
        AUTO(free_ptr) char *name = xprintf("holdfast_%s_%s", events[i], shape->name);
        AUTO(free_ptr) char *found = NULL;
        if (sqlite_trigger_sql(shape, i, &wanted, err) < 0 ||
            sqlite_sql_of(db, "trigger", name, &found, err) < 0) {
            return -(int)err->code;
        }
        *ret = found != NULL && strcmp(found, wanted.data) == 0;
    }
    return 0;
}

/* ---- making and removing ---- */

/* All of it can be read, and no number was given but by a trigger. ERR_CORRUPT. */
static int check_outbox(sqlite3 *db, bool *ret_is_sound, struct err *err)
{
    AUTO(free_ptr)
    char *ask = xprintf("SELECT count(*) FROM " LITE_OUTBOX " WHERE +n NOT BETWEEN 1 AND %lld",
                        (long long)LITE_OUTBOX_NUMBER_MAX);
    int64_t strange = 0;
    int rc = sqlite_ask(db, ask, &strange, err);

    *ret_is_sound = strange == 0;
    return rc;
}

static int drop(sqlite3 *db, const char *type, struct buf *ret, struct err *err)
{
    AUTO(free_ptr)
    char *ask =
        xprintf("SELECT name FROM sqlite_schema WHERE type = lower('%s') AND %s ORDER BY name",
                type, LITE_OURS(""));
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    int rc;

    if (sqlite_prepare(db, ask, &statement, err) < 0) {
        return -(int)err->code;
    }
    while ((rc = sqlite_step(db, statement, err)) > 0) {
        AUTO(free_ptr) char *name = sqlite_name((const char *)sqlite3_column_text(statement, 0));
        if (buf_printf(ret, err, "DROP %s %s;\n", type, name) < 0) {
            return -(int)err->code;
        }
    }
    return rc;
}

int sqlite_triggers_remove(sqlite3 *db, struct buf *ret, struct err *err)
{
    size_t columns = 0;
    bool is_sound = false;

    int rc = drop(db, "TRIGGER", ret, err);
    rc = rc == 0 ? sqlite_outbox_columns(db, &columns, err) : rc;
    rc = rc == 0 && columns > 0 ? check_outbox(db, &is_sound, err) : rc;
    if (rc == -ERR_CORRUPT) {
        err->code = ERR_NONE;
        return buf_add_c(ret,
                         "-- left: " LITE_OUTBOX " (damaged: it can't be dropped before the file "
                         "is repaired)\n",
                         err);
    }
    return rc == 0 ? drop(db, "TABLE", ret, err) : rc;
}

struct making {
    sqlite3 *db;
    const struct source_options *options;
    struct buf triggers;
    size_t columns; /* that the ring needs */
    size_t there;   /* that it has */
    bool is_sound;  /* it is there, and as triggers left it */
    bool is_whole;  /* so are all triggers */
};

/* A line of comment for a person; the name may be anything, but must not end the line. */
static int leave_wide(struct making *m, const char *name, struct err *err)
{
    AUTO(free_ptr) char *line = xstrdup(name);

    for (char *c = line; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    }
    return buf_printf(&m->triggers, err, "-- left: %s (more than %d columns)\n", line,
                      LITE_OUTBOX_COLUMNS_MAX - 1);
}

static int make_for(void *arg, const char *name, struct err *err)
{
    struct making *m = arg;
    const struct source_mapping *mapping = sqlite_mapping_of(m->options, name);
    AUTO(sqlite_shape_done) struct sqlite_shape shape = {.name = NULL};
    AUTO(free_ptr) char *why_not = NULL;
    bool fits = false;

    if (m->options->table_count > 0 && mapping == NULL) {
        return 0;
    }
    if (sqlite_shape_read(m->db, name, mapping, &shape, &why_not, err) < 0) {
        return -(int)err->code;
    }
    if (why_not != NULL) {
        return 0;
    }
    if (!sqlite_shape_fits(&shape)) {
        return leave_wide(m, name, err);
    }
    m->columns = values_of(&shape) > m->columns ? values_of(&shape) : m->columns;
    if (sqlite_triggers_fit(m->db, &shape, m->there, &fits, err) < 0) {
        return -(int)err->code;
    }
    m->is_whole = m->is_whole && fits;
    for (size_t i = 0; i < LITE_TRIGGERS; i++) {
        if (sqlite_trigger_sql(&shape, i, &m->triggers, err) < 0 ||
            buf_add_c(&m->triggers, ";\n", err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* Somebody's own table of that name is not ours to write into. */
static int check_name(sqlite3 *db, struct err *err)
{
    int64_t strange = 0;

    if (sqlite_ask(db,
                   "SELECT count(*) FROM sqlite_schema WHERE name = '" LITE_OUTBOX
                   "' COLLATE NOCASE AND NOT " LITE_OURS(""),
                   &strange, err) < 0) {
        return -(int)err->code;
    }
    return strange == 0 ? 0
                        : err_set(err, ERR_CONFLICT,
                                  "the file has a table " LITE_OUTBOX " that is not Holdfast's: "
                                  "triggers can't be made");
}

/* The statements for the outbox itself: it stays if it is sound and wide enough, so that entries
 * which nobody has read yet stay, too. */
static int make_outbox(const struct making *m, struct buf *ret, struct err *err)
{
    if (m->is_sound && m->there >= m->columns) {
        return 0;
    }
    return drop(m->db, "TABLE", ret, err) < 0 || outbox_sql(m->columns, ret, err) < 0
               ? -(int)err->code
               : buf_add_c(ret, ";\n", err);
}

int sqlite_triggers_add(const struct source_options *options, sqlite3 *db, struct buf *ret,
                        struct err *err)
{
    struct making m = {.db = db, .options = options, .is_whole = true};

    buf_init(&m.triggers, LITE_SQL_MAX);
    int rc = buf_add(ret, "", 0, err);
    rc = rc == 0 ? check_name(db, err) : rc;
    rc = rc == 0 ? sqlite_outbox_columns(db, &m.there, err) : rc;
    if (rc == 0 && m.there > 0 && check_outbox(db, &m.is_sound, err) < 0) {
        rc = err_context(err, LITE_OUTBOX " is damaged: take the triggers out by --remove, and "
                                          "have the file repaired");
    }
    rc = rc == 0 ? sqlite_each_table(db, make_for, &m, err) : rc;
    if (rc == 0 && m.columns == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "%s has no table that triggers can be made for",
                     options->path);
    }
    if (rc == 0 && !(m.is_whole && m.is_sound)) {
        rc = drop(db, "TRIGGER", ret, err);
        rc = rc == 0 ? make_outbox(&m, ret, err) : rc;
        rc = rc == 0 ? buf_printf(ret, err, "%s", m.triggers.data) : rc;
    }
    buf_done(&m.triggers);
    return rc;
}
