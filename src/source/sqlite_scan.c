/*
 * Rows: what changed in a table since it was last looked at.
 *
 * Of each row that was taken in, a mark is kept: its id, and a fingerprint of all of it. A walk
 * through the table in its own order finds by the fingerprints which rows are as they were; the
 * others are new or changed, and marks that no row met are of rows that are gone. So a walk costs a
 * hash and a search a row, and the ledger is asked nothing.
 *
 * How often a table is walked while somebody keeps writing depends on how long that takes; rows
 * behind the last rowid are taken in at each look.
 */
#include "source/sqlite_internal.h"

#include <time.h>

#define WALK_SHARE 4       /* a walk is followed by so many times what it cost without one */
#define WALK_PAUSE_MS 5000 /* but by no more than this */

/* ---- marks ---- */

void sqlite_marks_clear(struct sqlite_table *table)
{
    free(table->marks);
    table->marks = NULL;
    table->count = table->sorted = table->capacity = 0;
    free(table->told);
    table->told = NULL;
    table->told_count = table->told_capacity = 0;
    table->last_rowid = INT64_MIN;
}

static int by_print(const void *a, const void *b)
{
    return memcmp(((const struct sqlite_mark *)a)->print, ((const struct sqlite_mark *)b)->print,
                  sizeof(((const struct sqlite_mark *)a)->print));
}

static int by_uuid(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

static void sort_marks(struct sqlite_table *table)
{
    if (table->sorted < table->count) {
        qsort(table->marks, table->count, sizeof(*table->marks), by_print);
        table->sorted = table->count;
    }
}

static struct sqlite_mark *find_mark(const struct sqlite_table *table, const uint8_t *print)
{
    struct sqlite_mark wanted;

    memcpy(wanted.print, print, sizeof(wanted.print));
    return table->sorted == 0
               ? NULL
               : bsearch(&wanted, table->marks, table->sorted, sizeof(wanted), by_print);
}

static void add_mark(struct sqlite_table *table, const struct uuid *id, const uint8_t *print)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 256 : table->capacity * 2;
        table->marks = xrealloc(table->marks, table->capacity * sizeof(*table->marks));
    }
    struct sqlite_mark *mark = &table->marks[table->count++];
    *mark = (struct sqlite_mark){.id = *id, .is_seen = true};
    memcpy(mark->print, print, sizeof(mark->print));
}

static int by_told(const void *a, const void *b)
{
    const struct sqlite_told *one = a;
    const struct sqlite_told *two = b;
    int order = uuid_cmp(&one->id, &two->id);

    return order != 0 ? order : one->order < two->order ? -1 : one->order > two->order;
}

static int by_told_id(const void *a, const void *b)
{
    return uuid_cmp(a, &((const struct sqlite_told *)b)->id);
}

void sqlite_tell(struct sqlite_table *table, const struct uuid *id, const uint8_t *print)
{
    if (table->told_count == table->told_capacity) {
        table->told_capacity = table->told_capacity == 0 ? 64 : table->told_capacity * 2;
        table->told = xrealloc(table->told, table->told_capacity * sizeof(*table->told));
    }
    struct sqlite_told *told = &table->told[table->told_count];
    *told = (struct sqlite_told){.id = *id, .order = table->told_count, .is_gone = print == NULL};
    if (print != NULL) {
        memcpy(told->print, print, sizeof(told->print));
    }
    table->told_count++;
}

/* The marks are what the ledger heard, also of what entries of the outbox told it: a row that is
 * not as they said, or not there, is found by the walk. */
static void take_told(struct sqlite_table *table)
{
    size_t count = 0;
    size_t kept = 0;

    qsort(table->told, table->told_count, sizeof(*table->told), by_told);
    for (size_t i = 0; i < table->told_count; i++) { /* the last of each row */
        bool is_last =
            i + 1 == table->told_count || !uuid_eq(&table->told[i].id, &table->told[i + 1].id);
        if (is_last) {
            table->told[count++] = table->told[i];
        }
    }
    for (size_t i = 0; i < table->count && count > 0; i++) {
        const struct sqlite_mark *mark = &table->marks[i];
        if (bsearch(&mark->id, table->told, count, sizeof(*table->told), by_told_id) == NULL) {
            table->marks[kept++] = *mark;
        }
    }
    table->count = kept;
    table->sorted = 0;
    for (size_t i = 0; i < count; i++) {
        if (!table->told[i].is_gone) {
            add_mark(table, &table->told[i].id, table->told[i].print);
        }
    }
    table->told_count = 0;
}

