#include "recover/idset.h"

#include <assert.h>

#define FIRST_CAPACITY 64

void idset_done(struct idset *set)
{
    if (set != NULL) {
        free(set->slots);
        *set = (struct idset)IDSET_INIT;
    }
}

/* The bytes of a version 7 UUID begin with the time: only the mixed whole spreads well. */
static size_t hash(const struct uuid *id)
{
    uint64_t high;
    uint64_t low;

    memcpy(&high, id->bytes, sizeof(high));
    memcpy(&low, id->bytes + sizeof(high), sizeof(low));
    high = (high ^ (low * 0x9e3779b97f4a7c15ULL)) * 0xbf58476d1ce4e5b9ULL;
    return (size_t)(high ^ (high >> 32));
}

/* Where id is, or the free slot where it belongs. */
static size_t find(const struct idset *set, const struct uuid *id)
{
    size_t at = hash(id) & (set->capacity - 1);

    while (!uuid_is_nil(&set->slots[at]) && !uuid_eq(&set->slots[at], id)) {
        at = (at + 1) & (set->capacity - 1);
    }
    return at;
}

static void grow(struct idset *set)
{
    struct idset larger = {
        .count = set->count,
        .capacity = set->capacity == 0 ? FIRST_CAPACITY : 2 * set->capacity,
    };

    larger.slots = xcalloc(larger.capacity, sizeof(*larger.slots));
    for (size_t i = 0; i < set->capacity; i++) {
        if (!uuid_is_nil(&set->slots[i])) {
            larger.slots[find(&larger, &set->slots[i])] = set->slots[i];
        }
    }
    free(set->slots);
    *set = larger;
}

void idset_add(struct idset *set, const struct uuid *id)
{
    assert(!uuid_is_nil(id));
    if (2 * (set->count + 1) > set->capacity) {
        grow(set);
    }
    size_t at = find(set, id);
    if (uuid_is_nil(&set->slots[at])) {
        set->slots[at] = *id;
        set->count++;
    }
}

bool idset_has(const struct idset *set, const struct uuid *id)
{
    return set->count > 0 && !uuid_is_nil(&set->slots[find(set, id)]);
}
