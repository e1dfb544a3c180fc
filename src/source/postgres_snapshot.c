/*
 * Which transactions of the stream the other connection sees already. The log has a transaction
 * before other sessions see what it did: a moment earlier, and with synchronous replication for as
 * long as a standby does not answer.
 */
#include "source/postgres_internal.h"

#define SNAPSHOT_LOOK_MS 5
#define SNAPSHOT_WAIT_MS 10000

/* "xmin:xmax:xip,xip,...", 64 bits each; the stream has the lower 32 of them. */
bool pg_snapshot_sees(const char *snapshot, uint32_t xid)
{
    const char *at = strchr(snapshot, ':');
    char *end = NULL;

    if (at == NULL || (int32_t)(xid - (uint32_t)strtoull(at + 1, &end, 10)) >= 0) {
        return false;
    }
    for (at = end; *at != '\0' && at[1] != '\0'; at = end) {
        if ((uint32_t)strtoull(at + 1, &end, 10) == xid) {
            return false;
        }
    }
    return true;
}

int pg_snapshot_of(struct postgres *pg, PGconn *conn, char **ret, struct err *err)
{
    if (pg_ask(pg, conn, "SELECT pg_catalog.pg_current_snapshot()", NULL, ret, err) < 0) {
        return -(int)err->code;
    }
    return *ret != NULL ? 0 : err_set(err, ERR_UNAVAILABLE, "PostgreSQL tells no snapshot");
}

void pg_snapshot_note(struct postgres *pg)
{
    pg->recent[pg->recent_at++ % PG_RECENT_MAX] = pg->xid;
}

bool pg_snapshot_sees_told(const struct postgres *pg, const char *snapshot)
{
    size_t count = pg->recent_at < PG_RECENT_MAX ? pg->recent_at : PG_RECENT_MAX;

    for (size_t i = 0; i < count; i++) {
        if (!pg_snapshot_sees(snapshot, pg->recent[i])) {
            return false;
        }
    }
    return true;
}

int pg_snapshot_wait(struct postgres *pg, bool *ret, struct err *err)
{
    struct deadline deadline = deadline_in(SNAPSHOT_WAIT_MS);

    for (;;) {
        AUTO(free_ptr) char *snapshot = NULL;
        if (pg_snapshot_of(pg, pg->sql, &snapshot, err) < 0) {
            return -(int)err->code;
        }
        *ret = pg_snapshot_sees(snapshot, pg->xid);
        if (*ret || deadline_left_ms(deadline) == 0) {
            return 0;
        }
        if (pg_pause(pg, SNAPSHOT_LOOK_MS, err) < 0) {
            return -(int)err->code;
        }
    }
}
