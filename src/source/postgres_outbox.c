/*
 * The outbox: what triggers wrote into holdfast.outbox, read as if it came by the stream. Each
 * entry becomes the message that pgoutput would have sent, so that everything behind it is one and
 * the same (postgres_apply.c).
 *
 * Order. A number from a sequence says nothing of the order of commits: entry 7 may become visible
 * long before entry 6. So the position is a *snapshot*: the set of transactions whose entries are
 * in the ledger. A step takes a new snapshot, and reads, under that very one, what is visible in it
 * and was not in the last; then the new one is the position. Whoever commits late is in no snapshot
 * until then, and is read by the first that has it: nothing is skipped, nothing comes twice, and an
 * open transaction holds up nobody else.
 * Within a step transactions come by their last entry's number. Of two that changed the same row
 * (or gave one key to different rows) the second waited for the first to end before it wrote its
 * entry, so that its last entry is behind all of the first's: that order is the true one wherever
 * it matters. Of two in different steps the one in the earlier step committed before the other did.
 *
 * What was read is removed only when it is in the ledger, and no other source needs it. How many
 * steps were taken is counted, here and in the database: when the two don't fit together, one of
 * them went back in time.
 */
#include "source/postgres_internal.h"

#include <inttypes.h>

#include "base/fault.h"
#include "source/pgrecord.h"

#define POLL_MS 500        /* when a notification is lost */
#define CONFIRM_MS 1000    /* from one removal of what was read to the next */
#define REMOVE_BATCH 10000 /* entries in one transaction */
#define REMOVE_BATCH_TEXT "10000"
/* So that the position has room: some 300 transactions under way. */
#define SNAPSHOT_MAX_BYTES 3500
#define GENERATION_MAX 9

/* How the entries of a relation are to be read. */
struct shape {
    uint32_t relation;
    char *told;    /* its name and columns, as the entries tell them; heap */
    bool *is_ours; /* of each field: no generated column */
    size_t fields;
    size_t columns; /* that are ours */
    struct shape *next;
};

/* One row of an entry. */
struct outbox_row {
    struct str fields[PGOUTPUT_COLUMNS_MAX];
    struct pgoutput_value values[PGOUTPUT_COLUMNS_MAX];
    char *room; /* what the fields view; heap */
};

struct pg_outbox {
    char generation[GENERATION_MAX]; /* of our row in holdfast.outboxes */
    char *taken;                     /* the snapshot up to which all is in the ledger; heap */
    char *next;                      /* that of this step; heap */
    uint64_t number;                 /* steps that were taken */
    uint64_t confirmed;              /* those the database knows of, durably */
    int64_t confirmed_ms;
    struct shape *shapes;
    struct outbox_row old;
    struct outbox_row new;
    char xid[24]; /* of the entries that are read just now; "": none */
    int64_t at_us;
    uint64_t entries; /* of this step */
    bool is_even;     /* its snapshot has all that was committed before it */
};

static void shape_free(struct shape *shape)
{
    free(shape->told);
    free(shape->is_ours);
    free(shape);
}

void pg_outbox_done(struct postgres *pg)
{
    struct pg_outbox *o = pg->outbox;

    if (o == NULL) {
        return;
    }
    while (o->shapes != NULL) {
        struct shape *next = o->shapes->next;
        shape_free(o->shapes);
        o->shapes = next;
    }
    free(o->taken);
    free(o->next);
    free(o->old.room);
    free(o->new.room);
    free(o);
    pg->outbox = NULL;
}

/* ---- one entry ---- */

enum column { XID, OP, RELID, SCHEMA, NAME, COLUMNS, OLD, NEW, BODY, AT };

#define ENTRY_COLUMNS                                                                              \
    "xid, op, relid, schema, name, array_to_json(columns), old, new, body, (extract(epoch FROM "   \
    "at) * 1000000)::bigint"

