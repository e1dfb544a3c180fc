/*
 * What `init postgres` makes besides for the outbox: the table holdfast.outbox, to which triggers
 * on the captured tables add each change of a row within its very transaction; and
 * holdfast.outboxes, which says who reads it, and how far each has come.
 */
#include "source/postgres_internal.h"

/* Values must be the texts that logical replication sends: each type's output function (which a
 * cast of the whole row to text calls), under the settings of our own sessions. */
const char pg_keep_settings[] = "SET search_path = pg_catalog SET datestyle = 'ISO' SET "
                                "intervalstyle = 'postgres' SET extra_float_digits = 3 SET "
                                "bytea_output = 'hex' SET timezone = 'UTC' ";

/* Of the columns those that are generated are named NULL: they are computed again. */
const char pg_keep_body[] =
    "\nBEGIN\n"
    "  IF to_regclass('holdfast.outbox') IS NOT NULL THEN\n"
    "    INSERT INTO holdfast.outbox (op, relid, schema, name, columns, old, new) VALUES "
    "(substr(TG_OP, 1, 1), TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, ARRAY(SELECT CASE WHEN "
    "attgenerated = '' THEN attname::text END FROM pg_attribute WHERE attrelid = TG_RELID AND "
    "attnum > 0 AND NOT attisdropped ORDER BY attnum), CASE WHEN TG_OP IN ('UPDATE', 'DELETE') "
    "THEN OLD::text END, CASE WHEN TG_OP IN ('INSERT', 'UPDATE') THEN NEW::text END);\n"
    "    PERFORM pg_notify('holdfast', '');\n"
    "  END IF;\n"
    "  RETURN NULL;\n"
    "END ";

static const char tables_sql[] =
    "-- One row for each change: I, U, D (old and new row), T (TRUNCATE), M (who did it, and "
    "DDL).\n"
    "CREATE TABLE IF NOT EXISTS holdfast.outbox (id bigint GENERATED ALWAYS AS IDENTITY, xid xid8 "
    "NOT NULL DEFAULT pg_current_xact_id(), at timestamptz NOT NULL DEFAULT clock_timestamp(), op "
    "text NOT NULL, relid oid, schema text, name text, columns text[], old text, new text, body "
    "text);\n"
    "CREATE INDEX IF NOT EXISTS outbox_xid ON holdfast.outbox (xid);\n"
    "-- Who reads it, and up to where it was taken.\n"
    "CREATE TABLE IF NOT EXISTS holdfast.outboxes (source text PRIMARY KEY, generation text NOT "
    "NULL, taken bigint NOT NULL, position pg_snapshot NOT NULL, tables text[] NOT NULL);\n";

int pg_outbox_add_tables(struct buf *ret, struct err *err)
{
    return buf_add_c(ret, tables_sql, err);
}

/* The names of our tables, as an SQL array. Heap. */
static char *tables_array(const struct postgres *pg)
{
    char *list = xstrdup("");

    for (size_t i = 0; i < pg->table_count; i++) {
        AUTO(free_ptr) char *before = list;
        AUTO(free_ptr) char *name = pg_literal(pg->tables[i].name);
        list = xprintf("%s%s%s", before, i == 0 ? "" : ", ", name);
    }
    AUTO(free_ptr) char *inside = list;
    return xprintf("ARRAY[%s]::text[]", inside);
}

int pg_outbox_add_source(struct postgres *pg, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *source = pg_literal(pg->options->slot);
    AUTO(free_ptr) char *tables = tables_array(pg);

    return buf_printf(ret, err,
                      "INSERT INTO holdfast.outboxes VALUES (%s, left(gen_random_uuid()::text, 8), "
                      "0, pg_current_snapshot(), %s) ON CONFLICT (source) DO UPDATE SET tables = "
                      "EXCLUDED.tables;\n",
                      source, tables);
}

/* A row's trigger on a table with partitions is theirs, too, also of those to come; but whether it
 * fires for a replica is said of each. */
