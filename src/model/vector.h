/*
 * vector - what an embedding says of a text: some hundred numbers, compared by their direction.
 *
 * Written as base64 of little-endian float32, in the body of an embedding's change as in a call.
 */
#ifndef HOLDFAST_MODEL_VECTOR_H
#define HOLDFAST_MODEL_VECTOR_H

#include "base/buf.h"

#define VECTOR_DIMENSIONS_MAX 4096 /* what Neo4j 5 can index */
#define VECTOR_TEXT_MAX                                                                            \
    (4 * ((VECTOR_DIMENSIONS_MAX * sizeof(float) + 2) / 3)) /* bytes of base64 */

/*
 * Read a vector: *ret is a heap array of *ret_count numbers. ERR_INVALID for what can't be compared
 * by direction: no number, one that is not finite, nothing but zeros; also for what is no such
 * text. The message is what follows the vector's name: "is all zeros, which has no direction".
 */
int vector_parse(struct str text, float **ret, size_t *ret_count, struct err *err) MUST_CHECK;

#endif