/* ---- one walk ---- */

struct walk {
    struct sqlite *sq;
    struct sqlite_table *table;
    struct sqlite_reading reading;
    struct buf print;
    struct uuid *ids; /* suspect: those that were there, sorted; heap */
    size_t id_count;
    enum sqlite_suspect suspect;
    struct sha256 names; /* of the columns: a row is another when they are */
};

int sqlite_row_print(const struct sqlite_shape *shape, const struct sha256 *names,
                     sqlite3_stmt *statement, struct buf *scratch, uint8_t *ret, struct err *err)
{
    int columns = (int)shape->column_count + (shape->key_count == 0 ? 1 : 0);

    buf_reset(scratch);
    if (buf_add(scratch, names, sizeof(*names), err) < 0) {
        return -(int)err->code;
    }
    for (int i = 0; i < columns; i++) {
        if (sqlite_value_print(statement, i, scratch, err) < 0) {
            return -(int)err->code;
        }
    }
    struct sha256 sum = sha256_of(scratch->data, scratch->len);
    memcpy(ret, sum.bytes, sizeof(((struct sqlite_mark *)NULL)->print));
    return 0;
}

struct sha256 sqlite_names_of(const struct sqlite_shape *shape)
{
    AUTO(free_ptr) char *list = sqlite_column_list(shape);

    return sha256_of(list, strlen(list));
}

/* A row that no mark knows: new, or changed. */
static int take_row(struct walk *w, sqlite3_stmt *statement, const uint8_t *print, struct err *err)
{
    struct sqlite *sq = w->sq;
    struct err none = ERR_INIT;
    struct str key;
    struct row row;

    if (sqlite_row_read(&w->reading, sq->options, &w->table->shape, statement, &row, err) < 0) {
        return -(int)err->code;
    }
    struct uuid id = {.bytes = {0}};
    if (row_key(&row, &key, &none) == 0 && intake_id(&sq->intake, row.table, key, &id, err) < 0) {
        return sqlite_took(-(int)err->code, err);
    }
    intake_suspect(&sq->intake, w->ids != NULL &&
                                    bsearch(&id, w->ids, w->id_count, sizeof(id), by_uuid) != NULL);
    int rc = w->table->is_compared ? intake_put(&sq->intake, &row, err)
                                   : compare_row(&sq->compare, &row, err);
    intake_suspect(&sq->intake, false);
    if (rc == 0) {
        add_mark(w->table, &id, print);
        if (w->table->told_count > 0) { /* the ledger heard this after what an entry told it */
            sqlite_tell(w->table, &id, print);
        }
    }
    return sqlite_took(rc, err);
}

static int walk_row(struct walk *w, sqlite3_stmt *statement, struct err *err)
{
    struct sqlite_table *table = w->table;
    uint8_t print[16] = {0};

    if (table->shape.rowid != NULL) {
        int64_t rowid = sqlite3_column_int64(statement, (int)table->shape.column_count);
        table->last_rowid = rowid > table->last_rowid ? rowid : table->last_rowid;
    }
    if (sqlite_row_print(&table->shape, &w->names, statement, &w->print, print, err) < 0) {
        return -(int)err->code;
    }
    struct sqlite_mark *mark = find_mark(table, print);
    if (mark != NULL) {
        mark->is_seen = true;
        return 0;
    }
    return take_row(w, statement, print, err);
}

/* Somebody who writes waits for us: let him. Whether he wrote is told by the data version; then
 * what his triggers noted comes before the rows that we read next. */
