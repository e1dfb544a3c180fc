/* What the tables are: where, with which columns, and how they are made. */
#include "source/postgres_internal.h"

/* ---- the tables of the configuration ---- */

static int table_init(struct pg_table *table, const struct source_mapping *mapping, struct err *err)
{
    const char *dot = strchr(mapping->table, '.');

    table->mapping = mapping;
    table->schema =
        dot == NULL ? xstrdup("public") : xstrndup(mapping->table, (size_t)(dot - mapping->table));
    table->table = xstrdup(dot == NULL ? mapping->table : dot + 1);
    table->name = xprintf("%s.%s", table->schema, table->table);
    AUTO(free_ptr) char *schema = pg_name(table->schema);
    AUTO(free_ptr) char *name = pg_name(table->table);
    table->quoted = xprintf("%s.%s", schema, name);
    if (table->schema[0] == '\0' || table->table[0] == '\0' || strchr(table->table, '.') != NULL ||
        strlen(table->schema) > POSTGRES_NAME_MAX || strlen(table->table) > POSTGRES_NAME_MAX) {
        return err_set(err, ERR_CONFIG, "table \"%.160s\" is not SCHEMA.TABLE", mapping->table);
    }
    return 0;
}

int pg_tables_init(struct postgres *pg, struct err *err)
{
    for (size_t i = 0; i < pg->options->table_count; i++) {
        if (table_init(&pg->tables[pg->table_count++], &pg->options->tables[i], err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

void pg_tables_done(struct postgres *pg)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        free(table->name);
        free(table->schema);
        free(table->table);
        free(table->quoted);
        free(table->definition);
        *table = (struct pg_table){.oid = 0};
    }
    pg->table_count = 0;
}

/* Does what changes in it come to us? */
static const char *const published_sql[PG_WAYS] = {
    [PG_STREAM] = "EXISTS(SELECT FROM pg_catalog.pg_publication_tables p WHERE p.pubname = $3 AND "
                  "p.schemaname = $1 AND p.tablename = $2)",
    [PG_OUTBOX] =
        "$3::text IS NOT NULL AND NOT EXISTS(SELECT c.oid UNION SELECT relid FROM "
        "pg_catalog.pg_partition_tree(c.oid) EXCEPT SELECT tgrelid FROM pg_catalog.pg_trigger "
        "WHERE tgname = 'holdfast_keep' AND tgenabled = 'A') AND EXISTS(SELECT FROM "
        "pg_catalog.pg_trigger WHERE tgrelid = c.oid AND tgname = 'holdfast_keep_all' AND "
        "tgenabled = 'A')",
};

static int find_table(struct postgres *pg, struct pg_table *table, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    const char *values[] = {table->schema, table->table, pg->options->slot};
    AUTO(free_ptr)
    char *sql = xprintf(
        "SELECT c.oid, %s, %s, c.relkind FROM pg_catalog.pg_class c "
        "JOIN "
        "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = "
        "$2 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'",
        published_sql[pg->way],
        pg->version >= POSTGRES_VERSION_FILTERS && pg->way == PG_STREAM
            ? "EXISTS(SELECT FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p "
              "ON p.oid = r.prpubid WHERE p.pubname = $3 AND r.prrelid = c.oid AND (r.prqual IS "
              "NOT NULL OR r.prattrs IS NOT NULL))"
            : "false");

    if (pg_query(pg, pg->sql, sql, values, 3, &result, err) < 0) {
        return -(int)err->code;
    }
    bool found = PQntuples(result) == 1;
    table->oid = found ? (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    table->partitioned = found && PQgetvalue(result, 0, 3)[0] == 'p';
    table->filtered = found && PQgetvalue(result, 0, 2)[0] == 't';
    table->published = found && PQgetvalue(result, 0, 1)[0] == 't' && !table->filtered;
    return 0;
}

int pg_tables_find(struct postgres *pg, struct err *err)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        if (find_table(pg, &pg->tables[i], err) < 0) {
            return -(int)err->code;
        }
    }
    return 0;
}

/* ---- columns ---- */

void pg_columns_free(char **columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(columns[i]);
    }
    free(columns);
}

