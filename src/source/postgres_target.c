/* A table that is written into: which of the fields it has columns for, and how their values are
 * said in the columns' own types. */
#include "source/postgres_follow.h"

#include "source/ids.h"

const char *const field_names[FIELDS] = {
    [FIELD_ID] = "id",
    [FIELD_CONTENT] = "content",
    [FIELD_TYPE] = "memory_type",
    [FIELD_IMPORTANCE] = "importance",
    [FIELD_SESSION] = "session_id",
    [FIELD_PROJECT] = "project_id",
    [FIELD_TAGS] = "tags",
    [FIELD_VERSION] = "sync_version",
    [FIELD_CREATED] = "created_at",
    [FIELD_UPDATED] = "updated_at",
    [FIELD_SYNC_STATUS] = "sync_status",
    [FIELD_SYNCED_AT] = "synced_at",
    [FIELD_REMOTE_ID] = "remote_id",
};

static const char *column_of(const struct source_mapping *mapping, enum field field)
{
    switch (field) {
    case FIELD_ID:
        return mapping_id(mapping);
    case FIELD_CONTENT:
        return mapping_content(mapping);
    case FIELD_PROJECT:
        return mapping_project(mapping);
    default:
        return field_names[field];
    }
}

/* In this order. */
enum { AS_NAME, AS_TYPE, AS_CATEGORY, AS_IS_JSON, AS_MAY_UPDATE, AS_REFERS };

static const char columns_sql[] =
    "SELECT a.attname, format_type(a.atttypid, NULL), t.typcategory, t.typname IN ('json', "
    "'jsonb'), has_column_privilege(a.attrelid, a.attnum, 'UPDATE'), (SELECT format('EXISTS "
    "(SELECT FROM %s r WHERE r.%I = ', c.confrelid::regclass, f.attname) FROM "
    "pg_catalog.pg_constraint c JOIN pg_catalog.pg_attribute f ON f.attrelid = c.confrelid AND "
    "f.attnum = c.confkey[1] WHERE c.conrelid = a.attrelid AND c.contype = 'f' AND c.conkey = "
    "ARRAY[a.attnum] LIMIT 1) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = "
    "a.atttypid WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND "
    "a.attgenerated = '' AND a.attidentity <> 'a'";

/* A type with its length would cut a value short; without it the server refuses. Heap. */
static char *value_of(const PGresult *result, int row, enum field field)
{
    const char *name = field_names[field];
    const char *type = PQgetvalue(result, row, AS_TYPE);

    if (field == FIELD_TAGS && PQgetvalue(result, row, AS_CATEGORY)[0] == 'A') {
        return xprintf("ARRAY(SELECT jsonb_array_elements_text(e->'%s'))::%s", name, type);
    }
    if (field == FIELD_TAGS && PQgetvalue(result, row, AS_IS_JSON)[0] == 't') {
        return xprintf("(e->'%s')::%s", name, type);
    }
    if (field == FIELD_SESSION && !PQgetisnull(result, row, AS_REFERS)) {
        return xprintf("CASE WHEN %s(e->>'%s')::%s) THEN (e->>'%s')::%s END",
                       PQgetvalue(result, row, AS_REFERS), name, type, name, type);
    }
    return xprintf("(e->>'%s')::%s", name, type);
}

static void note_column(struct pg_target *target, const PGresult *result, int row)
{
    const char *name = PQgetvalue(result, row, AS_NAME);

    for (int i = 0; i < FIELDS; i++) {
        enum field field = (enum field)i;
        bool is_mark = field >= FIELDS_OF_MEMORY;
        bool is_ignored = !is_mark && mapping_ignores(target->table->mapping, name);
        if (strcmp(name, column_of(target->table->mapping, field)) != 0 || is_ignored ||
            target->columns[i].name != NULL) {
            continue;
        }
        target->columns[i].name = pg_name(name);
        target->columns[i].value = value_of(result, row, field);
        if (is_mark) {
            target->may_mark = (!target->has_marks || target->may_mark) &&
                               PQgetvalue(result, row, AS_MAY_UPDATE)[0] == 't';
            target->has_marks = true;
        }
    }
}

