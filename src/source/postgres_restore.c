/*
 * Restore: in one transaction, what the ledger holds and the database lacks. What somebody changed
 * since is theirs: it is counted, and left.
 *
 * For each table two temporary ones are filled: `want`, the rows as they should be, and `held`,
 * what the destruction that is held made of them. Missing rows are inserted; a row is updated only
 * if it is still what the destruction left. A dry run does all of it and rolls back, so that its
 * counts are those of the real one.
 */
#include "source/postgres_restore.h"
#include "source/definition.h"

#define PARTITION "CREATE TABLE IF NOT EXISTS "

/* Each by itself: one may overlap what somebody made since. */
static int make_part(struct restoring *r, const char *sql, struct err *err)
{
    struct err why = ERR_INIT;

    if (pg_exec(r->pg, r->pg->sql, "SAVEPOINT holdfast_part", err) < 0) {
        return -(int)err->code;
    }
    if (restore_run(r, sql, NULL, &why) < 0 && why.code != ERR_INVALID &&
        why.code != ERR_CONFLICT) {
        return err_copy(err, &why);
    }
    return why.code == ERR_NONE
               ? 0
               : pg_exec(r->pg, r->pg->sql, "ROLLBACK TO SAVEPOINT holdfast_part", err);
}

int restore_parts(struct restoring *r, size_t back, bool *ret_more, struct err *err)
{
    AUTO(definitions_done) struct definitions all;
    int rc = definitions_read(r->reader, r->pg->options->name, r->table->name, &all, err);

    *ret_more = rc == 0 && back < all.count;
    if (!*ret_more) {
        return rc;
    }
    const char *at = all.items[all.count - 1 - back];
    for (struct str part; rc == 0 && (part = pg_definition_next(&at)).len > 0;) {
        AUTO(free_ptr) char *sql = xstrndup(part.ptr, part.len);
        rc = strncmp(sql, PARTITION, strlen(PARTITION)) == 0 ? make_part(r, sql, err) : 0;
    }
    return rc;
}

/* *ret_end: where the part before the rows ends. */
static const char *behind_the_rows(const char *definition, const char **ret_end)
{
    const char *at = definition;
    struct str part;

    while ((part = pg_definition_next(&at)).len > 0) {
    }
    *ret_end = part.ptr;
    return at;
}

static int make_table(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *definition = NULL;

    int rc = definition_read(r->reader, r->pg->options->name, r->table->name, &definition, err);
    if (rc < 0 || definition == NULL) {
        return rc;
    }
    const char *end = NULL;
    (void)behind_the_rows(definition, &end);
    AUTO(free_ptr) char *before = xstrndup(definition, (size_t)(end - definition));
    if (restore_run(r, before, NULL, err) < 0 || pg_tables_find(r->pg, err) < 0) {
        return -(int)err->code;
    }
    r->answer->created = true;
    return r->table->oid != 0 ? 0
                              : err_set(err, ERR_INTERNAL, "its definition does not make table %s",
                                        r->table->name);
}

/* Foreign keys and triggers of a table that was made again: when all rows are there. */
static int finish_table(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *definition = NULL;

    if (!r->answer->created) {
        return 0;
    }
    int rc = definition_read(r->reader, r->pg->options->name, r->table->name, &definition, err);
    if (rc < 0 || definition == NULL) {
        return rc;
    }
    const char *end = NULL;
    const char *after = behind_the_rows(definition, &end);
    return after[0] == '\0' ? 0 : restore_run(r, after, NULL, err);
}

/* Numbers that are given next must be above those that came back. Sequences don't roll back, so a
 * dry run leaves them. */
