/*
 * idset - a set of UUIDs: 16 bytes each and as much again for room, so a million take 32 MiB at
 * most.
 */
#ifndef HOLDFAST_RECOVER_IDSET_H
#define HOLDFAST_RECOVER_IDSET_H

#include "base/uuid.h"

struct idset {
    struct uuid *slots; /* heap; nil: free */
    size_t count;
    size_t capacity; /* 0 or a power of two */
};

#define IDSET_INIT                                                                                 \
    {                                                                                              \
        .slots = NULL                                                                              \
    }

void idset_done(struct idset *set);
void idset_add(struct idset *set, const struct uuid *id); /* not the nil one */
bool idset_has(const struct idset *set, const struct uuid *id);

#endif
