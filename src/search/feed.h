/*
 * feed - from the journal into the index.
 *
 * What is indexed is always a memory's current state as the ledger's snapshot has it, whichever
 * change led there; so changes may come in any order and twice. A batch is sorted by place before
 * it is written (index_file.h says why) and is one transaction together with its cursors.
 *
 * The index keeps no text. To take a memory out, the text it was put in with is read from the
 * journal, which forgets nothing.
 *
 * Thread: that of the index_file.
 */
#ifndef HOLDFAST_SEARCH_FEED_H
#define HOLDFAST_SEARCH_FEED_H

#include "search/cursors.h"

#define FEED_CHANGES_MAX 16384 /* of one batch: large, because FTS5 merges what each one writes */
#define FEED_TEXT_BYTES (16 * 1024 * 1024) /* gathered before it is written */

/*
 * Index the next changes, FEED_CHANGES_MAX at most. *ret_changes is how many, 0 when there are
 * none. cursors, as of the file, move along on success. ERR_CORRUPT: the index does not fit the
 * ledger (or one of them is damaged).
 */
int feed_batch(struct index_file *file, struct reader *reader, struct cursors *cursors,
               size_t *ret_changes, struct err *err) MUST_CHECK;

/*
 * Fill an empty index: put up to `limit` memories with places from *from on, which moves behind
 * them. *ret_end when there are no more. Within a transaction of the caller's. Cursors only name
 * the origins.
 */
int feed_fill(struct index_file *file, struct reader *reader, const struct cursors *cursors,
              int64_t *from, size_t limit, bool *ret_end, struct err *err) MUST_CHECK;

/* What is indexed as a memory's tags: append it. */
#define FEED_TAGS_MAX                                                                              \
    ((size_t)MEMORY_TAGS_MAX * (MEMORY_TAG_MAX_BYTES + 1)) /* bytes; a space behind each */
int feed_tags(const struct memory *memory, struct buf *text, struct err *err) MUST_CHECK;

/* Cursors at the heads of the reader's snapshot. */
int feed_heads(struct reader *reader, struct cursors *ret, struct err *err) MUST_CHECK;

#endif
