/*
 * What the triggers in somebody's file wrote: taken in as changes, in order.
 *
 * Numbers follow each other, and the last entry that was taken is known again by its digest: so
 * entries that the ring overwrote, and an outbox that was emptied, altered or put back from a copy,
 * show. Nothing then is lost but the versions in between; the walk finds the rest.
 */
#include "source/sqlite_internal.h"

#include "base/fault.h"
#include "base/num.h"

#define TELL_MS 60000                   /* a gap is told so often at most */
#define PRINT_MAX ((size_t)1024 * 1024) /* of an entry: each value takes 4 KiB at most */

/* ---- up to where it was taken ---- */

#define MARK ", outbox " /* in the position; behind it "NUMBER DIGEST" */

char *sqlite_position(const struct sqlite *sq)
{
    const struct sqlite_outbox *outbox = &sq->outbox;
    uint64_t rows = 0;

    for (size_t i = 0; i < sq->table_count; i++) {
        rows += sq->tables[i].count;
    }
    AUTO(free_ptr)
    char *text = xprintf("%llu rows, inode %llu, change %u", (unsigned long long)rows,
                         (unsigned long long)sq->last.inode, sq->last.counter);
    return outbox->has_number
               ? xprintf("%s" MARK "%lld %s", text, (long long)outbox->number, outbox->digest)
               : xstrdup(text);
}

static void parse_position(struct sqlite_outbox *outbox, const char *text)
{
    const char *mark = strstr(text, MARK);
    const char *number = mark == NULL ? "" : mark + strlen(MARK);
    const char *digest = strchr(number, ' ');
    struct err none = ERR_INIT;

    if (digest != NULL && strlen(digest + 1) <= LITE_TAG_LEN &&
        num_parse_i64((struct str){number, (size_t)(digest - number)}, 0, INT64_MAX, "number",
                      &outbox->number, &none) == 0) {
        memcpy(outbox->digest, digest + 1, strlen(digest + 1) + 1);
        outbox->has_number = true;
    }
}

int sqlite_outbox_begin(struct sqlite *sq, struct err *err)
{
    AUTO(free_ptr) char *text = NULL;

    if (!sq->options->triggers) {
        return 0;
    }
    int rc = sqlite_took(source_kept(sq->options->ledger, sq->options->name, &text, err), err);
    if (rc == 0 && text != NULL) {
        parse_position(&sq->outbox, text);
    }
    return rc;
}

void sqlite_outbox_done(struct sqlite *sq)
{
    free(sq->outbox.trouble);
    free(sq->outbox.unread);
    sq->outbox = (struct sqlite_outbox){.columns = 0};
}

/* ---- from where on ---- */

struct extent {
    int64_t first; /* 0: it is empty */
    int64_t last;
    bool is_same; /* the last entry that was taken is there, and is what it was */
};

/* "": it is not there. */
static int digest_of(struct sqlite *sq, int64_t number, char *ret, struct err *err)
{
    AUTO(sqlite_stmt_done) sqlite3_stmt *statement = NULL;
    AUTO(buf_done) struct buf print = BUF_INIT(PRINT_MAX);

    ret[0] = '\0';
    if (sqlite_prepare(sq->db, "SELECT * FROM " LITE_OUTBOX " WHERE n = ?1", &statement, err) < 0) {
        return -(int)err->code;
    }
    int rc = sqlite3_bind_int64(statement, 1, number);
    rc = rc == SQLITE_OK ? sqlite_step(sq->db, statement, err) : sqlite_error(sq->db, rc, err);
    for (int i = 0; rc > 0 && i < sqlite3_column_count(statement); i++) {
        if (sqlite_value_print(statement, i, &print, err) < 0) {
            return -(int)err->code;
        }
    }
    if (rc > 0) {
        sqlite_tag(print.data, print.len, ret);
    }
    return rc < 0 ? rc : 0;
}

static int read_extent(struct sqlite *sq, struct extent *ret, struct err *err)
{
    const struct sqlite_outbox *outbox = &sq->outbox;
    char digest[LITE_TAG_LEN + 1];

    if (sqlite_ask(sq->db, "SELECT min(n) FROM " LITE_OUTBOX, &ret->first, err) < 0 ||
        sqlite_ask(sq->db, "SELECT max(n) FROM " LITE_OUTBOX, &ret->last, err) < 0 ||
        digest_of(sq, outbox->number, digest, err) < 0) {
        return -(int)err->code;
    }
    ret->is_same = strcmp(digest, outbox->digest) == 0;
    return 0;
}

static int set_number(struct sqlite *sq, int64_t number, struct err *err)
{
    sq->outbox.number = number;
    sq->outbox.has_number = true;
    return digest_of(sq, number, sq->outbox.digest, err);
}

