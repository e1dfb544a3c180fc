/*
 * The marks: sync_status, synced_at and remote_id of rows whose memories a remote vault has
 * acknowledged. How far the chain was looked through is kept as "SOURCE/marked".
 */
#include "base/num.h"
#include "source/postgres_follow.h"
#include "source/row_origin.h"

#define PENDING_AFTER_MS 1000 /* a vault that is well has acknowledged by then */
#define KEEP_MS 5000          /* what was only looked at is kept at most so often */

/* ---- one row ---- */

/* What the row must say still, lest it is marked for what it does not say. */
static void add_content(json_t *item, const struct memory *memory, const struct row_origin *origin,
                        const struct source_mapping *mapping)
{
    struct row_value value = {.text = {memory->content, memory->content_len}};
    struct str digest = row_too_large(origin, mapping_content(mapping));
    char hex[SHA256_HEX_MAX];

    if (digest.ptr == NULL && origin->values != NULL) {
        struct str text;
        (void)row_text(memory, origin, mapping, mapping_content(mapping), &text);
        value.text = text.ptr == NULL ? STR("") : text;
    }
    if (digest.ptr == NULL) {
        row_value_digest(&value, hex);
        digest = str_of(hex);
    }
    json_object_set_new(item, "sha256", json_stringn(digest.ptr, digest.len));
}

static json_t *item_of(const struct lineage *l, const struct lineage_of *of)
{
    const struct memory *memory = &l->current;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};
    char id[UUID_TEXT_MAX];
    char at[TIMESTAMP_TEXT_MAX];
    json_t *item = json_object();

    bool is_row = row_of_memory(memory, of->source, of->table, &origin);
    uuid_format(&memory->id, id);
    timestamp_format(l->at_us, at);
    json_object_set_new(item, "id", json_string(is_row ? origin.key : id));
    json_object_set_new(item, "remote_id", json_string(id));
    json_object_set_new(item, "at", json_string(at));
    json_object_set_new(item, "minor", json_boolean(l->is_minor));
    add_content(item, memory, &origin, of->mapping);
    struct row_value value;
    if (!l->is_ours || row_value(memory, &origin, of->mapping, "sync_version", &value)) {
        AUTO(free_ptr) char *number = xprintf("%llu", (unsigned long long)l->number);
        json_object_set_new(item, "sync_version", json_string(number));
    }
    if (l->is_ours && row_value(memory, &origin, of->mapping, "updated_at", &value)) {
        json_t *updated =
            value.text.ptr == NULL ? json_null() : json_stringn(value.text.ptr, value.text.len);
        json_object_set_new(item, "updated_at", updated);
    }
    return item;
}

/* Is it a row of the table, or is to be one? */
static bool has_row(const struct follow *f, const struct pg_target *target, const struct lineage *l)
{
    return l->is_known && l->current.deleted_us == TIME_NONE && !l->is_elsewhere &&
           (l->has_row ||
            (target->is_mirror && strcmp(l->current.project_id, f->pg->options->project) == 0));
}

/* ---- the statement ---- */

static int add_unchanged(const struct pg_target *t, struct buf *sql, struct err *err)
{
    const struct pg_target_column *content = &t->columns[FIELD_CONTENT];
    const struct pg_target_column *version = &t->columns[FIELD_VERSION];
    const struct pg_target_column *updated = &t->columns[FIELD_UPDATED];

    if (buf_printf(sql, err,
                   " WHERE t.%s = %s AND encode(sha256(convert_to(coalesce(t.%s::text, ''), "
                   "'UTF8')), 'hex') = e->>'sha256'",
                   t->columns[FIELD_ID].name, t->columns[FIELD_ID].value, content->name) < 0 ||
        (version->name != NULL &&
         buf_printf(sql, err,
                    " AND (NOT e ? 'sync_version' OR coalesce(t.%s::text, '0') = "
                    "e->>'sync_version')",
                    version->name) < 0) ||
        (updated->name != NULL &&
         buf_printf(sql, err,
                    " AND (NOT e ? 'updated_at' OR t.%s::text IS NOT DISTINCT FROM "
                    "e->>'updated_at')",
                    updated->name) < 0)) {
        return -(int)err->code;
    }
    return 0;
}

