/* The driver's table: PostgreSQL, captured by logical replication or by an outbox
 * (docs/postgres.md). */
#include "source/postgres_internal.h"

#define TELL_MS 1000 /* the server is told of a new position at most so often */

static void disconnect(struct postgres *pg)
{
    PQfinish(pg->sql);
    PQfinish(pg->stream);
    PQfinish(pg->beside);
    pg->sql = pg->stream = pg->beside = NULL;
    pg->is_streaming = false;
}

static void postgres_close(struct source *source)
{
    struct postgres *pg = (struct postgres *)source;

    if (pg == NULL) {
        return;
    }
    disconnect(pg);
    pg_rows_done(pg);
    pg_fence_deafen(pg);
    pg_relations_done(pg);
    pg_state_done(pg);
    pg_tables_done(pg);
    intake_done(&pg->intake);
    pgoutput_free(pg->decoder);
    pg_outbox_done(pg);
    free(pg->database);
    free(pg->passed);
    free(pg->told);
    free(pg->moving);
    free(pg->system);
    free(pg);
}

/* As the configuration says. Else as init made it once; and what init makes is the stream, where
 * the server can. */
static int choose_way(struct postgres *pg, struct err *err)
{
    const char *said = pg->options->capture;
    bool is_outbox = said != NULL && strcmp(said, "outbox") == 0;

    if (said == NULL &&
        pg_ask_bool(pg,
                    "SELECT current_setting('wal_level') <> 'logical' OR (NOT EXISTS(SELECT FROM "
                    "pg_catalog.pg_publication WHERE pubname = $1) AND EXISTS(SELECT FROM "
                    "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = "
                    "c.relnamespace WHERE n.nspname = 'holdfast' AND c.relname = 'outbox'))",
                    pg->options->slot, &is_outbox, err) < 0) {
        return -(int)err->code;
    }
    pg->way = is_outbox ? PG_OUTBOX : PG_STREAM;
    return 0;
}

/* A database that does not exist is no error yet: it can be told what became of it, and restored.
 */
static int enter(struct postgres *pg, struct err *err)
{
    int rc = pg_open(pg, false, &pg->sql, err);

    if (rc == -ERR_UNAVAILABLE && pg->database != NULL && pg_database_is_missing(pg)) {
        err->code = ERR_NONE;
        return 0;
    }
    return rc == 0 ? choose_way(pg, err) : rc;
}

static int postgres_open(const struct source_options *options, struct source **ret, struct err *err)
{
    struct postgres *pg = xcalloc(1, sizeof(*pg));

    pg->base.ops = &source_postgres_ops;
    pg->options = options;
    pg->decoder = pgoutput_new();
    if (pg_tables_init(pg, err) < 0 || enter(pg, err) < 0) {
        postgres_close(&pg->base);
        return -(int)err->code;
    }
    *ret = &pg->base;
    return 0;
}

/* ---- capture ---- */

static int require_level(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *level = NULL;

    if (pg->way == PG_OUTBOX) {
        return 0;
    }
    if (pg_ask(pg, pg->sql, "SHOW wal_level", NULL, &level, err) < 0) {
        return -(int)err->code;
    }
    return level != NULL && strcmp(level, "logical") == 0
               ? 0
               : err_set(err, ERR_CONFIG,
                         "the server's wal_level is %s: set wal_level = logical and restart it, "
                         "so that changes can be followed; or say capture: outbox",
                         level == NULL ? "?" : level);
}

/* Before the first capture a person runs init, also before the first in this way; later it is put
 * back by ourselves, and told. */
static int require_setup(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr) char *missing = NULL;
    AUTO(free_ptr) char *position = NULL;

    if (require_level(pg, err) < 0) {
        return -(int)err->code;
    }
    if (pg_tables_find(pg, err) < 0 || pg_setup_missing(pg, &missing, err) < 0) {
        return -(int)err->code;
    }
    if (missing == NULL ||
        source_kept(pg->options->ledger, pg->options->name, &position, err) < 0) {
        return missing == NULL ? 0 : -(int)err->code;
    }
    if (position != NULL &&
        (strstr(position, PG_OUTBOX_POSITION) != NULL) == (pg->way == PG_OUTBOX)) {
        return 0;
    }
    return err_set(err, ERR_CONFIG, "%s is missing: run holdfast init postgres", missing);
}

static int tell_when_due(struct postgres *pg, pg_lsn *told, struct err *err)
{
    int64_t since = deadline_in(0).at_ms - pg->told_ms;
    bool asks = false;

    for (size_t i = 0; i < pg->table_count; i++) {
        asks = asks || (pg->tables[i].compare && pg->received < pg->tables[i].compare_at);
    }
    if (since < POSTGRES_STATUS_MS && !(since >= TELL_MS && pg->position != *told) &&
        !(asks && since >= TELL_MS / 4)) {
        return 0;
    }
    *told = pg->position;
    return pg_stream_tell(pg, err);
}

static int follow(struct postgres *pg, struct err *err)
{
    pg_lsn told = 0;
    int rc = 0;

    while (rc == 0) {
        rc = pg->way == PG_OUTBOX ? pg_outbox_step(pg, err) : pg_stream_step(pg, err);
        rc = rc == 0 ? pg_watch(pg, err) : rc;
        rc = rc == 0 && pg->is_streaming ? tell_when_due(pg, &told, err) : rc;
    }
    return rc;
}

/* What was written while there was no publication can never be decoded: the server looks at its
 * catalog as it was then. So this slot is of no use any more. */
