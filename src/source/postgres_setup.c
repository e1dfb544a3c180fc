/*
 * What `init postgres` makes in the database, and takes out again. All of it bears our name: the
 * publication that of the slot, everything else lies in the schema holdfast.
 */
#include "source/postgres_internal.h"

/* Who does it, told in the log of the very transaction. The functions run as their owner, so that
 * nobody needs a right on our schema; session_user stays who logged in. */
#define TELL_FIELDS                                                                                \
    "'role', session_user, 'application', pg_catalog.current_setting('application_name', true), "  \
    "'address', pg_catalog.inet_client_addr(), 'pid', pg_catalog.pg_backend_pid(), 'query', "      \
    "pg_catalog.left(pg_catalog.current_query(), 300)"

#define FUNCTION_HEAD "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $tell$\n"

static const char functions_sql[] =
    "CREATE SCHEMA IF NOT EXISTS holdfast;\n"
    "CREATE TABLE IF NOT EXISTS holdfast.kept (what text PRIMARY KEY, was text NOT NULL);\n"
    "CREATE OR REPLACE FUNCTION holdfast.tell() RETURNS trigger " FUNCTION_HEAD "BEGIN\n"
    "  PERFORM pg_catalog.pg_logical_emit_message(true, 'holdfast', "
    "pg_catalog.json_build_object('event', 'statement', 'tag', TG_OP, 'schema', TG_TABLE_SCHEMA, "
    "'table', TG_TABLE_NAME, " TELL_FIELDS ")::text);\n"
    "  RETURN NULL;\n"
    "END $tell$;\n";

static const char event_functions_sql[] =
    "CREATE OR REPLACE FUNCTION holdfast.tell_drop() RETURNS event_trigger " FUNCTION_HEAD
    "DECLARE dropped record;\n"
    "BEGIN\n"
    "  FOR dropped IN SELECT * FROM pg_catalog.pg_event_trigger_dropped_objects() WHERE "
    "object_type IN ('table', 'table column') AND NOT is_temporary LOOP\n"
    "    PERFORM pg_catalog.pg_logical_emit_message(true, 'holdfast', "
    "pg_catalog.json_build_object('event', 'drop', 'tag', TG_TAG, 'type', dropped.object_type, "
    "'schema', dropped.address_names[1], 'table', dropped.address_names[2], 'column', "
    "dropped.address_names[3], " TELL_FIELDS ")::text);\n"
    "  END LOOP;\n"
    "END $tell$;\n"
    "CREATE OR REPLACE FUNCTION holdfast.tell_ddl() RETURNS event_trigger " FUNCTION_HEAD
    "DECLARE made record;\n"
    "BEGIN\n"
    "  FOR made IN SELECT d.*, c.relname FROM pg_catalog.pg_event_trigger_ddl_commands() d JOIN "
    "pg_catalog.pg_class c ON c.oid = d.objid WHERE d.classid = 'pg_catalog.pg_class'::regclass "
    "AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' LOOP\n"
    "    PERFORM pg_catalog.pg_logical_emit_message(true, 'holdfast', "
    "pg_catalog.json_build_object('event', 'ddl', 'tag', TG_TAG, 'type', made.object_type, "
    "'schema', made.schema_name, 'table', made.relname, " TELL_FIELDS ")::text);\n"
    "  END LOOP;\n"
    "END $tell$;\n"
    "DROP EVENT TRIGGER IF EXISTS holdfast_drop;\n"
    "CREATE EVENT TRIGGER holdfast_drop ON sql_drop EXECUTE FUNCTION holdfast.tell_drop();\n"
    "ALTER EVENT TRIGGER holdfast_drop ENABLE ALWAYS;\n"
    "DROP EVENT TRIGGER IF EXISTS holdfast_ddl;\n"
    "CREATE EVENT TRIGGER holdfast_ddl ON ddl_command_end EXECUTE FUNCTION holdfast.tell_ddl();\n"
    "ALTER EVENT TRIGGER holdfast_ddl ENABLE ALWAYS;\n"
    "COMMENT ON SCHEMA holdfast IS 'Holdfast: with event triggers';\n";

static const char no_events_sql[] =
    "-- This role is no superuser: no event triggers. A DROP is then found from outside, within\n"
    "-- seconds, without the name of who did it.\n";