static struct str text_at(const PGresult *row, int column)
{
    return PQgetisnull(row, 0, column)
               ? (struct str){NULL, 0}
               : (struct str){PQgetvalue(row, 0, column), (size_t)PQgetlength(row, 0, column)};
}

/* An entry that we did not write so: what it hides is found by the comparison. */
static int malformed(struct postgres *pg, const char *why, struct err *err)
{
    AUTO(free_ptr)
    char *note = xprintf("an entry of its outbox can't be read (%s); everything is compared", why);

    pg->events->on_note(pg->events->arg, note);
    return pg_compare_later(pg, err);
}

/* The table whose partition this relation is; NULL: it is none. */
static int find_root(struct postgres *pg, uint32_t relation, const struct pg_table **ret,
                     struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%" PRIu32, relation);
    const char *values[] = {oid};

    *ret = NULL;
    if (pg_query(pg, pg->sql,
                 "SELECT concat(n.nspname, '.', c.relname) FROM "
                 "pg_catalog.pg_partition_ancestors($1::oid) a JOIN pg_catalog.pg_class c ON c.oid "
                 "= a.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
                 values, 1, &result, err) < 0) {
        return -(int)err->code;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        for (size_t k = 0; k < pg->table_count; k++) {
            bool is_it = strcmp(pg->tables[k].name, PQgetvalue(result, i, 0)) == 0;
            *ret = is_it ? &pg->tables[k] : *ret;
        }
    }
    return 0;
}

/* As pgoutput tells a relation before its first row. */
static int tell_relation(struct postgres *pg, const struct shape *shape, const json_t *names,
                         const PGresult *row, struct err *err)
{
    AUTO(free_ptr)
    struct pgoutput_column *columns = xcalloc(shape->columns + 1, sizeof(*columns));
    const struct pg_table *root;
    size_t count = 0;

    for (size_t i = 0; i < shape->fields; i++) {
        if (shape->is_ours[i]) {
            columns[count++].name = json_string_value(json_array_get(names, i));
        }
    }
    if (find_root(pg, shape->relation, &root, err) < 0) {
        return -(int)err->code;
    }
    struct pgoutput_message message = {
        .kind = PGOUTPUT_RELATION,
        .relation = shape->relation,
        .schema = root != NULL ? root->schema : PQgetvalue(row, 0, SCHEMA),
        .table = root != NULL ? root->table : PQgetvalue(row, 0, NAME),
        .columns = columns,
        .column_count = count,
    };
    return pg_apply(pg, &message, err);
}

/* NULL: the columns are no list of names. */
static struct shape *shape_new(uint32_t relation, const char *told, const json_t *names)
{
    size_t fields = json_array_size(names);

    if (!json_is_array(names) || fields > PGOUTPUT_COLUMNS_MAX) {
        return NULL;
    }
    struct shape *shape = xcalloc(1, sizeof(*shape));
    shape->relation = relation;
    shape->told = xstrdup(told);
    shape->is_ours = xcalloc(fields + 1, sizeof(*shape->is_ours));
    shape->fields = fields;
    for (size_t i = 0; i < fields; i++) {
        shape->is_ours[i] = json_is_string(json_array_get(names, i));
        shape->columns += shape->is_ours[i];
    }
    return shape;
}

/* *ret NULL: the entry is malformed. */
static int find_shape(struct postgres *pg, const PGresult *row, const struct shape **ret,
                      struct err *err)
{
    AUTO(json_unref) json_t *names = NULL;
    AUTO(free_ptr)
    char *told = xprintf("%s.%s %s", PQgetvalue(row, 0, SCHEMA), PQgetvalue(row, 0, NAME),
                         PQgetvalue(row, 0, COLUMNS));
    uint32_t relation = (uint32_t)strtoul(PQgetvalue(row, 0, RELID), NULL, 10);
    struct shape **at = &pg->outbox->shapes;
    struct err none = ERR_INIT;

