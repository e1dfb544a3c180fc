/*
 * One look: what became of the file, and what changed in it.
 *
 * The file is opened anew each time: a connection that was open before would go on reading what it
 * has in its cache, or a file whose name is gone. That of the last look is kept for a moment: where
 * the name leads to something else now, it can still tell what was committed before.
 */
#include "source/sqlite_internal.h"

#include "base/utf8.h"

#define KEEP_MS 300        /* the last connection, without a change; then the file is let go */
#define SETTLE_MS 500      /* a file that is gone or damaged may be on its way: so long quiet */
#define SETTLE_MAX_MS 5000 /* though it goes on changing */
#define SETTLE_LOOK_MS 50
#define AGAIN_MIN_MS 2       /* from one look to the next, while somebody is about to commit */
#define AGAIN_MAX_MS 2000    /* or holds a lock for long */
#define AHEAD_MAX_MS 60000   /* then the log's end is of a transaction that was given up */
#define LOCKED_TELL_MS 10000 /* a lock that is worth telling */

void sqlite_trouble(struct sqlite *sq, const char *what)
{
    size_t len = what == NULL ? 0 : utf8_cut(str_of(what), sizeof(sq->trouble) - 1);

    if (strncmp(sq->trouble, what == NULL ? "" : what, len) == 0 && sq->trouble[len] == '\0') {
        return;
    }
    if (len > 0) {
        memcpy(sq->trouble, what, len);
    }
    sq->trouble[len] = '\0';
    sq->events->on_trouble(sq->events->arg, len > 0 ? sq->trouble : NULL);
}

int sqlite_took(int rc, struct err *err)
{
    if (rc < 0 && err->code != ERR_CANCELLED) {
        err->code = ERR_UNAVAILABLE;
        return err_context(err, "the ledger");
    }
    return rc;
}

/* ---- the tables ---- */

static struct sqlite_table *find_table(struct sqlite *sq, const char *name)
{
    for (size_t i = 0; i < sq->table_count; i++) {
        if (sqlite3_stricmp(sq->tables[i].name, name) == 0) {
            return &sq->tables[i];
        }
    }
    return NULL;
}

static struct sqlite_table *add_table(struct sqlite *sq, const char *name,
                                      const struct source_mapping *configured)
{
    if (sq->table_count == SOURCE_TABLES_MAX) {
        return NULL;
    }
    struct sqlite_table *table = &sq->tables[sq->table_count++];
    *table = (struct sqlite_table){.name = xstrdup(name),
                                   .configured = configured,
                                   .last_rowid = INT64_MIN,
                                   .is_compared = sq->is_begun};
    return table;
}

int sqlite_tables_init(struct sqlite *sq, struct err *err)
{
    for (size_t i = 0; i < sq->options->table_count; i++) {
        (void)add_table(sq, sq->options->tables[i].table, &sq->options->tables[i]);
    }
    if (compare_load(&sq->compare, &sq->intake, sq->options, NULL, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < sq->compare.table_count; i++) {
        struct sqlite_table *table = find_table(sq, sq->compare.tables[i]);
        if (table == NULL && sq->options->table_count == 0) {
            table = add_table(sq, sq->compare.tables[i], NULL);
        }
        if (table != NULL) {
            table->is_known = true;
        }
    }
    return 0;
}

void sqlite_tables_done(struct sqlite *sq)
{
    for (size_t i = 0; i < sq->table_count; i++) {
        struct sqlite_table *table = &sq->tables[i];
        free(table->name);
        free(table->why_not);
        free(table->had);
        sqlite_shape_done(&table->shape);
        sqlite_marks_clear(table);
    }
    sq->table_count = 0;
    compare_done(&sq->compare);
}

static int take_shape(struct sqlite *sq, struct sqlite_table *table, struct sqlite_shape *shape,
                      struct err *err)
{
    bool is_same =
        table->shape.definition != NULL && strcmp(table->shape.definition, shape->definition) == 0;
    int rc = table->shape.name != NULL ? sqlite_note_columns(sq, &table->shape, shape, err) : 0;

    sqlite_shape_done(&table->shape);
    table->shape = *shape;
    table->is_there = true;
    if (rc == 0 && !is_same) {
        table->due_ms = 0;
        rc = intake_define(&sq->intake, table->name, sq->options->project,
                           str_of(shape->definition), err);
        rc = sqlite_took(rc, err);
    }
    return rc;
}

static int read_table(struct sqlite *sq, struct sqlite_table *table, struct err *err)
{
    struct sqlite_shape shape;
    char *why_not = NULL;

    table->is_there = false;
    int rc = sqlite_shape_read(sq->db, table->name, table->configured, &shape, &why_not, err);
    if (rc == 0 && why_not == NULL) {
        rc = take_shape(sq, table, &shape, err);
    } else if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        rc = 0;
    }
    bool is_news =
        why_not != NULL && (table->why_not == NULL || strcmp(table->why_not, why_not) != 0);
    free(table->why_not);
    table->why_not = why_not;
    if (is_news) {
        AUTO(free_ptr)
        char *note = xprintf("table %s is not captured: %s", table->name, why_not);
        sq->events->on_note(sq->events->arg, note);
    }
    return rc;
}

