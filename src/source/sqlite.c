/* The driver's table: a SQLite file that somebody else writes (docs/sqlite.md). */
#include "source/sqlite_internal.h"

static void sqlite_close(struct source *source)
{
    struct sqlite *sq = (struct sqlite *)source;

    if (sq == NULL) {
        return;
    }
    sqlite_disconnect(&sq->db);
    sqlite_tables_done(sq);
    sqlite_outbox_done(sq);
    sqlite_watch_close(&sq->watch);
    intake_done(&sq->intake);
    free(sq);
}

static int sqlite_open(const struct source_options *options, struct source **ret, struct err *err)
{
    struct sqlite *sq = xcalloc(1, sizeof(*sq));

    (void)err;
    sq->base.ops = &source_sqlite_ops;
    sq->options = options;
    sq->watch.fd = -1;
    *ret = &sq->base;
    return 0;
}

/* ---- capture ---- */

/* Until something happened, or may have. */
static int wait_for_change(struct sqlite *sq, struct err *err)
{
    int64_t look_ms = sqlite_look_due_ms(sq);

    for (;;) {
        bool closes = sq->db != NULL && sq->close_ms < look_ms;
        struct deadline deadline = {closes ? sq->close_ms : look_ms};
        int rc = sqlite_watch_wait(&sq->watch, sq->options->cancel, deadline, err);
        if (rc < 0) {
            return rc;
        }
        if (rc > 0) {
            sq->event_ms = deadline_in(0).at_ms;
            sq->changed_us =
                sq->changed_us == 0 ? env_system()->now_us(env_system()) : sq->changed_us;
            return 0;
        }
        if (!closes) {
            return 0;
        }
        sqlite_disconnect(&sq->db); /* nobody writes: the file is its application's alone */
    }
}

/* Its folder is gone, and with it what could wake us: it is told, and the runner tries again. */
static int without_folder(struct sqlite *sq, struct err *err)
{
    struct err why = *err;

    err->code = ERR_NONE;
    while (!(sq->state != LITE_SOUND && sq->is_told)) {
        if (sqlite_look(sq, err) < 0) {
            return -(int)err->code;
        }
        if (sq->state == LITE_SOUND) { /* it is back already */
            break;
        }
        if (sq->options->cancel != NULL && wake_wait(sq->options->cancel, deadline_in(100)) &&
            wake_cancelled(sq->options->cancel)) {
            return err_set(err, ERR_CANCELLED, "cancelled");
        }
    }
    return err_set(err, ERR_UNAVAILABLE, "%s", why.message);
}

static int follow(struct sqlite *sq, struct err *err)
{
    int rc = 0;

    while (rc == 0) {
        rc = sqlite_look(sq, err);
        rc = rc == 0 ? wait_for_change(sq, err) : rc;
    }
    return rc;
}

static int sqlite_capture(struct source *source, const struct source_events *events,
                          struct err *err)
{
    struct sqlite *sq = (struct sqlite *)source;

