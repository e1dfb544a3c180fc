#include "recover/past.h"

#include "recover/spans.h"

static void item_done(struct past_recovery *item)
{
    ranges_done(&item->named);
    ranges_done(&item->held);
}

void past_done(struct past *past)
{
    for (size_t i = 0; i < past->count; i++) {
        item_done(&past->items[i]);
    }
    free(past->items);
    *past = (struct past){.items = NULL};
}

static struct past_recovery *item_of(struct past *past, const struct decision *decision)
{
    for (size_t i = past->count; i-- > 0;) {
        if (uuid_eq(&past->items[i].id, &decision->alert)) {
            return &past->items[i];
        }
    }
    past->items = xrealloc(past->items, (past->count + 1) * sizeof(*past->items));
    struct past_recovery *item = &past->items[past->count++];
    *item = (struct past_recovery){.id = decision->alert,
                                   .filter = strcmp(decision->rule, RULE_RECOVER_FILTER) == 0};
    return item;
}

static void release(struct ranges *held, const struct ranges *ranges)
{
    AUTO(ranges_done) struct ranges sorted = {.items = NULL};
    struct ranges left = {.items = NULL};

    spans_put_all(&sorted, ranges);
    ranges_sort(&sorted);
    spans_subtract(held, &sorted, &left);
    ranges_done(held);
    *held = left;
}

static int take_decision(void *arg, const struct decision *decision, struct err *err)
{
    struct past_recovery *item = item_of(arg, decision);
    bool hold = decision->kind != DECISION_ACCEPTED;

    (void)err;
    spans_put_all(&item->named, &decision->ranges);
    if (hold) {
        spans_put_all(&item->held, &decision->ranges);
        ranges_sort(&item->held);
    } else {
        release(&item->held, &decision->ranges);
        item->memories += item->undone || item->filter ? 0 : decision->memories;
    }
    item->undone = item->undone || (hold && !item->filter);
    return 0;
}

int past_read(struct reader *reader, struct past *ret, struct err *err)
{
    *ret = (struct past){.items = NULL};
    int result = read_recoveries(reader, take_decision, ret, err);
    if (result < 0) {
        past_done(ret);
        return result;
    }
    for (size_t i = 0; i < ret->count; i++) {
        ranges_sort(&ret->items[i].named);
    }
    return 0;
}

void past_held(const struct past *past, struct ranges *ret)
{
    for (size_t i = 0; i < past->count; i++) {
        spans_put_all(ret, &past->items[i].held);
    }
    ranges_sort(ret);
}

struct guarded {
    struct reader *reader;
    struct ranges *ranges;
};

static int take_alert(void *arg, const struct alert *alert, struct err *err)
{
    struct guarded *guarded = arg;
    struct ranges named;

    if (alert->state == ALERT_ACCEPTED) {
        return 0;
    }
    ranges_init(&named);
    int result = read_alert_ranges(guarded->reader, &alert->id, &named, err);
    if (result == 0) {
        spans_put_all(guarded->ranges, &named);
    }
    ranges_done(&named);
    return result;
}

int past_guarded(struct reader *reader, struct ranges *ret, struct err *err)
{
    struct guarded guarded = {.reader = reader, .ranges = ret};

    int result = read_alerts(reader, false, take_alert, &guarded, err);
    ranges_sort(ret);
    return result;
}
