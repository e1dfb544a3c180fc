/* A person's word on an alert, and alerts that come from outside the writer. */
#include "guard/guard.h"

#define OPEN_NAMED_MAX 5 /* alerts that an error message names */

/* ---- alerts from outside ---- */

void guard_outside_alert(struct env *env, const char *rule, const char *actor, const char *summary,
                         struct decision *ret)
{
    decision_init(ret);
    ret->alert = uuid_new(env);
    ret->kind = DECISION_HELD;
    ret->rule = xstrdup(rule);
    ret->actor = xstrdup(actor);
    ret->summary = xstrdup(summary);
    ret->person = xstrdup("");
    ret->started_us = env->now_us(env);
}

/* ---- what there is to resolve ---- */

struct named {
    char *text; /* heap */
    size_t count;
};

static int name_alert(void *arg, const struct alert *alert, struct err *err)
{
    struct named *named = arg;
    char id[UUID_TEXT_MAX];

    (void)err;
    if (++named->count <= OPEN_NAMED_MAX) {
        uuid_format(&alert->id, id);
        char *longer = xprintf("%s%s%s", named->text, named->count > 1 ? ", " : "", id);
        free(named->text);
        named->text = longer;
    }
    return 0;
}

static int not_found(struct reader *reader, const char *id, struct err *err)
{
    struct named named = {.text = xstrdup("")};
    int result = read_alerts(reader, true, name_alert, &named, err);

    if (result == 0 && named.count == 0) {
        result = err_set(err, ERR_NOT_FOUND, "there is no alert %s; none is open", id);
    } else if (result == 0) {
        result = err_set(err, ERR_NOT_FOUND, "there is no alert %s; open %s: %s%s", id,
                         named.count == 1 ? "is" : "are", named.text,
                         named.count > OPEN_NAMED_MAX ? ", ..." : "");
    }
    free(named.text);
    return result;
}

static int resolved_already(const struct alert *alert, const char *id, struct err *err)
{
    char when[TIMESTAMP_TEXT_MAX] = "an unknown time";

    if (alert->resolved_us >= TIMESTAMP_MIN_US && alert->resolved_us <= TIMESTAMP_MAX_US) {
        timestamp_format(alert->resolved_us, when);
    }
    return err_set(err, ERR_CONFLICT, "alert %s is resolved already: %s by %s at %s", id,
                   alert_state_name(alert->state),
                   alert->person[0] == '\0' ? "somebody" : alert->person, when);
}

/* ---- ranges ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/*
 * Close the narrowest gaps until the ranges fit into one decision. Only for a release: it takes out
 * of the alert's hold whatever lies within, and what the alert never held is not touched by it.
 */
static void close_gaps(struct ranges *ranges)
{
    size_t count = ranges->count;
    AUTO(free_ptr) uint64_t *gaps = xcalloc(count, sizeof(*gaps));
    size_t gap_count = 0;

    for (size_t i = 1; i < count; i++) {
        const struct range *range = &ranges->items[i];
        if (uuid_eq(&range->origin, &range[-1].origin)) {
            gaps[gap_count++] = range->from - range[-1].to;
        }
    }
    if (gap_count == 0) {
        return;
    }
    qsort(gaps, gap_count, sizeof(*gaps), compare_u64);
    size_t surplus = count - RANGES_MAX;
    uint64_t widest = gaps[(surplus < gap_count ? surplus : gap_count) - 1];
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        struct range *range = &ranges->items[i];
        struct range *last = &ranges->items[kept - 1];
        if (uuid_eq(&range->origin, &last->origin) && range->from - last->to <= widest) {
            last->to = range->to;
        } else {
            ranges->items[kept++] = *range;
        }
    }
    ranges->count = kept;
}

/*
 * A decision has room for RANGES_MAX. A release names more by closing gaps. A reversal need not
 * name all: what the alert's own decisions hold stays held, and naming what it doesn't hold would
 * take that away.
 */
static void fit(struct ranges *ranges, bool accept)
{
    if (ranges->count > RANGES_MAX && accept) {
        close_gaps(ranges);
    }
    if (ranges->count > RANGES_MAX) {
        ranges->count = RANGES_MAX;
    }
}

int guard_resolution(struct reader *reader, const struct uuid *alert, bool accept,
                     const char *person, struct decision *ret, struct err *err)
{
    AUTO(alert_done) struct alert found = {.version = 0};
    char text[UUID_TEXT_MAX];

    uuid_format(alert, text);
    int result = read_alert(reader, alert, &found, err);
    if (result == -ERR_NOT_FOUND) {
        return not_found(reader, text, err);
    }
    if (result == 0 && found.state != ALERT_OPEN) {
        result = resolved_already(&found, text, err);
    }
    if (result < 0) {
        return result;
    }
    struct ranges ranges;
    result = read_alert_ranges(reader, alert, &ranges, err);
    if (result < 0) {
        return result;
    }
    fit(&ranges, accept);
    decision_init(ret);
    ret->alert = *alert;
    ret->kind = accept ? DECISION_ACCEPTED : DECISION_REVERTED;
    ret->ranges = ranges;
    ret->rule = xstrdup(found.rule);
    ret->actor = xstrdup(found.actor);
    ret->summary = xstrdup(found.summary);
    ret->changes = found.changes;
    ret->memories = found.memories;
    ret->started_us = found.started_us;
    ret->person = xstrdup(person == NULL ? "" : person);
    return 0;
}