    *ret = NULL;
    while (*at != NULL && (*at)->relation != relation) {
        at = &(*at)->next;
    }
    if (*at != NULL && strcmp((*at)->told, told) == 0) {
        *ret = *at;
        return 0;
    }
    struct shape *shape = json_parse(text_at(row, COLUMNS), &names, &none) < 0
                              ? NULL
                              : shape_new(relation, told, names);
    if (shape == NULL) {
        return 0;
    }
    if (*at != NULL) { /* it was altered or renamed */
        struct shape *before = *at;
        shape->next = before->next;
        shape_free(before);
    }
    *at = shape;
    *ret = shape;
    return tell_relation(pg, shape, names, row, err);
}

/* A row's text as the tuple that pgoutput sends. False: it is none of this shape. */
static bool read_row(struct outbox_row *row, const struct shape *shape, struct str text,
                     struct pgoutput_tuple *ret)
{
    struct err none = ERR_INIT;
    size_t count;

    if (text.ptr == NULL) {
        return true;
    }
    free(row->room);
    row->room = xmalloc(text.len + 1);
    if (pgrecord_parse(text, row->room, row->fields, PGOUTPUT_COLUMNS_MAX, &count, &none) < 0 ||
        count != shape->fields) {
        return false;
    }
    *ret = (struct pgoutput_tuple){.values = row->values};
    for (size_t i = 0; i < count; i++) {
        if (shape->is_ours[i]) {
            bool is_null = row->fields[i].ptr == NULL;
            row->values[ret->count++] = (struct pgoutput_value){
                .kind = is_null ? PGOUTPUT_NULL : PGOUTPUT_TEXT, .text = row->fields[i]};
        }
    }
    return true;
}

static int take_row(struct postgres *pg, char op, const PGresult *row, struct err *err)
{
    struct pgoutput_message message = {.kind = op == 'I'   ? PGOUTPUT_INSERT
                                               : op == 'U' ? PGOUTPUT_UPDATE
                                               : op == 'D' ? PGOUTPUT_DELETE
                                                           : PGOUTPUT_TRUNCATE};
    const struct shape *shape;

    if (find_shape(pg, row, &shape, err) < 0) {
        return -(int)err->code;
    }
    if (shape == NULL || !read_row(&pg->outbox->old, shape, text_at(row, OLD), &message.old) ||
        !read_row(&pg->outbox->new, shape, text_at(row, NEW), &message.new)) {
        return malformed(pg, "its columns are not those of its row", err);
    }
    uint32_t relation = shape->relation;
    message.relation = relation;
    message.truncated = &relation;
    message.truncated_count = op == 'T';
    return pg_apply(pg, &message, err);
}

/* Who it was, and DDL: what a logical message says in the stream. */
static int take_message(struct postgres *pg, const PGresult *row, struct err *err)
{
    struct pgoutput_message message = {.kind = PGOUTPUT_MESSAGE,
                                       .lsn = pg->pending,
                                       .prefix = "holdfast",
                                       .content = text_at(row, BODY),
                                       .transactional = true};

    return pg_apply(pg, &message, err);
}

/* ---- one step ---- */

static int end_transaction(struct postgres *pg, struct err *err)
{
    struct pgoutput_message message = {.kind = PGOUTPUT_COMMIT};

    if (pg->outbox->xid[0] == '\0') {
        return 0;
    }
    pg->outbox->xid[0] = '\0';
    pg->commit_us = pg->outbox->at_us;
    return pg_apply(pg, &message, err);
}

static int begin_transaction(struct postgres *pg, const char *xid, struct err *err)
{
    struct pgoutput_message message = {.kind = PGOUTPUT_BEGIN,
                                       .xid = (uint32_t)strtoull(xid, NULL, 10)};

    if (strcmp(pg->outbox->xid, xid) == 0) {
        return 0;
    }
    if (end_transaction(pg, err) < 0) {
        return -(int)err->code;
    }
    (void)snprintf(pg->outbox->xid, sizeof(pg->outbox->xid), "%s", xid);
    return pg_apply(pg, &message, err);
}

