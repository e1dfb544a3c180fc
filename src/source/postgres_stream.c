/*
 * The replication stream. Its position moves in the ledger together with the changes, and only
 * afterwards in the server's slot.
 */
#include "source/postgres_internal.h"

#include "base/num.h"

#define STEP_MESSAGES 1000
#define STEP_WAIT_MS 500

/* From one commit of the ledger to the next: the longer, the more waits. So it comes to 1 ms at 200
 * changes a second, to 2 ms at 1,000, and to the longest from 1,900 on. */
#define SETTLE_MS 1
#define SETTLE_CHANGES 2 /* for each ms more */
#define SETTLE_LONGEST_MS 20

/* ---- the position ---- */

/* It is "SYSTEM/DATABASE SLOT LSN", of an outbox there is more behind the slot; and how many rows
 * there should be by then. */
int pg_position_read(struct postgres *pg, char **ret_rest, bool *ret_other, struct err *err)
{
    AUTO(free_ptr) char *text = NULL;

    *ret_rest = NULL;
    *ret_other = false;
    int rc = source_kept(pg->options->ledger, pg->options->name, &text, err);
    pg->had_position = text != NULL;
    if (text == NULL) {
        return rc;
    }
    AUTO(free_ptr) char *ours = xprintf("%s %s ", pg->system, pg->options->slot);
    *ret_other = strncmp(text, ours, strlen(ours)) != 0;
    if (!*ret_other) {
        pg_rows_read(pg, text);
        *ret_rest = xstrdup(text + strlen(ours));
    }
    return 0;
}

static int read_position(struct postgres *pg, bool *ret_other, struct err *err)
{
    AUTO(free_ptr) char *lsn = NULL;
    struct err none = ERR_INIT;

    if (pg_position_read(pg, &lsn, ret_other, err) < 0) {
        return -(int)err->code;
    }
    *ret_other = *ret_other || (lsn != NULL && pg_lsn_parse(str_of(lsn), &pg->position, &none) < 0);
    return 0;
}

int pg_position_keep(struct postgres *pg, const char *rest, const char *shown, struct err *err)
{
    AUTO(free_ptr) char *rows = pg_rows_text(pg);
    AUTO(free_ptr) char *text = xprintf("%s %s %s%s", pg->system, pg->options->slot, rest, rows);
    struct env *env = env_system();

    if (pg_state_keep(pg, err) < 0 || intake_flush(&pg->intake, text, err) < 0) {
        return -(int)err->code;
    }
    int64_t lag_ms = pg->commit_us == 0 ? 0 : (env->now_us(env) - pg->commit_us) / 1000;
    pg->commit_us = 0;
    pg->kept_ms = deadline_in(0).at_ms;
    pg->events->on_position(pg->events->arg, shown, lag_ms > 0 ? lag_ms : 0);
    return 0;
}

static int keep_position(struct postgres *pg, struct err *err)
{
    char lsn[PG_LSN_TEXT_MAX];

    pg_lsn_format(pg->pending, lsn);
    if (pg_position_keep(pg, lsn, lsn, err) < 0) {
        return -(int)err->code;
    }
    pg->position = pg->pending;
    return 0;
}

int pg_stream_tell(struct postgres *pg, struct err *err)
{
    char message[34] = {'r'};
    struct env *env = env_system();

    be64_put(message + 1, pg->pending);   /* written */
    be64_put(message + 9, pg->position);  /* flushed: what the slot may forget */
    be64_put(message + 17, pg->position); /* applied */
    be64_put(message + 25, (uint64_t)env->now_us(env) - (uint64_t)946684800 * 1000000);
    message[33] = 1; /* say where you are, too */
    if (pg_copy_put(pg, pg->stream, (struct str){message, sizeof(message)}, err) < 0) {
        return -(int)err->code;
    }
    pg->told_ms = deadline_in(0).at_ms;
    return 0;
}

/* ---- where to begin ---- */

