#include "base/fuse.h"

#include <stdlib.h>

#include "base/buf.h"

void fusion_add(struct fusion *fusion, const struct uuid *ids, size_t count)
{
    if (fusion->count + count > fusion->capacity) {
        fusion->capacity = 2 * fusion->capacity + count;
        fusion->items = xrealloc(fusion->items, fusion->capacity * sizeof(*fusion->items));
    }
    for (size_t i = 0; i < count; i++) {
        fusion->items[fusion->count++] =
            (struct fused){ids[i], 1.0 / ((double)FUSE_DAMPING + 1.0 + (double)i)};
    }
    fusion->rankings++;
}

static int compare_scores(const struct fused *x, const struct fused *y)
{
    return (x->score < y->score) - (x->score > y->score);
}

/* What is of one id is added in one order whatever order it came in: sums of doubles depend on it.
 */
static int compare_ids(const void *a, const void *b)
{
    const struct fused *x = a;
    const struct fused *y = b;
    int order = uuid_cmp(&x->id, &y->id);

    return order != 0 ? order : compare_scores(x, y);
}

static int compare_ranks(const void *a, const void *b)
{
    const struct fused *x = a;
    const struct fused *y = b;
    int order = compare_scores(x, y);

    return order != 0 ? order : uuid_cmp(&x->id, &y->id);
}

void fusion_finish(struct fusion *fusion)
{
    size_t kept = 0;

    if (fusion->count == 0) {
        return;
    }
    qsort(fusion->items, fusion->count, sizeof(*fusion->items), compare_ids);
    for (size_t i = 1; i < fusion->count; i++) {
        if (uuid_eq(&fusion->items[i].id, &fusion->items[kept].id)) {
            fusion->items[kept].score += fusion->items[i].score;
        } else {
            fusion->items[++kept] = fusion->items[i];
        }
    }
    fusion->count = kept + 1;
    double scale = ((double)FUSE_DAMPING + 1.0) / (double)fusion->rankings;
    for (size_t i = 0; i < fusion->count; i++) {
        fusion->items[i].score *= scale;
    }
    qsort(fusion->items, fusion->count, sizeof(*fusion->items), compare_ranks);
}

void fusion_done(struct fusion *fusion)
{
    free(fusion->items);
    *fusion = (struct fusion)FUSION_INIT;
}
