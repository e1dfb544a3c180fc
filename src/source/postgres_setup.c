/*
 * What `init postgres` makes in the database, and takes out again. All of it bears our name: the
 * publication that of the slot, everything else lies in the schema holdfast. In one database it is
 * all made for one way of capturing; what the outbox needs besides is in postgres_outbox_setup.c.
 */
#include "source/postgres_internal.h"

#include "base/fault.h"

/* Who does it, told in the log of the very transaction, or in the outbox. The functions run as
 * their owner, so that nobody needs a right on our schema; session_user stays who logged in.
 * Nothing of what runs for each statement is looked up by a search path, which is the caller's
 * there: to set one costs a quarter of the whole. */
#define TELL_FIELDS                                                                                \
    "'role', session_user, 'application', pg_catalog.current_setting('application_name', true), "  \
    "'address', pg_catalog.inet_client_addr(), 'pid', pg_catalog.pg_backend_pid(), 'query', "      \
    "pg_catalog.left(pg_catalog.current_query(), 300)"

#define FUNCTION_HEAD "LANGUAGE plpgsql SECURITY DEFINER "
#define OUR_SEARCH_PATH "SET search_path = pg_catalog "

#define STREAM_TELL(what)                                                                          \
    "    PERFORM pg_catalog.pg_logical_emit_message(true, 'holdfast', (" what                      \
    ")::pg_catalog.text);\n"

/* What a person reads whose statement is refused; once what is fenced can be asked. */
#define REFUSE(what, relid, name)                                                                  \
    "  IF pg_catalog.to_regclass('holdfast.fence') IS NOT NULL THEN\n"                             \
    "    SELECT f.alert INTO alert FROM holdfast.fence f WHERE " relid                             \
    " OPERATOR(pg_catalog.=) f.relid LIMIT 1;\n"                                                   \
    "    IF FOUND THEN\n"                                                                          \
    "      RAISE EXCEPTION 'Holdfast refuses " what ": alert % is open', " name                    \
    ", alert USING ERRCODE = 'insufficient_privilege', HINT = pg_catalog.format('Nothing more is " \
    "destroyed here until a person decides: holdfast alerts, then holdfast resolve %s --revert "   \
    "(or --accept)', alert);\n"                                                                    \
    "    END IF;\n"                                                                                \
    "  END IF;\n"

#define REFUSE_CHANGE REFUSE("to change %", "TG_RELID", "TG_RELID::pg_catalog.regclass")
#define REFUSE_DROP REFUSE("to drop %", "dropped.objid", "dropped.object_identity")

#define TELL_BODY(tell)                                                                            \
    "\nDECLARE alert pg_catalog.text;\n"                                                           \
    "BEGIN\n" REFUSE_CHANGE tell(                                                                  \
        "pg_catalog.json_build_object('event', 'statement', 'tag', TG_OP, 'schema', "              \
        "TG_TABLE_SCHEMA, 'table', TG_TABLE_NAME, " TELL_FIELDS ")") "  RETURN NULL;\n"            \
                                                                     "END "

#define TELL_DROP_BODY(tell)                                                                       \
    "\nDECLARE dropped record; alert text;\n"                                                      \
    "BEGIN\n"                                                                                      \
    "  FOR dropped IN SELECT * FROM pg_event_trigger_dropped_objects() WHERE object_type IN "      \
    "('table', 'table column') AND NOT is_temporary LOOP\n" REFUSE_DROP tell(                      \
        "json_build_object('event', 'drop', 'tag', TG_TAG, 'type', dropped.object_type, 'oid', "   \
        "dropped.objid::int8, 'schema', dropped.address_names[1], 'table', "                       \
        "dropped.address_names[2], 'column', dropped.address_names[3], " TELL_FIELDS               \
        ")") "  END LOOP;\n"                                                                       \
             "END "

#define TELL_DDL_BODY(tell)                                                                        \
    "\nDECLARE made record;\n"                                                                     \
    "BEGIN\n"                                                                                      \
    "  FOR made IN SELECT d.*, c.relname FROM pg_event_trigger_ddl_commands() d JOIN pg_class c "  \
    "ON c.oid = d.objid WHERE d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p') AND "   \
    "c.relpersistence <> 't' LOOP\n" tell(                                                         \
        "json_build_object('event', 'ddl', 'tag', TG_TAG, 'type', made.object_type, 'schema', "    \
        "made.schema_name, 'table', made.relname, " TELL_FIELDS ")") "  END LOOP;\n"               \
                                                                     "END "

