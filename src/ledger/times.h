/*
 * times - what of a memory's body the projection keeps, read without the rest: an import does this
 * a million times.
 */
#ifndef HOLDFAST_LEDGER_TIMES_H
#define HOLDFAST_LEDGER_TIMES_H

#include "model/change.h"
#include "model/memory.h"

struct times {
    int64_t created_us;
    int64_t updated_us;
    int64_t deleted_us; /* TIME_NONE: alive */
};

/* What the body does not say is taken from the change. ERR_CORRUPT. */
int times_of_body(const struct change *change, struct times *ret, struct err *err) MUST_CHECK;

#endif