static int identify(struct postgres *pg, pg_lsn *ret_end, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = NULL;

    if (pg_query(pg, pg->stream, "IDENTIFY_SYSTEM", NULL, 0, &result, err) < 0 ||
        pg_ask(pg, pg->sql,
               "SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()", NULL,
               &oid, err) < 0) {
        return -(int)err->code;
    }
    free(pg->system);
    pg->system = xprintf("%s/%s", PQgetvalue(result, 0, 0), oid == NULL ? "" : oid);
    return pg_lsn_parse(str_of(PQgetvalue(result, 0, 2)), ret_end, err);
}

/* Why the stream can't simply go on: static text, NULL when it can. *ret_slot: there is one. */
static int why_anew(struct postgres *pg, bool other, pg_lsn end, bool *ret_slot, const char **ret,
                    struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    const char *values[] = {pg->options->slot};
    pg_lsn confirmed = 0;

    if (pg_query(pg, pg->sql,
                 "SELECT coalesce(confirmed_flush_lsn::text, '0/0'), coalesce(wal_status, ''), "
                 "coalesce(plugin, ''), database = current_database() FROM "
                 "pg_catalog.pg_replication_slots WHERE slot_name = $1",
                 values, 1, &result, err) < 0) {
        return -(int)err->code;
    }
    *ret_slot = PQntuples(result) == 1;
    if (*ret_slot && pg_lsn_parse(str_of(PQgetvalue(result, 0, 0)), &confirmed, err) < 0) {
        return -(int)err->code;
    }
    if (*ret_slot &&
        (strcmp(PQgetvalue(result, 0, 2), "pgoutput") != 0 || PQgetvalue(result, 0, 3)[0] != 't')) {
        return err_set(err, ERR_CONFIG,
                       "the replication slot %s is somebody else's; choose another with `slot:`",
                       pg->options->slot);
    }
    *ret = !pg->had_position    ? "it is captured for the first time"
           : other              ? "it is another database than before, or was captured otherwise"
           : !*ret_slot         ? "its replication slot is gone"
           : end < pg->position ? "the server went back in time"
           : confirmed > pg->position ? "its replication slot is ahead of the ledger"
           : strcmp(PQgetvalue(result, 0, 1), "lost") == 0
               ? "its replication slot lost changes: the server kept no more of its log"
               : NULL;
    return 0;
}

static int start_at(struct postgres *pg, pg_lsn lsn, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    char text[PG_LSN_TEXT_MAX];

    pg_lsn_format(lsn, text);
    AUTO(free_ptr) char *slot = pg_name(pg->options->slot);
    AUTO(free_ptr) char *publication = pg_literal(slot);
    AUTO(free_ptr)
    char *sql = xprintf(
        "START_REPLICATION SLOT %s LOGICAL %s (proto_version '1', publication_names %s%s)", slot,
        text, publication, pg->version >= POSTGRES_VERSION_MESSAGES ? ", messages 'true'" : "");
    if (pg_query(pg, pg->stream, sql, NULL, 0, &result, err) < 0) {
        return -(int)err->code;
    }
    if (PQresultStatus(result) != PGRES_COPY_BOTH) {
        return err_set(err, ERR_UNAVAILABLE, "PostgreSQL did not begin to replicate");
    }
    pg->is_streaming = true;
    pg->position = pg->pending = pg->received = lsn;
    pg->recent_at = 0;
    free(pg->moving);
    pg->moving = NULL;
    return 0;
}

/* A slot of ours, new; *ret_lsn and *ret_snapshot are one moment. */
static int make_slot(struct postgres *pg, bool has_slot, pg_lsn *ret_lsn, char **ret_snapshot,
                     struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *slot = pg_name(pg->options->slot);
    AUTO(free_ptr) char *drop = xprintf("DROP_REPLICATION_SLOT %s", slot);
    AUTO(free_ptr) char *make = xprintf("CREATE_REPLICATION_SLOT %s LOGICAL pgoutput", slot);

    if ((has_slot && pg_exec(pg, pg->stream, drop, err) < 0) ||
        pg_query(pg, pg->stream, make, NULL, 0, &result, err) < 0) {
        return err->code == ERR_BUSY
                   ? err_context(err, "another process follows slot %s", pg->options->slot)
                   : -(int)err->code;
    }
    *ret_snapshot = xstrdup(PQgetvalue(result, 0, 2));
    return pg_lsn_parse(str_of(PQgetvalue(result, 0, 1)), ret_lsn, err);
}

