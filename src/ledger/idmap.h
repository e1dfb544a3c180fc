/*
 * idmap - from a memory's id to its place, in memory: what a bulk import looks up while the index
 * is not there yet.
 */
#ifndef HOLDFAST_LEDGER_IDMAP_H
#define HOLDFAST_LEDGER_IDMAP_H

#include "base/uuid.h"

#define IDMAP_MAX                                                                                  \
    ((size_t)4 << 20) /* ids, which take up to 192 MiB; beyond it the index is made and used */

struct idmap_slot {
    struct uuid id;
    int64_t place; /* 0: free */
};

struct idmap {
    struct idmap_slot *slots; /* heap; a power of two of them */
    size_t capacity;
    size_t count;
};

void idmap_done(struct idmap *map);
int64_t idmap_get(const struct idmap *map, const struct uuid *id); /* 0: not there */
void idmap_put(struct idmap *map, const struct uuid *id,
               int64_t place); /* also over an older place */

#endif