static const struct {
    const char *name;
    const char *returns;
    bool for_events;           /* of an event trigger */
    const char *settings;      /* SET ... */
    const char *body[PG_WAYS]; /* NULL: not needed */
} functions[] = {
    {"tell", "trigger", false, "", {TELL_BODY(STREAM_TELL), TELL_BODY(PG_OUTBOX_TELL)}},
    {"tell_drop",
     "event_trigger",
     true,
     OUR_SEARCH_PATH,
     {TELL_DROP_BODY(STREAM_TELL), TELL_DROP_BODY(PG_OUTBOX_TELL)}},
    {"tell_ddl",
     "event_trigger",
     true,
     OUR_SEARCH_PATH,
     {TELL_DDL_BODY(STREAM_TELL), TELL_DDL_BODY(PG_OUTBOX_TELL)}},
    {"keep", "trigger", false, pg_keep_settings, {NULL, pg_keep_body}},
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static const char schema_sql[] =
    "CREATE SCHEMA IF NOT EXISTS holdfast;\n"
    "-- What a table's replica identity was.\n"
    "CREATE TABLE IF NOT EXISTS holdfast.kept (what text PRIMARY KEY, was text NOT NULL);\n"
    "-- Tables that nobody may change until an alert is resolved.\n"
    "CREATE TABLE IF NOT EXISTS holdfast.fence (relid oid, source text, alert text NOT NULL, "
    "PRIMARY KEY (relid, source));\n";

static const char events_sql[] =
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

/* Of which tables, twice; what was kept there is never run. */
#define UNDO_IDENTITY                                                                              \
    "DO $undo$ DECLARE k record; BEGIN\n"                                                          \
    "  IF to_regclass('holdfast.kept') IS NOT NULL THEN\n"                                         \
    "    FOR k IN SELECT * FROM holdfast.kept WHERE %s LOOP\n"                                     \
    "      IF to_regclass(k.what) IS NOT NULL THEN\n"                                              \
    "        EXECUTE format('ALTER TABLE %%s REPLICA IDENTITY %%s', to_regclass(k.what), CASE "    \
    "WHEN k.was IN ('DEFAULT', 'NOTHING') THEN k.was ELSE 'USING INDEX ' || "                      \
    "quote_ident((parse_ident(substr(k.was, 13)))[1]) END);\n"                                     \
    "      END IF;\n"                                                                              \
    "    END LOOP;\n"                                                                              \
    "    DELETE FROM holdfast.kept WHERE %s;\n"                                                    \
    "  END IF;\n"                                                                                  \
    "END $undo$;\n"

static const char remove_all_sql[] = "DROP EVENT TRIGGER IF EXISTS holdfast_drop;\n"
                                     "DROP EVENT TRIGGER IF EXISTS holdfast_ddl;\n"
                                     "DROP SCHEMA IF EXISTS holdfast CASCADE;\n";

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
                 "'DEFAULT' END, c.relkind FROM pg_catalog.pg_class c WHERE c.oid = $1::oid",
                 values, 2, &result, err) < 0) {
        return -(int)err->code;
    }
    if (PQntuples(result) != 1 || PQgetvalue(result, 0, 0)[0] == 't') {
        return 0;
    }
    if (PQgetvalue(result, 0, 2)[0] == 'p') {
        return err_set(err, ERR_CONFIG,
                       "table %s has partitions, and no primary key with \"%s\" in it: each of "
                       "its partitions, those to come too, would refuse UPDATE and DELETE once it "
                       "is published. Give it such a key",
                       table->name, mapping_id(table->mapping));
    }
    AUTO(free_ptr) char *name = pg_literal(table->quoted);
    AUTO(free_ptr) char *was = pg_literal(PQgetvalue(result, 0, 1));
    return buf_printf(ret, err,
                      "-- Its \"%s\" identifies no row for the server: the whole old row is sent.\n"
                      "INSERT INTO holdfast.kept VALUES (%s, %s) ON CONFLICT DO NOTHING;\n"
                      "ALTER TABLE %s REPLICA IDENTITY FULL;\n",
                      mapping_id(table->mapping), name, was, table->quoted);
}

