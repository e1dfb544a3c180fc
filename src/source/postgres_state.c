/*
 * What must outlive the daemon beside the position: that a table is still to be compared, and how
 * publication and triggers looked, so that what was changed and changed back shows. It is kept as
 * positions are, under names that no source can have: "SOURCE/SCHEMA.TABLE", and "SOURCE/" for what
 * belongs to no table.
 */
#include "source/postgres_internal.h"

#define DUE "due"
#define DOUBT "doubt" /* due, as nothing told why there should be a difference */

/* ---- the catalog ---- */

/* One of its rows' xmin changes with every change, also with one that is taken back; the numbers of
 * two lives of a row are never the same. */
static const char table_marks_sql[] =
    "WITH tree AS (SELECT $1::oid AS relid, 0 AS level UNION SELECT relid, level FROM "
    "pg_catalog.pg_partition_tree($1::oid)) "
    "SELECT md5(concat_ws('/', (SELECT string_agg(concat_ws(':', t.oid, t.xmin), ',' ORDER BY "
    "t.oid) FROM pg_catalog.pg_trigger t WHERE t.tgname IN ('holdfast_tell', 'holdfast_keep', "
    "'holdfast_keep_all') AND t.tgrelid IN (SELECT relid FROM tree)), (SELECT "
    "string_agg(concat_ws(':', r.oid, r.xmin), ',' ORDER BY r.oid) FROM "
    "pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE "
    "p.pubname = $2 AND r.prrelid = $1::oid))), "
    "md5((SELECT coalesce(string_agg(concat_ws(':', c.oid, c.relfilenode), ',' ORDER BY c.oid), "
    "'') FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.relid WHERE tree.level > 0)), "
    "(SELECT "
    "relfilenode FROM pg_catalog.pg_class WHERE oid = $1::oid)";

static const char other_marks_sql[] =
    "SELECT md5(concat_ws('/', "
    "(SELECT concat_ws(':', oid, xmin) FROM pg_catalog.pg_publication WHERE pubname = $1), "
    "(SELECT concat_ws(':', oid, xmin) FROM pg_catalog.pg_namespace WHERE nspname = 'holdfast'), "
    "(SELECT string_agg(concat_ws(':', oid, xmin), ',' ORDER BY oid) FROM "
    "pg_catalog.pg_event_trigger WHERE evtname IN ('holdfast_drop', 'holdfast_ddl')), "
    "(SELECT string_agg(concat_ws(':', p.oid, p.xmin), ',' ORDER BY p.oid) FROM "
    "pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname "
    "= 'holdfast'), (SELECT string_agg(c.oid::text, ',' ORDER BY c.oid) FROM pg_catalog.pg_class c "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'holdfast' AND "
    "c.relname IN ('outbox', 'outboxes')), %s)), '', ''";

static const char schemas_marks_sql[] =
    "(SELECT string_agg(concat_ws(':', s.oid, s.xmin), ',' ORDER BY s.oid) FROM "
    "pg_catalog.pg_publication_namespace s JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid "
    "WHERE p.pubname = $1)";

static int look(struct postgres *pg, const char *sql, const char *const *values, int count,
                struct pg_marks *ret, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;

    if (pg_query(pg, pg->sql, sql, values, count, &result, err) < 0) {
        return -(int)err->code;
    }
    if (PQntuples(result) != 1) {
        return err_set(err, ERR_UNAVAILABLE, "PostgreSQL does not tell of its catalog");
    }
    (void)snprintf(ret->defence, sizeof(ret->defence), "%s", PQgetvalue(result, 0, 0));
    (void)snprintf(ret->tree, sizeof(ret->tree), "%s", PQgetvalue(result, 0, 1));
    (void)snprintf(ret->file, sizeof(ret->file), "%s", PQgetvalue(result, 0, 2));
    return 0;
}

int pg_marks_look(struct postgres *pg, struct err *err)
{
    const char *publication[] = {pg->options->slot};
    AUTO(free_ptr)
    char *sql = xprintf(other_marks_sql,
                        pg->version >= POSTGRES_VERSION_FILTERS ? schemas_marks_sql : "NULL");
    int rc = look(pg, sql, publication, 1, &pg->seen, err);

    for (size_t i = 0; i < pg->table_count && rc == 0; i++) {
        struct pg_table *table = &pg->tables[i];
        AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
        const char *values[] = {oid, pg->options->slot};
        table->seen = (struct pg_marks){.defence = ""};
        rc = table->oid == 0 ? 0 : look(pg, table_marks_sql, values, 2, &table->seen, err);
    }
    return rc;
}

void pg_marks_accept(struct postgres *pg)
{
    pg->marks = pg->seen;
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        if (table->oid == 0) {
            continue;
        }
        table->marks = table->seen;
        table->earlier_oid = table->oid != table->last_oid ? table->last_oid : table->earlier_oid;
        table->last_oid = table->oid;
    }
}