static int add_found(void *arg, const char *name, struct err *err)
{
    struct sqlite *sq = arg;

    (void)err;
    if (find_table(sq, name) == NULL && add_table(sq, name, NULL) == NULL) {
        AUTO(free_ptr)
        char *note = xprintf("table %s is not captured: at most %d of a source are", name,
                             SOURCE_TABLES_MAX);
        sq->events->on_note(sq->events->arg, note);
    }
    return 0;
}

static int keep_rest(struct sqlite *sq, struct err *err)
{
    const struct sqlite_shape *captured[SOURCE_TABLES_MAX];
    AUTO(free_ptr) char *rest = NULL;
    size_t count = 0;

    for (size_t i = 0; i < sq->table_count; i++) {
        if (sq->tables[i].is_there) {
            captured[count++] = &sq->tables[i].shape;
        }
    }
    if (sqlite_rest_read(sq->db, sq->watch.real, captured, count, &rest, err) < 0) {
        return -(int)err->code;
    }
    return sqlite_took(
        intake_define(&sq->intake, LITE_REST, sq->options->project, str_of(rest), err), err);
}

/* What the file is made of, when that changed. */
static int read_tables(struct sqlite *sq, struct err *err)
{
    struct sha256 schema;

    if (sqlite_schema_digest(sq->db, &schema, err) < 0) {
        return -(int)err->code;
    }
    if (sq->has_schema && sha256_eq(&schema, &sq->schema)) {
        return 0;
    }
    sq->has_schema = false;
    if (sq->options->table_count == 0 && sqlite_each_table(sq->db, add_found, sq, err) < 0) {
        return -(int)err->code;
    }
    bool is_any = false;
    for (size_t i = 0; i < sq->table_count; i++) {
        if (read_table(sq, &sq->tables[i], err) < 0) {
            return -(int)err->code;
        }
        is_any = is_any || sq->tables[i].is_there;
    }
    /* What an emptied file is made of is not what it is to be restored to. */
    if ((is_any && keep_rest(sq, err) < 0) || sqlite_guarded_check(sq, err) < 0) {
        return -(int)err->code;
    }
    sq->schema = schema;
    sq->has_schema = true;
    return 0;
}

/* ---- what is gone ---- */

static int table_gone(struct sqlite *sq, struct sqlite_table *table, const char *rule,
                      const char *what, const char *who, struct err *err)
{
    AUTO(free_ptr)
    char *summary = xprintf("%s. Every row is safe in the ledger; to put them back: holdfast "
                            "restore %s",
                            what, sq->options->name);

    sqlite_marks_clear(table);
    table->is_gone = true;
    table->is_compared = true; /* what the ledger heard is: nothing is there */
    table->is_due = false;
    intake_actor(&sq->intake, who, NULL);
    int rc = intake_gone(&sq->intake, table->name, rule, summary, err);
    intake_actor(&sq->intake, NULL, NULL);
    return sqlite_took(rc, err);
}

static int table_vanished(struct sqlite *sq, struct sqlite_table *table, struct err *err)
{
    AUTO(free_ptr)
    char *what = table->why_not == NULL
                     ? xprintf("Table %s of source %s was dropped", table->name, sq->options->name)
                     : xprintf("Table %s of source %s can't be captured any more: %s", table->name,
                               sq->options->name, table->why_not);
    AUTO(free_ptr) char *who = xprintf("table %s was dropped", table->name);

    return table_gone(sq, table, "source_dropped", what, who, err);
}