static int take_entry(void *arg, const PGresult *row, struct err *err)
{
    struct postgres *pg = arg;
    char op = PQgetvalue(row, 0, OP)[0];

    if (begin_transaction(pg, PQgetvalue(row, 0, XID), err) < 0) {
        return -(int)err->code;
    }
    pg->outbox->entries++;
    pg->outbox->at_us = strtoll(PQgetvalue(row, 0, AT), NULL, 10);
    switch (op) {
    case 'M':
        return take_message(pg, row, err);
    case 'I':
    case 'U':
    case 'D':
    case 'T':
        return take_row(pg, op, row, err);
    default:
        return malformed(pg, "it is of an unknown kind", err);
    }
}

/* Everything that the new snapshot has, and the last had not. */
static int read_entries(struct postgres *pg, struct err *err)
{
    struct pg_outbox *o = pg->outbox;
    AUTO(free_ptr) char *last = pg_literal(o->taken);
    AUTO(free_ptr) char *next = pg_literal(o->next);
    AUTO(free_ptr)
    char *sql = xprintf(
        "SELECT " ENTRY_COLUMNS " FROM holdfast.outbox WHERE xid >= pg_snapshot_xmin(%s) AND NOT "
        "pg_visible_in_snapshot(xid, %s) AND pg_visible_in_snapshot(xid, %s) ORDER BY max(id) OVER "
        "(PARTITION BY xid), id",
        last, last, next);

    o->entries = 0;
    int rc = pg_each(pg, pg->stream, sql, take_entry, pg, err);
    return rc == 0 ? end_transaction(pg, err) : rc;
}

/* The position must have room for it. One that ends where the first transaction under way begins
 * is short, and lets what committed behind that wait. */
static char *shortened(const char *snapshot)
{
    size_t len = strcspn(snapshot, ":");

    return strlen(snapshot) <= SNAPSHOT_MAX_BYTES
               ? xstrdup(snapshot)
               : xprintf("%.*s:%.*s:", (int)len, snapshot, (int)len, snapshot);
}

static uint64_t end_of(const char *snapshot)
{
    const char *colon = strchr(snapshot, ':');

    return colon == NULL ? 0 : strtoull(colon + 1, NULL, 10);
}

/* Does the next have everything that the last has? A short one only when all of that has ended. */
static bool is_news(const struct pg_outbox *o)
{
    return strcmp(o->next, o->taken) != 0 && (o->is_even || end_of(o->next) >= end_of(o->taken));
}

/* "outbox GENERATION NUMBER CONFIRMED SNAPSHOT" */
static int keep_step(struct postgres *pg, struct err *err)
{
    struct pg_outbox *o = pg->outbox;
    AUTO(free_ptr)
    char *rest = xprintf("%s%s %" PRIu64 " %" PRIu64 " %s", &PG_OUTBOX_POSITION[1], o->generation,
                         o->number + 1, o->confirmed, o->next);
    AUTO(free_ptr) char *shown = xprintf("transaction %" PRIu64, end_of(o->next));

    if (pg_position_keep(pg, rest, shown, err) < 0) {
        return -(int)err->code;
    }
    CRASH_POINT("source.postgres.outbox_kept");
    o->number++;
    free(o->taken);
    o->taken = o->next;
    o->next = NULL;
    return 0;
}

/* In a transaction of `stream` that stays open, with a snapshot that `what` may ask for more of
 * (*ret_more: heap). */
