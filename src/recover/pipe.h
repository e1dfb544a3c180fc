/*
 * pipe - reads the changes of a vault on a thread of its own, while the caller stages those that
 * came before.
 *
 * Decompressing and checking hashes takes as long as staging, so the two overlap. A few blocks are
 * under way at most: memory is bounded whatever the vault holds.
 *
 * Thread: all calls by one; the vault belongs to the pipe's thread from start to stop.
 */
#ifndef HOLDFAST_RECOVER_PIPE_H
#define HOLDFAST_RECOVER_PIPE_H

#include "vault/vault.h"

struct pipe;

#define PIPE_BLOCKS 6 /* one is written, one is read, the rest evens out their speeds */
#define PIPE_BLOCK_CHANGES                                                                         \
    128 /* few enough that a small recovery overlaps, too; a struct change is less than 1 KiB */
#define PIPE_BLOCK_BYTES CHANGE_RECORD_MAX /* so that any record fits into an empty block */
#define PIPE_SCAN_MS                                                                               \
    (6 * 60 * 60 * 1000LL) /* of one origin: a million changes take seconds, a slow remote hours   \
                            */

/* The changes of one origin after `after`, up to and with `until`. */
struct pipe_part {
    struct uuid origin;
    uint64_t after;
    uint64_t until;
};

struct pipe_block {
    struct change changes[PIPE_BLOCK_CHANGES];
    size_t count;
    char bytes[PIPE_BLOCK_BYTES]; /* records of the changes, one behind the other */
    size_t len;
};

/* Start reading the parts (borrowed until stop) in their order. cancel may be NULL. */
int pipe_start(struct vault *vault, const struct pipe_part *parts, size_t count,
               struct wake *cancel, struct pipe **ret, struct err *err) MUST_CHECK;

/* The next block, valid until the next call; NULL behind the last. Errors: the vault's, and
 * ERR_CANCELLED. */
int pipe_next(struct pipe *pipe, const struct pipe_block **ret, struct err *err) MUST_CHECK;

/* What a vault's failure means to a recovery: the vault can't be read (ERR_UNAVAILABLE), unless it
 * says that it is damaged, foreign, or that the call was cancelled or took too long. */
void pipe_vault_error(struct err *err);

void pipe_stop(struct pipe *pipe); /* ends the reading, joins, frees; NULL is fine */

#endif