static int raise_sequences(struct restoring *r, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", r->table->oid);
    const char *values[] = {oid, r->table->quoted};

    if (r->restore->dry_run || r->answer->inserted == 0) {
        return 0;
    }
    if (pg_query(r->pg, r->pg->sql,
                 "SELECT quote_ident(attname), s FROM (SELECT attname, "
                 "pg_catalog.pg_get_serial_sequence($2, attname) AS s FROM pg_catalog.pg_attribute "
                 "WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped) q WHERE s IS NOT "
                 "NULL",
                 values, 2, &result, err) < 0) {
        return -(int)err->code;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        AUTO(free_ptr) char *sequence = pg_literal(PQgetvalue(result, i, 1));
        AUTO(free_ptr)
        char *sql =
            xprintf("SELECT pg_catalog.setval(%s, m) FROM (SELECT max(%s) AS m FROM %s) q "
                    "WHERE m > (SELECT last_value FROM %s)",
                    sequence, PQgetvalue(result, i, 0), r->table->quoted, PQgetvalue(result, i, 1));
        if (restore_run(r, sql, NULL, err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

static int restore_table(struct restoring *r, struct err *err)
{
    if (r->table->oid == 0 && make_table(r, err) < 0) {
        return -(int)err->code;
    }
    return restore_rows(r, err) < 0 ? -(int)err->code : raise_sequences(r, err);
}

/* ---- all tables ---- */

/* For this transaction alone: nobody else sees it down, and it is up again before the commit. */
static int lower_fence(struct postgres *pg, struct err *err)
{
    return pg_exec(pg, pg->sql,
                   "CREATE TEMP TABLE holdfast_fenced (relid oid, source text, alert text) ON "
                   "COMMIT DROP;"
                   "DO $lower$ BEGIN IF to_regclass('holdfast.fence') IS NOT NULL THEN "
                   "WITH down AS (DELETE FROM holdfast.fence RETURNING *) INSERT INTO "
                   "pg_temp.holdfast_fenced SELECT * FROM down; END IF; END $lower$",
                   err);
}

static int raise_fence(struct postgres *pg, struct err *err)
{
    return pg_exec(pg, pg->sql,
                   "DO $raise$ BEGIN IF to_regclass('holdfast.fence') IS NOT NULL THEN INSERT INTO "
                   "holdfast.fence SELECT * FROM pg_temp.holdfast_fenced; END IF; END $raise$",
                   err);
}

/* A superuser's session lets rows in as a replica does: no trigger changes them on their way, and
 * no order of tables is needed. */
static int begin(struct restoring *r, struct err *err)
{
    AUTO(free_ptr) char *super = NULL;

    if (pg_exec(r->pg, r->pg->sql, "BEGIN", err) < 0 ||
        pg_ask(r->pg, r->pg->sql,
               "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", NULL,
               &super, err) < 0) {
        return -(int)err->code;
    }
    if (lower_fence(r->pg, err) < 0) {
        return -(int)err->code;
    }
    return super != NULL && super[0] == 't'
               ? pg_exec(r->pg, r->pg->sql, "SET LOCAL session_replication_role = replica", err)
               : pg_exec(r->pg, r->pg->sql, "SET CONSTRAINTS ALL DEFERRED", err);
}

/* Those that others refer to come first: a table's depth is one more than that of what it needs. */
static int order_tables(struct postgres *pg, struct pg_table **ret, size_t count, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    size_t depth[SOURCE_TABLES_MAX] = {0};

    if (pg_query(pg, pg->sql,
                 "SELECT conrelid, confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f' AND "
                 "conrelid <> confrelid",
                 NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    for (size_t round = 0; round < count; round++) {
        for (int k = 0; k < PQntuples(result); k++) {
            uint32_t from = (uint32_t)strtoul(PQgetvalue(result, k, 0), NULL, 10);
            uint32_t to = (uint32_t)strtoul(PQgetvalue(result, k, 1), NULL, 10);
            for (size_t i = 0; i < count; i++) {
                for (size_t j = 0; ret[i]->oid == from && j < count; j++) {
                    if (ret[j]->oid == to && depth[i] <= depth[j]) {
                        depth[i] = depth[j] + 1;
                    }
                }
            }
        }
    }
    for (size_t i = 1; i < count; i++) { /* by depth; few tables, and stable */
        for (size_t j = i; j > 0 && depth[j] < depth[j - 1]; j--) {
            struct pg_table *table = ret[j];
            size_t d = depth[j];
            ret[j] = ret[j - 1];
            depth[j] = depth[j - 1];
            ret[j - 1] = table;
            depth[j - 1] = d;
        }
    }
    return 0;
}

static int choose_tables(struct postgres *pg, const char *only, struct pg_table **ret,
                         size_t *ret_count, struct err *err)
{
    *ret_count = 0;
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        if (only == NULL || strcmp(only, table->name) == 0 || strcmp(only, table->table) == 0) {
            ret[(*ret_count)++] = table;
        }
    }
    return *ret_count > 0 ? 0
                          : err_set(err, ERR_NOT_FOUND, "source %s captures no table \"%.128s\"",
                                    pg->options->name, only == NULL ? "" : only);
}

static int restore_all(struct restoring *r, struct pg_table **tables, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        r->table = tables[i];
        r->answer = &r->restore->tables[r->restore->table_count++];
        *r->answer = (struct source_restore_table){.table = xstrdup(r->table->name)};
        if (restore_table(r, err) < 0) {
            return -(int)err->code;
        }
    }
    for (size_t i = 0; i < count; i++) {
        r->table = tables[i];
        r->answer = &r->restore->tables[i];
        if (finish_table(r, err) < 0) {
            return -(int)err->code;
        }
    }
    return raise_fence(r->pg, err) < 0
               ? -(int)err->code
               : pg_exec(r->pg, r->pg->sql, r->restore->dry_run ? "ROLLBACK" : "COMMIT", err);
}

int pg_restore(struct postgres *pg, struct source_restore *restore, struct err *err)
{
    struct restoring r = {.pg = pg, .restore = restore};
    struct pg_table *tables[SOURCE_TABLES_MAX];
    size_t count = 0;

    buf_init(&restore->sql, SOURCE_RESTORE_SQL_MAX);
    if (restore->at_us != TIME_NONE) {
        return err_set(err, ERR_USAGE, "--at is for sources of files");
    }
    buf_init(&r.lines, (size_t)4 * CHANGE_RECORD_MAX);
    if ((pg->sql == NULL && pg_database_make(pg, restore, err) < 0) ||
        pg_tables_find(pg, err) < 0 ||
        choose_tables(pg, restore->only_table, tables, &count, err) < 0 ||
        order_tables(pg, tables, count, err) < 0 ||
        read_begin(pg->options->ledger, &r.reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = begin(&r, err);
    rc = rc == 0 ? restore_all(&r, tables, count, err) : rc;
    read_end(r.reader);
    pg_clear(&r.fixed);
    row_origin_done(&r.origin);
    buf_done(&r.lines);
    return rc; /* the connection is closed by the caller, and with it a transaction that failed */
}
