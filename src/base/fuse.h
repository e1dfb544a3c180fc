/*
 * fuse - several rankings of the same things made one, by their ranks alone.
 *
 * Scores of different kinds (BM25, cosine) can't be added; ranks can. Reciprocal rank fusion
 * (Cormack, Clarke, Büttcher: SIGIR 2009) gives a thing 1 / (60 + rank) for each ranking it is in.
 * Here that is scaled so that 1 means the first of every ranking. Equal ones come by id, so that
 * the same rankings give the same order.
 */
#ifndef HOLDFAST_BASE_FUSE_H
#define HOLDFAST_BASE_FUSE_H

#include "base/uuid.h"

#define FUSE_DAMPING 60 /* the paper's: how little the first ranks stand out from those behind */

struct fused {
    struct uuid id;
    double score; /* 0 to 1 */
};

struct fusion {
    struct fused *items; /* heap; after fusion_finish each id once, best first */
    size_t count;
    size_t capacity;
    size_t rankings;
};

#define FUSION_INIT                                                                                \
    {                                                                                              \
        .items = NULL, .count = 0, .capacity = 0, .rankings = 0                                    \
    }

/* One ranking more: ids, best first, each once. */
void fusion_add(struct fusion *fusion, const struct uuid *ids, size_t count);
/* All rankings are there: score and order what they have. */
void fusion_finish(struct fusion *fusion);
void fusion_done(struct fusion *fusion);

#endif
