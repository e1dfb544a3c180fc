/*
 * A database that is not there any more: dropped, which is a loss of all that it held, or called
 * something else by now. Who can't enter it is told so by another database of the same server.
 */
#include "source/postgres_internal.h"

/* Nearly every server has one of them. */
static const char *const others[] = {"postgres", "template1"};

/* What the ledger says was captured last: "SYSTEM/OID ..." (postgres_stream.c). */
struct captured {
    char *system; /* heap; NULL: nothing was */
    char *oid;    /* heap; GONE: it was found to be gone */
    char *rest;   /* heap */
};
#define GONE "0" /* the OID of none */

static void captured_done(struct captured *captured)
{
    free(captured->system);
    free(captured->oid);
    free(captured->rest);
}

static int read_captured(struct postgres *pg, struct captured *ret, struct err *err)
{
    AUTO(free_ptr) char *position = NULL;

    *ret = (struct captured){.system = NULL};
    int rc = source_kept(pg->options->ledger, pg->options->name, &position, err);
    const char *slash = position == NULL ? NULL : strchr(position, '/');
    const char *space = slash == NULL ? NULL : strchr(slash, ' ');
    if (space != NULL) {
        ret->system = xstrndup(position, (size_t)(slash - position));
        ret->oid = xstrndup(slash + 1, (size_t)(space - slash - 1));
        ret->rest = xstrdup(space);
    }
    return rc;
}

/* ---- beside it ---- */

static bool is_there(struct postgres *pg, PGconn *beside)
{
    AUTO(pg_clear) PGresult *result = NULL;
    const char *values[] = {pg->database};
    struct err none = ERR_INIT;

    return pg_query(pg, beside, "SELECT FROM pg_catalog.pg_database WHERE datname = $1", values, 1,
                    &result, &none) < 0 ||
           PQntuples(result) > 0; /* who can't tell says nothing */
}

bool pg_database_is_missing(struct postgres *pg)
{
    struct err none = ERR_INIT;
    PGconn *beside = NULL;

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (pg_open_other(pg, others[i], &beside, &none) == 0) {
            break;
        }
    }
    if (beside == NULL || is_there(pg, beside)) {
        PQfinish(beside);
        return false;
    }
    pg->beside = beside;
    return true;
}

int pg_database_required(const struct postgres *pg, struct err *err)
{
    return pg->sql != NULL ? 0
                           : err_set(err, ERR_UNAVAILABLE,
                                     "PostgreSQL: database \"%s\" does not exist", pg->database);
}

/* ---- what became of it ---- */

/* *ret_name: what the database of that OID is called now; heap, NULL: there is none. *ret_same: is
 * it the server of before at all? */
static int look_for(struct postgres *pg, const struct captured *captured, bool *ret_same,
                    char **ret_name, struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    const char *values[] = {captured->system, captured->oid};

    if (pg_query(pg, pg->beside,
                 "SELECT (SELECT system_identifier::text = $1 FROM "
                 "pg_catalog.pg_control_system()), (SELECT datname FROM pg_catalog.pg_database "
                 "WHERE oid::text = $2)",
                 values, 2, &result, err) < 0) {
        return -(int)err->code;
    }
    *ret_same = PQgetvalue(result, 0, 0)[0] == 't';
    *ret_name = PQgetisnull(result, 0, 1) ? NULL : xstrdup(PQgetvalue(result, 0, 1));
    return 0;
}

static int hold_all(struct postgres *pg, const struct captured *captured, struct err *err)
{
    AUTO(free_ptr) char *position = xprintf("%s/" GONE "%s", captured->system, captured->rest);
    AUTO(free_ptr)
    char *summary = xprintf("Database %s of source %s was dropped. What its tables held is safe "
                            "here; to put it back: holdfast restore %s",
                            pg->database, pg->options->name, pg->options->name);

    return intake_gone(&pg->intake, NULL, "source_vanished", summary, err) < 0
               ? -(int)err->code
               : intake_flush(&pg->intake, position, err);
}

/* An error, unless it was captured, and dropped since. *ret_known: which is known already. */
static int require_dropped(struct postgres *pg, struct captured *captured, bool *ret_known,
                           struct err *err)
{
    AUTO(free_ptr) char *now = NULL;
    bool is_same = false;

    if (read_captured(pg, captured, err) < 0) {
        return -(int)err->code;
    }
    *ret_known = captured->system != NULL && strcmp(captured->oid, GONE) == 0;
    if (*ret_known) {
        return 0;
    }
    if (captured->system != NULL && look_for(pg, captured, &is_same, &now, err) < 0) {
        return -(int)err->code;
    }
    if (!is_same) {
        return pg_database_required(pg, err);
    }
    return now == NULL ? 0
                       : err_set(err, ERR_CONFIG,
                                 "database \"%s\" is called \"%s\" now: rename it back, or "
                                 "correct the source's url",
                                 pg->database, now);
}

int pg_database_lost(struct postgres *pg, struct err *err)
{
    AUTO(captured_done) struct captured captured;
    bool is_known = false;

    if (require_dropped(pg, &captured, &is_known, err) < 0 ||
        (!is_known && hold_all(pg, &captured, err) < 0)) {
        return -(int)err->code;
    }
    return err_set(err, ERR_UNAVAILABLE,
                   "database \"%s\" was dropped; to put it back: holdfast restore %s", pg->database,
                   pg->options->name);
}

int pg_database_make(struct postgres *pg, struct source_restore *restore, struct err *err)
{
    AUTO(captured_done) struct captured captured;
    AUTO(free_ptr) char *quoted = pg_name(pg->database);
    AUTO(free_ptr) char *sql = xprintf("CREATE DATABASE %s", quoted);
    bool is_known = false;

    if (require_dropped(pg, &captured, &is_known, err) < 0) {
        return -(int)err->code;
    }
    if (restore->dry_run) {
        return err_set(err, ERR_NOT_FOUND,
                       "database \"%s\" does not exist: restore begins with %s, and what would "
                       "follow can be tried only then",
                       pg->database, sql);
    }
    if (pg_exec_long(pg, pg->beside, sql, NULL, err) < 0) {
        return err_context(err, "making database \"%s\" again", pg->database);
    }
    PQfinish(pg->beside);
    pg->beside = NULL;
    return buf_printf(&restore->sql, err, "%s;\n", sql) < 0 ? -(int)err->code
                                                            : pg_open(pg, false, &pg->sql, err);
}