static int read_step(struct postgres *pg, const char *what, char **ret_more, struct err *err)
{
    struct pg_outbox *o = pg->outbox;
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr)
    char *sql = xprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT "
                        "pg_current_snapshot(), %s",
                        what);

    o->entries = 0;
    if (pg_end_of_log(pg, &pg->pending, err) < 0 ||
        pg_query(pg, pg->stream, sql, NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    const char *snapshot = PQgetvalue(result, 0, 0);
    free(o->next);
    o->next = shortened(snapshot);
    o->is_even = strcmp(o->next, snapshot) == 0;
    if (is_news(o) && read_entries(pg, err) < 0) {
        return -(int)err->code;
    }
    *ret_more = xstrdup(PQgetvalue(result, 0, 1));
    return 0;
}

static int end_step(struct postgres *pg, struct err *err)
{
    if (pg->outbox->entries > 0 && keep_step(pg, err) < 0) {
        return -(int)err->code;
    }
    pg->received = pg->pending; /* what was committed before the step began is read */
    return 0;
}

static int take_step(struct postgres *pg, bool *ret_found, struct err *err)
{
    AUTO(free_ptr) char *more = NULL;

    *ret_found = false;
    if (read_step(pg, "''", &more, err) < 0 || pg_exec(pg, pg->stream, "COMMIT", err) < 0) {
        return -(int)err->code;
    }
    *ret_found = pg->outbox->entries > 0;
    return end_step(pg, err);
}

int pg_outbox_moment(struct postgres *pg, bool *ret, struct err *err)
{
    AUTO(free_ptr) char *exported = NULL;

    if (read_step(pg, "pg_export_snapshot()", &exported, err) < 0 || end_step(pg, err) < 0) {
        return -(int)err->code;
    }
    AUTO(free_ptr) char *literal = pg_literal(exported);
    AUTO(free_ptr)
    char *begin = xprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION "
                          "SNAPSHOT %s",
                          literal);
    *ret = pg->outbox->is_even;
    return pg_exec(pg, pg->sql, begin, err);
}

int pg_outbox_moment_end(struct postgres *pg, struct err *err)
{
    return pg_exec(pg, pg->sql, "COMMIT", err) < 0 ? -(int)err->code
                                                   : pg_exec(pg, pg->stream, "COMMIT", err);
}

bool pg_outbox_is_even(const struct postgres *pg)
{
    return pg->outbox->is_even;
}

/* ---- what was read is removed ---- */

static int remove_batch(struct postgres *pg, uint64_t *ret_rows, struct err *err)
{
    static const char sql[] =
        "DELETE FROM holdfast.outbox WHERE ctid = ANY(ARRAY(SELECT o.ctid FROM holdfast.outbox o "
        "WHERE o.xid < (SELECT min(pg_snapshot_xmax(position)::text::bigint)::text::xid8 FROM "
        "holdfast.outboxes) AND NOT EXISTS(SELECT FROM holdfast.outboxes b WHERE NOT "
        "pg_visible_in_snapshot(o.xid, b.position)) LIMIT " REMOVE_BATCH_TEXT "))";

    return pg_exec_long(pg, pg->sql, sql, ret_rows, err);
}

/* The database is told how far we are, and forgets what nobody needs. */
static int confirm(struct postgres *pg, struct err *err)
{
    struct pg_outbox *o = pg->outbox;
    AUTO(free_ptr) char *source = pg_literal(pg->options->slot);
    AUTO(free_ptr)
    char *sql = xprintf("UPDATE holdfast.outboxes SET taken = %" PRIu64 ", position = '%s' WHERE "
                        "source = %s AND generation = '%s'",
                        o->number, o->taken, source, o->generation);
    uint64_t rows = 0;

    if (pg_exec_long(pg, pg->sql, sql, &rows, err) < 0) {
        return -(int)err->code;
    }
    if (rows != 1) {
        return err_set(err, ERR_UNAVAILABLE, "its row in holdfast.outboxes was removed");
    }
    o->confirmed = o->number;
    o->confirmed_ms = deadline_in(0).at_ms;
    int rc = remove_batch(pg, &rows, err);
    while (rc == 0 && rows == REMOVE_BATCH) {
        rc = source_cancelled(pg->options, err);
        rc = rc == 0 ? remove_batch(pg, &rows, err) : rc;
    }
    return rc;
}

static int confirm_when_due(struct postgres *pg, struct err *err)
{
    const struct pg_outbox *o = pg->outbox;
    int64_t since = deadline_in(0).at_ms - o->confirmed_ms;

    return o->confirmed < o->number && since >= CONFIRM_MS ? confirm(pg, err) : 0;
}