static int pause_reading(struct walk *w, int64_t *version, struct err *err)
{
    struct sqlite *sq = w->sq;
    int64_t now = 0;

    if (sqlite_let_go(sq, err) < 0 || sqlite_ask(sq->db, "PRAGMA data_version", &now, err) < 0) {
        return -(int)err->code;
    }
    bool has_changed = now != *version;
    sq->is_torn = sq->is_torn || has_changed;
    *version = now;
    return has_changed && sq->is_begun && w->suspect == LITE_NOTHING ? sqlite_outbox_take(sq, err)
                                                                     : 0;
}

/* The rows behind a rowid, until the end, or until a slice is over: then *ret_more. */
static int walk_slice(struct walk *w, sqlite3_stmt *statement, bool may_pause, bool *ret_more,
                      struct err *err)
{
    struct deadline slice = deadline_in(LITE_SLICE_MS);
    int rc;

    *ret_more = false;
    while ((rc = sqlite_step(w->sq->db, statement, err)) > 0) {
        if (walk_row(w, statement, err) < 0) {
            return -(int)err->code;
        }
        if (may_pause && deadline_left_ms(slice) == 0) {
            *ret_more = true;
            return 0;
        }
    }
    return rc;
}

/* All rows behind *after. With a rollback journal the file is let go from time to time, unless it
 * has to be read as one. */
static int walk_rows(struct walk *w, int64_t after, bool all, bool whole, struct err *err)
{
    struct sqlite *sq = w->sq;
    const struct sqlite_shape *shape = &w->table->shape;
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    AUTO(free_ptr) char *list = sqlite_column_list(shape);
    const char *rowid = shape->rowid;
    AUTO(free_ptr)
    char *sql = rowid == NULL
                    ? xprintf("SELECT %s FROM %s", list, shape->quoted)
                    : xprintf("SELECT %s FROM %s WHERE %s >= ?1 AND (%s > ?1 OR ?2) ORDER BY %s",
                              list, shape->quoted, rowid, rowid, rowid);
    int64_t version = 0;
    bool more = true;

    if (sqlite_prepare(sq->db, sql, &statement, err) < 0 ||
        sqlite_ask(sq->db, "PRAGMA data_version", &version, err) < 0) {
        return -(int)err->code;
    }
    bool may_pause = !sq->is_log && rowid != NULL && !whole;
    while (more) {
        if (rowid != NULL && (sqlite3_bind_int64(statement, 1, after) != SQLITE_OK ||
                              sqlite3_bind_int(statement, 2, all ? 1 : 0) != SQLITE_OK)) {
            return sqlite_error(sq->db, SQLITE_NOMEM, err);
        }
        int rc = walk_slice(w, statement, may_pause, &more, err);
        if (more) {
            after = sqlite3_column_int64(statement, (int)shape->column_count);
            all = false;
        }
        (void)sqlite3_reset(statement); /* repeats the error of the last step */
        if (rc < 0 || (more && pause_reading(w, &version, err) < 0)) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- what is gone ---- */

/* Ids of marks that no row met, sorted, each once: a row that changed behind the last rowid, and
 * again before it was walked, has two. */
static size_t collect_unseen(const struct sqlite_table *table, struct uuid *ret)
{
    size_t count = 0;
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        if (!table->marks[i].is_seen) {
            ret[count++] = table->marks[i].id;
        }
    }
    qsort(ret, count, sizeof(*ret), by_uuid);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !uuid_eq(&ret[i], &ret[kept - 1])) {
            ret[kept++] = ret[i];
        }
    }
    return kept;
}

