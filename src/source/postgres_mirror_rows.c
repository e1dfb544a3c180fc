/* The mirror's rows: a memory as one, and the statements that write a batch of them. */
#include "source/postgres_follow.h"

#define LATER_US (3 * 1000000) /* for a row that somebody has locked, and for a fenced table */

void mirror_batch_done(struct mirror_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        json_decref(batch->items[i].row);
    }
    free(batch->items);
    *batch = (struct mirror_batch){.items = NULL};
}

/* ---- a memory as a row ---- */

static void set_text(json_t *row, enum field field, const char *text)
{
    json_object_set_new(row, field_names[field], json_string(text));
}

static void set_time(json_t *row, enum field field, int64_t us)
{
    char text[TIMESTAMP_TEXT_MAX];

    timestamp_format(us, text);
    set_text(row, field, text);
}

static json_t *tags_of(const struct memory *memory)
{
    json_t *tags = json_array();

    for (size_t i = 0; i < memory->tag_count; i++) {
        json_array_append_new(tags, json_string(memory->tags[i]));
    }
    return tags;
}

/* A captured row's key need not be a UUID. */
static void set_id(json_t *row, const struct lineage *l)
{
    const char *key = l->has_row ? row_key_of(&l->row) : NULL;
    char id[UUID_TEXT_MAX];

    uuid_format(&l->current.id, id);
    set_text(row, FIELD_ID, key != NULL ? key : id);
}

/* The fields that are not what the table told last; all of them, if it told nothing. */
static json_t *row_of(const struct lineage *l)
{
    const struct memory *m = &l->current;
    const struct memory *was = l->has_row ? &l->row : NULL;
    char id[UUID_TEXT_MAX];
    json_t *row = json_object();

    set_id(row, l);
    AUTO(free_ptr) char *number = xprintf("%llu", (unsigned long long)l->number);
    set_text(row, FIELD_VERSION, number);
    set_time(row, FIELD_UPDATED, m->deleted_us == TIME_NONE ? m->updated_us : m->deleted_us);
    if (was == NULL || strcmp(was->content, m->content) != 0) {
        json_object_set_new(row, field_names[FIELD_CONTENT],
                            json_stringn(m->content, m->content_len));
    }
    if (was == NULL || was->type != m->type) {
        set_text(row, FIELD_TYPE, memory_type_name(m->type));
    }
    if (was == NULL || was->importance < m->importance || was->importance > m->importance) {
        json_object_set_new(row, field_names[FIELD_IMPORTANCE], json_real(m->importance));
    }
    if (!uuid_is_nil(&m->session_id) &&
        (was == NULL || !uuid_eq(&was->session_id, &m->session_id))) {
        uuid_format(&m->session_id, id);
        set_text(row, FIELD_SESSION, id);
    }
    if (was == NULL || strcmp(was->project_id, m->project_id) != 0) {
        set_text(row, FIELD_PROJECT, m->project_id);
    }
    if (was == NULL || !memory_same_tags(was, m)) {
        json_object_set_new(row, field_names[FIELD_TAGS], tags_of(m));
    }
    if (was == NULL) {
        set_time(row, FIELD_CREATED, m->created_us);
    }
    return row;
}

/* A vault may have it before the table does: then nobody comes to mark it later. */
static void add_marks(const struct follow *f, const struct lineage *l, json_t *row)
{
    struct uuid ours = ledger_origin(f->pg->options->ledger);
    uint64_t safe = 0;
    char id[UUID_TEXT_MAX];

    bool is_safe = follow_safe(f, &safe) && uuid_eq(&l->origin, &ours) && l->seq <= safe;
    uuid_format(&l->current.id, id);
    set_text(row, FIELD_REMOTE_ID, id);
    set_text(row, FIELD_SYNC_STATUS, is_safe ? "synced" : "pending");
    if (is_safe) {
        set_time(row, FIELD_SYNCED_AT, f->env->now_us(f->env));
    }
}