static int has_triggers(struct postgres *pg, const struct pg_table *table, bool *ret,
                        struct err *err)
{
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);

    return pg_ask_bool(pg,
                       "SELECT NOT EXISTS(SELECT $1::oid AS relid UNION SELECT relid FROM "
                       "pg_catalog.pg_partition_tree($1::oid) EXCEPT SELECT tgrelid FROM "
                       "pg_catalog.pg_trigger WHERE tgname = 'holdfast_tell' AND tgenabled = 'A')",
                       oid, ret, err);
}

int pg_parts(struct postgres *pg, const struct pg_table *table, PGresult **ret, struct err *err)
{
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    const char *values[] = {oid};

    return pg_query(pg, pg->sql,
                    "SELECT $1::oid::regclass::text UNION SELECT relid::regclass::text "
                    "FROM pg_catalog.pg_partition_tree($1::oid) ORDER BY 1",
                    values, 1, ret, err);
}

/* A statement's trigger is not its partitions', which may be changed by their own names. */
static int add_triggers(struct postgres *pg, const struct pg_table *table, struct buf *ret,
                        struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    int rc = pg_parts(pg, table, &result, err);

    for (int i = 0; rc == 0 && i < PQntuples(result); i++) {
        const char *name = PQgetvalue(result, i, 0);
        rc = buf_printf(ret, err,
                        "DROP TRIGGER IF EXISTS holdfast_tell ON %s;\n"
                        "CREATE TRIGGER holdfast_tell BEFORE UPDATE OR DELETE OR TRUNCATE ON %s "
                        "EXECUTE FUNCTION holdfast.tell();\n"
                        "ALTER TABLE %s ENABLE ALWAYS TRIGGER holdfast_tell;\n",
                        name, name, name);
    }
    return rc;
}

