/*
 * pool - many small things of one size, taken and given back one by one; slabs are freed when
 * nothing is taken any more.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_GUARD_POOL_H
#define HOLDFAST_GUARD_POOL_H

#include "base/buf.h"

#define POOL_SLAB_ITEMS 256

struct pool_slab;

struct pool {
    size_t item_size; /* rounded up to what any type may be aligned to */
    size_t taken;
    struct pool_slab *slabs;
    void *spare; /* a chain of items given back */
};

void pool_init(struct pool *pool, size_t item_size);
void pool_done(struct pool *pool);  /* whatever is still taken goes too */
void *pool_take(struct pool *pool); /* zeroed */
void pool_give(struct pool *pool, void *item);

#endif
