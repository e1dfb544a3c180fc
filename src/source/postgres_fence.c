/*
 * The fence: while an alert is open that holds rows of this source, holdfast.tell() refuses to
 * change its tables, and holdfast.tell_drop() to drop them. Both look into the table
 * holdfast.fence, so that it goes up without a lock on anybody's table, and stays up when we are
 * not there.
 */
#include "source/postgres_internal.h"

#include "source/row_origin.h"

/* ---- which alert ---- */

struct seeking {
    struct postgres *pg;
    struct reader *reader;
    bool is_ours;      /* the alert that is looked at holds a row of this source */
    struct uuid found; /* the oldest such alert */
    bool has_found;
};

static int look_at_change(void *arg, const struct change *change, struct err *err)
{
    struct seeking *seeking = arg;
    AUTO(memory_done) struct memory memory;
    AUTO(row_origin_done) struct row_origin origin = {.table = NULL};

    memory_init(&memory);
    if (change->kind != KIND_MEMORY) {
        return 0;
    }
    if (memory_of_change(change, &memory, err) < 0) {
        return -(int)err->code;
    }
    seeking->is_ours = row_of_memory(&memory, seeking->pg->options->name, NULL, &origin);
    return 0;
}

static int look_at_ranges(struct seeking *seeking, const struct uuid *alert, struct err *err)
{
    AUTO(ranges_done) struct ranges ranges;

    ranges_init(&ranges);
    int rc = read_alert_ranges(seeking->reader, alert, &ranges, err);
    for (size_t i = 0; i < ranges.count && rc == 0 && !seeking->is_ours; i++) {
        const struct range *range = &ranges.items[i];
        for (uint64_t seq = range->from; seq <= range->to && rc == 0 && !seeking->is_ours; seq++) {
            rc = source_cancelled(seeking->pg->options, err);
            rc = rc == 0 ? read_change(seeking->reader, &range->origin, seq, look_at_change,
                                       seeking, err)
                         : rc;
        }
    }
    return rc;
}

static bool is_passed(const struct postgres *pg, const struct alert *alert)
{
    for (size_t i = 0; i < pg->passed_count; i++) {
        if (uuid_eq(&pg->passed[i].alert, &alert->id)) {
            return pg->passed[i].version == alert->version;
        }
    }
    return false;
}

static void note_passed(struct postgres *pg, const struct alert *alert)
{
    size_t i = 0;

    while (i < pg->passed_count && !uuid_eq(&pg->passed[i].alert, &alert->id)) {
        i++;
    }
    if (i == pg->passed_count) {
        pg->passed = xrealloc(pg->passed, (i + 1) * sizeof(*pg->passed));
        pg->passed_count++;
    }
    pg->passed[i] = (struct pg_passed){.alert = alert->id, .version = alert->version};
}

/* Its main actor tells most often; else what it holds is looked through, once for each state of it.
 */
static int look_at_alert(void *arg, const struct alert *alert, struct err *err)
{
    struct seeking *seeking = arg;
    struct postgres *pg = seeking->pg;
    size_t len = strlen(pg->options->name);
    bool is_by_us = strncmp(alert->actor, pg->options->name, len) == 0 &&
                    (alert->actor[len] == '\0' || strncmp(&alert->actor[len], ": ", 2) == 0);

    if (seeking->has_found || alert->changes == 0 || (!is_by_us && is_passed(pg, alert))) {
        return 0;
    }
    seeking->is_ours = is_by_us;
    if (!is_by_us && look_at_ranges(seeking, &alert->id, err) < 0) {
        return -(int)err->code;
    }
    if (seeking->is_ours) {
        seeking->found = alert->id;
        seeking->has_found = true;
    } else {
        note_passed(pg, alert);
    }
    return 0;
}

/* The oldest open alert that holds rows of this source: ret_text "" when there is none. */
static int find_alert(struct postgres *pg, char ret_text[UUID_TEXT_MAX], struct err *err)
{
    struct seeking seeking = {.pg = pg};

    ret_text[0] = '\0';
    if (!pg->options->fence) {
        return 0;
    }
    if (read_begin(pg->options->ledger, &seeking.reader, err) < 0) {
        return -(int)err->code;
    }
    int rc = read_alerts(seeking.reader, true, look_at_alert, &seeking, err);
    read_end(seeking.reader);
    if (rc == 0 && seeking.has_found) {
        uuid_format(&seeking.found, ret_text);
    }
    return rc;
}

/* ---- up and down ---- */

#define FENCE_LOCK                                                                                 \
    "SET LOCAL lock_timeout = '200ms'" /* a restore has its rows: the next look does */

static int look_whether_up(struct postgres *pg, bool *ret, struct err *err)
{
    AUTO(free_ptr) char *text = NULL;

    if (pg_ask(pg, pg->sql, "SELECT EXISTS(SELECT FROM holdfast.fence WHERE source = $1)",
               pg->options->slot, &text, err) < 0) {
        return -(int)err->code;
    }
    *ret = text != NULL && text[0] == 't';
    return 0;
}

