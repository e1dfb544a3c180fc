/*
 * spool - a body that may be large: in memory up to SPOOL_MEMORY_MAX, beyond it in an unlinked
 * temporary file.
 *
 * Thread: one at a time.
 */
#ifndef HOLDFAST_API_SPOOL_H
#define HOLDFAST_API_SPOOL_H

#include "base/json.h"

#define SPOOL_MEMORY_MAX (1024 * 1024)
#define SPOOL_MAX ((uint64_t)16 * 1024 * 1024 * 1024) /* bytes of one body */

struct spool {
    struct buf memory;
    int fd; /* -1 while all of it is in memory */
    uint64_t len;
};

void spool_init(struct spool *spool);
void spool_done(struct spool *spool);
int spool_add(struct spool *spool, const void *bytes, size_t len, struct err *err) MUST_CHECK;
int spool_add_json(struct spool *spool, const json_t *value, struct err *err)
    MUST_CHECK; /* compact, keys sorted, and a newline */

/* Read from the start, in pieces: *ret_len 0 at the end. offset is the caller's position. */
int spool_read(struct spool *spool, uint64_t offset, void *bytes, size_t capacity, size_t *ret_len,
               struct err *err) MUST_CHECK;

/* Line by line (without "\n"; the last may lack it). A line over max bytes is handed over as
 * STR_TOO_LONG: ptr NULL, len its length. */
struct spool_lines {
    struct spool *spool;
    uint64_t offset;
    size_t max;
    struct buf chunk;
    size_t at;
    uint64_t number; /* of the line last returned, from 1 */
};
void spool_lines_init(struct spool_lines *lines, struct spool *spool, size_t max);
void spool_lines_done(struct spool_lines *lines);
/* *ret_more false at the end. The view is good until the next call. */
int spool_lines_next(struct spool_lines *lines, struct str *ret_line, bool *ret_more,
                     struct err *err) MUST_CHECK;

#endif