static char *say_bad(const struct sqlite *sq, const char *why)
{
    const char *path = sq->watch.path;
    const char *name = sq->options->name;

    return sq->state == LITE_GONE ? xprintf("The file %s of source %s is gone", path, name)
           : sq->is_log_lost
               ? xprintf("The write-ahead log of %s of source %s was removed (%s)", path, name, why)
               : xprintf("The file %s of source %s is damaged (%s)", path, name, why);
}

/* The file, or some of its tables: when it has stayed so for a while. */
static int tell_bad(struct sqlite *sq, bool whole, const char *why, struct err *err)
{
    const char *rule = sq->state == LITE_GONE ? "source_vanished" : "source_damaged";
    const char *who = sq->state == LITE_GONE ? "the file was removed"
                      : sq->is_log_lost      ? "its log was removed"
                                             : "the file was damaged";
    AUTO(free_ptr) char *what = say_bad(sq, why);
    int rc = 0;

    sqlite_trouble(sq, what);
    for (size_t i = 0; i < sq->table_count && rc == 0; i++) {
        struct sqlite_table *table = &sq->tables[i];
        if (table->is_known && !table->is_gone && (whole || table->is_damaged)) {
            rc = table_gone(sq, table, rule, what, who, err);
        }
    }
    sq->is_told = rc == 0;
    sq->has_schema = false;
    return rc;
}

/* It may be on its way: somebody moves another file there, or is writing it just now. */
static int note_bad(struct sqlite *sq, enum sqlite_state state, bool whole, const char *why,
                    struct err *err)
{
    int64_t now = deadline_in(0).at_ms;

    if (sq->state != state) {
        sq->state = state;
        sq->bad_since_ms = now;
        sq->is_told = false;
    }
    int64_t quiet_since = sq->event_ms > sq->bad_since_ms ? sq->event_ms : sq->bad_since_ms;
    if (!sq->is_told &&
        (now - quiet_since >= SETTLE_MS || now - sq->bad_since_ms >= SETTLE_MAX_MS)) {
        return tell_bad(sq, whole, why, err);
    }
    return 0;
}

/* ---- who wrote it? ---- */

struct suspicion {
    enum sqlite_suspect what;
    const char *who;  /* for the actor */
    const char *text; /* for the sentence */
};

static bool is_elsewhere(const struct sqlite *sq, const struct sqlite_identity *now)
{
    return now->device != sq->last.device || now->inode != sq->last.inode;
}

static bool lost_log(const struct sqlite *sq, const struct sqlite_identity *now)
{
    return sq->last.log_size > 0 && now->log_size <= 0 && now->mtime_us == sq->last.mtime_us;
}

/* An application writes through SQLite: then the inode stays, the header's counter does not fall,
 * what is new comes by the log, and that is copied into the file before it goes away. */
static struct suspicion suspect(const struct sqlite *sq, const struct sqlite_identity *now)
{
    const struct sqlite_identity *last = &sq->last;

    if (!sq->has_last) {
        return (struct suspicion){.what = LITE_NOTHING};
    }
    bool is_older = now->counter < last->counter;
    if (is_elsewhere(sq, now)) {
        return (struct suspicion){is_older ? LITE_EVERYTHING : LITE_DELETIONS,
                                  "the file was replaced", "another file was put in its place"};
    }
    if (is_older) {
        return (struct suspicion){LITE_EVERYTHING, "an older copy was put back",
                                  "an older copy was written over it"};
    }
    if (lost_log(sq, now)) {
        return (struct suspicion){LITE_EVERYTHING, "its log was removed",
                                  "its write-ahead log was removed"};
    }
    if (sq->is_log && !sq->saw_log && now->mtime_us != last->mtime_us) {
        return (struct suspicion){LITE_EVERYTHING, "the file was overwritten",
                                  "it was overwritten by what is not SQLite"};
    }
    return (struct suspicion){.what = LITE_NOTHING};
}

/* ---- looking ---- */

int sqlite_let_go(struct sqlite *sq, struct err *err)
{
    int64_t version = 0;

    if (sqlite_run(sq->db, "COMMIT; BEGIN", err) < 0 ||
        sqlite_ask(sq->db, "PRAGMA schema_version", &version, err) < 0) {
        return -(int)err->code;
    }
    return version == sq->schema_version
               ? 0
               : err_set(err, ERR_BUSY, "its tables were altered while they were read");
}

