#include "model/range.h"

void ranges_init(struct ranges *ranges)
{
    *ranges = (struct ranges){.items = NULL};
}

void ranges_done(struct ranges *ranges)
{
    if (ranges != NULL) {
        free(ranges->items);
        ranges_init(ranges);
    }
}

static bool holds(const struct range *range, const struct uuid *origin, uint64_t seq)
{
    return seq >= range->from && seq <= range->to && uuid_eq(&range->origin, origin);
}

void ranges_add(struct ranges *ranges, const struct uuid *origin, uint64_t seq)
{
    struct range *last = ranges->count > 0 ? &ranges->items[ranges->count - 1] : NULL;

    if (last != NULL && holds(last, origin, seq)) {
        return;
    }
    if (last != NULL && last->to == seq - 1 && uuid_eq(&last->origin, origin)) {
        last->to = seq;
        return;
    }
    if (ranges->items == NULL || ranges->count == ranges->capacity) {
        ranges->capacity = ranges->count == 0 ? 16 : 2 * ranges->count;
        ranges->items = xrealloc(ranges->items, ranges->capacity * sizeof(*ranges->items));
    }
    ranges->items[ranges->count++] = (struct range){.origin = *origin, .from = seq, .to = seq};
}

bool ranges_contain(const struct ranges *ranges, const struct uuid *origin, uint64_t seq)
{
    for (size_t i = 0; i < ranges->count; i++) {
        if (holds(&ranges->items[i], origin, seq)) {
            return true;
        }
    }
    return false;
}

uint64_t ranges_total(const struct ranges *ranges)
{
    uint64_t total = 0;

    for (size_t i = 0; i < ranges->count; i++) {
        total += ranges->items[i].to - ranges->items[i].from + 1;
    }
    return total;
}
