/* One message of the stream after the other: rows into the intake, and who it was. */
#include "source/postgres_internal.h"

#define MESSAGE_PREFIX "holdfast"

/* ---- relations ---- */

static void relation_empty(struct pg_relation *relation)
{
    for (size_t i = 0; i < relation->count; i++) {
        free(relation->columns[i]);
    }
    free(relation->columns);
    relation->columns = NULL;
    relation->count = 0;
}

void pg_relations_done(struct postgres *pg)
{
    while (pg->relations != NULL) {
        struct pg_relation *next = pg->relations->next;
        relation_empty(pg->relations);
        free(pg->relations);
        pg->relations = next;
    }
}

static struct pg_relation *find_relation(const struct postgres *pg, uint32_t oid)
{
    struct pg_relation *relation = pg->relations;

    while (relation != NULL && relation->oid != oid) {
        relation = relation->next;
    }
    return relation;
}

static struct pg_table *find_table(struct postgres *pg, const char *schema, const char *table)
{
    for (size_t i = 0; schema != NULL && table != NULL && i < pg->table_count; i++) {
        if (strcmp(pg->tables[i].schema, schema) == 0 && strcmp(pg->tables[i].table, table) == 0) {
            return &pg->tables[i];
        }
    }
    return NULL;
}

static bool same_columns(const struct pg_relation *relation, const struct pgoutput_message *message)
{
    bool same = relation->count == message->column_count;

    for (size_t i = 0; same && i < relation->count; i++) {
        same = strcmp(relation->columns[i], message->columns[i].name) == 0;
    }
    return same;
}

/* Under another name its rows are not followed; whatever was done to them meanwhile is found by a
 * comparison. */
static void note_renamed(struct postgres *pg, uint32_t oid, const struct pg_table *named)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        if (table->oid == oid && table != named) {
            table->compare = true;
            table->compare_at = pg->received;
        }
    }
}

/* The server tells a table's columns before its first row, and when they have changed: then all
 * rows are read again, in their new form. */
static void apply_relation(struct postgres *pg, const struct pgoutput_message *message)
{
    struct pg_relation *relation = find_relation(pg, message->relation);

    if (relation == NULL) {
        relation = xcalloc(1, sizeof(*relation));
        relation->oid = message->relation;
        relation->next = pg->relations;
        pg->relations = relation;
    } else if (relation->table != NULL && !same_columns(relation, message)) {
        relation->table->compare = true;
        relation->table->compare_at = pg->received;
    }
    relation_empty(relation);
    relation->table = find_table(pg, message->schema, message->table);
    note_renamed(pg, message->relation, relation->table);
    relation->columns = xcalloc(message->column_count + 1, sizeof(*relation->columns));
    relation->count = message->column_count;
    for (size_t i = 0; i < message->column_count; i++) {
        relation->columns[i] = xstrdup(message->columns[i].name);
    }
}

/* ---- rows ---- */

static struct row row_of(const struct postgres *pg, const struct pg_relation *relation,
                         struct row_value *values)
{
    return (struct row){.source = pg->options->name,
                        .table = relation->table->name,
                        .mapping = relation->table->mapping,
                        .project = pg->options->project,
                        .values = values};
}

/* What an update did not touch and did not send is taken from the old row, if that came whole. */
static void fill_row(const struct pg_relation *relation, const struct pgoutput_tuple *tuple,
                     const struct pgoutput_tuple *old, struct row *row)
{
    for (size_t i = 0; i < tuple->count; i++) {
        const struct pgoutput_value *value = &tuple->values[i];
        if (mapping_ignores(row->mapping, relation->columns[i])) {
            continue;
        }
        if (value->kind == PGOUTPUT_UNCHANGED && old->values != NULL && i < old->count &&
            old->values[i].kind == PGOUTPUT_TEXT) {
            value = &old->values[i];
        }
        row->values[row->count++] = (struct row_value){
            .column = relation->columns[i],
            .text = value->kind == PGOUTPUT_TEXT ? value->text : (struct str){NULL, 0},
            .unchanged = value->kind == PGOUTPUT_UNCHANGED};
    }
}

static int wrong_relation(const struct pgoutput_message *message, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "a row of relation %u, whose columns were not told",
                   message->relation);
}

/* A row's key: empty when it was not sent. */
static struct str key_of(const struct pg_relation *relation, const struct pgoutput_tuple *tuple)
{
    const char *id = mapping_id(relation->table->mapping);

