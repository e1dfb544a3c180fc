/*
 * file_line - one line of a file vault: a change, or the gap that stands for one (docs/formats.md
 * §2.2).
 */
#ifndef HOLDFAST_VAULT_FILE_LINE_H
#define HOLDFAST_VAULT_FILE_LINE_H

#include "model/change.h"

/* What a line says of its place in the chain. */
struct file_line {
    uint64_t seq;
    struct sha256 prev;
    struct sha256 hash;
    bool gap;
};

/*
 * The seq of a line and whether it is a gap, from its end and without checking more than it takes
 * to find them: for walking a segment fast. ERR_CORRUPT when there is none, or when the line holds
 * a NUL.
 */
int file_line_peek(struct str line, uint64_t *ret_seq, bool *ret_gap, struct err *err) MUST_CHECK;

/*
 * Read a line (without its LF) and check that it proves itself: a change by its hash, a gap by its
 * sum; both must be of origin. *ret_change is a change's (its views point into record_buf, which is
 * reset first), and untouched by a gap.
 */
int file_line_read(struct str line, const struct uuid *origin, struct buf *record_buf,
                   struct file_line *ret, struct change *ret_change, struct err *err) MUST_CHECK;

/* Append the line of a gap, with its LF. */
int file_line_write_gap(const struct uuid *origin, const struct file_line *gap, struct buf *buf,
                        struct err *err) MUST_CHECK;

/*
 * Sums, of what does not prove itself by a chained hash: end the object that begins at `start` of
 * buf (without its brace) with `,"sum":"…"}`, the SHA-256 of the object without its sum; and is
 * that of an object right?
 */
int file_line_end_sum(struct buf *buf, size_t start, struct err *err) MUST_CHECK;
bool file_line_sum_is_right(struct str object);

#endif