/* A mark that no row met is of a row that changed, if its id was met with another mark. */
static int delete_unseen(struct walk *w, struct err *err)
{
    struct sqlite_table *table = w->table;
    AUTO(free_ptr) struct uuid *gone = xcalloc(table->count + 1, sizeof(*gone));
    size_t count = collect_unseen(table, gone);
    AUTO(free_ptr) bool *is_there = xcalloc(count + 1, sizeof(*is_there));
    size_t kept = 0;

    for (size_t i = 0; i < table->count && count > 0; i++) {
        const struct sqlite_mark *mark = &table->marks[i];
        const struct uuid *found =
            mark->is_seen ? bsearch(&mark->id, gone, count, sizeof(*gone), by_uuid) : NULL;
        if (found != NULL) {
            is_there[found - gone] = true;
        }
    }
    intake_suspect(&w->sq->intake, w->suspect != LITE_NOTHING);
    for (size_t i = 0; i < count; i++) {
        if (!is_there[i] && !uuid_is_nil(&gone[i]) &&
            intake_delete_id(&w->sq->intake, &gone[i], err) < 0) {
            return sqlite_took(-(int)err->code, err);
        }
    }
    intake_suspect(&w->sq->intake, false);
    for (size_t i = 0; i < table->count; i++) {
        if (table->marks[i].is_seen) {
            table->marks[kept++] = table->marks[i];
        }
    }
    table->sorted = kept < table->count ? 0 : table->sorted;
    table->count = kept;
    sort_marks(table);
    return 0;
}

static void begin_walk(struct walk *w)
{
    struct sqlite_table *table = w->table;

    if (!table->is_compared) {
        sqlite_marks_clear(table);
        compare_again(&w->sq->compare, table->name);
    } else if (table->told_count > 0) {
        take_told(table);
    }
    table->last_rowid = INT64_MIN; /* an entry of the outbox may have named one that is not there */
    sort_marks(table);
    for (size_t i = 0; i < table->count; i++) {
        table->marks[i].is_seen = false;
    }
    if (w->suspect == LITE_EVERYTHING && table->count > 0 && w->ids == NULL) {
        w->ids = xcalloc(table->count, sizeof(*w->ids));
        for (size_t i = 0; i < table->count; i++) {
            w->ids[i] = table->marks[i].id;
        }
        w->id_count = table->count;
        qsort(w->ids, w->id_count, sizeof(*w->ids), by_uuid);
    }
}

#define WALKS_MAX 3 /* that may be torn by others' commits; then it is read in one go */

/* Every row. What is missing counts only when nobody wrote meanwhile. */
static int walk_all(struct walk *w, struct err *err)
{
    struct sqlite *sq = w->sq;
    struct sqlite_table *table = w->table;
    int rc = 0;

    for (int round = 1; rc == 0; round++) {
        sq->is_torn = false;
        begin_walk(w);
        rc = walk_rows(w, INT64_MIN, true, round == WALKS_MAX || sq->is_nameless, err);
        if (!sq->is_torn || round == WALKS_MAX) {
            break;
        }
    }
    if (rc == 0 && !table->is_compared) {
        rc = sqlite_took(compare_end(&sq->compare, table->name, err), err);
        table->is_compared = rc == 0;
        sort_marks(table);
        return rc;
    }
    return rc == 0 ? delete_unseen(w, err) : rc;
}

/* Of this thread: a machine that has other work makes a walk long, but not dear. */
static int64_t cpu_us(void)
{
    struct timespec now = {.tv_sec = 0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* can't fail for one's own thread */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int sqlite_scan(struct sqlite *sq, struct sqlite_table *table, enum sqlite_suspect suspect,
                struct err *err)
{
    struct walk w = {.sq = sq, .table = table, .suspect = suspect};
    int64_t begin_us = cpu_us();
    bool is_walk =
        suspect != LITE_NOTHING || !table->is_compared || deadline_in(0).at_ms >= table->due_ms;
    int rc;

    w.names = sqlite_names_of(&table->shape);
    sqlite_reading_init(&w.reading, &table->shape);
    buf_init(&w.print, (size_t)256 * 1024 * 1024);
    if (is_walk) {
        rc = walk_all(&w, err);
        table->is_due = rc < 0;
        int64_t pause_ms = (cpu_us() - begin_us) / 1000 * WALK_SHARE;
        table->due_ms = deadline_in(pause_ms < WALK_PAUSE_MS ? pause_ms : WALK_PAUSE_MS).at_ms;
    } else {
        rc = table->shape.rowid == NULL ? 0 : walk_rows(&w, table->last_rowid, false, false, err);
        table->is_due = true;
    }
    sqlite_reading_done(&w.reading);
    buf_done(&w.print);
    free(w.ids);
    return rc;
}