    for (size_t i = 0; i < tuple->count && i < relation->count; i++) {
        if (strcmp(relation->columns[i], id) == 0 && tuple->values[i].kind == PGOUTPUT_TEXT) {
            return tuple->values[i].text;
        }
    }
    return (struct str){NULL, 0};
}

static int apply_put(struct postgres *pg, const struct pg_relation *relation,
                     const struct pgoutput_message *message, struct err *err)
{
    AUTO(free_ptr)
    struct row_value *values = xcalloc(message->new.count + 1, sizeof(*values));
    struct row row = row_of(pg, relation, values);
    struct err none = ERR_INIT;
    struct str key;

    fill_row(relation, &message->new, &message->old, &row);
    struct str before = key_of(relation, &message->old);
    if (before.ptr != NULL && row_key(&row, &key, &none) == 0 && !str_eq(before, key) &&
        intake_delete(&pg->intake, relation->table->name, before, err) < 0) {
        return -(int)err->code;
    }
    relation->table->gone = false;
    return intake_put(&pg->intake, &row, err);
}

static int apply_delete(struct postgres *pg, const struct pg_relation *relation,
                        const struct pgoutput_message *message, struct err *err)
{
    struct str key = key_of(relation, &message->old);

    if (key.ptr != NULL && relation->table->partitioned) { /* perhaps it only moves */
        pg->moving = xstrndup(key.ptr, key.len);
        pg->moving_of = relation->table;
        return 0;
    }
    if (key.ptr == NULL) { /* the replica identity lacks the id: what is missing is found so */
        relation->table->compare = true;
        relation->table->compare_at = pg->received;
        return 0;
    }
    return intake_delete(&pg->intake, relation->table->name, key, err);
}

static int apply_row(struct postgres *pg, const struct pgoutput_message *message, struct err *err)
{
    const struct pg_relation *relation = find_relation(pg, message->relation);

    if (relation == NULL || message->new.count > relation->count ||
        message->old.count > relation->count) {
        return wrong_relation(message, err);
    }
    if (relation->table == NULL) {
        return 0;
    }
    pg_rows_told(pg, relation->table,
                 message->kind == PGOUTPUT_INSERT   ? 1
                 : message->kind == PGOUTPUT_DELETE ? -1
                                                    : 0);
    return message->kind == PGOUTPUT_DELETE ? apply_delete(pg, relation, message, err)
                                            : apply_put(pg, relation, message, err);
}

/* An update that takes a row to another partition comes as its deletion there and its insertion
 * here, one right after the other. Any other message says that it was a deletion. */
static int settle_moving(struct postgres *pg, const struct pgoutput_message *message,
                         struct err *err)
{
    AUTO(free_ptr) char *key = pg->moving;

    pg->moving = NULL;
    if (key == NULL) {
        return 0;
    }
    if (message->kind == PGOUTPUT_INSERT) {
        const struct pg_relation *relation = find_relation(pg, message->relation);
        if (relation != NULL && relation->table == pg->moving_of &&
            str_eq_c(key_of(relation, &message->new), key)) {
            return 0;
        }
    }
    return intake_delete(&pg->intake, pg->moving_of->name, str_of(key), err);
}

/* ---- what takes a table as a whole ---- */

static char *gone_summary(const struct postgres *pg, const struct pg_table *table, const char *how)
{
    return xprintf("Table %s %s by %s. Every row is safe in the ledger; to put them back: "
                   "holdfast restore %s",
                   table->name, how, pg->intake.actor, pg->options->name);
}