static int add_table(struct postgres *pg, const struct pg_table *table, bool has_publication,
                     bool anew, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *publication = pg_name(pg->options->slot);

    bool is_right = false;

    if (has_triggers(pg, table, &is_right, err) < 0 ||
        ((anew || !is_right) && add_triggers(pg, table, ret, err) < 0)) {
        return -(int)err->code;
    }
    if (pg->way == PG_OUTBOX) {
        return anew || !table->published ? pg_outbox_add_triggers(pg, table, ret, err) : 0;
    }
    if (add_identity(pg, table, ret, err) < 0) {
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
    return rc < 0 ? rc
                  : buf_printf(ret, err,
                               " WITH (" PUBLISHED ");\n"
                               "COMMENT ON PUBLICATION %s IS 'Holdfast';\n",
                               publication);
}

/* What it leaves out is never heard of. */
static int complete_publication(struct postgres *pg, bool anew, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *publication = pg_name(pg->options->slot);
    bool is_right = false;

    if (pg_ask_bool(
            pg,
            "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot FROM "
            "pg_catalog.pg_publication WHERE pubname = $1",
            pg->options->slot, &is_right, err) < 0) {
        return -(int)err->code;
    }
    return is_right && !anew ? 0
                             : buf_printf(ret, err,
                                          "ALTER PUBLICATION %s SET (" PUBLISHED ");\n"
                                          "COMMENT ON PUBLICATION %s IS 'Holdfast';\n",
                                          publication, publication);
}

/* ---- all of it ---- */

/* They must say what they say in this version of Holdfast. */
static int missing_function(struct postgres *pg, bool with_events, const char **ret,
                            struct err *err)
{
    int rc = 0;

    *ret = NULL;
    for (size_t i = 0; i < FUNCTIONS && *ret == NULL && rc == 0; i++) {
        AUTO(pg_clear) PGresult *result = NULL;
        const char *values[] = {functions[i].name, functions[i].body[pg->way]};
        if (values[1] == NULL || (functions[i].for_events && !with_events)) {
            continue;
        }
        rc = pg_query(pg, pg->sql,
                      "SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = "
                      "p.pronamespace WHERE n.nspname = 'holdfast' AND p.proname = $1 AND p.prosrc "
                      "= $2 AND p.prosecdef",
                      values, 2, &result, err);
        if (rc == 0 && PQntuples(result) != 1) {
            *ret = functions[i].name;
        }
    }
    return rc;
}

/* They are shared with other sources in this database, to whom it would look as if somebody had
 * touched them: so what is right is left, unless `anew`. */
static int add_functions(struct postgres *pg, bool with_events, bool anew, struct buf *ret,
                         struct err *err)
{
    const char *missing = NULL;
    int rc = buf_add_c(ret, schema_sql, err);

    rc = rc == 0 && pg->way == PG_OUTBOX ? pg_outbox_add_tables(ret, err) : rc;
    rc = rc == 0 ? missing_function(pg, with_events, &missing, err) : rc;
    for (size_t i = 0; i < FUNCTIONS && rc == 0 && (anew || missing != NULL); i++) {
        const char *body = functions[i].body[pg->way];
        if (body != NULL && (with_events || !functions[i].for_events)) {
            rc = buf_printf(ret, err,
                            "CREATE OR REPLACE FUNCTION holdfast.%s() RETURNS %s " FUNCTION_HEAD
                            "%sAS $tell$%s$tell$;\n",
                            functions[i].name, functions[i].returns, functions[i].settings, body);
        }
    }
    return rc;
}

static int add_events(struct postgres *pg, bool is_super, bool anew, struct buf *ret,
                      struct err *err)
{
    bool is_right = false;

    if (!is_super) {
        return buf_add_c(ret, no_events_sql, err);
    }
    if (pg_ask_bool(
            pg,
            "SELECT count(*) = 2 FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_proc p "
            "ON p.oid = e.evtfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
            "WHERE n.nspname = 'holdfast' AND e.evtenabled = 'A' AND (e.evtname, e.evtevent, "
            "p.proname) IN (('holdfast_drop', 'sql_drop', 'tell_drop'), ('holdfast_ddl', "
            "'ddl_command_end', 'tell_ddl'))",
            NULL, &is_right, err) < 0) {
        return -(int)err->code;
    }
    return is_right && !anew ? 0 : buf_add_c(ret, events_sql, err);
}

/* What another role made there is that role's to change at any time; but for a superuser, who may
 * change everything anyway. *ret: whose it is (heap); NULL: nobody's but ours. */
static int find_stranger(struct postgres *pg, char **ret, struct err *err)
{
    int rc = pg_ask(pg, pg->sql,
                    "SELECT r.rolname FROM (SELECT nspowner AS owner FROM pg_catalog.pg_namespace "
                    "WHERE nspname = 'holdfast' UNION SELECT p.proowner FROM pg_catalog.pg_proc p "
                    "JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = "
                    "'holdfast' UNION SELECT c.relowner FROM pg_catalog.pg_class c JOIN "
                    "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = "
                    "'holdfast') o JOIN pg_catalog.pg_roles r ON r.oid = o.owner WHERE NOT "
                    "r.rolsuper AND r.rolname <> current_user ORDER BY 1",
                    NULL, ret, err);

    if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        *ret = NULL;
        return 0;
    }
    return rc;
}

static int refuse_strangers(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *stranger = NULL;

    if (find_stranger(pg, &stranger, err) < 0) {
        return -(int)err->code;
    }
    return stranger == NULL
               ? 0
               : err_set(err, ERR_REFUSED,
                         "the schema holdfast, or something in it, belongs to the role %s, who "
                         "may change it at any time: nothing of it is used. Drop it (DROP SCHEMA "
                         "holdfast CASCADE), then run init again",
                         stranger);
}

/* Is there a publication of another source or home? */
#define OTHERS "p.pubname <> $1 AND obj_description(p.oid, 'pg_publication') = 'Holdfast'"

static int has_other_publications(struct postgres *pg, bool *ret, struct err *err)
{
    return pg_ask_bool(pg,
                       "SELECT EXISTS(SELECT FROM pg_catalog.pg_publication p WHERE " OTHERS ")",
                       pg->options->slot, ret, err);
}