static int add_set(const struct pg_target *t, enum field field, const char *value, bool *first,
                   struct buf *sql, struct err *err)
{
    if (t->columns[field].name == NULL) {
        return 0;
    }
    const char *between = *first ? " SET " : ", ";
    *first = false;
    return buf_printf(sql, err, "%s%s = %s", between, t->columns[field].name, value);
}

/* What is marked already is left: a row that was acknowledged twice has one mark. */
static int add_unmarked(const struct pg_target *t, struct buf *sql, struct err *err)
{
    const char *status = t->columns[FIELD_SYNC_STATUS].name;
    const char *at = t->columns[FIELD_SYNCED_AT].name;

    if (status == NULL && at == NULL) {
        return buf_printf(sql, err, " AND t.%s::text IS DISTINCT FROM e->>'remote_id'",
                          t->columns[FIELD_REMOTE_ID].name);
    }
    AUTO(free_ptr)
    char *is_synced = status == NULL ? xstrdup("true") : xprintf("t.%s::text = 'synced'", status);
    AUTO(free_ptr)
    char *is_later = at == NULL ? xstrdup("true")
                                : xprintf("(t.%s::timestamptz >= (e->>'at')::timestamptz OR "
                                          "((e->>'minor')::bool AND t.%s IS NOT NULL))",
                                          at, at);
    return buf_printf(sql, err, " AND (%s AND %s) IS NOT TRUE", is_synced, is_later);
}

static int mark_sql(const struct pg_target *t, struct buf *sql, struct err *err)
{
    bool first = true;

    if (buf_printf(sql, err, "UPDATE %s t", t->table->quoted) < 0 ||
        add_set(t, FIELD_SYNC_STATUS, "'synced'", &first, sql, err) < 0 ||
        add_set(t, FIELD_SYNCED_AT, "now()", &first, sql, err) < 0 ||
        add_set(t, FIELD_REMOTE_ID, t->columns[FIELD_REMOTE_ID].value, &first, sql, err) < 0 ||
        buf_add_c(sql, " FROM jsonb_array_elements($1::jsonb) e", err) < 0 ||
        add_unchanged(t, sql, err) < 0 || add_unmarked(t, sql, err) < 0) {
        return -(int)err->code;
    }
    return t->columns[FIELD_SYNC_STATUS].name == NULL
               ? buf_add_c(sql, " RETURNING true", err)
               : buf_printf(sql, err, " RETURNING t.%s::text = 'synced'",
                            t->columns[FIELD_SYNC_STATUS].name);
}

static int pending_sql(const struct pg_target *t, struct buf *sql, struct err *err)
{
    const char *status = t->columns[FIELD_SYNC_STATUS].name;

    return buf_printf(sql, err,
                      "UPDATE %s t SET %s = 'pending' FROM jsonb_array_elements($1::jsonb) e",
                      t->table->quoted, status) < 0 ||
                   add_unchanged(t, sql, err) < 0 ||
                   buf_printf(sql, err,
                              " AND NOT (e->>'minor')::bool AND t.%s::text = 'synced' RETURNING "
                              "true",
                              status) < 0
               ? -(int)err->code
               : 0;
}

/* Told at the next look at the tables. */
static void give_up(struct follow *f, struct pg_target *t, const char *why)
{
    char **given = &f->unmarkable[t - f->targets];

    t->is_given_up = true;
    if (*given == NULL) {
        *given = xstrdup(why);
    }
}

/* What the database says of a mark will be said again; a row that is locked is tried later. */
static int refused(struct follow *f, struct pg_target *t, bool *ret_open, struct err *err)
{
    *ret_open = false;
    if (err->code == ERR_CONFLICT || err->code == ERR_INVALID) {
        give_up(f, t, err->message);
        err->code = ERR_NONE;
        return 0;
    }
    if (err->code == ERR_BUSY) {
        err->code = ERR_NONE;
        return 0;
    }
    return -(int)err->code;
}