static int enable_triggers(struct postgres *pg, const struct pg_table *table, struct buf *ret,
                           struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    int rc = pg_parts(pg, table, &result, err);

    for (int i = 0; rc == 0 && i < PQntuples(result); i++) {
        rc = buf_printf(ret, err, "ALTER TABLE %s ENABLE ALWAYS TRIGGER holdfast_keep;\n",
                        PQgetvalue(result, i, 0));
    }
    return rc;
}

int pg_outbox_remove_triggers(const struct pg_table *table, struct buf *ret, struct err *err)
{
    return buf_printf(ret, err,
                      "DROP TRIGGER IF EXISTS holdfast_keep ON %s;\n"
                      "DROP TRIGGER IF EXISTS holdfast_keep_all ON %s;\n",
                      table->quoted, table->quoted);
}

int pg_outbox_add_triggers(struct postgres *pg, const struct pg_table *table, struct buf *ret,
                           struct err *err)
{
    if (pg_outbox_remove_triggers(table, ret, err) < 0 ||
        buf_printf(ret, err,
                   "CREATE TRIGGER holdfast_keep AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH "
                   "ROW EXECUTE FUNCTION holdfast.keep();\n"
                   "CREATE TRIGGER holdfast_keep_all AFTER TRUNCATE ON %s EXECUTE FUNCTION "
                   "holdfast.keep();\n"
                   "ALTER TABLE %s ENABLE ALWAYS TRIGGER holdfast_keep_all;\n",
                   table->quoted, table->quoted, table->quoted) < 0) {
        return -(int)err->code;
    }
    return enable_triggers(pg, table, ret, err);
}

int pg_outbox_remove_tables(struct buf *ret, struct err *err)
{
    return buf_add_c(ret,
                     "-- It was captured by an outbox before.\n"
                     "DROP FUNCTION IF EXISTS holdfast.keep() CASCADE;\n"
                     "DROP TABLE IF EXISTS holdfast.outbox, holdfast.outboxes;\n",
                     err);
}

/* ---- what is there ---- */

int pg_outbox_is_there(struct postgres *pg, bool *ret, struct err *err)
{
    return pg_ask_bool(pg,
                       "SELECT count(*) = 2 FROM pg_catalog.pg_class c JOIN "
                       "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = "
                       "'holdfast' AND c.relname IN ('outbox', 'outboxes')",
                       NULL, ret, err);
}

int pg_outbox_missing(struct postgres *pg, char **ret_missing, struct err *err)
{
    AUTO(free_ptr) char *tables = tables_array(pg);
    AUTO(free_ptr)
    char *sql = xprintf("SELECT EXISTS(SELECT FROM holdfast.outboxes WHERE source = $1 AND tables "
                        "= %s)",
                        tables);
    bool is_there = false;

    if (pg_outbox_is_there(pg, &is_there, err) < 0) {
        return -(int)err->code;
    }
    if (!is_there) {
        *ret_missing = xstrdup("the table holdfast.outbox or holdfast.outboxes");
        return 0;
    }
    if (pg_ask_bool(pg, sql, pg->options->slot, &is_there, err) < 0) {
        return -(int)err->code;
    }
    if (!is_there) {
        *ret_missing = xprintf("the row of %s in holdfast.outboxes", pg->options->slot);
    }
    return 0;
}

int pg_outbox_has_others(struct postgres *pg, const struct pg_table *table, bool *ret,
                         struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    const char *values[] = {pg->options->slot, table == NULL ? NULL : table->name};

    if (pg_outbox_is_there(pg, ret, err) < 0 || !*ret) {
        return -(int)err->code;
    }
    int rc = pg_query(pg, pg->sql,
                      "SELECT FROM holdfast.outboxes WHERE source <> $1 AND ($2::text IS NULL OR "
                      "$2::text = ANY(tables))",
                      values, 2, &result, err);
    *ret = rc == 0 && PQntuples(result) > 0;
    return rc;
}