int pg_columns(struct postgres *pg, const struct pg_table *table, char ***ret, size_t *ret_count,
               struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    const char *values[] = {oid};

    if (pg_query(
            pg, pg->sql,
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attnum > "
            "0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            values, 1, &result, err) < 0) {
        return -(int)err->code;
    }
    size_t rows = (size_t)PQntuples(result);
    *ret = xcalloc(rows + 1, sizeof(**ret));
    *ret_count = 0;
    for (size_t i = 0; i < rows; i++) {
        const char *name = PQgetvalue(result, (int)i, 0);
        if (!mapping_ignores(table->mapping, name)) {
            (*ret)[(*ret_count)++] = xstrdup(name);
        }
    }
    return 0;
}

/* ---- how a table is made ---- */

/* Each part is one statement; what lies behind the marker comes after the rows. */
static const char definition_sql[] =
    "WITH RECURSIVE t AS (SELECT c.oid, c.relowner, c.relacl, c.relkind, c.relpersistence, "
    "    format('%I.%I', n.nspname, c.relname) AS name, n.nspname "
    "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "  WHERE c.oid = $1::oid), "
    "a AS (SELECT a.*, t.name, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expr "
    "  FROM t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT "
    "    a.attisdropped LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = "
    "    a.attnum), "
    "s AS (SELECT q.*, format('%I.%I', n.nspname, c.relname) AS seqname, a.name, a.attname "
    "  FROM a JOIN pg_catalog.pg_depend d ON d.refobjid = a.attrelid AND d.refobjsubid = a.attnum "
    "    AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a' "
    "  JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S' "
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "  JOIN pg_catalog.pg_sequence q ON q.seqrelid = c.oid), "
    /* Its columns' types, and the types that these are made of. */
    "u AS (SELECT atttypid AS typ, 0 AS depth FROM a UNION "
    "  SELECT i.typ, u.depth + 1 FROM u JOIN pg_catalog.pg_type y ON y.oid = u.typ, LATERAL ("
    "    SELECT y.typelem AS typ WHERE y.typcategory = 'A' AND y.typelem <> 0 UNION "
    "    SELECT y.typbasetype WHERE y.typtype = 'd' UNION "
    "    SELECT m.atttypid FROM pg_catalog.pg_attribute m WHERE y.typtype = 'c' AND m.attrelid = "
    "      y.typrelid AND m.attnum > 0 AND NOT m.attisdropped UNION "
    "    SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE g.rngtypid = y.oid) i "
    "  WHERE u.depth < 32), "
    /* All that it needs: those, and what its defaults, indexes, constraints and triggers use. */
    "needs AS (SELECT 'pg_catalog.pg_type'::regclass AS class, typ AS obj FROM u UNION "
    "  SELECT d.refclassid, d.refobjid FROM t, pg_catalog.pg_depend d WHERE "
    "    (d.classid = 'pg_catalog.pg_class'::regclass AND (d.objid = t.oid OR d.objid IN (SELECT "
    "      indexrelid FROM pg_catalog.pg_index WHERE indrelid = t.oid))) OR "
    "    (d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid IN (SELECT oid FROM "
    "      pg_catalog.pg_attrdef WHERE adrelid = t.oid)) OR "
    "    (d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid IN (SELECT oid FROM "
    "      pg_catalog.pg_constraint WHERE conrelid = t.oid)) OR "
    "    (d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid IN (SELECT oid FROM "
    "      pg_catalog.pg_policy WHERE polrelid = t.oid)) OR "
    "    (d.classid = 'pg_catalog.pg_trigger'::regclass AND d.objid IN (SELECT oid FROM "
    "      pg_catalog.pg_trigger WHERE tgrelid = t.oid AND NOT tgisinternal))), "
    "extensions AS (SELECT DISTINCT x.extname, n.nspname FROM needs JOIN pg_catalog.pg_depend d ON "
    "    d.classid = needs.class AND d.objid = needs.obj AND d.deptype = 'e' AND d.refclassid = "
    "    'pg_catalog.pg_extension'::regclass JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid "
    "    JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE x.extname <> 'plpgsql'), "
    "own AS (SELECT n.nspname, needs.class, needs.obj FROM needs LEFT JOIN pg_catalog.pg_type y "
    "    ON needs.class = 'pg_catalog.pg_type'::regclass AND y.oid = needs.obj LEFT JOIN "
    "    pg_catalog.pg_proc f ON needs.class = 'pg_catalog.pg_proc'::regclass AND f.oid = "
    "    needs.obj AND f.prokind = 'f' JOIN pg_catalog.pg_namespace n ON n.oid IN "
    "    (y.typnamespace, f.pronamespace) "
    "  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'holdfast') AND NOT EXISTS "
    "    (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = needs.class AND d.objid = "
    "    needs.obj AND d.deptype = 'e')), "
    "types AS (SELECT format('%I.%I', own.nspname, y.typname) AS name, y.*, "
    "    (SELECT max(u.depth) FROM u WHERE u.typ = y.oid) AS depth FROM own JOIN "
    "    pg_catalog.pg_type y ON own.class = 'pg_catalog.pg_type'::regclass AND y.oid = own.obj), "
    /* Made only where they are missing. */
    "made AS (SELECT 1 AS ord, lpad((99 - depth)::text, 2, '0') || name AS sub, "
    "    CASE typtype "
    "    WHEN 'e' THEN format('CREATE TYPE %s AS ENUM (%s)', name, (SELECT "
    "      string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM "
    "      pg_catalog.pg_enum l WHERE l.enumtypid = types.oid)) "
    "    WHEN 'c' THEN (SELECT format('CREATE TYPE %s AS (%s)', name, string_agg(format('%I %s', "
    "      m.attname, format_type(m.atttypid, m.atttypmod)), ', ' ORDER BY m.attnum)) FROM "
    "      pg_catalog.pg_class c JOIN pg_catalog.pg_attribute m ON m.attrelid = c.oid AND m.attnum "
    "      > 0 AND NOT m.attisdropped WHERE c.oid = typrelid AND c.relkind = 'c') "
    "    WHEN 'd' THEN format('CREATE DOMAIN %s AS %s%s%s%s', name, format_type(typbasetype, "
    "      typtypmod), ' DEFAULT ' || typdefault, CASE WHEN typnotnull THEN ' NOT NULL' END, "
    "      (SELECT string_agg(format(' CONSTRAINT %I %s', o.conname, "
    "      pg_get_constraintdef(o.oid)), '' ORDER BY o.conname) FROM pg_catalog.pg_constraint o "
    "      WHERE o.contypid = types.oid AND o.contype = 'c')) "
    "    WHEN 'r' THEN (SELECT format('CREATE TYPE %s AS RANGE (SUBTYPE = %s%s)', name, "
    "      format_type(g.rngsubtype, NULL), ', SUBTYPE_DIFF = ' || nullif(g.rngsubdiff::oid, "
    "      0)::regproc) FROM pg_catalog.pg_range g WHERE g.rngtypid = types.oid) END AS sql, "
    "    'EXCEPTION WHEN duplicate_object THEN NULL; ' AS rest FROM types "
    "  UNION ALL "
    "  SELECT 2, 'function ' || f.oid::regprocedure, format('IF "
    "pg_catalog.to_regprocedure(%L) IS NULL THEN PERFORM "
    "pg_catalog.set_config(''check_function_bodies'', ''off'', true); EXECUTE %L; ALTER FUNCTION "
    "%s OWNER TO %I; %sEND IF', f.oid::regprocedure, pg_get_functiondef(f.oid), "
    "    f.oid::regprocedure, pg_get_userbyid(f.proowner), CASE WHEN f.proacl IS NOT NULL "
    "    THEN format('REVOKE ALL ON FUNCTION %s FROM PUBLIC; ', f.oid::regprocedure) || "
    "    coalesce((SELECT string_agg(format('GRANT EXECUTE ON FUNCTION %s TO %s; ', "
    "    f.oid::regprocedure, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE "
    "    quote_ident(pg_get_userbyid(x.grantee)) END), '') FROM aclexplode(f.proacl) x WHERE "
    "    x.grantee <> f.proowner), '') END), '' FROM own JOIN pg_catalog.pg_proc f "
    "    ON own.class = 'pg_catalog.pg_proc'::regclass AND f.oid = own.obj "
    "  UNION ALL "
    "  SELECT 9, '', format('COMMENT ON TABLE %s IS %L', name, d), '' FROM (SELECT name, "
    "    obj_description(oid, 'pg_class') AS d FROM t) c WHERE d IS NOT NULL "
    "  UNION ALL "
    "  SELECT 9, attnum::text, format('COMMENT ON COLUMN %s.%I IS %L', name, attname, d), '' FROM "
    "    (SELECT *, col_description(attrelid, attnum) AS d FROM a) c WHERE d IS NOT NULL "
    "  UNION ALL "
    "  SELECT 12, 'policy ' || polname, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', "
    "    polname, name, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, CASE "
    "    polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' "
    "    THEN 'DELETE' ELSE 'ALL' END, (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE "
    "    quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(polroles) r), ' USING (' || "
    "    pg_get_expr(polqual, polrelid) || ')', ' WITH CHECK (' || pg_get_expr(polwithcheck, "
    "    polrelid) || ')'), '' FROM t JOIN pg_catalog.pg_policy ON polrelid = t.oid), "
    "parts AS ("
    "  SELECT 0 AS ord, ''::text AS sub, format('CREATE SCHEMA IF NOT EXISTS %I', nspname) AS sql "
    "    FROM (SELECT nspname FROM t UNION SELECT nspname FROM own UNION SELECT nspname FROM "
    "    extensions WHERE nspname <> 'pg_catalog') n "
    "  UNION ALL "
    "  SELECT 0, 'extension ' || extname, format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA "
    "%I', extname, nspname) FROM extensions "
    "  UNION ALL "
    /* In one line, and in quotes that nothing in it can end. */
    "  SELECT ord, sub, 'DO E''' || replace(replace(replace(replace(format('BEGIN %s; %sEND', sql, "
    "    rest), '\\', '\\\\'), '''', ''''''), chr(13), '\\r'), chr(10), '\\n') || '''' FROM made "
    "    WHERE sql IS NOT NULL "
    "  UNION ALL "
    "  SELECT 2, seqname, format('CREATE SEQUENCE IF NOT EXISTS %s AS %s INCREMENT %s MINVALUE %s "
    "MAXVALUE %s START %s CACHE %s%s', seqname, format_type(seqtypid, NULL), seqincrement, seqmin, "
    "    seqmax, seqstart, seqcache, CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END) FROM s "
    "  UNION ALL "
    "  SELECT 3, '', format(E'CREATE %sTABLE %s (\\n%s\\n)%s', "
    "    CASE t.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, t.name, "
    "    (SELECT string_agg(format('  %I %s%s%s%s', attname, format_type(atttypid, atttypmod), "
    "       CASE WHEN attcollation <> 0 AND attcollation <> (SELECT typcollation FROM "
    "         pg_catalog.pg_type WHERE oid = atttypid) THEN (SELECT format(' COLLATE %I.%I', "
    "         n.nspname, l.collname) FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n "
    "         ON n.oid = l.collnamespace WHERE l.oid = attcollation) ELSE '' END, "
    "       CASE WHEN attidentity = 'a' THEN ' GENERATED ALWAYS AS IDENTITY' "
    "         WHEN attidentity = 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY' "
    "         WHEN attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || expr || ') STORED' "
    "         WHEN expr IS NOT NULL THEN ' DEFAULT ' || expr ELSE '' END, "
    "       CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END), E',\\n' ORDER BY attnum) FROM a), "
    "    CASE WHEN t.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(t.oid) ELSE '' END) "
    "    FROM t "
    "  UNION ALL "
    "  SELECT 3, p.level || p.relid::regclass::text, format('CREATE TABLE IF NOT EXISTS %s "
    "PARTITION OF %s %s%s', p.relid::regclass, p.parentrelid::regclass, "
    "    pg_get_expr(c.relpartbound, c.oid), CASE WHEN c.relkind = 'p' THEN ' PARTITION BY ' || "
    "    pg_get_partkeydef(c.oid) ELSE '' END) FROM t, pg_catalog.pg_partition_tree(t.oid) p JOIN "
    "    pg_catalog.pg_class c ON c.oid = p.relid WHERE p.level > 0 "
    "  UNION ALL "
    "  SELECT 4, seqname, format('ALTER SEQUENCE %s OWNED BY %s.%I', seqname, name, attname) FROM "
    "s "
    "  UNION ALL "
    "  SELECT CASE WHEN o.contype = 'f' THEN 11 ELSE 5 END, o.contype::text || o.conname, "
    "format('ALTER "
    "TABLE %s ADD CONSTRAINT %I %s', t.name, o.conname, pg_get_constraintdef(o.oid)) FROM t JOIN "
    "    pg_catalog.pg_constraint o ON o.conrelid = t.oid AND o.contype IN ('p', 'u', 'c', 'x', "
    "    'f') AND o.conislocal "
    "  UNION ALL "
    "  SELECT 6, i.indexrelid::text, pg_get_indexdef(i.indexrelid) FROM t JOIN pg_catalog.pg_index "
    "    i ON i.indrelid = t.oid WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE "
    "    o.conindid = i.indexrelid AND o.conrelid = t.oid) "
    "  UNION ALL "
    "  SELECT 7, '', format('ALTER TABLE %s OWNER TO %I', name, pg_get_userbyid(relowner)) FROM t "
    "  UNION ALL "
    "  SELECT 8, x.grantee::text || x.privilege_type, format('GRANT %s ON TABLE %s TO %s%s', "
    "    x.privilege_type, t.name, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE "
    "    quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable THEN ' WITH GRANT "
    "OPTION' ELSE '' END) FROM t, aclexplode(t.relacl) x WHERE x.grantee <> t.relowner "
    "  UNION ALL "
    "  SELECT 12, what, format('ALTER TABLE %s %s ROW LEVEL SECURITY', t.name, what) FROM t JOIN "
    "    pg_catalog.pg_class c ON c.oid = t.oid, LATERAL (VALUES ('ENABLE', c.relrowsecurity), "
    "    ('FORCE', c.relforcerowsecurity)) r (what, is_on) WHERE is_on "
    "  UNION ALL "
    "  SELECT 12, g.tgname::text, pg_get_triggerdef(g.oid) FROM t JOIN pg_catalog.pg_trigger g ON "
    "    g.tgrelid = t.oid AND NOT g.tgisinternal JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid "
    "    JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace AND n.nspname <> 'holdfast') "
    "SELECT coalesce(string_agg(sql || E';\\n', '' ORDER BY ord, sub) FILTER (WHERE ord < 10), '') "
    "|| '"
    "-- behind the rows"
    "' || E'\\n' || coalesce(string_agg(sql || E';\\n', '' ORDER BY ord, "
    "sub) FILTER (WHERE ord >= 10), '') FROM parts";