static void tell_gap(struct sqlite *sq, const char *why)
{
    int64_t now = deadline_in(0).at_ms;

    if (sq->outbox.told_ms == 0 || now - sq->outbox.told_ms >= TELL_MS) {
        AUTO(free_ptr)
        char *note = xprintf("%s; versions in between are not in the history, and what they led to "
                             "is found by comparison",
                             why);
        sq->events->on_note(sq->events->arg, note);
        sq->outbox.told_ms = now;
    }
}

int sqlite_outbox_leave(struct sqlite *sq, struct err *err)
{
    sq->outbox.has_number = false;
    sq->position_is_kept = false;
    return sqlite_outbox_take(sq, err);
}

/* Triggers add entries at the end, and leave no more than a ring of them. */
static bool is_altered(const struct sqlite_outbox *outbox, const struct extent *extent)
{
    bool is_known = extent->first > outbox->number || extent->is_same;

    return extent->last < outbox->number || extent->last > LITE_OUTBOX_NUMBER_MAX || !is_known ||
           extent->first <= extent->last - LITE_OUTBOX_RING;
}

/* ---- entries ---- */

struct stay {
    struct uuid id;
    int64_t number;
};

struct taking {
    struct sqlite *sq;
    sqlite3_stmt *entries;
    int64_t end;
    const struct sqlite_table *table; /* that reading is for; NULL: none yet */
    struct sqlite_reading reading;
    struct sha256 names; /* of its columns */
    struct buf print;
    struct stay *stays; /* the last entry of each row that says what it is; sorted; heap */
    size_t stay_count;
    int64_t after;   /* the last entry that was looked at */
    uint64_t missed; /* entries that should be there, and are not */
    uint64_t taken;
    bool is_paused; /* the file was let go in between: there may be more */
};

/* What stands behind the values of the present entry. */
enum { BEHIND_N, BEHIND_SHAPE, BEHIND_OP };

static const char *behind(const struct taking *t, int which)
{
    const char *text =
        (const char *)sqlite3_column_text(t->entries, (int)t->sq->outbox.columns + which);

    return text == NULL ? "" : text;
}

static int64_t number_of(const struct taking *t)
{
    return sqlite3_column_int64(t->entries, (int)t->sq->outbox.columns + BEHIND_N);
}

/* NULL: it is of no table as it is now. */
static struct sqlite_table *table_of(const struct taking *t)
{
    const char *tag = behind(t, BEHIND_SHAPE);

    for (size_t i = 0; i < t->sq->table_count; i++) {
        if (t->sq->tables[i].has_triggers && strcmp(t->sq->tables[i].tag, tag) == 0) {
            return &t->sq->tables[i];
        }
    }
    return NULL;
}

/* The row that the present entry is of. *ret_table NULL: it can't be told. */
static int read_entry(struct taking *t, struct sqlite_table **ret_table, struct row *ret,
                      struct uuid *ret_id, struct err *err)
{
    struct sqlite_table *table = table_of(t);
    struct err none = ERR_INIT;
    struct str key;

    *ret_table = NULL;
    if (table == NULL) {
        return 0;
    }
    if (t->table != table) {
        if (t->table != NULL) {
            sqlite_reading_done(&t->reading);
        }
        sqlite_reading_init(&t->reading, &table->shape);
        t->names = sqlite_names_of(&table->shape);
        t->table = table;
    }
    if (sqlite_row_read(&t->reading, t->sq->options, &table->shape, t->entries, ret, err) < 0) {
        return -(int)err->code;
    }
    if (row_key(ret, &key, &none) < 0) {
        return 0;
    }
    *ret_table = table;
    return sqlite_took(intake_id(&t->sq->intake, ret->table, key, ret_id, err), err);
}

static int by_stay(const void *a, const void *b)
{
    const struct stay *one = a;
    const struct stay *two = b;
    int order = uuid_cmp(&one->id, &two->id);

    return order != 0 ? order : one->number < two->number ? -1 : one->number > two->number;
}

/* Is there a later entry, up to the end, that says what the row is? Then its deletion here is how
 * somebody writes it anew: what it led to is no deletion. */