static const char remove_sql[] =
    "DO $undo$ DECLARE k record; BEGIN\n"
    "  IF to_regclass('holdfast.kept') IS NOT NULL THEN\n"
    "    FOR k IN SELECT * FROM holdfast.kept LOOP\n"
    "      IF to_regclass(k.what) IS NOT NULL THEN\n"
    "        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY %s', to_regclass(k.what), CASE "
    "WHEN k.was IN ('DEFAULT', 'NOTHING') THEN k.was ELSE 'USING INDEX ' || "
    "quote_ident((parse_ident(substr(k.was, 13)))[1]) END);\n"
    "      END IF;\n"
    "    END LOOP;\n"
    "  END IF;\n"
    "END $undo$;\n"
    "DROP EVENT TRIGGER IF EXISTS holdfast_drop;\n"
    "DROP EVENT TRIGGER IF EXISTS holdfast_ddl;\n"
    "DROP SCHEMA IF EXISTS holdfast CASCADE;\n";

static int ask_bool(struct postgres *pg, const char *sql, const char *value, bool *ret,
                    struct err *err)
{
    AUTO(free_ptr) char *text = NULL;

    if (pg_ask(pg, pg->sql, sql, value, &text, err) < 0) {
        return -(int)err->code;
    }
    *ret = text != NULL && text[0] == 't';
    return 0;
}

/* ---- one table ---- */

/* Updates and deletions are sent with the id of the row only if the id is part of what identifies
 * it; a table without a key refuses them altogether once it is published. */
static int add_identity(struct postgres *pg, const struct pg_table *table, struct buf *ret,
                        struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    const char *values[] = {oid, mapping_id(table->mapping)};

    if (pg_query(pg, pg->sql,
                 "SELECT c.relreplident = 'f' OR EXISTS(SELECT FROM pg_catalog.pg_index i JOIN "
                 "pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey) "
                 "WHERE i.indrelid = c.oid AND a.attname = $2 AND CASE c.relreplident WHEN 'd' "
                 "THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END), CASE "
                 "c.relreplident WHEN 'n' THEN 'NOTHING' WHEN 'i' THEN 'USING INDEX ' || (SELECT "
                 "quote_ident(x.relname) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON "
                 "x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) ELSE "
                 "'DEFAULT' END FROM pg_catalog.pg_class c WHERE c.oid = $1::oid",
                 values, 2, &result, err) < 0) {
        return -(int)err->code;
    }
    if (PQntuples(result) != 1 || PQgetvalue(result, 0, 0)[0] == 't') {
        return 0;
    }
    AUTO(free_ptr) char *name = pg_literal(table->quoted);
    AUTO(free_ptr) char *was = pg_literal(PQgetvalue(result, 0, 1));
    return buf_printf(ret, err,
                      "-- Its \"%s\" identifies no row for the server: the whole old row is sent.\n"
                      "INSERT INTO holdfast.kept VALUES (%s, %s) ON CONFLICT DO NOTHING;\n"
                      "ALTER TABLE %s REPLICA IDENTITY FULL;\n",
                      mapping_id(table->mapping), name, was, table->quoted);
}

static int add_table(struct postgres *pg, const struct pg_table *table, bool has_publication,
                     struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *publication = pg_name(pg->options->slot);

    if (buf_printf(ret, err,
                   "DROP TRIGGER IF EXISTS holdfast_tell ON %s;\n"
                   "CREATE TRIGGER holdfast_tell BEFORE UPDATE OR DELETE OR TRUNCATE ON %s "
                   "EXECUTE FUNCTION holdfast.tell();\n"
                   "ALTER TABLE %s ENABLE ALWAYS TRIGGER holdfast_tell;\n",
                   table->quoted, table->quoted, table->quoted) < 0 ||
        add_identity(pg, table, ret, err) < 0) {
        return -(int)err->code;
    }
    if (!has_publication || table->published) {
        return 0;
    }
    return (table->filtered && buf_printf(ret, err, "ALTER PUBLICATION %s DROP TABLE %s;\n",
                                          publication, table->quoted) < 0) ||
                   buf_printf(ret, err, "ALTER PUBLICATION %s ADD TABLE %s;\n", publication,
                              table->quoted) < 0
               ? -(int)err->code
               : 0;
}

#define PUBLISHED "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"

static int add_publication(struct postgres *pg, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *publication = pg_name(pg->options->slot);
    int count = 0;

    int rc = buf_printf(ret, err, "CREATE PUBLICATION %s FOR TABLE ", publication);
    for (size_t i = 0; i < pg->table_count && rc == 0; i++) {
        if (pg->tables[i].oid != 0) {
            rc = buf_printf(ret, err, "%s%s", count++ == 0 ? "" : ", ", pg->tables[i].quoted);
        }
    }
    return rc < 0 ? rc : buf_add_c(ret, " WITH (" PUBLISHED ");\n", err);
}