/* Behind a literal or a quoted name that begins here. In what the server writes a quote within it
 * is doubled, which begins another one; a backslash never hides one. */
static const char *skip_quoted(const char *at)
{
    const char *end = strchr(at + 1, *at);

    return end == NULL ? at + strlen(at) : end + 1;
}

struct str pg_definition_next(const char **at)
{
    const char *start = *at + strspn(*at, "\n");
    const char *end = start;

    if (strncmp(start, PG_DEFINITION_AFTER, strlen(PG_DEFINITION_AFTER)) == 0) {
        *at = start + strlen(PG_DEFINITION_AFTER);
        return (struct str){start, 0};
    }
    while (*end != '\0' && *end != ';') {
        end = *end == '\'' || *end == '"' ? skip_quoted(end) : end + 1;
    }
    *at = *end == ';' ? end + 1 : end;
    return (struct str){start, (size_t)(end - start)};
}

int pg_definition(struct postgres *pg, const struct pg_table *table, char **ret, struct err *err)
{
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);

    return pg_ask(pg, pg->sql, definition_sql, oid, ret, err) < 0
               ? err_context(err, "how table %s is made", table->name)
               : 0;
}

int pg_keep_definition(struct postgres *pg, struct pg_table *table, bool *ret_changed,
                       struct err *err)
{
    char *definition = NULL;

    *ret_changed = false;
    if (pg_definition(pg, table, &definition, err) < 0) {
        return -(int)err->code;
    }
    if (table->definition != NULL && strcmp(table->definition, definition) == 0) {
        free(definition);
        return 0;
    }
    *ret_changed = table->definition != NULL;
    free(table->definition);
    table->definition = definition;
    return intake_define(&pg->intake, table->name, pg->options->project, str_of(definition), err);
}