static int go_on_without_publication(struct postgres *pg, struct err *err)
{
    PQfinish(pg->stream);
    pg->stream = NULL;
    pg->is_streaming = false;
    pg_relations_done(pg);
    pg->in_transaction = false;
    pg->had_position = true;
    if (pg_setup_again(pg, err) < 0 || pg_tables_find(pg, err) < 0 ||
        pg_open(pg, true, &pg->stream, err) < 0 ||
        pg_stream_anew(pg, true, "its publication was removed", err) < 0) {
        return err->code == ERR_NOT_FOUND ? err_set(err, ERR_UNAVAILABLE, "%s", err->message)
                                          : -(int)err->code;
    }
    return follow(pg, err);
}

static int postgres_capture(struct source *source, const struct source_events *events,
                            struct err *err)
{
    struct postgres *pg = (struct postgres *)source;

    pg->events = events;
    intake_init(&pg->intake, pg->options->ledger, pg->options->name);
    if (pg->sql == NULL) {
        return pg_database_lost(pg, err);
    }
    events->on_capture(events->arg, pg->way == PG_OUTBOX ? "outbox" : "stream");
    if (require_setup(pg, err) < 0 || pg_hear_if_needed(pg, err) < 0 ||
        pg_fence_listen(pg, err) < 0 || pg_open(pg, pg->way == PG_STREAM, &pg->stream, err) < 0 ||
        (pg->way == PG_OUTBOX ? pg_outbox_start(pg, err) : pg_stream_start(pg, err)) < 0) {
        return -(int)err->code;
    }
    int rc = follow(pg, err);
    if (pg->way == PG_OUTBOX) {
        return rc;
    }
    while (rc == -ERR_NOT_FOUND) {
        rc = go_on_without_publication(pg, err);
    }
    return rc;
}

/* ---- the rest of the table ---- */

/* Heap. */
static int describe_way(struct postgres *pg, char **ret, struct err *err)
{
    AUTO(free_ptr) char *laggard = NULL;
    uint64_t bytes = 0;
    uint64_t rows = 0;

    if (pg->way == PG_STREAM) {
        *ret = xprintf("by logical replication, slot %s", pg->options->slot);
        return 0;
    }
    if (pg_outbox_size(pg, 0, &rows, &bytes, &laggard, err) < 0) {
        return -(int)err->code;
    }
    *ret = xprintf("by an outbox, in which %llu rows wait (%llu KiB); " SOURCE_OUTBOX_IS_WEAKER,
                   (unsigned long long)rows, (unsigned long long)(bytes >> 10));
    return 0;
}

static int postgres_check(struct source *source, struct source_health *ret, struct err *err)
{
    struct postgres *pg = (struct postgres *)source;
    AUTO(free_ptr) char *missing = NULL;
    int64_t begin_us = env_system()->now_us(env_system());

    if (pg_database_required(pg, err) < 0 || pg_tables_find(pg, err) < 0 ||
        pg_mirror_check(pg, err) < 0 || pg_setup_missing(pg, &missing, err) < 0) {
        return -(int)err->code;
    }
    ret->latency_us = env_system()->now_us(env_system()) - begin_us;
    if (missing != NULL) {
        return err_set(err, ERR_CONFIG, "%s is missing: run holdfast init postgres", missing);
    }
    AUTO(free_ptr) char *by = NULL;
    if (describe_way(pg, &by, err) < 0) {
        return -(int)err->code;
    }
    (void)snprintf(ret->detail, sizeof(ret->detail), "PostgreSQL %d, %zu table%s, %s",
                   pg->version / 10000, pg->table_count, pg->table_count == 1 ? "" : "s", by);
    return 0;
}

static int postgres_setup(struct source *source, bool remove, struct buf *ret_sql, struct err *err)
{
    struct postgres *pg = (struct postgres *)source;
    AUTO(free_ptr) char *missing = NULL;

    if (pg_database_required(pg, err) < 0) {
        return -(int)err->code;
    }
    if (remove) {
        return pg_setup_sql(pg, true, ret_sql, err);
    }
    if (pg_tables_find(pg, err) < 0 || pg_mirror_check(pg, err) < 0 ||
        pg_setup_missing(pg, &missing, err) < 0) {
        return -(int)err->code;
    }
    if (buf_printf(ret_sql, err, "-- Captured %s.\n",
                   pg->way == PG_STREAM ? "by logical replication"
                                        : "by an outbox; " SOURCE_OUTBOX_IS_WEAKER) < 0) {
        return -(int)err->code;
    }
    /* What is as it should be is not made anew: that would look as if somebody had touched it. */
    return missing == NULL ? buf_add_c(ret_sql, "-- Everything is there.\n", err)
                           : pg_setup_sql(pg, false, ret_sql, err);
}

static int postgres_run(struct source *source, struct str sql, struct err *err)
{
    struct postgres *pg = (struct postgres *)source;
    AUTO(free_ptr) char *whole = xprintf("BEGIN;\n" STR_FMT "COMMIT", STR_ARG(sql));
    struct err none = ERR_INIT;

    int rc = pg_exec(pg, pg->sql, whole, err);
    if (rc < 0 && pg_exec(pg, pg->sql, "ROLLBACK", &none) < 0) {
        return rc; /* the first error is the one to tell */
    }
    return rc;
}

static int postgres_follow(struct source *source, const struct source_events *events,
                           struct err *err)
{
    struct postgres *pg = (struct postgres *)source;

    return pg_database_required(pg, err) < 0 ? -(int)err->code : pg_follow(pg, events, err);
}

static int postgres_restore(struct source *source, struct source_restore *restore, struct err *err)
{
    return pg_restore((struct postgres *)source, restore, err);
}

const struct source_ops source_postgres_ops = {
    .kind = "postgres",
    .open = postgres_open,
    .capture = postgres_capture,
    .follow = postgres_follow,
    .restore = postgres_restore,
    .check = postgres_check,
    .setup = postgres_setup,
    .run = postgres_run,
    .close = postgres_close,
};
