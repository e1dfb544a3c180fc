/*
 * The echo: what was written comes back by the capture, and is no change. It is known by what it
 * says alone, as against the history of its memory; a mark could be set by anybody. Where rows are
 * only marked, an update that says what the table told before must not undo what a door said since.
 */
#include "source/postgres_follow.h"

static const struct pg_table *table_of(const struct postgres *pg, const char *name)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        if (strcmp(pg->tables[i].name, name) == 0) {
            return &pg->tables[i];
        }
    }
    return NULL;
}

/* Does the database still have the row as it was heard? With what is newer it has gone on; but the
 * stream has a commit a moment before others see it, and till then the row is as it was before. */
static int is_still(struct postgres *pg, const struct pg_table *table, const struct memory *heard,
                    bool *ret, struct err *err)
{
    const char *version = json_string_value(
        json_object_get(json_object_get(metadata_tree(heard->metadata), "row"), "sync_version"));
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *id = pg_name(mapping_id(table->mapping));
    AUTO(free_ptr) char *content = pg_name(mapping_content(table->mapping));
    AUTO(free_ptr)
    char *sql = version != NULL ? xprintf("SELECT FROM %s t WHERE t.%s = $1 AND "
                                          "t.sync_version::text = $2",
                                          table->quoted, id)
                                : xprintf("SELECT FROM %s t WHERE t.%s = $1 AND t.%s::text = $2",
                                          table->quoted, id, content);
    bool is_seen = false;

    if (pg_snapshot_wait(pg, &is_seen, err) < 0) {
        return -(int)err->code;
    }
    if (!is_seen) {
        return err_set(err, ERR_UNAVAILABLE,
                       "a change of %s is committed, but a standby must answer before it can be "
                       "seen; it is waited for",
                       table->name);
    }
    const char *values[] = {row_key_of(heard), version != NULL ? version : heard->content};
    if (pg_query(pg, pg->sql, sql, values, 2, &result, err) < 0) {
        return -(int)err->code;
    }
    *ret = PQntuples(result) > 0;
    return 0;
}

/* Of a version that is not the last any more: the mirror has the newer one still to write, or the
 * row has it already. Else somebody put the older one back. */
static int is_overtaken(struct postgres *pg, const struct pg_table *table, struct reader *reader,
                        const struct lineage *l, const struct memory *heard, bool *ret,
                        struct err *err)
{
    uint64_t mirrored = 0;
    bool still = false;

    if (follow_mirrored(pg->options, reader, &l->origin, &mirrored, err) < 0) {
        return -(int)err->code;
    }
    if (mirrored < l->seq || pg->comparing) { /* after a comparison all is written once more */
        *ret = true;
        return 0;
    }
    int rc = is_still(pg, table, heard, &still, err);
    *ret = rc == 0 && !still;
    return rc;
}

int pg_hear(void *arg, const struct row *row, struct memory *heard, bool *ret_is_echo,
            struct err *err)
{
    struct postgres *pg = arg;
    const struct pg_table *table = table_of(pg, row->table);
    struct lineage_of of = {.source = row->source, .table = row->table, .mapping = row->mapping};
    AUTO(lineage_done) struct lineage l = {.seq = 0};
    struct reader *reader = NULL;

    *ret_is_echo = false;
    if (!row->keeps_ids || table == NULL) {
        return 0;
    }
    if (read_begin(pg->options->ledger, &reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = lineage_read(reader, &of, &heard->id, heard, &l, err);
    if (rc == 0 && pg->options->mirror) {
        *ret_is_echo = l.said == LINEAGE_CURRENT;
        if (l.said == LINEAGE_EARLIER || l.said == LINEAGE_AS_BEFORE) {
            rc = is_overtaken(pg, table, reader, &l, heard, ret_is_echo, err);
        }
    } else if (rc == 0) {
        *ret_is_echo = l.said == LINEAGE_AS_BEFORE;
    }
    read_end(reader);
    if (rc == 0 && !*ret_is_echo && pg->options->mirror) {
        lineage_keep(&l, heard);
    }
    return rc;
}

int pg_hear_if_needed(struct postgres *pg, struct err *err)
{
    bool has_marks = false;

    for (size_t i = 0; i < pg->table_count && !pg->options->mirror && !has_marks; i++) {
        const struct pg_table *table = &pg->tables[i];
        AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
        if (mapping_is_memories(table->mapping) &&
            pg_ask_bool(pg,
                        "SELECT EXISTS(SELECT FROM pg_catalog.pg_attribute WHERE attrelid = "
                        "$1::oid AND attname IN ('sync_status', 'synced_at', 'remote_id') AND NOT "
                        "attisdropped)",
                        oid, &has_marks, err) < 0) {
            return -(int)err->code;
        }
    }
    pg->intake.hear = has_marks || pg->options->mirror ? pg_hear : NULL;
    pg->intake.hear_arg = pg;
    return 0;
}

/* What rows are there was looked at, or they are gone at once: the mirror looks through all. */
int pg_mirror_again(struct postgres *pg, struct err *err)
{
    struct env *env = env_system();

    if (!pg->options->mirror) {
        return 0;
    }
    AUTO(free_ptr) char *generation = xprintf("%lld", (long long)env->now_us(env));
    return follow_remember(pg->options, FOLLOW_COMPARED, generation, err);
}