json_t *mirror_row(const struct follow *f, const struct pg_target *target, const struct lineage *l)
{
    json_t *row = row_of(l);

    if (pg_target_is_marked(target)) {
        add_marks(f, l, row);
    }
    return row;
}

/* ---- statements ---- */

enum form { AS_NAMES, AS_VALUES, AS_SET };

static int add_column(const struct pg_target_column *column, const char *field, enum form form,
                      const char *between, struct buf *sql, struct err *err)
{
    return form == AS_SET ? buf_printf(sql, err, "%s%s = CASE WHEN e ? '%s' THEN %s ELSE t.%s END",
                                       between, column->name, field, column->value, column->name)
                          : buf_printf(sql, err, "%s%s", between,
                                       form == AS_NAMES ? column->name : column->value);
}

/* The columns that there are for a memory's fields. */
static int add_columns(const struct pg_target *t, enum form form, struct buf *sql, struct err *err)
{
    int fields = pg_target_is_marked(t) ? FIELDS : FIELDS_OF_MEMORY;
    const char *between = "";

    for (int i = 0; i < fields; i++) {
        bool is_fixed = i == FIELD_ID || i == FIELD_CREATED;
        if (t->columns[i].name == NULL || (form == AS_SET && is_fixed)) {
            continue;
        }
        if (add_column(&t->columns[i], field_names[i], form, between, sql, err) < 0) {
            return -(int)err->code;
        }
        between = ", ";
    }
    return 0;
}

/* The row is not newer than what is written. */
static int add_not_newer(const struct pg_target *t, const char *than, struct buf *sql,
                         struct err *err)
{
    const char *version = t->columns[FIELD_VERSION].name;
    const struct pg_target_column *updated = &t->columns[FIELD_UPDATED];

    if (version != NULL) {
        return buf_printf(sql, err,
                          " AND coalesce(t.%s::numeric, 0) %s (e->>'sync_version')::numeric",
                          version, than);
    }
    return updated->name == NULL ? 0
                                 : buf_printf(sql, err, " AND (t.%s IS NULL OR t.%s %s %s)",
                                              updated->name, updated->name, than, updated->value);
}

static int update_sql(const struct pg_target *t, struct buf *sql, struct err *err)
{
    return buf_printf(sql, err, "UPDATE %s t SET ", t->table->quoted) < 0 ||
                   add_columns(t, AS_SET, sql, err) < 0 ||
                   buf_printf(sql, err, " FROM jsonb_array_elements($1::jsonb) e WHERE t.%s = %s",
                              t->columns[FIELD_ID].name, t->columns[FIELD_ID].value) < 0 ||
                   add_not_newer(t, "<", sql, err) < 0
               ? -(int)err->code
               : 0;
}

static int insert_sql(const struct pg_target *t, struct buf *sql, struct err *err)
{
    return buf_printf(sql, err, "INSERT INTO %s (", t->table->quoted) < 0 ||
                   add_columns(t, AS_NAMES, sql, err) < 0 || buf_add_c(sql, ") SELECT ", err) < 0 ||
                   add_columns(t, AS_VALUES, sql, err) < 0 ||
                   buf_printf(sql, err,
                              " FROM jsonb_array_elements($1::jsonb) e WHERE NOT EXISTS (SELECT "
                              "FROM %s t WHERE t.%s = %s) ON CONFLICT DO NOTHING",
                              t->table->quoted, t->columns[FIELD_ID].name,
                              t->columns[FIELD_ID].value) < 0
               ? -(int)err->code
               : 0;
}

static int delete_sql(const struct pg_target *t, struct buf *sql, struct err *err)
{
    return buf_printf(
               sql, err, "DELETE FROM %s t USING jsonb_array_elements($1::jsonb) e WHERE t.%s = %s",
               t->table->quoted, t->columns[FIELD_ID].name, t->columns[FIELD_ID].value) < 0 ||
                   add_not_newer(t, "<=", sql, err) < 0
               ? -(int)err->code
               : 0;
}

typedef int sql_fn(const struct pg_target *t, struct buf *sql, struct err *err);