int pg_compare_all(struct postgres *pg, struct err *err)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        struct pg_table *table = &pg->tables[i];
        AUTO(free_ptr)
        char *summary = xprintf("Table %s of source %s does not exist any more. What it held is "
                                "safe here; to put it back: holdfast restore %s",
                                table->name, pg->options->name, pg->options->name);
        int rc = table->oid != 0
                     ? pg_compare(pg, table, err)
                     : intake_gone(&pg->intake, table->name, "source_vanished", summary, err);
        table->gone = table->oid == 0;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int pg_announce(struct postgres *pg, const char *why, struct err *err)
{
    if (!pg->had_position) {
        return 0;
    }
    AUTO(free_ptr)
    char *text = xprintf("Source %s: %s. What happened since then was not seen change by change; "
                         "everything in it is compared with the ledger now, and what is missing is "
                         "judged as if it was deleted now",
                         pg->options->name, why);
    pg->events->on_note(pg->events->arg, text);
    intake_actor(&pg->intake, NULL, NULL);
    return intake_alert(&pg->intake, "source_gap", text, err);
}

int pg_stream_anew(struct postgres *pg, bool has_slot, const char *why, struct err *err)
{
    AUTO(free_ptr) char *snapshot = NULL;
    pg_lsn lsn = 0;

    if (make_slot(pg, has_slot, &lsn, &snapshot, err) < 0) {
        return -(int)err->code;
    }
    AUTO(free_ptr) char *literal = pg_literal(snapshot);
    AUTO(free_ptr)
    char *begin = xprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION "
                          "SNAPSHOT %s",
                          literal);
    if (pg_announce(pg, why, err) < 0 || pg_exec(pg, pg->sql, begin, err) < 0 ||
        pg_tables_find(pg, err) < 0 || pg_marks_look(pg, err) < 0 || pg_compare_all(pg, err) < 0 ||
        pg_exec(pg, pg->sql, "COMMIT", err) < 0) {
        return -(int)err->code;
    }
    pg_marks_accept(pg);
    pg->pending = lsn;
    return keep_position(pg, err) < 0 ? -(int)err->code : start_at(pg, lsn, err);
}

int pg_definitions_begin(struct postgres *pg, pg_lsn end, struct err *err)
{
    for (size_t i = 0; i < pg->table_count; i++) {
        bool changed;
        struct pg_table *table = &pg->tables[i];
        table->known = true;
        if (!table->compare &&
            !table->rows.known) { /* what is missing can't be told from numbers */
            table->compare = table->doubted = true;
        }
        table->compare_at = end; /* where it is due */
        if (table->oid != 0 && pg_keep_definition(pg, table, &changed, err) < 0) {
            return -(int)err->code;
        }
    }
    return intake_flush(&pg->intake, NULL, err);
}

int pg_stream_start(struct postgres *pg, struct err *err)
{
    const char *why = NULL;
    bool has_slot = false;
    bool other = false;
    pg_lsn end = 0;

    if (identify(pg, &end, err) < 0 || read_position(pg, &other, err) < 0 ||
        why_anew(pg, other, end, &has_slot, &why, err) < 0) {
        return -(int)err->code;
    }
    if (why != NULL) {
        return pg_stream_anew(pg, has_slot, why, err);
    }
    return pg_state_load(pg, err) < 0 || pg_definitions_begin(pg, end, err) < 0
               ? -(int)err->code
               : start_at(pg, pg->position, err);
}

/* ---- what comes ---- */

static int take_changes(struct postgres *pg, struct str bytes, struct err *err)
{
    struct pgoutput_message message;

    if (bytes.len < 25) {
        return err_set(err, ERR_CORRUPT, "a replication message of %zu bytes", bytes.len);
    }
    struct str payload = {bytes.ptr + 25, bytes.len - 25};
    if (pgoutput_decode(pg->decoder, payload, &message, err) < 0 ||
        pg_apply(pg, &message, err) < 0) {
        return -(int)err->code;
    }
    if (message.kind == PGOUTPUT_COMMIT) {
        pg->pending = message.lsn > pg->pending ? message.lsn : pg->pending;
        pg->received = pg->pending > pg->received ? pg->pending : pg->received;
        pg->commit_us = message.time_us;
        if (pg->intake.count >= INTAKE_BATCH / 2) {
            return keep_position(pg, err);
        }
    }
    return 0;
}

