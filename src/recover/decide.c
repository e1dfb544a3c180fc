#include "recover/decide.h"

#include "base/utf8.h"

static void fill(const struct decision_frame *frame, const struct range *ranges, size_t count,
                 struct decision *ret)
{
    struct str summary = str_of(frame->summary);

    decision_init(ret);
    ret->alert = frame->id;
    ret->kind = frame->kind;
    ret->ranges.items = xmalloc(count * sizeof(*ranges));
    ret->ranges.count = ret->ranges.capacity = count;
    memcpy(ret->ranges.items, ranges, count * sizeof(*ranges));
    ret->rule = xstrdup(frame->rule);
    ret->actor = xstrdup(frame->source);
    ret->summary = xstrndup(summary.ptr, utf8_cut(summary, DECISION_TEXT_MAX_BYTES));
    ret->person = xstrdup("");
    ret->changes = ranges_total(&ret->ranges);
    ret->memories = frame->memories;
    ret->started_us = frame->started_us;
}

void decisions_make(const struct decision_frame *frame, const struct ranges *ranges,
                    struct decision **ret, size_t *ret_count)
{
    size_t count = (ranges->count + RANGES_MAX - 1) / RANGES_MAX;
    struct decision_frame next = *frame;

    *ret_count = count;
    *ret = count == 0 ? NULL : xcalloc(count, sizeof(**ret));
    for (size_t i = 0; i < count; i++) {
        size_t from = i * RANGES_MAX;
        size_t left = ranges->count - from;
        fill(&next, ranges->items + from, left < RANGES_MAX ? left : RANGES_MAX, &(*ret)[i]);
        next.memories = 0;
    }
}

void decisions_free(struct decision *decisions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        decision_done(&decisions[i]);
    }
    free(decisions);
}

struct draft decision_draft(const struct decision *decision, const char *source)
{
    return (struct draft){
        .kind = KIND_GUARD,
        .op = decision->kind == DECISION_ACCEPTED ? OP_RELEASE : OP_HOLD,
        .decision = decision,
        .source = source,
    };
}
