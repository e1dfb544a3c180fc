/*
 * row_origin - the row that a memory says, read back.
 *
 * It is read from metadata's canonical text in one pass, without a tree: a restore or a comparison
 * reads each row of a table. What comes out are views into the row_origin, which is used again for
 * the next memory.
 */
#ifndef HOLDFAST_SOURCE_ROW_ORIGIN_H
#define HOLDFAST_SOURCE_ROW_ORIGIN_H

#include "source/row.h"

/* Zeroed at first. Unless row_of_memory said true, it says nothing. */
struct row_origin {
    const char *table;
    const char *key;
    struct row_value *values; /* as captured, in canonical JSON's order; NULL: a definition's */
    size_t count;
    struct row_value *too_large; /* the same of what was too large: class and digest */
    size_t too_large_count;
    struct str too_large_json; /* {column: hex}, canonical; ptr NULL: none is */
    struct row_value *room;    /* what values and too_large are in */
    size_t capacity;
    char *text; /* what all strings are in */
    size_t text_capacity;
};
void row_origin_done(struct row_origin *origin);

/* Is it a row of this source (and table, unless NULL), or the definition of one of its tables? */
bool row_of_memory(const struct memory *memory, const char *source, const char *table,
                   struct row_origin *ret);

/* The value of a column, views into memory and origin. False: it was not captured, or is too large:
 * then only its class and digest are known. */
bool row_value(const struct memory *memory, const struct row_origin *origin,
               const struct source_mapping *mapping, const char *column, struct row_value *ret);
/* Its text alone: NULL for NULL. False as before. */
bool row_text(const struct memory *memory, const struct row_origin *origin,
              const struct source_mapping *mapping, const char *column, struct str *ret_text);
/* The SHA-256 in hex of a column that was too large; ptr NULL: it was not. */
struct str row_too_large(const struct row_origin *origin, const char *column);

#endif