static int scan_tables(struct sqlite *sq, enum sqlite_suspect what, bool *ret_is_damaged,
                       struct err *err)
{
    for (size_t i = 0; i < sq->table_count; i++) {
        struct sqlite_table *table = &sq->tables[i];
        int rc = 0;
        if (table->is_there) {
            table->is_known = true;
            table->is_damaged = false;
            rc = sqlite_scan(sq, table, what, err);
            table->is_gone = table->is_gone && rc < 0;
        } else if (table->is_known && !table->is_gone) {
            rc = table_vanished(sq, table, err);
        }
        if (rc < 0 && err->code == ERR_CORRUPT && table->is_there) {
            table->is_damaged = *ret_is_damaged = true;
        } else if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int keep_position(struct sqlite *sq, struct err *err)
{
    AUTO(free_ptr) char *position = sqlite_position(sq);
    bool is_news = sq->intake.count > 0 || !sq->position_is_kept;
    int64_t lag_us = sq->changed_us == 0 ? 0 : env_system()->now_us(env_system()) - sq->changed_us;

    if (intake_flush(&sq->intake, is_news ? position : NULL, err) < 0) {
        return sqlite_took(-(int)err->code, err);
    }
    sq->position_is_kept = true;
    sq->changed_us = 0;
    sq->events->on_position(sq->events->arg, position, lag_us / 1000);
    return 0;
}

static void tell_trouble(struct sqlite *sq)
{
    AUTO(free_ptr)
    char *text =
        xprintf("%llu changes of rows could not be kept whole; the last: %s",
                (unsigned long long)sq->intake.counts.refused, sq->intake.counts.last_refused);

    sqlite_trouble(sq, sq->intake.counts.refused > 0 ? text
                       : sq->outbox.unread != NULL   ? sq->outbox.unread
                                                     : sq->outbox.trouble);
}

static int hold_suspects(struct sqlite *sq, const struct suspicion *suspicion, struct err *err)
{
    AUTO(free_ptr)
    char *summary = xprintf("Rows of source %s were lost when %s (%s). They are held: still "
                            "shown, nothing is lost; to put them back: holdfast restore %s",
                            sq->options->name, suspicion->text, sq->watch.path, sq->options->name);

    return sqlite_took(intake_hold(&sq->intake, "source_replaced", summary, err), err);
}

/* What is in the file that is open. */
static int look_through(struct sqlite *sq, const struct suspicion *suspicion, struct err *err)
{
    bool is_damaged = false;

    intake_actor(&sq->intake, suspicion->who, NULL);
    int rc = read_tables(sq, err);
    rc = rc != 0                           ? rc
         : suspicion->what == LITE_NOTHING ? sqlite_outbox_take(sq, err)
                                           : sqlite_outbox_leave(sq, err);
    rc = rc == 0 ? scan_tables(sq, suspicion->what, &is_damaged, err) : rc;
    if (rc == 0 && suspicion->what != LITE_NOTHING) {
        rc = hold_suspects(sq, suspicion, err);
    }
    intake_actor(&sq->intake, NULL, NULL);
    if (rc < 0 || !is_damaged) {
        return rc;
    }
    AUTO(free_ptr) char *why = xstrdup(err->message);
    err->code = ERR_NONE;
    return intake_flush(&sq->intake, NULL, err) < 0 ? sqlite_took(-(int)err->code, err)
                                                    : note_bad(sq, LITE_DAMAGED, false, why, err);
}

/* From now on the marks are what the ledger heard; of tables that come later it has heard nothing.
 */
static void begun(struct sqlite *sq)
{
    for (size_t i = 0; i < sq->table_count && !sq->is_begun; i++) {
        sq->tables[i].is_compared = true;
    }
    sq->is_begun = true;
    compare_done(&sq->compare);
}

/* A transaction that is still being written fills the log, and nothing of it counts. */
static bool is_nothing_new(const struct sqlite *sq, const struct sqlite_identity *now)
{
    bool is_due = false;

    for (size_t i = 0; i < sq->table_count; i++) {
        is_due = is_due || sq->tables[i].is_due || sq->tables[i].is_damaged;
    }
    return sq->is_log && sq->has_last && sq->state == LITE_SOUND && !sq->saw_file && !is_due &&
           !is_elsewhere(sq, now) && !lost_log(sq, now) &&
           memcmp(sq->log.index, sq->last_log.index, sizeof(sq->log.index)) == 0;
}

static int sound(struct sqlite *sq, const struct sqlite_identity *now, struct err *err)
{
    struct suspicion suspicion = suspect(sq, now);

    if (is_nothing_new(sq, now)) {
        sq->changed_us = 0;
        return 0;
    }
    int rc = look_through(sq, &suspicion, err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < sq->table_count; i++) {
        if (sq->tables[i].is_damaged) {
            return 0;
        }
    }
    begun(sq);
    sq->state = LITE_SOUND;
    sq->is_log_lost = false;
    sq->last = *now;
    sq->last_log = sq->log;
    sq->has_last = true;
    sq->saw_file = false;
    rc = keep_position(sq, err);
    tell_trouble(sq); /* the first position says that all is well */
    return rc;
}

/* The name leads elsewhere, or the log is gone: what was committed before, and not seen yet, is in
 * what is still open. Where that can't be read any more, nothing is lost but that. */
static void look_at_what_was(struct sqlite *sq)
{
    const struct suspicion none = {.what = LITE_NOTHING};
    struct err why = ERR_INIT;

    for (size_t i = 0; i < sq->table_count; i++) {
        if (sq->tables[i].is_due) { /* there is no later: what was put off is walked now */
            sq->tables[i].due_ms = 0;
        }
    }
    sq->is_nameless = true;
    if (sqlite_run(sq->db, "BEGIN", &why) < 0 || look_through(sq, &none, &why) < 0) {
        sq->has_schema = false;
    }
    sq->is_nameless = false;
}

static bool is_any_known(const struct sqlite *sq)
{
    for (size_t i = 0; i < sq->table_count; i++) {
        if (sq->tables[i].is_known) {
            return true;
        }
    }
    return false;
}

/* Open what the name leads to, with a transaction that reads. */
static int open_file(struct sqlite *sq, struct sqlite_identity *now, struct err *err)
{
    struct sqlite_identity after;

    if (now->size == 0 && now->log_size <= 0 && is_any_known(sq)) {
        return err_set(err, ERR_CORRUPT, "it was cut to 0 bytes");
    }
    if (sqlite_connect(sq->watch.real, SQLITE_OPEN_READONLY, LITE_LOOK_BUSY_MS, sq->options->cancel,
                       &sq->db, err) < 0 ||
        sqlite_run(sq->db, "PRAGMA query_only = ON; BEGIN", err) < 0 ||
        sqlite_ask(sq->db, "PRAGMA schema_version", &sq->schema_version, err) < 0 ||
        sqlite_identify(sq->watch.real, &after, err) < 0) {
        return -(int)err->code;
    }
    if (after.inode != now->inode || after.device != now->device) {
        return err_set(err, ERR_BUSY, "it is being replaced");
    }
    AUTO(free_ptr) char *mode = sqlite_ask_text(sq->db, "PRAGMA journal_mode");
    sq->is_log = mode != NULL && strcmp(mode, "wal") == 0;
    now->counter = sqlite_counter(sq->db);
    if (!sq->is_log) {
        return 0;
    }
    sq->log = sqlite_log_read(sq->db); /* what it counts is in the transaction that begins now */
    return sqlite_run(sq->db, "COMMIT; BEGIN; SELECT 1 FROM sqlite_schema", err);
}

static int locked(struct sqlite *sq, const struct err *why)
{
    int64_t now = deadline_in(0).at_ms;

    sq->locked_ms = sq->locked_ms == 0 ? now : sq->locked_ms;
    if (now - sq->locked_ms >= LOCKED_TELL_MS) {
        AUTO(free_ptr)
        char *text = xprintf("%s is locked by its application, and can't be read (%s)",
                             sq->watch.path, why->message);
        sqlite_trouble(sq, text);
    }
    return 0;
}

/* What kept us from looking: a state of the file, a lock, or an error. */
static int not_looked(struct sqlite *sq, struct err *err)
{
    AUTO(free_ptr) char *why = xstrdup(err->message);

    if (err->code == ERR_NOT_FOUND || err->code == ERR_CORRUPT) {
        enum sqlite_state state = err->code == ERR_NOT_FOUND ? LITE_GONE : LITE_DAMAGED;
        err->code = ERR_NONE;
        return note_bad(sq, state, true, why, err);
    }
    if (err->code == ERR_BUSY) {
        err->code = ERR_NONE;
        return locked(sq, err);
    }
    return err->code == ERR_CANCELLED ? -ERR_CANCELLED : err_context(err, "%s", sq->watch.path);
}

static bool is_any_due(const struct sqlite *sq)
{
    for (size_t i = 0; i < sq->table_count; i++) {
        if (sq->tables[i].is_due) {
            return true;
        }
    }
    return false;
}

/* Are there commits that this look did not see, and that no event will tell of? What came by the
 * log is only known when every table was walked: a checkpoint changes the file meanwhile. */
static void note_ahead(struct sqlite *sq)
{
    if (!sq->is_log) {
        sq->ahead_ms = 0;
        sq->saw_log = false;
        return;
    }
    struct sqlite_log now = sqlite_log_read(sq->db);
    if (!now.is_ahead && memcmp(now.index, sq->log.index, sizeof(now.index)) == 0) {
        sq->ahead_ms = 0;
        sq->saw_log = sq->saw_log && is_any_due(sq); /* else all that was written to it was seen */
    } else if (sq->ahead_ms == 0 || sq->ahead_ms < sq->event_ms) {
        sq->ahead_ms = deadline_in(0).at_ms;
    }
}

/* The longer it lasts, the seldomer; at last it is a transaction that was given up. */
static int64_t look_again_ms(int64_t since_ms, int64_t now)
{
    int64_t pause = (now - since_ms) / 4;

    return now + (pause < AGAIN_MIN_MS   ? AGAIN_MIN_MS
                  : pause > AGAIN_MAX_MS ? AGAIN_MAX_MS
                                         : pause);
}

/* A walk that was put off can be done as long as this connection is open, whatever becomes of the
 * file meanwhile. */
static int64_t keep_until_ms(const struct sqlite *sq)
{
    int64_t until_ms = deadline_in(KEEP_MS).at_ms;

    for (size_t i = 0; i < sq->table_count; i++) {
        if (sq->tables[i].is_due && sq->tables[i].due_ms > until_ms) {
            until_ms = sq->tables[i].due_ms;
        }
    }
    return until_ms;
}

int sqlite_look(struct sqlite *sq, struct err *err)
{
    struct sqlite_identity now = {.inode = 0};
    struct err none = ERR_INIT;

    sq->saw_log = sq->saw_log || sq->watch.saw_log;
    sq->watch.saw_log = false;
    sq->saw_file = sq->saw_file || sq->watch.saw_file;
    sq->watch.saw_file = false;
    int rc = sqlite_watch_refresh(&sq->watch, err);
    rc = rc == 0 ? sqlite_identify(sq->watch.real, &now, err) : rc;
    sq->is_log_lost = sq->is_log_lost || (rc == 0 && lost_log(sq, &now));
    /* What is open is of use only for what has no name any more; within one process SQLite would
     * have a second connection share its view of the log. */
    if (sq->db != NULL && (rc < 0 || is_elsewhere(sq, &now) || lost_log(sq, &now))) {
        look_at_what_was(sq);
    }
    sqlite_disconnect(&sq->db);
    rc = rc == 0 ? open_file(sq, &now, err) : rc;
    if (rc == 0) {
        sq->locked_ms = 0;
        rc = sound(sq, &now, err);
    }
    if (rc < 0) {
        sqlite_disconnect(&sq->db);
        return not_looked(sq, err);
    }
    sq->close_ms = keep_until_ms(sq);
    note_ahead(sq);
    if (sqlite_run(sq->db, "COMMIT", &none) < 0) { /* it only read: the next look reads anew */
        sqlite_disconnect(&sq->db);
    }
    return 0;
}

int64_t sqlite_look_due_ms(const struct sqlite *sq)
{
    int64_t now = deadline_in(0).at_ms;
    int64_t due = DEADLINE_NEVER;

    if (sq->state != LITE_SOUND && !sq->is_told) {
        due = now + SETTLE_LOOK_MS;
    }
    if (sq->locked_ms != 0) {
        due = look_again_ms(sq->locked_ms, now);
    } else if (sq->ahead_ms != 0 && now - sq->ahead_ms < AHEAD_MAX_MS) {
        due = look_again_ms(sq->ahead_ms, now);
    }
    for (size_t i = 0; i < sq->table_count; i++) {
        if (sq->tables[i].is_due && sq->tables[i].due_ms < due) {
            due = sq->tables[i].due_ms;
        }
    }
    return due;
}
