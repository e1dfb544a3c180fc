/*
 * table - a hash table of things that carry their own link. Keys come from outside, so the hash is
 * seeded by chance.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_GUARD_TABLE_H
#define HOLDFAST_GUARD_TABLE_H

#include "base/buf.h"

struct table_link {
    struct table_link *next;
    uint64_t hash;
};

struct table {
    struct table_link **buckets;
    size_t size; /* of buckets, a power of two */
    size_t count;
    uint64_t seed;
};

typedef bool table_match_fn(const struct table_link *link, const void *key);

void table_init(struct table *table, uint64_t seed);
void table_done(struct table *table); /* the things are their owner's */

/* The two halves of the product: every bit of the input reaches every bit of the result. */
static inline uint64_t table_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t table_hash(const struct table *table, const void *bytes, size_t len);
struct table_link *table_find(const struct table *table, uint64_t hash, table_match_fn *match,
                              const void *key);
void table_add(struct table *table, struct table_link *link, uint64_t hash);
void table_remove(struct table *table, struct table_link *link);

#endif