static int apply_truncate(struct postgres *pg, const struct pgoutput_message *message,
                          struct err *err)
{
    for (size_t i = 0; i < message->truncated_count; i++) {
        const struct pg_relation *relation = find_relation(pg, message->truncated[i]);
        if (relation == NULL || relation->table == NULL) {
            continue;
        }
        pg_rows_told_none(pg, relation->table);
        AUTO(free_ptr) char *summary = gone_summary(pg, relation->table, "was emptied (TRUNCATE)");
        if (intake_gone(&pg->intake, relation->table->name, "source_truncated", summary, err) < 0 ||
            pg_mirror_again(pg, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- what the triggers tell ---- */

/* Anybody may write such a message. What it says is compared with what else is known; a lie is
 * told, now and then, as whoever writes them could write many. */
#define FORGED_ALERT_MS (60 * 1000)

static int tell_forged(struct postgres *pg, const char *what, struct err *err)
{
    int64_t now = deadline_in(0).at_ms;

    if (pg->forged_ms != 0 && now - pg->forged_ms < FORGED_ALERT_MS) {
        return 0;
    }
    pg->forged_ms = now;
    AUTO(free_ptr)
    char *text = xprintf("Somebody wrote a message of Holdfast's own into the log of source %s: %s",
                         pg->options->name, what);
    return intake_alert(&pg->intake, "source_forged", text, err);
}

static char *told_how(const json_t *told)
{
    const char *address = json_string_value(json_object_get(told, "address"));
    const char *query = json_string_value(json_object_get(told, "query"));
    json_int_t pid = json_integer_value(json_object_get(told, "pid"));

    return xprintf("from %s, pid %lld: %.200s", address == NULL ? "a local socket" : address,
                   (long long)pid, query == NULL ? "?" : query);
}

/* "agent (psql) DROP TABLE". A transaction is one session's: when its messages name two, nobody is
 * blamed for what comes. */
static int note_actor(struct postgres *pg, const json_t *told, struct err *err)
{
    const char *role = json_string_value(json_object_get(told, "role"));
    const char *application = json_string_value(json_object_get(told, "application"));
    const char *tag = json_string_value(json_object_get(told, "tag"));

    AUTO(free_ptr)
    char *session = xprintf("%.63s, pid %lld", role == NULL ? "?" : role,
                            (long long)json_integer_value(json_object_get(told, "pid")));
    if (pg->told == NULL) {
        pg->told = xstrdup(session);
    }
    if (pg->is_forged || strcmp(pg->told, session) != 0) {
        bool is_news = !pg->is_forged;
        pg->is_forged = true;
        intake_actor(&pg->intake, "unknown (its messages contradict each other)", NULL);
        AUTO(free_ptr)
        char *what = xprintf("one transaction says that it is of %s, and of %s. What it did is "
                             "judged all the same",
                             pg->told, session);
        return is_news ? tell_forged(pg, what, err) : 0;
    }
    AUTO(free_ptr)
    char *who = xprintf("%.60s (%.40s) %.24s", role == NULL ? "?" : role,
                        application == NULL || application[0] == '\0' ? "?" : application,
                        tag == NULL ? "" : tag);
    AUTO(free_ptr) char *how = told_how(told);
    intake_actor(&pg->intake, who, how);
    return 0;
}

/* What the catalog says once it has what this transaction did. */
enum catalog_says { CATALOG_HAS, CATALOG_LACKS, CATALOG_UNKNOWN };

static int ask_catalog(struct postgres *pg, const char *sql, uint32_t oid, enum catalog_says *ret,
                       struct err *err)
{
    bool is_seen = false;
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *text = xprintf("%u", oid);
    const char *values[] = {text};

    if (pg_snapshot_wait(pg, &is_seen, err) < 0 ||
        pg_query(pg, pg->sql, sql, values, 1, &result, err) < 0) {
        return -(int)err->code;
    }
    *ret = !is_seen ? CATALOG_UNKNOWN : PQntuples(result) > 0 ? CATALOG_HAS : CATALOG_LACKS;
    return 0;
}

/* Was it this table's? An end that was told is forgotten, so that it can't be told again. */
static bool take_oid(struct postgres *pg, struct pg_table *table, uint32_t oid)
{
    struct pg_relation *relation = find_relation(pg, oid);
    bool is_relation = relation != NULL && relation->table == table;
    bool is_ours =
        is_relation || oid == table->oid || oid == table->last_oid || oid == table->earlier_oid;

    if (is_relation) {
        relation->table = NULL;
    }
    table->last_oid = oid == table->last_oid ? 0 : table->last_oid;
    table->earlier_oid = oid == table->earlier_oid ? 0 : table->earlier_oid;
    return is_ours;
}

/* What can't be proved is left to the comparison, which finds what is true. */
static int apply_drop(struct postgres *pg, struct pg_table *table, const json_t *told,
                      struct err *err)
{
    json_int_t oid = json_integer_value(json_object_get(told, "oid"));
    enum catalog_says says;

    if (oid <= 0 || oid > UINT32_MAX) {
        return 0;
    }
    if (ask_catalog(pg, "SELECT FROM pg_catalog.pg_class WHERE oid = $1::oid", (uint32_t)oid, &says,
                    err) < 0) {
        return -(int)err->code;
    }
    if (says == CATALOG_HAS) {
        AUTO(free_ptr)
        char *what = xprintf("that table %s was dropped, and it was not (%s)", table->name,
                             pg->intake.actor);
        return tell_forged(pg, what, err);
    }
    if (says == CATALOG_UNKNOWN || !take_oid(pg, table, (uint32_t)oid)) {
        return 0;
    }
    AUTO(free_ptr) char *by = told_how(told);
    AUTO(free_ptr) char *how = xprintf("was dropped (%s)", by);
    AUTO(free_ptr) char *summary = gone_summary(pg, table, how);
    table->gone = true;
    return intake_gone(&pg->intake, table->name, "source_dropped", summary, err);
}

/* Without it rows are no memories any more, whatever has its values now. */
static bool is_pinned(const struct source_mapping *mapping, const char *column)
{
    return strcmp(column, mapping_id(mapping)) == 0 ||
           strcmp(column, mapping_content(mapping)) == 0 ||
           strcmp(column, mapping_project(mapping)) == 0;
}

static int apply_column_drop(struct postgres *pg, const struct pg_table *table, const json_t *told,
                             struct err *err)
{
    const char *column = json_string_value(json_object_get(told, "column"));
    enum catalog_says says = CATALOG_UNKNOWN;

    if (table->oid != 0 &&
        ask_catalog(pg,
                    "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attisdropped",
                    table->oid, &says, err) < 0) {
        return -(int)err->code;
    }
    if (says == CATALOG_LACKS) {
        AUTO(free_ptr)
        char *what = xprintf("that a column of table %s was dropped, and none was (%s)",
                             table->name, pg->intake.actor);
        return tell_forged(pg, what, err);
    }
    if (column != NULL && !is_pinned(table->mapping, column)) {
        uint64_t lost = 0;
        if (pg_column_lost(pg, table, column, &lost, err) < 0) {
            return -(int)err->code;
        }
        if (lost == 0) { /* it was empty, or is called otherwise now */
            return 0;
        }
    }
    AUTO(free_ptr) char *by = told_how(told);
    AUTO(free_ptr)
    char *summary =
        xprintf("Column %.63s of table %s was dropped by %s (%s). Its values are in the "
                "ledger's history of every row",
                column == NULL ? "?" : column, table->name, pg->intake.actor, by);
    return intake_alert(&pg->intake, "source_column_dropped", summary, err);
}

static int apply_message(struct postgres *pg, const struct pgoutput_message *message,
                         struct err *err)
{
    AUTO(json_unref) json_t *told = NULL;
    struct err none = ERR_INIT;

    if (strcmp(message->prefix, MESSAGE_PREFIX) != 0 || !message->transactional ||
        json_parse(message->content, &told, &none) < 0 || !json_is_object(told)) {
        return 0;
    }
    const char *event = json_string_value(json_object_get(told, "event"));
    const char *type = json_string_value(json_object_get(told, "type"));
    struct pg_table *table = find_table(pg, json_string_value(json_object_get(told, "schema")),
                                        json_string_value(json_object_get(told, "table")));
    if (note_actor(pg, told, err) < 0) {
        return -(int)err->code;
    }
    if (event == NULL || table == NULL || strcmp(event, "statement") == 0) {
        return 0;
    }
    table->compare = true; /* it is made anew, or made otherwise */
    table->compare_at = message->lsn;
    if (strcmp(event, "drop") != 0 || type == NULL) {
        return 0;
    }
    return strcmp(type, "table column") == 0 ? apply_column_drop(pg, table, told, err)
                                             : apply_drop(pg, table, told, err);
}

/* ---- all kinds ---- */

int pg_apply(struct postgres *pg, const struct pgoutput_message *message, struct err *err)
{
    if (settle_moving(pg, message, err) < 0) {
        return -(int)err->code;
    }
    switch (message->kind) {
    case PGOUTPUT_BEGIN:
        pg->in_transaction = true;
        pg->xid = message->xid;
        pg->is_forged = false;
        free(pg->told);
        pg->told = NULL;
        intake_actor(&pg->intake, NULL, NULL);
        return 0;
    case PGOUTPUT_COMMIT:
        pg->in_transaction = false;
        pg_snapshot_note(pg);
        return 0;
    case PGOUTPUT_RELATION:
        apply_relation(pg, message);
        return 0;
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
        return apply_row(pg, message, err);
    case PGOUTPUT_TRUNCATE:
        return apply_truncate(pg, message, err);
    case PGOUTPUT_MESSAGE:
        return apply_message(pg, message, err);
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_TYPE:
        return 0;
    }
    return 0;
}