static bool was_notified(struct postgres *pg)
{
    PGnotify *notify;
    bool found = false;

    while ((notify = PQnotifies(pg->stream)) != NULL) {
        PQfreemem(notify);
        found = true;
    }
    return found;
}

/* A notification comes with each commit that wrote an entry. */
static int wait_for_more(struct postgres *pg, struct err *err)
{
    bool more;

    if (was_notified(pg)) {
        return 0;
    }
    if (pg_poll(pg, pg->stream, POLL_MS, &more, err) < 0) {
        return -(int)err->code;
    }
    return more && PQconsumeInput(pg->stream) == 0 ? pg_error(pg->stream, NULL, err) : 0;
}

int pg_outbox_step(struct postgres *pg, struct err *err)
{
    bool found = false;

    (void)was_notified(pg); /* what it told of is read now */
    int rc = take_step(pg, &found, err);
    rc = rc == 0 ? confirm_when_due(pg, err) : rc;
    if (rc == -ERR_NOT_FOUND) { /* the next start makes it anew, and compares */
        return err_set(err, ERR_UNAVAILABLE, "the outbox is gone from the database");
    }
    return rc == 0 && !found ? wait_for_more(pg, err) : rc;
}

int pg_outbox_size(struct postgres *pg, uint64_t count_above, uint64_t *ret_rows,
                   uint64_t *ret_bytes, char **ret_laggard, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *above = xprintf("%" PRIu64, count_above);
    const char *values[] = {above, pg->options->slot,
                            pg->outbox == NULL ? NULL : pg->outbox->taken};

    if (pg_query(pg, pg->sql,
                 "SELECT size, CASE WHEN size > $1::bigint THEN (SELECT count(*) FROM "
                 "holdfast.outbox) ELSE 0 END, (SELECT source FROM holdfast.outboxes WHERE "
                 "source <> $2 AND pg_snapshot_xmax(position) < "
                 "pg_snapshot_xmax($3::pg_snapshot) ORDER BY pg_snapshot_xmax(position), source "
                 "LIMIT 1) FROM pg_total_relation_size('holdfast.outbox') size",
                 values, 3, &result, err) < 0) {
        return -(int)err->code;
    }
    *ret_bytes = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    *ret_rows = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
    *ret_laggard = PQgetisnull(result, 0, 2) ? NULL : xstrdup(PQgetvalue(result, 0, 2));
    return 0;
}

/* ---- where to begin ---- */

/* What the database says of our reading. */
struct outbox_there {
    bool is_there;
    char generation[GENERATION_MAX];
    uint64_t taken;
    uint64_t end; /* of its present snapshot */
};

static int identify(struct postgres *pg, struct err *err)
{
    char *system = NULL;

    if (pg_ask(pg, pg->sql,
               "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()) || '/' || "
               "oid FROM pg_catalog.pg_database WHERE datname = current_database()",
               NULL, &system, err) < 0) {
        return -(int)err->code;
    }
    free(pg->system);
    pg->system = system == NULL ? xstrdup("?") : system;
    return 0;
}

static int look_there(struct postgres *pg, struct outbox_there *ret, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    const char *values[] = {pg->options->slot};

    *ret = (struct outbox_there){.is_there = false};
    if (pg_outbox_is_there(pg, &ret->is_there, err) < 0 || !ret->is_there) {
        return -(int)err->code;
    }
    if (pg_query(pg, pg->sql,
                 "SELECT generation, taken, pg_snapshot_xmax(pg_current_snapshot()) FROM "
                 "holdfast.outboxes WHERE source = $1",
                 values, 1, &result, err) < 0) {
        return -(int)err->code;
    }
    ret->is_there = PQntuples(result) == 1;
    if (ret->is_there) {
        (void)snprintf(ret->generation, sizeof(ret->generation), "%s", PQgetvalue(result, 0, 0));
        ret->taken = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
        ret->end = strtoull(PQgetvalue(result, 0, 2), NULL, 10);
    }
    return 0;
}