/* The functions tell into the log or into the outbox; so a database has one way. */
static int refuse_other_way(struct postgres *pg, struct err *err)
{
    bool has_others = false;
    int rc = pg->way == PG_OUTBOX ? has_other_publications(pg, &has_others, err)
                                  : pg_outbox_has_others(pg, NULL, &has_others, err);

    return rc < 0 || !has_others
               ? rc
               : err_set(err, ERR_REFUSED,
                         "another source or home captures this database by %s; all that capture "
                         "it do so in one way: say capture: %s, or take the other one out first",
                         pg->way == PG_OUTBOX ? "logical replication" : "an outbox",
                         pg->way == PG_OUTBOX ? "stream" : "outbox");
}

static int add_publication_removal(struct postgres *pg, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *publication = pg_name(pg->options->slot);
    AUTO(free_ptr) char *slot = pg_literal(pg->options->slot);

    return buf_printf(ret, err,
                      "DROP PUBLICATION IF EXISTS %s;\n"
                      "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM "
                      "pg_catalog.pg_replication_slots WHERE slot_name = %s;\n",
                      publication, slot);
}

/* What this source had when it was captured in the other way. */
static int remove_other_way(struct postgres *pg, bool has_publication, struct buf *ret,
                            struct err *err)
{
    bool has_outbox = false;

    if (pg->way == PG_OUTBOX) {
        return !has_publication ? 0
               : buf_printf(ret, err, UNDO_IDENTITY, "true", "true") < 0
                   ? -(int)err->code
                   : add_publication_removal(pg, ret, err);
    }
    int rc = pg_outbox_is_there(pg, &has_outbox, err);
    return rc == 0 && has_outbox ? pg_outbox_remove_tables(ret, err) : rc;
}

static int add_everything(struct postgres *pg, bool anew, struct buf *ret, struct err *err)
{
    bool has_publication = false;
    bool is_super = false;
    size_t found = 0;

    if (pg_ask_bool(pg, "SELECT EXISTS(SELECT FROM pg_catalog.pg_publication WHERE pubname = $1)",
                    pg->options->slot, &has_publication, err) < 0 ||
        pg_ask_bool(pg, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
                    NULL, &is_super, err) < 0 ||
        refuse_strangers(pg, err) < 0 || refuse_other_way(pg, err) < 0 ||
        add_functions(pg, is_super, anew, ret, err) < 0 ||
        remove_other_way(pg, has_publication, ret, err) < 0 ||
        add_events(pg, is_super, anew, ret, err) < 0) {
        return -(int)err->code;
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        found += pg->tables[i].oid != 0;
        if (pg->tables[i].oid != 0 &&
            add_table(pg, &pg->tables[i], has_publication, anew, ret, err) < 0) {
            return -(int)err->code;
        }
    }
    if (found == 0) {
        return err_set(err, ERR_NOT_FOUND,
                       "none of the tables exists in the database; the first is %s",
                       pg->table_count > 0 ? pg->tables[0].name : "(none is configured)");
    }
    return pg->way == PG_OUTBOX ? pg_outbox_add_source(pg, ret, err)
           : has_publication    ? complete_publication(pg, anew, ret, err)
                                : add_publication(pg, ret, err);
}

/* Does another one follow this table, too? */
static int is_shared(struct postgres *pg, const struct pg_table *table, bool *ret, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    const char *values[] = {pg->options->slot, oid};

    if (pg->way == PG_OUTBOX) {
        return pg_outbox_has_others(pg, table, ret, err);
    }
    int rc = pg_query(pg, pg->sql,
                      "SELECT FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel "
                      "r ON r.prpubid = p.oid WHERE r.prrelid = $2::oid AND " OTHERS,
                      values, 2, &result, err);

    *ret = rc == 0 && PQntuples(result) > 0;
    return rc;
}