char *pg_marks_touched(const struct postgres *pg)
{
    if (pg->marks.defence[0] != '\0' && strcmp(pg->marks.defence, pg->seen.defence) != 0) {
        return xprintf("what tells of changes in it (publication %s, event triggers, functions)",
                       pg->options->slot);
    }
    for (size_t i = 0; i < pg->table_count; i++) {
        const struct pg_table *table = &pg->tables[i];
        bool is_the_same = table->oid != 0 && table->oid == table->last_oid &&
                           strcmp(table->marks.tree, table->seen.tree) == 0;
        if (is_the_same && strcmp(table->marks.defence, table->seen.defence) != 0) {
            return xprintf("table %s in the publication, or its trigger holdfast_tell",
                           table->name);
        }
    }
    return NULL;
}

/* ---- the ledger ---- */

static int load(struct postgres *pg, const char *name, char **ret, struct err *err)
{
    free(*ret);
    return source_kept(pg->options->ledger, name, ret, err);
}

void pg_take_word(const char **at, char *ret, size_t size)
{
    size_t len = strcspn(*at, " ");

    (void)snprintf(ret, size, "%.*s", (int)len, *at);
    *at += len;
    *at += strspn(*at, " ");
}

/* "OID DEFENCE TREE DUE FILE", "-" for what is not known, of the file nothing. */
static void read_table(struct pg_table *table)
{
    const char *at = table->kept;
    char oid[16];
    char due[sizeof(DOUBT)];

    pg_take_word(&at, oid, sizeof(oid));
    pg_take_word(&at, table->marks.defence, sizeof(table->marks.defence));
    pg_take_word(&at, table->marks.tree, sizeof(table->marks.tree));
    pg_take_word(&at, due, sizeof(due));
    pg_take_word(&at, table->marks.file, sizeof(table->marks.file));
    table->last_oid = (uint32_t)strtoul(oid, NULL, 10);
    table->doubted = table->doubted || strcmp(due, DOUBT) == 0;
    table->compare = table->compare || table->doubted || strcmp(due, DUE) == 0;
    if (strcmp(table->marks.defence, "-") == 0) {
        table->marks = (struct pg_marks){.defence = ""};
    }
}

static int load_table(struct postgres *pg, struct pg_table *table, struct err *err)
{
    AUTO(free_ptr) char *name = xprintf("%s/%s", pg->options->name, table->name);

    if (load(pg, name, &table->kept, err) < 0) {
        return -(int)err->code;
    }
    if (table->kept != NULL) {
        read_table(table);
    }
    return 0;
}

int pg_state_load(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *name = xprintf("%s/", pg->options->name);

    int rc = load(pg, name, &pg->kept, err);
    if (rc == 0 && pg->kept != NULL) {
        (void)snprintf(pg->marks.defence, sizeof(pg->marks.defence), "%s", pg->kept);
    }
    for (size_t i = 0; i < pg->table_count && rc == 0; i++) {
        rc = load_table(pg, &pg->tables[i], err);
    }
    return rc;
}

static int keep(struct postgres *pg, const char *name, const char *text, char **kept,
                struct err *err)
{
    struct source_position position = {.source = name, .text = text};

    if (*kept != NULL && strcmp(*kept, text) == 0) {
        return 0;
    }
    if (ledger_write_source(pg->options->ledger, NULL, 0, &position, NULL, err) < 0) {
        return -(int)err->code;
    }
    free(*kept);
    *kept = xstrdup(text);
    return 0;
}

int pg_state_keep(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *of_source = xprintf("%s/", pg->options->name);
    int rc = 0;

    if (pg->marks.defence[0] == '\0') {
        return 0; /* nothing was seen yet, and what is kept is of an earlier capture */
    }
    for (size_t i = 0; i < pg->table_count && rc == 0; i++) {
        const struct pg_table *table = &pg->tables[i];
        AUTO(free_ptr) char *name = xprintf("%s%s", of_source, table->name);
        AUTO(free_ptr)
        char *text = xprintf("%u %s %s %s %s", table->last_oid,
                             table->marks.defence[0] == '\0' ? "-" : table->marks.defence,
                             table->marks.tree[0] == '\0' ? "-" : table->marks.tree,
                             !table->compare  ? "-"
                             : table->doubted ? DOUBT
                                              : DUE,
                             table->marks.file);
        rc = keep(pg, name, text, &pg->tables[i].kept, err);
    }
    return rc == 0 ? keep(pg, of_source, pg->marks.defence, &pg->kept, err) : rc;
}

void pg_state_done(struct postgres *pg)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        free(pg->tables[i].kept);
        pg->tables[i].kept = NULL;
    }
    free(pg->kept);
    pg->kept = NULL;
}