/* One statement for those items that it is for. */
static int run_for(struct follow *f, const struct pg_target *t, sql_fn *make,
                   const struct mirror_batch *batch, unsigned actions, struct err *err)
{
    AUTO(json_unref) json_t *rows = json_array();
    AUTO(buf_done) struct buf sql = BUF_INIT(POSTGRES_SQL_MAX);
    AUTO(pg_clear) PGresult *result = NULL;

    for (size_t i = 0; i < batch->count; i++) {
        if ((actions & 1U << batch->items[i].action) != 0) {
            json_array_append(rows, batch->items[i].row);
        }
    }
    if (json_array_size(rows) == 0) {
        return 0;
    }
    AUTO(free_ptr) char *text = json_dumps(rows, JSON_COMPACT);
    const char *values[] = {text};
    if (make(t, &sql, err) < 0 ||
        pg_query(f->pg, f->pg->sql, sql.data, values, 1, &result, err) < 0) {
        return -(int)err->code;
    }
    f->status.written += strtoull(PQcmdTuples(result), NULL, 10);
    return 0;
}

/* All of it in one transaction. *ret_open false: the table is fenced. */
static int write_batch(struct follow *f, const struct pg_target *t,
                       const struct mirror_batch *batch, bool *ret_open, struct err *err)
{
    uint64_t before = f->status.written;

    int rc = follow_begin(f, t, "", ret_open, err);
    if (rc < 0 || !*ret_open) {
        return rc;
    }
    if (run_for(f, t, update_sql, batch, 1U << MIRROR_UPDATE | 1U << MIRROR_INSERT, err) < 0 ||
        run_for(f, t, insert_sql, batch, 1U << MIRROR_INSERT, err) < 0 ||
        run_for(f, t, delete_sql, batch, 1U << MIRROR_DELETE, err) < 0 ||
        follow_commit(f, err) < 0) {
        f->status.written = before;
        follow_rollback(f);
        return -(int)err->code;
    }
    return 0;
}

/* ---- what can't be a row ---- */

static bool is_rows_fault(enum err_code code)
{
    return code == ERR_CONFLICT || code == ERR_INVALID;
}

static void refuse(struct follow *f, const struct uuid *id, const struct err *why)
{
    char text[UUID_TEXT_MAX];

    uuid_format(id, text);
    AUTO(free_ptr)
    char *what = xprintf("memory %s can't be a row: %.160s", text, why->message);
    if (f->status.refused++ == 0) { /* the first is named, all are counted */
        follow_trouble(f, what);
    }
}

/* Each by itself, so that one does not keep the others back. */
static int write_each(struct follow *f, const struct pg_target *t, const struct mirror_batch *batch,
                      const struct follow_cursor *from, struct err *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct mirror_batch one = {.items = &batch->items[i], .count = 1};
        struct err why = ERR_INIT;
        bool is_open = true;
        int rc = write_batch(f, t, &one, &is_open, &why);
        if (rc < 0 && is_rows_fault(why.code)) {
            refuse(f, &one.items->id, &why);
        } else if (!is_open || why.code == ERR_BUSY) {
            mirror_wait(f, &(struct follow_waiting){.id = one.items->id,
                                                    .origin = from->origin,
                                                    .seq = from->seq + 1,
                                                    .since_us = one.items->since_us,
                                                    .due_us = f->env->now_us(f->env) + LATER_US});
        } else if (rc < 0) {
            return err_copy(err, &why);
        }
    }
    return 0;
}

int mirror_write(struct follow *f, const struct pg_target *t, struct mirror_batch *batch,
                 const struct follow_cursor *from, struct err *err)
{
    struct err why = ERR_INIT;
    bool is_open = true;

    if (batch->count == 0) {
        return 0;
    }
    int rc = write_batch(f, t, batch, &is_open, &why);
    if (rc < 0 && !is_rows_fault(why.code) && why.code != ERR_BUSY) {
        return err_copy(err, &why);
    }
    f->is_dirty = true;
    return rc < 0 || !is_open ? write_each(f, t, batch, from, err) : 0;
}