static int find_privileges(struct postgres *pg, struct pg_target *target, const char *oid,
                           struct err *err)
{
    return pg_ask_bool(pg,
                       "SELECT has_table_privilege($1::oid, 'INSERT') AND "
                       "has_table_privilege($1::oid, 'UPDATE') AND has_table_privilege($1::oid, "
                       "'DELETE')",
                       oid, &target->may_write, err);
}

/* A key in which a memory's id has room. */
static const char key_sql[] =
    "SELECT format_type(a.atttypid, a.atttypmod), coalesce(nullif(t.typbasetype, 0), t.oid) IN "
    "('uuid'::regtype, 'text'::regtype, 'varchar'::regtype) AND (a.atttypmod = -1 OR a.atttypmod "
    ">= 40) AND (t.typtypmod = -1 OR t.typtypmod >= 40) AND a.attgenerated = '' FROM "
    "pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE a.attrelid = "
    "$1::oid AND a.attname = $2 AND NOT a.attisdropped";

int pg_mirror_refusal(struct postgres *pg, const struct pg_table *table, char **ret_why,
                      struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    const char *id = mapping_id(table->mapping);
    const char *values[] = {oid, id};

    *ret_why = NULL;
    if (pg_query(pg, pg->sql, key_sql, values, 2, &result, err) < 0) {
        return -(int)err->code;
    }
    if (PQntuples(result) == 1 && PQgetvalue(result, 0, 1)[0] != 't') {
        *ret_why =
            xprintf("its key %.63s is %.63s, and a memory's id is a UUID, for which a key must "
                    "be uuid or text",
                    id, PQgetvalue(result, 0, 0));
    }
    return 0;
}

int pg_mirror_check(struct postgres *pg, struct err *err)
{
    bool has_table = false;

    for (size_t i = 0; i < pg->table_count && pg->options->mirror; i++) {
        const struct pg_table *table = &pg->tables[i];
        AUTO(free_ptr) char *why = NULL;
        if (!mapping_is_memories(table->mapping)) {
            continue;
        }
        has_table = true;
        if (table->oid != 0 && pg_mirror_refusal(pg, table, &why, err) < 0) {
            return -(int)err->code;
        }
        if (why != NULL) {
            return err_set(err, ERR_CONFIG,
                           "mirror: true can't be for table %s: %s; leave `mirror` out, and its "
                           "rows are captured all the same",
                           table->name, why);
        }
    }
    return has_table || !pg->options->mirror
               ? 0
               : err_set(err, ERR_CONFIG,
                         "mirror: true is for a table called memories, and no table of source %s "
                         "is",
                         pg->options->name);
}

int pg_target_find(struct postgres *pg, struct pg_table *table, struct pg_target *ret,
                   struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    const char *values[] = {oid};

    *ret = (struct pg_target){.table = table};
    if (table->oid == 0 || !mapping_is_memories(table->mapping)) {
        return 0;
    }
    if (pg_query(pg, pg->sql, columns_sql, values, 1, &result, err) < 0 ||
        find_privileges(pg, ret, oid, err) < 0 ||
        pg_mirror_refusal(pg, table, &ret->refusal, err) < 0 ||
        ids_claim(pg->options->ledger, pg->options->name, table->name, &ret->is_mirror, err) < 0) {
        return -(int)err->code;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        note_column(ret, result, i);
    }
    ret->is_mirror = ret->is_mirror && pg->options->mirror && ret->refusal == NULL &&
                     ret->columns[FIELD_ID].name != NULL &&
                     ret->columns[FIELD_CONTENT].name != NULL;
    return 0;
}

bool pg_target_is_marked(const struct pg_target *target)
{
    return target->table != NULL && target->has_marks && target->may_mark && target->has_vault &&
           !target->is_given_up && target->columns[FIELD_ID].name != NULL &&
           target->columns[FIELD_CONTENT].name != NULL;
}

void pg_target_done(struct pg_target *target)
{
    for (size_t i = 0; i < FIELDS; i++) {
        free(target->columns[i].name);
        free(target->columns[i].value);
    }
    free(target->refusal);
    *target = (struct pg_target){.table = NULL};
}
