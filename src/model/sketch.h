/*
 * sketch - what a text says, in a few bytes: enough to tell whether another text still says it.
 *
 * A sketch is made of the text's shingles: each run of SKETCH_SHINGLE bytes in it, wherever it
 * begins. Their hashes fall into bins, and of each bin the least is kept (a MinHash with one
 * permutation: Li, Owen, Zhang 2012). The share of equal bins then estimates how many shingles two
 * texts have in common, however long they are, to about one part in ten. An edit leaves most
 * shingles as they were, a text put in another's place next to none.
 *
 * Never stored nor sent: sketches are only compared with those of the same process.
 *
 * Thread: no state.
 */
#ifndef HOLDFAST_MODEL_SKETCH_H
#define HOLDFAST_MODEL_SKETCH_H

#include "base/buf.h"

#define SKETCH_BINS 32
#define SKETCH_SHINGLE 8 /* bytes: two words of prose have hardly one such run in common */

struct sketch {
    uint32_t shingles;         /* 0: of no text */
    uint8_t bins[SKETCH_BINS]; /* 0: no shingle fell into it */
};

struct sketch sketch_of(struct str text);

/* An edit leaves at least so many quarters of a text. */
#define SKETCH_EDIT_QUARTERS 3

/*
 * Sketches of a text before and after a change. On the face of it most changes are edits, because
 * what the texts begin and end with is SKETCH_EDIT_QUARTERS of the one before: that is seen in a
 * fraction of the time, and both are then of no text.
 */
void sketch_change(struct str before, struct str after, struct sketch *ret_before,
                   struct sketch *ret_after);

/* Is less than quarters/4 (1..4) of what the one text says in the other? Not when either is of no
 * text. */
bool sketch_keeps_less(const struct sketch *before, const struct sketch *after, unsigned quarters);

#endif
