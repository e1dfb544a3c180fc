#include "recover/history.h"

#include "recover/spans.h"

struct collecting {
    struct history *history;
    const struct ranges *hidden;
    const struct ranges *guarded;
    size_t capacity;
};

void history_done(struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        memory_done(&history->items[i].memory);
    }
    free(history->items);
    *history = (struct history){.items = NULL};
}

static int collect(void *arg, const struct change *change, const struct memory *memory, bool held,
                   struct err *err)
{
    struct collecting *collecting = arg;
    struct history *history = collecting->history;

    if (held && (!ranges_contain(collecting->hidden, &change->origin, change->seq) ||
                 ranges_contain(collecting->guarded, &change->origin, change->seq))) {
        return 0;
    }
    if (history->count == collecting->capacity) {
        collecting->capacity = collecting->capacity == 0 ? 8 : 2 * collecting->capacity;
        history->items = xrealloc(history->items, collecting->capacity * sizeof(*history->items));
    }
    struct version *version = &history->items[history->count];
    *version =
        (struct version){.origin = change->origin, .seq = change->seq, .at_us = change->at_us};
    int result = memory_copy(memory, &version->memory, err);
    history->count += result == 0 ? 1 : 0;
    return result;
}

int history_read(struct reader *reader, const struct uuid *id, const struct ranges *hidden,
                 const struct ranges *guarded, struct history *ret, struct err *err)
{
    struct collecting collecting = {.history = ret, .hidden = hidden, .guarded = guarded};

    *ret = (struct history){.items = NULL};
    int result = read_history(reader, id, collect, &collecting, err);
    if (result < 0 && err->code != ERR_NOT_FOUND) {
        history_done(ret);
        return result;
    }
    ret->latest = ret->count == 0 ? NULL : &ret->items[ret->count - 1];
    return 0;
}

const struct version *history_as_of(const struct history *history, int64_t at_us)
{
    for (size_t i = history->count; i-- > 0;) {
        if (history->items[i].at_us <= at_us) {
            return &history->items[i];
        }
    }
    return NULL;
}

bool version_differs(const struct version *a, const struct version *b)
{
    return (a->memory.deleted_us == TIME_NONE) != (b->memory.deleted_us == TIME_NONE) ||
           !memory_same(&a->memory, &b->memory);
}

bool history_conflicts(const struct history *history, const struct ranges *imported)
{
    for (size_t i = 0; i + 1 < history->count; i++) {
        const struct version *a = &history->items[i];
        for (size_t k = i + 1; k < history->count; k++) {
            const struct version *b = &history->items[k];
            if (b->memory.version != a->memory.version) {
                break;
            }
            if (ranges_contain(imported, &a->origin, a->seq) !=
                    ranges_contain(imported, &b->origin, b->seq) &&
                version_differs(a, b)) {
                return true;
            }
        }
    }
    return false;
}
