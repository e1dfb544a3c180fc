/*
 * row - a row of somebody's table as a memory; back it comes by source/row_origin.h.
 *
 * Values are texts, as the database itself writes them (NULL: no value), so that every type comes
 * back as it was. The content column is the memory's content; a memory needs some, so where a row
 * has none ("" or NULL) the content is one blank, which the guard takes for what it is: emptied.
 * metadata is
 *   {"source": {"name": ..., "table": "schema.name", "key": ...}, "row": {column: text or null}}
 * with all columns but ignored ones, and the content only where it differs from the memory's. Where
 * a database keeps values of several classes in one column, what is no text is {class: text}.
 * A value that is too large for a memory (content of more than 50,000 characters, others of more
 * than 16 KiB together), or a text that is not UTF-8 and has no class that says so, is left out,
 * and told apart by its SHA-256: "too_large": {column: hex} beside them, where it is no text
 * {column: {class: hex}}, of its bytes. Such content is one blank, too: what it was is gone from
 * the row. A key is never left out. Columns of the specification's table (memory_type, importance,
 * session_id, tags, created_at, updated_at) are also read into the memory's own fields where they
 * can be; what can't is only in the row.
 *
 * The id: of the table that keeps its UUIDs (source/ids.h) the row's own; of any other it is
 * derived from source, table and key, so that equal keys of two tables stay apart.
 */
#ifndef HOLDFAST_SOURCE_ROW_H
#define HOLDFAST_SOURCE_ROW_H

#include "base/hash.h"
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

/* Of the name that metadata has for a class that is no text. */
bool row_class_parse(struct str name, enum row_class *ret);

struct row_value {
    const char *column;
    struct str text; /* ptr NULL: NULL */
    enum row_class class;
    bool is_key;       /* the row's key is made of it (and of others); where row.key is given */
    bool unchanged;    /* a large value that was not sent: it is what it was */
    struct str digest; /* of one that was too large, in hex, when that is all that is known of it */
};

struct row {
    const char *source; /* name */
    const char *table;  /* "schema.name" */
    const struct source_mapping *mapping;
    const char *project; /* when the row says none */
    struct str key;      /* ptr NULL: the id column's text */
    bool keeps_ids;      /* its UUID is the memory's id; the intake's to know */
    struct row_value *values;
    size_t count;
};

/* The row's key. ERR_INVALID: there is no id column, or it is NULL. */
int row_key(const struct row *row, struct str *ret, struct err *err) MUST_CHECK;
/* The same as a memory has it; a view, NULL: it is no row. */
const char *row_key_of(const struct memory *memory);
struct uuid row_id(const char *source, const char *table, bool keeps_ids, struct str key);

/* ERR_LIMIT (its key, or digests of too many large values), ERR_INVALID: the row can't be a memory,
 * and why. Unchanged values must have been filled in. The memory is the caller's. *ret_large (may
 * be NULL): a column of row whose value is too large, so that its digest stands for it; NULL: none.
 */
int row_to_memory(const struct row *row, struct memory *ret, const char **ret_large,
                  struct err *err) MUST_CHECK;

/* The digest that a value has when it is too large. */
void row_value_digest(const struct row_value *value, char ret_hex[SHA256_HEX_MAX]);

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
