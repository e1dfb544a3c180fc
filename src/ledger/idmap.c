#include "ledger/idmap.h"

#include "base/num.h"

/* Time-ordered ids share their first bytes: both halves count, and are mixed (as MurmurHash3 ends).
 */
static size_t hash_of(const struct uuid *id)
{
    uint64_t bits = be64_get(id->bytes) * 0x9e3779b97f4a7c15U ^ be64_get(id->bytes + 8);

    bits ^= bits >> 33;
    bits *= 0xff51afd7ed558ccdU;
    return (size_t)(bits ^ bits >> 33);
}

/* The id's slot, or the free one where it would go. */
static struct idmap_slot *slot_of(const struct idmap *map, const struct uuid *id)
{
    size_t mask = map->capacity - 1;
    size_t i = hash_of(id) & mask;

    while (map->slots[i].place != 0 && !uuid_eq(&map->slots[i].id, id)) {
        i = (i + 1) & mask;
    }
    return &map->slots[i];
}

static void grow(struct idmap *map)
{
    struct idmap bigger = {.capacity = map->capacity == 0 ? 1024 : map->capacity * 2,
                           .count = map->count};

    bigger.slots = xcalloc(bigger.capacity, sizeof(*bigger.slots));
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].place != 0) {
            *slot_of(&bigger, &map->slots[i].id) = map->slots[i];
        }
    }
    free(map->slots);
    *map = bigger;
}

void idmap_done(struct idmap *map)
{
    free(map->slots);
    *map = (struct idmap){.slots = NULL};
}

int64_t idmap_get(const struct idmap *map, const struct uuid *id)
{
    return map->capacity == 0 ? 0 : slot_of(map, id)->place;
}

void idmap_put(struct idmap *map, const struct uuid *id, int64_t place)
{
    if ((map->count + 1) * 4 > map->capacity * 3) {
        grow(map);
    }
    struct idmap_slot *slot = slot_of(map, id);
    if (slot->place == 0) {
        map->count++;
    }
    *slot = (struct idmap_slot){.id = *id, .place = place};
}