/* What is this table's alone, where the rest is needed by others. */
static int remove_table(struct postgres *pg, const struct pg_table *table, struct buf *ret,
                        struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    AUTO(free_ptr) char *what = pg_literal(table->quoted);
    AUTO(free_ptr) char *its = xprintf("what = %s", what);
    const char *values[] = {oid};
    bool shared = false;

    if (table->oid == 0 || is_shared(pg, table, &shared, err) < 0 || shared) {
        return -(int)err->code;
    }
    int rc = pg_query(pg, pg->sql,
                      "SELECT tgrelid::regclass::text FROM pg_catalog.pg_trigger WHERE tgname = "
                      "'holdfast_tell' AND tgrelid IN (SELECT $1::oid UNION SELECT relid FROM "
                      "pg_catalog.pg_partition_tree($1::oid)) ORDER BY 1",
                      values, 1, &result, err);
    for (int i = 0; rc == 0 && i < PQntuples(result); i++) {
        rc = buf_printf(ret, err, "DROP TRIGGER holdfast_tell ON %s;\n", PQgetvalue(result, i, 0));
    }
    rc = rc == 0 && pg->way == PG_OUTBOX ? pg_outbox_remove_triggers(table, ret, err) : rc;
    return rc == 0 ? buf_printf(ret, err, UNDO_IDENTITY, its, its) : rc;
}

static int remove_ours(struct postgres *pg, struct buf *ret, struct err *err)
{
    AUTO(free_ptr) char *slot = pg_literal(pg->options->slot);
    int rc = buf_printf(ret, err,
                        "-- The schema holdfast stays: another source or home needs it.\n"
                        "DELETE FROM holdfast.fence WHERE source = %s;\n",
                        slot);

    if (rc == 0 && pg->way == PG_OUTBOX) {
        rc = buf_printf(ret, err, "DELETE FROM holdfast.outboxes WHERE source = %s;\n", slot);
    }
    for (size_t i = 0; i < pg->table_count && rc == 0; i++) {
        rc = remove_table(pg, &pg->tables[i], ret, err);
    }
    return rc;
}

static int add_removal(struct postgres *pg, struct buf *ret, struct err *err)
{
    bool has_others = false;

    if ((pg->way == PG_OUTBOX ? pg_outbox_has_others(pg, NULL, &has_others, err)
                              : has_other_publications(pg, &has_others, err)) < 0) {
        return -(int)err->code;
    }
    int rc = has_others ? remove_ours(pg, ret, err)
                        : buf_printf(ret, err, UNDO_IDENTITY "%s", "true", "true", remove_all_sql);
    return rc == 0 ? add_publication_removal(pg, ret, err) : rc;
}

int pg_setup_sql(struct postgres *pg, bool remove, struct buf *ret, struct err *err)
{
    if (pg_tables_find(pg, err) < 0) {
        return -(int)err->code;
    }
    return remove ? add_removal(pg, ret, err) : add_everything(pg, false, ret, err);
}

/* While it waits for a lock, everybody else who wants the table waits behind it. */
#define AGAIN_LOCK "SET LOCAL lock_timeout = '300ms';\n"

int pg_setup_again(struct postgres *pg, struct err *err)
{
    AUTO(buf_done) struct buf sql = BUF_INIT(POSTGRES_SQL_MAX);
    struct err none = ERR_INIT;

    int rc = buf_add_c(&sql, "BEGIN;\n" AGAIN_LOCK, err);
    rc = rc == 0 ? pg_tables_find(pg, err) : rc;
    rc = rc == 0 ? add_everything(pg, true, &sql, err) : rc;
    rc = rc == 0 ? pg_exec(pg, pg->sql, sql.data, err) : rc;
    /* What is seen here is ours: nobody else can change it before the commit. */
    rc = rc == 0 ? pg_tables_find(pg, err) : rc;
    rc = rc == 0 ? pg_marks_look(pg, err) : rc;
    rc = rc == 0 ? pg_exec(pg, pg->sql, "COMMIT", err) : rc;
    if (rc < 0) {
        int undone = pg_exec(pg, pg->sql, "ROLLBACK", &none);
        return undone < 0 ? rc : -(int)err->code; /* the first error is the one to tell */
    }
    pg_marks_accept(pg);
    CRASH_POINT("source.postgres.repaired");
    return 0;
}

/* ---- is it all there? ---- */

