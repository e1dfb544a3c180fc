/*
 * metadata - what else a memory says: any JSON object, held as its canonical text.
 *
 * Most of it is only carried from one body to the next, so its tree is made for the first who asks.
 * NULL is no metadata, which is what an empty object is read as. Not for two threads at once.
 */
#ifndef HOLDFAST_MODEL_METADATA_H
#define HOLDFAST_MODEL_METADATA_H

#include "base/json.h"

struct metadata;
struct scan;

/* From what a door was given. ERR_INVALID for what is no object or can't be written canonically,
 * ERR_LIMIT for too many bytes or levels; the message begins with "metadata". */
int metadata_from_json(const json_t *value, struct metadata **ret, struct err *err) MUST_CHECK;
/* What comes next in a stored body, whose UTF-8 was checked. ERR_CORRUPT unless it is an object in
 * canonical form, ERR_LIMIT as above. */
int metadata_scan(struct scan *scan, struct metadata **ret, struct err *err) MUST_CHECK;
/* Of an object that was written with the emit functions; buf is empty afterwards. */
struct metadata *metadata_take(struct buf *canonical);
int metadata_too_large(struct err *err); /* the ERR_LIMIT for too many bytes */

struct metadata *metadata_copy(const struct metadata *metadata); /* deep */
void metadata_free(struct metadata *metadata);

struct str metadata_text(const struct metadata *metadata); /* NULL: an empty view */
/* Borrowed, not to be changed; NULL of NULL. */
json_t *metadata_tree(struct metadata *metadata);
bool metadata_same(const struct metadata *a, const struct metadata *b);

#endif
