#include "guard/pool.h"

#include <stdalign.h>

struct pool_slab {
    struct pool_slab *next;
    alignas(max_align_t) char items[];
};

void pool_init(struct pool *pool, size_t item_size)
{
    size_t unit = alignof(max_align_t);

    *pool = (struct pool){.item_size = (item_size + unit - 1) / unit * unit};
}

void pool_done(struct pool *pool)
{
    while (pool->slabs != NULL) {
        struct pool_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        free(slab);
    }
    pool->spare = NULL;
    pool->taken = 0;
}

static void put_aside(struct pool *pool, void *item)
{
    memcpy(item, &pool->spare, sizeof(pool->spare));
    pool->spare = item;
}

void *pool_take(struct pool *pool)
{
    if (pool->spare == NULL) {
        struct pool_slab *slab = xmalloc(sizeof(*slab) + POOL_SLAB_ITEMS * pool->item_size);
        slab->next = pool->slabs;
        pool->slabs = slab;
        for (size_t i = POOL_SLAB_ITEMS; i-- > 0;) { /* so that they are handed out in order */
            put_aside(pool, slab->items + i * pool->item_size);
        }
    }
    void *item = pool->spare;
    memcpy(&pool->spare, item, sizeof(pool->spare));
    memset(item, 0, pool->item_size);
    pool->taken++;
    return item;
}

void pool_give(struct pool *pool, void *item)
{
    pool->taken--;
    if (pool->taken == 0) {
        pool_done(pool);
    } else {
        put_aside(pool, item);
    }
}