/* *ret_open false: nothing was written, as the table is fenced or a row locked. */
static int run(struct follow *f, struct pg_target *t, const char *sql, json_t *items,
               bool *ret_open, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *text = json_dumps(items, JSON_COMPACT);
    const char *values[] = {text};
    const char *more = f->may_be_replica ? "; SET LOCAL session_replication_role = replica" : "";

    int rc = follow_begin(f, t, more, ret_open, err);
    if (rc < 0 || !*ret_open) {
        return rc;
    }
    if (pg_query(f->pg, f->pg->sql, sql, values, 1, &result, err) < 0 ||
        follow_commit(f, err) < 0) {
        follow_rollback(f);
        return refused(f, t, ret_open, err);
    }
    for (int i = 0; i < PQntuples(result); i++) {
        if (PQgetvalue(result, i, 0)[0] != 't') {
            give_up(f, t, "a trigger takes it back");
        }
        f->status.marked++;
    }
    return 0;
}

/* ---- one batch ---- */

static int collect(struct follow *f, struct reader *reader, const struct pg_target *target,
                   const struct follow_ids *ids, uint64_t from, uint64_t until, json_t *items,
                   struct err *err)
{
    struct lineage_of of = follow_lineage_of(f, target);

    for (size_t i = 0; i < ids->count; i++) {
        AUTO(lineage_done) struct lineage l = {.seq = 0};
        if (source_cancelled(f->pg->options, err) < 0 ||
            lineage_read(reader, &of, &ids->items[i], NULL, &l, err) < 0) {
            return -(int)err->code;
        }
        /* What was said of it later has its own turn. */
        if (has_row(f, target, &l) && uuid_eq(&l.origin, &f->marked.origin) && l.seq > from &&
            l.seq <= until) {
            json_array_append_new(items, item_of(&l, &of));
        }
    }
    return 0;
}

enum marking { MARK_SYNCED, MARK_PENDING };

static int mark_table(struct follow *f, struct pg_target *target, enum marking marking,
                      json_t *items, bool *ret_open, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(POSTGRES_SQL_MAX);
    int rc = marking == MARK_SYNCED ? mark_sql(target, &sql, err) : pending_sql(target, &sql, err);

    return rc == 0 ? run(f, target, sql.data, items, ret_open, err) : rc;
}

/* From a cursor up to `until`, one batch; the cursor is set. *ret_open false: nothing was done. */
static int mark_batch(struct follow *f, struct follow_cursor *cursor, uint64_t until,
                      enum marking marking, bool *ret_open, struct err *err)
{
    struct follow_ids ids = {.items = NULL};
    struct reader *reader = NULL;
    uint64_t last = cursor->seq;

    *ret_open = true;
    int rc = read_begin(f->pg->options->ledger, &reader, err);
    if (rc < 0) {
        return rc;
    }
    rc = follow_changes(f, reader, &cursor->origin, cursor->seq, until, &ids, &last, err);
    for (size_t i = 0; i < f->target_count && rc == 0 && *ret_open; i++) {
        AUTO(json_unref) json_t *items = json_array();
        struct pg_target *target = &f->targets[i];
        if (!pg_target_is_marked(target) ||
            (marking == MARK_PENDING && target->columns[FIELD_SYNC_STATUS].name == NULL)) {
            continue;
        }
        rc = collect(f, reader, target, &ids, marking == MARK_PENDING ? cursor->seq : 0, until,
                     items, err);
        if (rc == 0 && json_array_size(items) > 0) {
            rc = mark_table(f, target, marking, items, ret_open, err);
        }
    }
    read_end(reader);
    follow_ids_done(&ids);
    if (rc == 0 && *ret_open) {
        cursor->seq = last;
    }
    return rc;
}

/* ---- how far ---- */

