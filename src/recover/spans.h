/*
 * spans - sets of changes as sorted, disjoint ranges: by origin, then seq. What struct ranges
 * holds, with set arithmetic.
 *
 * Anything may be put in with spans_put in any order; ranges_sort makes it a set again. All others
 * need a sorted one.
 */
#ifndef HOLDFAST_RECOVER_SPANS_H
#define HOLDFAST_RECOVER_SPANS_H

#include "model/range.h"

void spans_put(struct ranges *spans, const struct uuid *origin, uint64_t from, uint64_t to);
void spans_put_all(struct ranges *spans, const struct ranges *more);

/* What is in a and not in b, added to *ret (initialised; sorted when it was empty). */
void spans_subtract(const struct ranges *a, const struct ranges *b, struct ranges *ret);
/* What is in both, added to *ret likewise. */
void spans_intersect(const struct ranges *a, const struct ranges *b, struct ranges *ret);

#endif
