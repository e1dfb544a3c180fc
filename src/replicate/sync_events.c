/* sync.db: every attempt, and the changes that a vault can't take. */
#include "replicate/sync_db.h"

#define PRUNE_EVERY 1000 /* attempts */

/* ---- attempts ---- */

static int prune(struct sync_log *log, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_EVENT_PRUNE, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_i64(&query, 1, SYNC_EVENTS_KEPT);
    log->events_since_prune = 0;
    return sync_query_run(&query, err);
}

int sync_event_add(struct sync_log *log, const struct sync_event *event, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_EVENT_ADD, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_i64(&query, 1, event->at_us);
    sync_bind_text(&query, 2, event->vault);
    sync_bind_i64(&query, 3, event->direction);
    sync_bind_text(&query, 4, event->result);
    sync_bind_i64(&query, 5, (int64_t)event->count);
    sync_bind_blob(&query, 6, event->origin.bytes, sizeof(event->origin.bytes));
    sync_bind_i64(&query, 7, (int64_t)event->from_seq);
    sync_bind_i64(&query, 8, (int64_t)event->to_seq);
    sync_bind_i64(&query, 9, event->duration_us);
    sync_bind_i64(&query, 10, (int64_t)event->retries);
    sync_bind_text(&query, 11, event->error);
    bool due = ++log->events_since_prune >= PRUNE_EVERY;
    rc = sync_query_run(&query, err);
    return rc == 0 && due ? prune(log, err) : rc;
}

static int give_event(struct sync_query *query, sync_event_fn *each, void *arg, struct err *err)
{
    struct sync_event event = {.at_us = sync_get_i64(query, 0),
                               .direction =
                                   sync_get_i64(query, 2) == SYNC_PULL ? SYNC_PULL : SYNC_PUSH,
                               .count = (uint64_t)sync_get_i64(query, 4),
                               .from_seq = (uint64_t)sync_get_i64(query, 6),
                               .to_seq = (uint64_t)sync_get_i64(query, 7),
                               .duration_us = sync_get_i64(query, 8),
                               .retries = (uint64_t)sync_get_i64(query, 9)};

    int rc = sync_get_blob(query, 5, event.origin.bytes, sizeof(event.origin.bytes), err);
    if (rc == 0) {
        rc = sync_get_text(query, 1, &event.vault, err);
    }
    if (rc == 0) {
        rc = sync_get_text(query, 3, &event.result, err);
    }
    if (rc == 0) {
        rc = sync_get_text(query, 10, &event.error, err);
    }
    return rc == 0 ? each(arg, &event, err) : rc;
}

int sync_events(struct sync_log *log, const char *vault, size_t limit, sync_event_fn *each,
                void *arg, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_EVENT_LIST, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_text(&query, 1, vault);
    sync_bind_i64(&query, 2, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    while ((rc = sync_query_step(&query, err)) > 0) {
        rc = give_event(&query, each, arg, err);
        if (rc != 0) {
            break;
        }
    }
    return rc;
}

/* ---- dead letters ---- */

int dead_letter_add(struct sync_log *log, const struct dead_letter *letter, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_LETTER_ADD, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_i64(&query, 1, letter->at_us);
    sync_bind_text(&query, 2, letter->vault);
    sync_bind_blob(&query, 3, letter->origin.bytes, sizeof(letter->origin.bytes));
    sync_bind_i64(&query, 4, (int64_t)letter->seq);
    sync_bind_text(&query, 5, letter->error);
    return sync_query_run(&query, err);
}

static int give_letter(struct sync_query *query, dead_letter_fn *each, void *arg, struct err *err)
{
    struct dead_letter letter = {.id = sync_get_i64(query, 0),
                                 .at_us = sync_get_i64(query, 1),
                                 .seq = (uint64_t)sync_get_i64(query, 4)};

    int rc = sync_get_blob(query, 3, letter.origin.bytes, sizeof(letter.origin.bytes), err);
    if (rc == 0) {
        rc = sync_get_text(query, 2, &letter.vault, err);
    }
    if (rc == 0) {
        rc = sync_get_text(query, 5, &letter.error, err);
    }
    return rc == 0 ? each(arg, &letter, err) : rc;
}

int dead_letters(struct sync_log *log, const char *vault, dead_letter_fn *each, void *arg,
                 struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_LETTER_LIST, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_text(&query, 1, vault);
    while ((rc = sync_query_step(&query, err)) > 0) {
        rc = give_letter(&query, each, arg, err);
        if (rc != 0) {
            break;
        }
    }
    return rc;
}

int dead_letter_count(struct sync_log *log, const char *vault, uint64_t *ret, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_LETTER_COUNT, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_text(&query, 1, vault);
    rc = sync_query_step(&query, err);
    if (rc > 0) {
        *ret = (uint64_t)sync_get_i64(&query, 0);
        rc = 0;
    }
    return rc;
}

int dead_letter_remove(struct sync_log *log, int64_t id, struct err *err)
{
    AUTO(sync_query_end) struct sync_query query = {.log = NULL};

    int rc = sync_query_start(log, SYNC_SQL_LETTER_REMOVE, &query, err);
    if (rc < 0) {
        return rc;
    }
    sync_bind_i64(&query, 1, id);
    return sync_query_run(&query, err);
}
