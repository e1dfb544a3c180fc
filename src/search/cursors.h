/*
 * cursors - how far each origin's changes are indexed, and the short number by which index.db names
 * an origin.
 */
#ifndef HOLDFAST_SEARCH_CURSORS_H
#define HOLDFAST_SEARCH_CURSORS_H

#include "base/hash.h"
#include "ledger/read.h"
#include "search/index_file.h"

struct cursor {
    int64_t no; /* from 1 */
    struct uuid origin;
    uint64_t seq;
    struct sha256 hash; /* of the change seq */
};

struct cursors {
    struct cursor *items; /* heap; number i + 1 is at i */
    size_t count;
    size_t capacity;
};

void cursors_done(struct cursors *cursors);
int cursors_load(struct cursors *cursors, struct index_file *file, struct err *err)
    MUST_CHECK; /* ERR_CORRUPT */
void cursors_copy(const struct cursors *from,
                  struct cursors *to); /* to is made anew; its old content is freed */

struct cursor *cursors_find(const struct cursors *cursors,
                            const struct uuid *origin); /* NULL: unknown */
struct cursor *cursors_get(struct cursors *cursors,
                           const struct uuid *origin); /* made at seq 0 if unknown */

/* The key of a change, and back. Origins are known. */
uint64_t cursors_key(const struct cursors *cursors, const struct uuid *origin,
                     uint64_t seq); /* 0: unknown */
uint64_t cursors_seq(uint64_t key);
const struct uuid *cursors_origin(const struct cursors *cursors,
                                  uint64_t key); /* NULL: no such number */

/* Changes of the heads that the cursors have not reached. */
uint64_t cursors_behind(const struct cursors *cursors, const struct head *heads, size_t count);

/* Write those that differ from `before`. Within a transaction. */
int cursors_save(const struct cursors *cursors, const struct cursors *before,
                 struct index_file *file, struct err *err) MUST_CHECK;

/* Each cursor's change is in the journal with the hash it had: ERR_CORRUPT when this index is not
 * of this ledger. */
int cursors_verify(const struct cursors *cursors, struct reader *reader, struct err *err)
    MUST_CHECK;

#endif