static int tell_lowered(struct postgres *pg, struct err *err)
{
    AUTO(free_ptr)
    char *text = xprintf("Somebody lowered the fence around source %s, which stands until alert %s "
                         "is resolved. It is put back",
                         pg->options->name, pg->fence);

    intake_actor(&pg->intake, NULL, NULL);
    return intake_alert(&pg->intake, "source_unguarded", text, err);
}

/* With all partitions, which can be changed by their own names. */
static int raise_for(struct postgres *pg, const struct pg_table *table, const char *alert,
                     struct err *err)
{
    AUTO(pg_clear) PGresult *result = NULL;
    AUTO(free_ptr) char *oid = xprintf("%u", table->oid);
    const char *values[] = {oid, pg->options->slot, alert};

    return pg_query(pg, pg->sql,
                    "INSERT INTO holdfast.fence SELECT r, $2, $3 FROM (SELECT $1::oid AS r UNION "
                    "SELECT relid FROM pg_catalog.pg_partition_tree($1::oid)) t WHERE NOT EXISTS "
                    "(SELECT FROM holdfast.fence f WHERE f.relid = r AND f.source = $2 AND f.alert "
                    "= $3) ON CONFLICT (relid, source) DO UPDATE SET alert = EXCLUDED.alert",
                    values, 3, &result, err);
}

static int change(struct postgres *pg, const char *alert, struct err *err)
{
    AUTO(free_ptr) char *slot = pg_literal(pg->options->slot);
    AUTO(free_ptr) char *lower = xprintf("DELETE FROM holdfast.fence WHERE source = %s", slot);

    int rc = pg_exec(pg, pg->sql, "BEGIN;" FENCE_LOCK, err);
    if (rc == 0 && alert[0] == '\0') {
        rc = pg_exec(pg, pg->sql, lower, err);
    }
    for (size_t i = 0; i < pg->table_count && alert[0] != '\0' && rc == 0; i++) {
        rc = pg->tables[i].oid == 0 ? 0 : raise_for(pg, &pg->tables[i], alert, err);
    }
    return rc == 0 ? pg_exec(pg, pg->sql, "COMMIT", err) : rc;
}

/* It may be that a restore has the rows, or that what init made is just gone: then the next look
 * does it. */
static int later(struct postgres *pg, struct err *err)
{
    struct err none = ERR_INIT;

    if (err->code != ERR_BUSY && err->code != ERR_NOT_FOUND) {
        return -(int)err->code;
    }
    err->code = ERR_NONE;
    return pg_exec(pg, pg->sql, "ROLLBACK", &none) < 0 ? err_copy(err, &none) : 0;
}

int pg_fence(struct postgres *pg, struct err *err)
{
    char alert[UUID_TEXT_MAX];
    bool is_up = true;

    if (find_alert(pg, alert, err) < 0) {
        return -(int)err->code;
    }
    bool is_as_before = pg->fence_known && strcmp(pg->fence, alert) == 0;
    if (is_as_before && alert[0] == '\0') {
        return 0;
    }
    if (is_as_before && look_whether_up(pg, &is_up, err) < 0) {
        return later(pg, err);
    }
    if ((!is_up && tell_lowered(pg, err) < 0) || change(pg, alert, err) < 0) {
        return later(pg, err);
    }
    (void)snprintf(pg->fence, sizeof(pg->fence), "%s", alert);
    pg->fence_known = true;
    pg->events->on_fence(pg->events->arg, alert[0] == '\0' ? NULL : alert);
    return 0;
}

/* ---- as soon as the ledger has it ---- */

#define HEAR_APART_MS 50 /* our own commits tell, too: alerts are looked at so often at most */

int pg_fence_listen(struct postgres *pg, struct err *err)
{
    if (!pg->options->fence || pg->hears_ledger) {
        return 0;
    }
    if (wake_init(&pg->commits, err) < 0) {
        return -(int)err->code;
    }
    ledger_subscribe(pg->options->ledger, &pg->commits);
    pg->hears_ledger = true;
    return 0;
}

void pg_fence_deafen(struct postgres *pg)
{
    if (pg->hears_ledger) {
        ledger_unsubscribe(pg->options->ledger, &pg->commits);
        wake_done(&pg->commits);
        pg->hears_ledger = false;
    }
}

static int64_t apart_ms(const struct postgres *pg)
{
    return pg->heard_ms + HEAR_APART_MS - deadline_in(0).at_ms;
}

int pg_fence_fd(const struct postgres *pg, int64_t *ms)
{
    if (!pg->hears_ledger || pg->in_transaction) {
        return -1;
    }
    int64_t apart = apart_ms(pg);
    if (apart > 0) {
        *ms = *ms < apart ? *ms : apart;
        return -1;
    }
    return pg->commits.fd;
}

bool pg_fence_heard(struct postgres *pg)
{
    if (!pg->hears_ledger || apart_ms(pg) > 0 || !wake_wait(&pg->commits, deadline_in(0))) {
        return false;
    }
    pg->heard_ms = deadline_in(0).at_ms;
    return true;
}