/* "outbox GENERATION NUMBER CONFIRMED SNAPSHOT". False: it is of another way. */
static bool read_rest(struct pg_outbox *o, const char *rest)
{
    AUTO(free_ptr) char *word = xmalloc(strlen(rest) + 1);
    size_t head = strlen(&PG_OUTBOX_POSITION[1]);
    size_t size = strlen(rest) + 1;

    if (strncmp(rest, &PG_OUTBOX_POSITION[1], head) != 0) {
        return false;
    }
    const char *at = rest + head;
    pg_take_word(&at, o->generation, sizeof(o->generation));
    pg_take_word(&at, word, size);
    o->number = strtoull(word, NULL, 10);
    pg_take_word(&at, word, size);
    o->confirmed = strtoull(word, NULL, 10);
    pg_take_word(&at, word, size);
    o->taken = xstrdup(word);
    return word[0] != '\0';
}

/* Why it can't simply go on; NULL when it can. */
static const char *why_anew(const struct postgres *pg, bool other, const struct outbox_there *there)
{
    const struct pg_outbox *o = pg->outbox;

    return !pg->had_position ? "it is captured for the first time"
           : other           ? "it is another database than before, or was captured otherwise"
           : !there->is_there || strcmp(there->generation, o->generation) != 0
               ? "its outbox was removed"
           : there->taken > o->number ? "its outbox is ahead of the ledger"
           : there->taken < o->confirmed || there->end < end_of(o->taken)
               ? "the server went back in time"
               : NULL;
}

/* A comparison of everything in one snapshot, which is the position. */
static int begin_anew(struct postgres *pg, struct outbox_there *there, const char *why,
                      struct err *err)
{
    struct pg_outbox *o = pg->outbox;
    AUTO(pg_clear) PGresult *result = NULL;

    if (pg_announce(pg, why, err) < 0) {
        return -(int)err->code;
    }
    if (!there->is_there && (pg_tables_find(pg, err) < 0 || pg_setup_again(pg, err) < 0 ||
                             look_there(pg, there, err) < 0)) {
        return -(int)err->code;
    }
    if (pg_query(pg, pg->sql,
                 "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_current_snapshot()",
                 NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    free(o->next);
    o->next = shortened(PQgetvalue(result, 0, 0));
    if (pg_tables_find(pg, err) < 0 || pg_marks_look(pg, err) < 0 || pg_compare_all(pg, err) < 0 ||
        pg_exec(pg, pg->sql, "COMMIT", err) < 0) {
        return -(int)err->code;
    }
    pg_marks_accept(pg);
    (void)snprintf(o->generation, sizeof(o->generation), "%s", there->generation);
    o->number = o->confirmed = there->taken;
    return keep_step(pg, err) < 0 ? -(int)err->code : confirm(pg, err);
}

static int go_on(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *shown = xprintf("transaction %" PRIu64, end_of(pg->outbox->taken));
    pg_lsn end = 0;

    if (pg_end_of_log(pg, &end, err) < 0 || pg_state_load(pg, err) < 0 ||
        pg_definitions_begin(pg, end, err) < 0) {
        return -(int)err->code;
    }
    pg->events->on_position(pg->events->arg, shown, 0);
    return 0;
}

int pg_outbox_start(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *rest = NULL;
    struct outbox_there there;
    bool other = false;

    pg->outbox = xcalloc(1, sizeof(*pg->outbox));
    if (identify(pg, err) < 0 || pg_position_read(pg, &rest, &other, err) < 0 ||
        look_there(pg, &there, err) < 0 || pg_exec(pg, pg->stream, "LISTEN holdfast", err) < 0) {
        return -(int)err->code;
    }
    other = other || (rest != NULL && !read_rest(pg->outbox, rest));
    const char *why = why_anew(pg, other, &there);
    return why == NULL ? go_on(pg, err) : begin_anew(pg, &there, why, err);
}
