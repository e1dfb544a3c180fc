/* Questions about alerts. */
#include "ledger/reader.h"

static const char *const state_names[ALERT_STATES] = {
    [ALERT_OPEN] = "open",
    [ALERT_REVERTED] = "reverted",
    [ALERT_ACCEPTED] = "accepted",
};

const char *alert_state_name(enum alert_state state)
{
    return state_names[state];
}

void alert_done(struct alert *alert)
{
    if (alert == NULL) {
        return;
    }
    free(alert->rule);
    free(alert->actor);
    free(alert->project_id);
    free(alert->summary);
    free(alert->person);
    *alert = (struct alert){.version = 0};
}

static char *take_text(char **text)
{
    char *taken = *text == NULL ? xstrdup("") : *text;

    *text = NULL;
    return taken;
}

static int read_decision(struct reader *reader, int64_t key, struct change *ret_change,
                         struct decision *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int64_t earlier;

    int result = reader_get(reader, key, &query, ret_change, &earlier, err);
    return result < 0 ? result : decision_read_body(ret_change->body, ret, err);
}

/* What the incident was: as its latest HELD decision tells it, or, when there is none, its latest
 * of all. */
static int fill_incident(struct reader *reader, int64_t key, struct alert *alert, struct err *err)
{
    AUTO(decision_done) struct decision decision;
    struct change change;

    decision_init(&decision);
    int result = read_decision(reader, key, &change, &decision, err);
    if (result < 0) {
        return result;
    }
    alert->rule = take_text(&decision.rule);
    alert->actor = take_text(&decision.actor);
    alert->summary = take_text(&decision.summary);
    alert->project_id = xstrdup(change.project_id);
    alert->started_us = decision.started_us;
    alert->changes = decision.changes;
    alert->memories = decision.memories;
    return 0;
}

static int fill_resolution(struct reader *reader, int64_t key, struct alert *alert, struct err *err)
{
    AUTO(decision_done) struct decision decision;
    struct change change;

    decision_init(&decision);
    alert->resolved_us = TIME_NONE;
    if (alert->state == ALERT_OPEN) {
        alert->person = xstrdup("");
        return 0;
    }
    int result = read_decision(reader, key, &change, &decision, err);
    if (result == 0) {
        alert->person = take_text(&decision.person);
        alert->resolved_us = change.at_us;
    }
    return result;
}

static int alert_of_row(struct reader *reader, struct query *query, struct alert *ret,
                        struct err *err)
{
    int64_t state = query_get_i64(query, 1);
    int64_t key = query_get_i64(query, 2);
    int64_t held_key = query_get_i64(query, 3);
    struct alert alert = {.version = (uint64_t)query_get_i64(query, 4),
                          .detected_us = query_get_i64(query, 5)};

    if (state < 0 || state >= ALERT_STATES) {
        return err_set(err, ERR_CORRUPT, "%s: an alert has state %lld", reader->conn.path,
                       (long long)state);
    }
    alert.state = (enum alert_state)state;
    int result = query_get_fixed(query, 0, alert.id.bytes, sizeof(alert.id.bytes), err);
    if (result == 0) {
        result = fill_incident(reader, held_key != 0 ? held_key : key, &alert, err);
    }
    if (result == 0) {
        result = fill_resolution(reader, key, &alert, err);
    }
    if (result < 0) {
        alert_done(&alert);
        return result;
    }
    *ret = alert;
    return 0;
}

int read_alerts(struct reader *reader, bool open_only, read_alert_fn *each, void *arg,
                struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    int result;

    if (query_start(&reader->conn, open_only ? SQL_ALERTS_OPEN : SQL_ALERTS, &query, err) < 0) {
        return -(int)err->code;
    }
    while ((result = query_step(&query, err)) > 0) {
        AUTO(alert_done) struct alert alert = {.version = 0};
        result = alert_of_row(reader, &query, &alert, err);
        if (result == 0 && !rule_is_recovery(alert.rule)) {
            result = each(arg, &alert, err);
        }
        if (result != 0) {
            break;
        }
    }
    return result;
}

static int no_alert(const struct uuid *id, struct err *err)
{
    char text[UUID_TEXT_MAX];

    uuid_format(id, text);
    return err_set(err, ERR_NOT_FOUND, "there is no alert %s", text);
}

int read_alert(struct reader *reader, const struct uuid *id, struct alert *ret, struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};

    int result = reader_find(reader, SQL_ALERT_READ, id, &query, err);
    if (result <= 0) {
        return result < 0 ? result : no_alert(id, err);
    }
    result = alert_of_row(reader, &query, ret, err);
    if (result == 0 && rule_is_recovery(ret->rule)) {
        alert_done(ret);
        result = no_alert(id, err);
    }
    return result;
}

/* ---- what it is about ---- */

static void add_range(struct ranges *ranges, const struct range *range)
{
    if (ranges->count == ranges->capacity) {
        ranges->capacity = ranges->capacity == 0 ? 16 : ranges->capacity * 2;
        ranges->items = xrealloc(ranges->items, ranges->capacity * sizeof(*ranges->items));
    }
    ranges->items[ranges->count++] = *range;
}

int read_alert_ranges(struct reader *reader, const struct uuid *id, struct ranges *ret,
                      struct err *err)
{
    AUTO(query_end) struct query query = {.conn = NULL};
    AUTO(free_ptr) int64_t *keys = NULL;
    AUTO(ranges_done) struct ranges ranges;
    size_t count = 0;

    ranges_init(&ranges);
    int result = reader_find(reader, SQL_ALERT_LAST_KEY, id, &query, err);
    if (result <= 0) {
        return result < 0 ? result : no_alert(id, err);
    }
    result = reader_chain(reader, query_get_i64(&query, 0), &keys, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        AUTO(decision_done) struct decision decision;
        struct change change;
        decision_init(&decision);
        result = read_decision(reader, keys[i], &change, &decision, err);
        for (size_t j = 0; result == 0 && j < decision.ranges.count; j++) {
            add_range(&ranges, &decision.ranges.items[j]);
        }
    }
    if (result < 0) {
        return result;
    }
    ranges_sort(&ranges);
    *ret = ranges;
    ranges_init(&ranges);
    return 0;
}