/* "ORIGIN SEQ" */
static int load(struct follow *f, struct err *err)
{
    AUTO(free_ptr) char *text = NULL;
    struct reader *reader = NULL;
    struct err none = ERR_INIT;
    struct uuid origin;
    int64_t seq = 0;

    f->marked = (struct follow_cursor){.origin = ledger_origin(f->pg->options->ledger)};
    if (read_begin(f->pg->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = follow_recall(f->pg->options, reader, FOLLOW_MARKED, &text, err);
    read_end(reader);
    if (rc == 0 && text != NULL && strlen(text) > UUID_TEXT_MAX - 1) {
        struct str id = {text, UUID_TEXT_MAX - 1};
        if (uuid_parse(id, &origin, &none) == 0 && uuid_eq(&origin, &f->marked.origin) &&
            num_parse_i64(str_of(text + UUID_TEXT_MAX), 0, INT64_MAX, "seq", &seq, &none) == 0) {
            f->marked.seq = (uint64_t)seq;
        }
    }
    f->unmarked = f->marked;
    return rc;
}

static int keep(struct follow *f, struct err *err)
{
    char id[UUID_TEXT_MAX];

    uuid_format(&f->marked.origin, id);
    AUTO(free_ptr) char *text = xprintf("%s %llu", id, (unsigned long long)f->marked.seq);
    return follow_remember(f->pg->options, FOLLOW_MARKED, text, err);
}

static int head_of(struct follow *f, uint64_t *ret, struct err *err)
{
    AUTO(free_ptr) struct head *heads = NULL;
    struct reader *reader = NULL;
    size_t count = 0;

    *ret = 0;
    if (read_begin(f->pg->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_heads(reader, &heads, &count, err);
    read_end(reader);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        *ret = uuid_eq(&heads[i].origin, &f->marked.origin) ? heads[i].seq : *ret;
    }
    return rc;
}

static bool is_any_marked(const struct follow *f)
{
    bool any = false;

    for (size_t i = 0; i < f->target_count; i++) {
        any = any || pg_target_is_marked(&f->targets[i]);
    }
    return any;
}

/* ---- all of it ---- */

bool follow_safe(const struct follow *f, uint64_t *ret_seq)
{
    const struct source_options *options = f->pg->options;

    return options->acknowledged != NULL &&
           options->acknowledged(options->acknowledged_arg, ret_seq);
}

/* What no vault has acknowledged for a while. */
static int set_pending(struct follow *f, uint64_t head, struct err *err)
{
    int64_t now = deadline_in(0).at_ms;
    bool is_open = true;

    f->unmarked.seq = f->unmarked.seq < f->marked.seq ? f->marked.seq : f->unmarked.seq;
    if (f->tried_ms == 0 || now - f->tried_ms < PENDING_AFTER_MS) {
        return 0;
    }
    while (is_open && f->unmarked.seq < head) {
        if (mark_batch(f, &f->unmarked, head, MARK_PENDING, &is_open, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

int follow_marks(struct follow *f, bool *ret_more, struct err *err)
{
    struct uuid origin = ledger_origin(f->pg->options->ledger);
    uint64_t head = 0;
    uint64_t safe = 0;
    uint64_t marked_before = f->status.marked;
    bool is_open = true;

    *ret_more = f->has_unacknowledged = false;
    if (!is_any_marked(f) || !follow_safe(f, &safe)) {
        return 0;
    }
    if (!uuid_eq(&origin, &f->marked.origin) && load(f, err) < 0) {
        return -(int)err->code;
    }
    uint64_t before = f->marked.seq;
    if (before < safe && mark_batch(f, &f->marked, safe, MARK_SYNCED, &is_open, err) < 0) {
        return -(int)err->code;
    }
    int64_t now = deadline_in(0).at_ms;
    if (f->marked.seq > before &&
        (f->status.marked > marked_before || now - f->marks_kept_ms > KEEP_MS)) {
        f->marks_kept_ms = now;
        if (keep(f, err) < 0) {
            return -(int)err->code;
        }
    }
    *ret_more = is_open && f->marked.seq > before && f->marked.seq < safe;
    if (head_of(f, &head, err) < 0) {
        return -(int)err->code;
    }
    f->has_unacknowledged = head > safe || !is_open;
    return *ret_more ? 0 : set_pending(f, head, err);
}