/* The server has sent all that was committed before its end; so that an idle source advances, too.
 */
static int take_keepalive(struct postgres *pg, struct str bytes, struct err *err)
{
    if (bytes.len < 18) {
        return err_set(err, ERR_CORRUPT, "a keepalive of %zu bytes", bytes.len);
    }
    pg_lsn end = be64_get(bytes.ptr + 1);
    pg->received = end > pg->received ? end : pg->received;
    if (!pg->in_transaction && end > pg->pending) {
        pg->pending = end;
    }
    return 0;
}

static int take_copy(struct postgres *pg, struct str bytes, struct err *err)
{
    if (bytes.len > 0 && bytes.ptr[0] == 'w') {
        return take_changes(pg, bytes, err);
    }
    if (bytes.len > 0 && bytes.ptr[0] == 'k') {
        return take_keepalive(pg, bytes, err);
    }
    return err_set(err, ERR_CORRUPT, "an unknown replication message");
}

static int stream_ended(struct postgres *pg, struct err *err)
{
    AUTO(pg_clear) PGresult *result = PQgetResult(pg->stream);

    if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR) {
        return pg_error(pg->stream, result, err);
    }
    return err_set(err, ERR_UNAVAILABLE, "PostgreSQL ended the replication");
}

/* Nothing more is there now: make durable what came. That is an fsync and a transaction of the
 * ledger: what comes in a rush shares them, and a position without changes is kept now and then
 * only. *ret_gather_ms: how long to leave what comes to gather. */
static int settle(struct postgres *pg, int64_t *ret_gather_ms, struct err *err)
{
    int64_t since = deadline_in(0).at_ms - pg->kept_ms;
    int64_t apart = SETTLE_MS + (int64_t)(pg->intake.count / SETTLE_CHANGES);

    apart = apart < SETTLE_LONGEST_MS ? apart : SETTLE_LONGEST_MS;
    *ret_gather_ms = 0;
    if (pg->in_transaction || pg->pending == pg->position) {
        return 0;
    }
    if (pg->intake.count > 0 && since < apart) {
        *ret_gather_ms = apart - since;
        return 0;
    }
    return pg->intake.count > 0 || since >= POSTGRES_STATUS_MS ? keep_position(pg, err) : 0;
}

/* Is there more? While it gathers nobody is woken for each message: what came meanwhile is taken
 * afterwards, before any of it is made durable. */
static int look_for_more(struct postgres *pg, bool *ret, struct err *err)
{
    int64_t gather_ms;

    if (settle(pg, &gather_ms, err) < 0) {
        return -(int)err->code;
    }
    if (pg_poll(pg, pg->stream, gather_ms > 0 ? 0 : STEP_WAIT_MS, ret, err) < 0) {
        return -(int)err->code;
    }
    if (*ret || gather_ms == 0) {
        return 0;
    }
    return pg_pause(pg, gather_ms, err) < 0 ? -(int)err->code
                                            : pg_poll(pg, pg->stream, 0, ret, err);
}

static int wait_for_more(struct postgres *pg, struct err *err)
{
    bool more;

    if (look_for_more(pg, &more, err) < 0) {
        return -(int)err->code;
    }
    return more && PQconsumeInput(pg->stream) == 0 ? pg_error(pg->stream, NULL, err) : 0;
}

int pg_stream_step(struct postgres *pg, struct err *err)
{
    for (size_t i = 0; i < STEP_MESSAGES; i++) {
        char *bytes = NULL;
        int len = PQgetCopyData(pg->stream, &bytes, 1);
        if (len == 0) {
            return wait_for_more(pg, err);
        }
        if (len < 0) {
            return stream_ended(pg, err);
        }
        int rc = take_copy(pg, (struct str){bytes, (size_t)len}, err);
        PQfreemem(bytes);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