/* What it leaves out is never heard of. */
static int complete_publication(struct postgres *pg, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *publication = pg_name(pg->options->slot);

    return buf_printf(ret, err, "ALTER PUBLICATION %s SET (" PUBLISHED ");\n", publication);
}

/* ---- all of it ---- */

static int add_everything(struct postgres *pg, struct buf *ret, struct err *err)
{
    bool has_publication = false;
    bool is_super = false;
    size_t found = 0;

    if (ask_bool(pg, "SELECT EXISTS(SELECT FROM pg_catalog.pg_publication WHERE pubname = $1)",
                 pg->options->slot, &has_publication, err) < 0 ||
        ask_bool(pg, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user", NULL,
                 &is_super, err) < 0 ||
        buf_add_c(ret, functions_sql, err) < 0 ||
        buf_add_c(ret, is_super ? event_functions_sql : no_events_sql, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        found += pg->tables[i].oid != 0;
        if (pg->tables[i].oid != 0 &&
            add_table(pg, &pg->tables[i], has_publication, ret, err) < 0) {
            return -(int)err->code;
        }
    }
    if (found == 0) {
        return err_set(err, ERR_NOT_FOUND,
                       "none of the tables exists in the database; the first is %s",
                       pg->table_count > 0 ? pg->tables[0].name : "(none is configured)");
    }
    return has_publication ? complete_publication(pg, ret, err) : add_publication(pg, ret, err);
}

static int add_removal(struct postgres *pg, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *publication = pg_name(pg->options->slot);
    AUTO(free_ptr) char *slot = pg_literal(pg->options->slot);

    return buf_add_c(ret, remove_sql, err) < 0 ||
                   buf_printf(ret, err,
                              "DROP PUBLICATION IF EXISTS %s;\n"
                              "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM "
                              "pg_catalog.pg_replication_slots WHERE slot_name = %s;\n",
                              publication, slot) < 0
               ? -(int)err->code
               : 0;
}

int pg_setup_sql(struct postgres *pg, bool remove, struct buf *ret, struct err *err)
{
    if (pg_tables_find(pg, err) < 0) {
        return -(int)err->code;
    }
    return remove ? add_removal(pg, ret, err) : add_everything(pg, ret, err);
}

/* ---- is it all there? ---- */

static const char missing_sql[] =
    "SELECT what FROM (SELECT 1 AS ord, 'the publication ' || $1 AS what WHERE NOT EXISTS (SELECT "
    "FROM pg_catalog.pg_publication WHERE pubname = $1) "
    "UNION ALL SELECT 1, 'a kind of change in the publication ' || $1 WHERE EXISTS (SELECT FROM "
    "pg_catalog.pg_publication WHERE pubname = $1 AND NOT (pubinsert AND pubupdate AND pubdelete "
    "AND pubtruncate AND pubviaroot)) "
    "UNION ALL SELECT 2, 'the schema holdfast' WHERE NOT EXISTS (SELECT FROM "
    "pg_catalog.pg_namespace WHERE nspname = 'holdfast') "
    "UNION ALL SELECT 3, 'the event trigger ' || w FROM (VALUES ('holdfast_drop'), "
    "('holdfast_ddl')) v(w) WHERE EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = "
    "'holdfast' AND obj_description(oid, 'pg_namespace') LIKE '%event triggers') AND NOT EXISTS "
    "(SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtname = w AND e.evtenabled = 'A')"
    ") m ORDER BY ord LIMIT 1";

static int missing_of_table(struct postgres *pg, const struct pg_table *table, char **ret,
                            struct err *err)
{
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    bool has_trigger = false;

    if (ask_bool(pg,
                 "SELECT EXISTS(SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = $1::oid AND "
                 "tgname = 'holdfast_tell' AND tgenabled = 'A')",
                 oid, &has_trigger, err) < 0) {
        return -(int)err->code;
    }
    if (!table->published) {
        *ret = xprintf("table %s in the publication", table->name);
    } else if (!has_trigger) {
        *ret = xprintf("the trigger holdfast_tell on table %s", table->name);
    }
    return 0;
}

int pg_setup_missing(struct postgres *pg, char **ret_missing, struct err *err)
{
    *ret_missing = NULL;
    int rc = pg_ask(pg, pg->sql, missing_sql, pg->options->slot, ret_missing, err);
    if (rc < 0 && err->code != ERR_NOT_FOUND) {
        return rc;
    }
    err->code = ERR_NONE;
    rc = 0;
    for (size_t i = 0; i < pg->table_count && *ret_missing == NULL && rc == 0; i++) {
        if (pg->tables[i].oid != 0) {
            rc = missing_of_table(pg, &pg->tables[i], ret_missing, err);
        }
    }
    return rc;
}