static const char missing_publication_sql[] =
    "SELECT what FROM (SELECT 1 AS ord, 'the publication ' || $1 AS what WHERE NOT EXISTS (SELECT "
    "FROM pg_catalog.pg_publication WHERE pubname = $1) "
    "UNION ALL SELECT 1, 'a kind of change in the publication ' || $1 WHERE EXISTS (SELECT FROM "
    "pg_catalog.pg_publication WHERE pubname = $1 AND NOT (pubinsert AND pubupdate AND pubdelete "
    "AND pubtruncate AND pubviaroot))) m ORDER BY ord LIMIT 1";

static const char missing_sql[] =
    "SELECT what FROM (SELECT 2 AS ord, 'the schema holdfast' AS what WHERE NOT EXISTS (SELECT "
    "FROM pg_catalog.pg_namespace WHERE nspname = 'holdfast') "
    "UNION ALL SELECT 3, 'the table holdfast.' || w FROM (VALUES ('kept'), ('fence')) v(w) WHERE "
    "to_regclass('holdfast.' || w) IS NULL "
    "UNION ALL SELECT 3, 'the event trigger ' || w FROM (VALUES ('holdfast_drop'), "
    "('holdfast_ddl')) v(w) WHERE EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = "
    "'holdfast' AND obj_description(oid, 'pg_namespace') LIKE '%event triggers') AND NOT EXISTS "
    "(SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtname = w AND e.evtenabled = 'A')"
    ") m ORDER BY ord LIMIT 1";

static int missing_of_table(struct postgres *pg, const struct pg_table *table, char **ret,
                            struct err *err)
{
    bool has_trigger = false;

    if (has_triggers(pg, table, &has_trigger, err) < 0) {
        return -(int)err->code;
    }
    if (!table->published) {
        *ret = xprintf(pg->way == PG_OUTBOX
                           ? "a trigger holdfast_keep on table %s (or a partition of it)"
                           : "table %s in the publication",
                       table->name);
    } else if (!has_trigger) {
        *ret = xprintf("the trigger holdfast_tell on table %s (or a partition of it)", table->name);
    }
    return 0;
}

static int missing_of_functions(struct postgres *pg, char **ret, struct err *err)
{
    const char *missing = NULL;
    bool has_events = false;

    if (pg_ask_bool(pg,
                    "SELECT obj_description(to_regnamespace('holdfast'), 'pg_namespace') LIKE "
                    "'%event triggers'",
                    NULL, &has_events, err) < 0 ||
        missing_function(pg, has_events, &missing, err) < 0) {
        return -(int)err->code;
    }
    if (missing != NULL) {
        *ret = xprintf("the function holdfast.%s, as Holdfast made it,", missing);
    }
    return 0;
}

static int missing_of_schema(struct postgres *pg, char **ret, struct err *err)
{
    AUTO(free_ptr) char *stranger = NULL;

    if (find_stranger(pg, &stranger, err) < 0) {
        return -(int)err->code;
    }
    if (stranger != NULL) {
        *ret = xprintf("a schema holdfast of our own (role %s owns something of it)", stranger);
        return 0;
    }
    return missing_of_functions(pg, ret, err);
}

static int first_missing(struct postgres *pg, const char *sql, const char *value, char **ret,
                         struct err *err)
{
    int rc = pg_ask(pg, pg->sql, sql, value, ret, err);

    if (rc < 0 && err->code == ERR_NOT_FOUND) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc;
}

int pg_setup_missing(struct postgres *pg, char **ret_missing, struct err *err)
{
    *ret_missing = NULL;
    int rc = pg->way == PG_STREAM
                 ? first_missing(pg, missing_publication_sql, pg->options->slot, ret_missing, err)
                 : 0;
    if (rc == 0 && *ret_missing == NULL) {
        rc = first_missing(pg, missing_sql, NULL, ret_missing, err);
    }
    if (rc == 0 && *ret_missing == NULL && pg->way == PG_OUTBOX) {
        rc = pg_outbox_missing(pg, ret_missing, err);
    }
    rc = rc == 0 && *ret_missing == NULL ? missing_of_schema(pg, ret_missing, err) : rc;
    for (size_t i = 0; i < pg->table_count && *ret_missing == NULL && rc == 0; i++) {
        if (pg->tables[i].oid != 0) {
            rc = missing_of_table(pg, &pg->tables[i], ret_missing, err);
        }
    }
    return rc;
}
