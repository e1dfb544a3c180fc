#include "recover/spans.h"

void spans_put(struct ranges *spans, const struct uuid *origin, uint64_t from, uint64_t to)
{
    ranges_add(spans, origin, from); /* makes room, and joins what continues the last one */
    struct range *last = &spans->items[spans->count - 1];
    if (last->to < to) {
        last->to = to;
    }
}

void spans_put_all(struct ranges *spans, const struct ranges *more)
{
    for (size_t i = 0; i < more->count; i++) {
        spans_put(spans, &more->items[i].origin, more->items[i].from, more->items[i].to);
    }
}

/* What of one range is (wanted true) or is not (false) in b. */
static void split(const struct range *range, const struct ranges *b, bool wanted,
                  struct ranges *ret)
{
    uint64_t next = range->from;

    for (size_t i = ranges_find(b, &range->origin, range->from); i < b->count && next <= range->to;
         i++) {
        const struct range *other = &b->items[i];
        if (!uuid_eq(&other->origin, &range->origin) || other->from > range->to) {
            break;
        }
        uint64_t from = other->from > next ? other->from : next;
        uint64_t to = other->to < range->to ? other->to : range->to;
        if (wanted) {
            spans_put(ret, &range->origin, from, to);
        } else if (next < from) {
            spans_put(ret, &range->origin, next, from - 1);
        }
        next = to + 1;
    }
    if (!wanted && next <= range->to) {
        spans_put(ret, &range->origin, next, range->to);
    }
}

void spans_subtract(const struct ranges *a, const struct ranges *b, struct ranges *ret)
{
    for (size_t i = 0; i < a->count; i++) {
        split(&a->items[i], b, false, ret);
    }
}

void spans_intersect(const struct ranges *a, const struct ranges *b, struct ranges *ret)
{
    for (size_t i = 0; i < a->count; i++) {
        split(&a->items[i], b, true, ret);
    }
}