    sq->events = events;
    intake_init(&sq->intake, sq->options->ledger, sq->options->name);
    if (sqlite_tables_init(sq, err) < 0 || sqlite_outbox_begin(sq, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite_watch_open(&sq->watch, sq->options->path, err);
    rc = rc == 0 ? follow(sq, err) : rc;
    return rc == -ERR_NOT_FOUND ? without_folder(sq, err) : rc;
}

/* ---- the rest of the table ---- */

struct listing {
    const struct source_options *options;
    sqlite3 *db;
    struct buf *text;
    size_t captured;
};

static int list_table(void *arg, const char *name, struct err *err)
{
    struct listing *l = arg;
    const struct source_mapping *mapping = sqlite_mapping_of(l->options, name);
    AUTO(free_ptr) char *why_not = NULL;
    struct sqlite_shape shape;
    int64_t rows = 0;

    if (l->options->table_count > 0 && mapping == NULL) {
        return buf_printf(l->text, err, "-- left: %s (not in tables:)\n", name);
    }
    if (sqlite_shape_read(l->db, name, mapping, &shape, &why_not, err) < 0) {
        return -(int)err->code;
    }
    if (why_not != NULL) {
        return buf_printf(l->text, err, "-- left: %s (%s)\n", name, why_not);
    }
    AUTO(free_ptr) char *count = xprintf("SELECT count(*) FROM %s", shape.quoted);
    int rc = sqlite_ask(l->db, count, &rows, err);
    rc = rc == 0 ? buf_printf(l->text, err, "-- captured: %s (%lld row%s; key ", name,
                              (long long)rows, rows == 1 ? "" : "s")
                 : rc;
    for (size_t k = 0; k < shape.key_count && rc == 0; k++) {
        rc = buf_printf(l->text, err, "%s%s", k == 0 ? "" : ", ", shape.columns[shape.keys[k]]);
    }
    rc = rc == 0 && shape.key_count == 0 ? buf_add_c(l->text, "rowid", err) : rc;
    rc = rc == 0 ? buf_printf(l->text, err, "; content %s)\n",
                              shape.mapping.content == NULL ? "none" : shape.mapping.content)
                 : rc;
    l->captured++;
    sqlite_shape_done(&shape);
    return rc;
}

/* What is captured and what is left, as comments. */
static int list_tables(const struct source_options *options, struct buf *ret, size_t *ret_captured,
                       struct err *err)
{
    struct listing listing = {.options = options, .text = ret};

    if (sqlite_connect(options->path, SQLITE_OPEN_READONLY, LITE_RESTORE_BUSY_MS, options->cancel,
                       &listing.db, err) < 0) {
        return err_context(err, "%s", options->path);
    }
    int rc = buf_printf(ret, err, "-- nothing is made in %s\n", options->path);
    rc = rc == 0 ? sqlite_run(listing.db, "PRAGMA query_only = ON; BEGIN", err) : rc;
    rc = rc == 0 ? sqlite_each_table(listing.db, list_table, &listing, err) : rc;
    sqlite_disconnect(&listing.db);
    *ret_captured = listing.captured;
    return rc == 0 ? 0 : err_context(err, "%s", options->path);
}

static int sqlite_check(struct source *source, struct source_health *ret, struct err *err)
{
    const struct source_options *options = ((struct sqlite *)source)->options;
    AUTO(buf_done) struct buf text = BUF_INIT(LITE_SQL_MAX);
    int64_t begin_us = env_system()->now_us(env_system());
    size_t captured = 0;

    if (list_tables(options, &text, &captured, err) < 0) {
        return -(int)err->code;
    }
    ret->latency_us = env_system()->now_us(env_system()) - begin_us;
    (void)snprintf(ret->detail, sizeof(ret->detail), "SQLite, %zu table%s captured", captured,
                   captured == 1 ? "" : "s");
    return 0;
}

/* The triggers' statements, or those that take them out again. */
static int set_triggers(const struct source_options *options, bool remove, struct buf *ret_sql,
                        struct err *err)
{
    sqlite3 *db = NULL;

    if (sqlite_connect(options->path, SQLITE_OPEN_READONLY, LITE_RESTORE_BUSY_MS, options->cancel,
                       &db, err) < 0) {
        return err_context(err, "%s", options->path);
    }
    int rc = sqlite_run(db, "PRAGMA query_only = ON; BEGIN", err);
    rc = rc != 0  ? rc
         : remove ? sqlite_triggers_remove(db, ret_sql, err)
                  : sqlite_triggers_add(options, db, ret_sql, err);
    sqlite_disconnect(&db);
    return rc == 0 ? 0 : err_context(err, "%s", options->path);
}

static int sqlite_setup(struct source *source, bool remove, struct buf *ret_sql, struct err *err)
{
    const struct source_options *options = ((struct sqlite *)source)->options;
    size_t captured = 0;

    if (remove || options->triggers) {
        return set_triggers(options, remove, ret_sql, err);
    }
    if (list_tables(options, ret_sql, &captured, err) < 0) {
        return -(int)err->code;
    }
    return captured > 0 ? 0
                        : err_set(err, ERR_NOT_FOUND,
                                  "%s has no table that can be captured: a table needs a key",
                                  options->path);
}

/* In one transaction; the file is never checkpointed. */
static int run_in_file(struct source *source, struct str sql, struct err *err)
{
    const struct source_options *options = ((struct sqlite *)source)->options;
    AUTO(free_ptr) char *text = xprintf("BEGIN IMMEDIATE;\n" STR_FMT "COMMIT", STR_ARG(sql));
    sqlite3 *db = NULL;

    int rc = sqlite_connect(options->path, SQLITE_OPEN_READWRITE, LITE_RESTORE_BUSY_MS,
                            options->cancel, &db, err);
    rc = rc == 0 ? sqlite_run(db, text, err) : rc;
    sqlite_disconnect(&db); /* takes back what was not committed */
    if (rc == -ERR_BUSY) {
        return err_context(err,
                           "nothing was changed in %s, as its application kept it locked for "
                           "%d s; run this again",
                           options->path, LITE_RESTORE_BUSY_MS / 1000);
    }
    return rc == 0 ? 0 : err_context(err, "%s", options->path);
}

static int restore_source(struct source *source, struct source_restore *restore, struct err *err)
{
    return sqlite_restore(((struct sqlite *)source)->options, restore, err);
}

const struct source_ops source_sqlite_ops = {
    .kind = "sqlite",
    .open = sqlite_open,
    .capture = sqlite_capture,
    .restore = restore_source,
    .check = sqlite_check,
    .setup = sqlite_setup,
    .run = run_in_file,
    .close = sqlite_close,
};
