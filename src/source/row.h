/*
 * row - a row of somebody's table as a memory, and back.
 *
 * Values are texts, as the database itself writes them (NULL: no value), so that every type comes
 * back as it was. The content column is the memory's content; a memory needs some, so where a row
 * has none ("" or NULL) the content is one blank, which the guard takes for what it is: emptied.
 * metadata is
 *   {"source": {"name": ..., "table": "schema.name", "key": ...}, "row": {column: text or null}}
 * with all columns but ignored ones, and the content only where it differs from the memory's. Where
 * a database keeps values of several classes in one column, what is no text is {class: text}.
 * Columns of the specification's table (memory_type, importance, session_id, tags, created_at,
 * updated_at) are also read into the memory's own fields where they can be; what can't is only in
 * the row.
 *
 * The id: of the table `memories`, an id that is a UUID is the memory's own; of any other it is
 * derived from source, table and key, so that equal keys of two tables stay apart.
 */
#ifndef HOLDFAST_SOURCE_ROW_H
#define HOLDFAST_SOURCE_ROW_H

#include "model/memory.h"
#include "source/source.h"

#define ROW_BLANK " " /* the content of a row that has none */

/* What a value is in the database, where the column does not say it. */
enum row_class {
    ROW_TEXT,
    ROW_INTEGER,
    ROW_REAL,     /* its text comes back to the same double */
    ROW_BLOB,     /* text: base64 */
    ROW_RAW_TEXT, /* a text that is not UTF-8, or has a NUL in it; text: base64 */
    ROW_CLASSES
};

struct row_value {
    const char *column;
    struct str text; /* ptr NULL: NULL */
    enum row_class class;
    bool unchanged; /* a large value that was not sent: it is what it was */
};

struct row {
    const char *source; /* name */
    const char *table;  /* "schema.name" */
    const struct source_mapping *mapping;
    const char *project; /* when the row says none */
    struct str key;      /* ptr NULL: the id column's text */
    struct row_value *values;
    size_t count;
};

/* The row's key. ERR_INVALID: there is no id column, or it is NULL. */
int row_key(const struct row *row, struct str *ret, struct err *err) MUST_CHECK;
struct uuid row_id(const char *source, const char *table, struct str key);

/* ERR_LIMIT, ERR_INVALID: the row can't be a memory, and why. Unchanged values must have been
 * filled in. The memory is the caller's. */
int row_to_memory(const struct row *row, struct memory *ret, struct err *err) MUST_CHECK;

/* Is it a row of this source (and table, unless NULL)? Views into the memory. */
struct row_origin {
    const char *table;
    const char *key;
    const json_t *values; /* the row's object; NULL: a captured definition */
};
bool row_of_memory(const struct memory *memory, const char *source, const char *table,
                   struct row_origin *ret);

/* The value of a column, views into the memory. False: it was not captured. */
bool row_value(const struct memory *memory, const struct row_origin *origin,
               const struct source_mapping *mapping, const char *column, struct row_value *ret);
/* Its text alone: NULL for NULL. */
bool row_text(const struct memory *memory, const struct row_origin *origin,
              const struct source_mapping *mapping, const char *column, struct str *ret_text);

/* Everything of the row but when it was changed: equal rows have equal ones. */
int row_digest(const struct memory *memory, struct buf *scratch, struct sha256 *ret,
               struct err *err) MUST_CHECK;

/* How a table is made, kept as a memory of its own: content is the SQL. */
int definition_to_memory(const char *source, const char *table, const char *project, struct str sql,
                         struct memory *ret, struct err *err) MUST_CHECK;
struct uuid definition_id(const char *source, const char *table);
/* Who a definition is journaled by. It is run as SQL when a table is restored, so none but ours
 * counts; no client's name has a blank in it. Heap. */
char *definition_actor(const char *source);

#endif
