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

static int compare(const void *left, const void *right)
{
    const struct range *a = left;
    const struct range *b = right;
    int order = uuid_cmp(&a->origin, &b->origin);

    if (order != 0) {
        return order;
    }
    return a->from < b->from ? -1 : a->from > b->from;
}

static bool touch(const struct range *a, const struct range *b)
{
    return uuid_eq(&a->origin, &b->origin) && b->from <= a->to + 1;
}

void ranges_sort(struct ranges *ranges)
{
    size_t kept = 0;

    if (ranges->count == 0) {
        return;
    }
    qsort(ranges->items, ranges->count, sizeof(*ranges->items), compare);
    for (size_t i = 1; i < ranges->count; i++) {
        struct range *last = &ranges->items[kept];
        const struct range *next = &ranges->items[i];
        if (!touch(last, next)) {
            ranges->items[++kept] = *next;
        } else if (next->to > last->to) {
            last->to = next->to;
        }
    }
    ranges->count = kept + 1;
}

size_t ranges_find(const struct ranges *sorted, const struct uuid *origin, uint64_t seq)
{
    size_t low = 0;
    size_t high = sorted->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct range *range = &sorted->items[middle];
        int order = uuid_cmp(&range->origin, origin);
        if (order < 0 || (order == 0 && range->to < seq)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool ranges_contain(const struct ranges *sorted, const struct uuid *origin, uint64_t seq)
{
    size_t at = ranges_find(sorted, origin, seq);

    return at < sorted->count && holds(&sorted->items[at], origin, seq);
}

uint64_t ranges_total(const struct ranges *ranges)
{
    uint64_t total = 0;

    for (size_t i = 0; i < ranges->count; i++) {
        total += ranges->items[i].to - ranges->items[i].from + 1;
    }
    return total;
}
