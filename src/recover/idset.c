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

/* Every bit of the input moves the low bits of the result (MurmurHash3's finalizer). */
static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ (bits >> 33)) * 0xff51afd7ed558ccdULL;
    bits = (bits ^ (bits >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return bits ^ (bits >> 33);
}

/* A version 7 UUID begins with the time, others count in any byte: only the whole spreads well. */
static size_t hash(const struct uuid *id)
{
    uint64_t high;
    uint64_t low;

    memcpy(&high, id->bytes, sizeof(high));
    memcpy(&low, id->bytes + sizeof(high), sizeof(low));
    return (size_t)mix(high + mix(low));
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