static bool stays(const struct taking *t, const struct uuid *id, int64_t number)
{
    size_t low = 0;
    size_t high = t->stay_count;

    while (low < high) { /* the first of the row behind this number */
        size_t middle = low + (high - low) / 2;
        struct stay wanted = {.id = *id, .number = number};
        if (by_stay(&t->stays[middle], &wanted) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < t->stay_count && uuid_eq(&t->stays[low].id, id);
}

typedef int entry_fn(struct taking *t, struct err *err);

static int note_stay(struct taking *t, struct err *err)
{
    struct sqlite_table *table;
    struct uuid id;
    struct row row;

    if (strcmp(behind(t, BEHIND_OP), LITE_OP_DELETE) == 0) {
        return 0;
    }
    if (read_entry(t, &table, &row, &id, err) < 0 || table == NULL) {
        return -(int)err->code;
    }
    if ((t->stay_count & (t->stay_count - 1)) == 0) { /* a power of two is full */
        size_t capacity = t->stay_count == 0 ? 1 : t->stay_count * 2;
        t->stays = xrealloc(t->stays, capacity * sizeof(*t->stays));
    }
    t->stays[t->stay_count++] = (struct stay){.id = id, .number = number_of(t)};
    return 0;
}

static int flush(struct sqlite *sq, int64_t number, struct err *err)
{
    if (set_number(sq, number, err) < 0) {
        return -(int)err->code;
    }
    AUTO(free_ptr) char *position = sqlite_position(sq);
    CRASH_POINT("source.sqlite.outbox_read");
    if (intake_flush(&sq->intake, position, err) < 0) {
        return sqlite_took(-(int)err->code, err);
    }
    CRASH_POINT("source.sqlite.outbox_kept");
    return 0;
}

/* What the row is now. */
static int take_put(struct taking *t, struct sqlite_table *table, const struct row *row,
                    const struct uuid *id, struct err *err)
{
    uint8_t print[16];

    if (sqlite_took(intake_put(&t->sq->intake, row, err), err) < 0 ||
        sqlite_row_print(&table->shape, &t->names, t->entries, &t->print, print, err) < 0) {
        return -(int)err->code;
    }
    if (table->shape.rowid != NULL) { /* as if it was read behind the last one */
        int64_t rowid = sqlite3_column_int64(t->entries, (int)table->shape.column_count);
        table->last_rowid = rowid > table->last_rowid ? rowid : table->last_rowid;
    }
    sqlite_tell(table, id, print);
    return 0;
}

static int take_entry(struct taking *t, struct err *err)
{
    struct intake *intake = &t->sq->intake;
    const char *op = behind(t, BEHIND_OP);
    struct sqlite_table *table;
    struct uuid id;
    struct row row;
    int rc = 0;

    t->missed += (uint64_t)(number_of(t) - t->after - 1);
    t->after = number_of(t);
    if (read_entry(t, &table, &row, &id, err) < 0 || table == NULL) {
        return -(int)err->code;
    }
    table->is_due = true;
    t->taken++;
    if (strcmp(op, LITE_OP_PUT) == 0) {
        rc = take_put(t, table, &row, &id, err);
    } else if (strcmp(op, LITE_OP_DELETE) == 0 && !stays(t, &id, number_of(t))) {
        rc = sqlite_took(intake_delete_id(intake, &id, err), err);
        sqlite_tell(table, &id, NULL);
    }
    bool is_much = intake->count >= INTAKE_BATCH / 2 || intake->bytes >= INTAKE_BATCH_BYTES / 2;
    return rc == 0 && is_much ? flush(t->sq, number_of(t), err) : rc;
}

/* Each entry behind a number, up to the end. With a rollback journal the file is let go from time
 * to time. */
static int each_entry(struct taking *t, int64_t after, entry_fn *each, struct err *err)
{
    struct sqlite *sq = t->sq;
    int rc = 1;

    while (rc > 0) {
        if (sqlite3_bind_int64(t->entries, 1, after) != SQLITE_OK ||
            sqlite3_bind_int64(t->entries, 2, t->end) != SQLITE_OK) {
            return sqlite_error(sq->db, SQLITE_NOMEM, err);
        }
        struct deadline slice = deadline_in(LITE_SLICE_MS);
        while ((rc = sqlite_step(sq->db, t->entries, err)) > 0) {
            after = number_of(t);
            if (each(t, err) < 0) {
                return -(int)err->code;
            }
            if (!sq->is_log && !sq->is_nameless && deadline_left_ms(slice) == 0) {
                break;
            }
        }
        (void)sqlite3_reset(t->entries); /* repeats the error of the last step */
        t->is_paused = t->is_paused || rc > 0;
        if (rc > 0 && sqlite_let_go(sq, err) < 0) {
            return -(int)err->code;
        }
    }
    return rc;
}

static int prepare(struct taking *t, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(LITE_SQL_MAX);
    int rc = buf_add_c(&sql, "SELECT ", err);

    for (size_t i = 0; i < t->sq->outbox.columns && rc == 0; i++) {
        rc = buf_printf(&sql, err, "v%zu, ", i);
    }
    rc = rc == 0
             ? buf_add_c(&sql,
                         "n, shape, op FROM " LITE_OUTBOX " WHERE n > ?1 AND n <= ?2 ORDER BY n",
                         err)
             : rc;
    return rc == 0 ? sqlite_prepare(t->sq->db, sql.data, &t->entries, err) : rc;
}

/* Where nothing was deleted, nobody asks. */
static int note_stays(struct taking *t, int64_t after, struct err *err)
{
    AUTO(free_ptr)
    char *sql = xprintf("SELECT count(*) FROM " LITE_OUTBOX
                        " WHERE n > %lld AND n <= %lld AND op = '" LITE_OP_DELETE "'",
                        (long long)after, (long long)t->end);
    int64_t deletions = 0;
    int rc = sqlite_ask(t->sq->db, sql, &deletions, err);

    rc = rc == 0 && deletions > 0 ? each_entry(t, after, note_stay, err) : rc;
    if (rc == 0 && t->stay_count > 1) {
        qsort(t->stays, t->stay_count, sizeof(*t->stays), by_stay);
    }
    return rc;
}

/* Entries up to the end. What the ledger heard of rows changes with them. */
static int take_range(struct taking *t, struct err *err)
{
    struct sqlite *sq = t->sq;

    if (prepare(t, err) < 0 || note_stays(t, t->after, err) < 0 ||
        each_entry(t, t->after, take_entry, err) < 0 || flush(sq, t->end, err) < 0) {
        return -(int)err->code;
    }
    t->missed += (uint64_t)(t->end - t->after);
    if (t->missed > 0) {
        AUTO(free_ptr)
        char *why = xprintf("%llu entries of " LITE_OUTBOX " were overwritten before they were "
                            "read",
                            (unsigned long long)t->missed);
        tell_gap(sq, why);
    }
    return 0;
}

static void taking_done(struct taking *t)
{
    sqlite_stmt_done(&t->entries);
    if (t->table != NULL) {
        sqlite_reading_done(&t->reading);
    }
    buf_done(&t->print);
    free(t->stays);
}

/* ---- one look ---- */

/* Entries can't be taken. The tables are read all the same: the outbox alone is no damage of
 * theirs. Told by the source's status as long as it is so. */
static int leave_unread(struct sqlite *sq, const char *why, const char *option)
{
    sq->outbox.unread = xprintf(LITE_OUTBOX " %s; changes are found by comparison alone: holdfast "
                                            "init sqlite %s %s",
                                why, sq->watch.path, option);
    sq->position_is_kept = sq->position_is_kept && !sq->outbox.has_number;
    sq->outbox.has_number = false;
    return 0;
}

/* From behind the last entry on: what is before it the walk finds. */
static int begin_behind(struct sqlite *sq, const struct extent *extent, struct err *err)
{
    if (sq->outbox.has_number) {
        tell_gap(sq, LITE_OUTBOX " was emptied, or altered");
    }
    sq->position_is_kept = false;
    return set_number(sq, extent->last, err);
}

#define ROUNDS_MAX 3 /* while its application writes on; then the rest is for the next look */

static int take_all(struct sqlite *sq, uint64_t *ret_taken, struct err *err)
{
    struct extent extent;
    bool is_more = true;

    for (int round = 0; is_more && round < ROUNDS_MAX; round++) {
        if (read_extent(sq, &extent, err) < 0) {
            return -(int)err->code;
        }
        if (extent.first < 0 || extent.last > LITE_OUTBOX_NUMBER_MAX) {
            return leave_unread(sq, "has an entry whose number no trigger gave it", "--triggers");
        }
        if (!sq->outbox.has_number || is_altered(&sq->outbox, &extent)) {
            return begin_behind(sq, &extent, err);
        }
        if (extent.last == sq->outbox.number) {
            return 0;
        }
        struct taking t = {.sq = sq, .after = sq->outbox.number, .end = extent.last};
        buf_init(&t.print, PRINT_MAX);
        int rc = take_range(&t, err);
        is_more = t.is_paused;
        *ret_taken += t.taken;
        taking_done(&t);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int sqlite_outbox_take(struct sqlite *sq, struct err *err)
{
    uint64_t taken = 0;

    free(sq->outbox.unread);
    sq->outbox.unread = NULL;
    int rc = sq->outbox.columns > 0 ? take_all(sq, &taken, err) : 0;
    if (rc < 0 && err->code == ERR_CORRUPT) {
        err->code = ERR_NONE;
        rc = leave_unread(sq, "is damaged, and its application may be unable to write", "--remove");
    }
    if (rc < 0 || taken == 0 || sq->is_begun) {
        return rc;
    }
    /* The first walk compares with what the ledger heard: with this, too. */
    compare_done(&sq->compare);
    rc = intake_flush(&sq->intake, NULL, err);
    rc = rc == 0 ? compare_load(&sq->compare, &sq->intake, sq->options, NULL, err) : rc;
    return sqlite_took(rc, err);
}
