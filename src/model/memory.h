/*
 * memory - one thing an agent remembers: its type, validation and JSON (docs/design.md §3).
 *
 * Two JSON forms: the *object* that users see (all fields, ids included) and the *body* that a
 * change carries (canonical, without what the change's envelope already says: id, sync_version,
 * project_id, session_id; empty fields left out).
 */
#ifndef HOLDFAST_MODEL_MEMORY_H
#define HOLDFAST_MODEL_MEMORY_H

#include "base/json.h"
#include "base/timestamp.h"
#include "base/uuid.h"
#include "model/limits.h"
#include "model/metadata.h"

enum memory_type {
    MEMORY_EPISODIC,
    MEMORY_SEMANTIC,
    MEMORY_PROCEDURAL,
    MEMORY_STRATEGIC,
    MEMORY_TYPES
};
enum memory_scope { SCOPE_SHARED, SCOPE_PROJECT };

const char *memory_type_name(enum memory_type type);

/* "No such time": deleted_us of a living memory, ended_us of an open session. */
#define TIME_NONE INT64_MIN

struct memory {
    struct uuid id;        /* nil in a draft: the writer makes one */
    char *content;         /* heap, NUL-terminated UTF-8 without NUL */
    size_t content_len;    /* bytes */
    enum memory_type type; /* default MEMORY_SEMANTIC */
    double importance;
    char *project_id;       /* heap; NULL in a draft: the door's project */
    struct uuid session_id; /* nil: none */
    char **tags;            /* heap array of heap strings, in the order given, without duplicates */
    size_t tag_count;
    enum memory_scope scope;
    json_t *task;              /* {id,title,status,source} or NULL */
    json_t *references;        /* [{id,context}] or NULL */
    struct metadata *metadata; /* NULL: none */
    uint64_t version;          /* sync_version; 0 in a draft: the next one */
    int64_t created_us;        /* TIME_NONE in a draft: now */
    int64_t updated_us;        /* TIME_NONE in a draft: now */
    int64_t deleted_us;        /* TIME_NONE: alive */
};

void memory_init(struct memory *memory); /* defaults; nothing owned */
void memory_done(struct memory *memory);
/* Deep. */
int memory_copy(const struct memory *memory, struct memory *ret, struct err *err) MUST_CHECK;

/*
 * Read and check a memory object. Unknown fields are refused by name (except "embedding", "score",
 * "snippet", "sync_status", "origin", "seq" and "memory_count", which exports and replies of ours
 * may carry: ignored), so that a misspelt field is not lost in silence. `id`, times, project_id,
 * session_id, sync_version are optional here. null for an optional field is as if absent. Errors:
 * ERR_INVALID or ERR_LIMIT, the message starts with the field's name and says what is allowed.
 * Nothing is owned on error.
 */
int memory_from_json(const json_t *object, struct memory *ret, struct err *err) MUST_CHECK;

/*
 * The object for users: every field present, in canonical key order when dumped with
 * JSON_SORT_KEYS. What a draft lacks is null. New reference; task, references and metadata within
 * are shared with memory.
 */
json_t *memory_to_json(const struct memory *memory);

/* Append the canonical body. created_us and updated_us must be set. ERR_LIMIT when buf is full; buf
 * is then unchanged. */
int memory_write_body(const struct memory *memory, struct buf *buf, struct err *err) MUST_CHECK;

/*
 * Read a body back; id, version, project_id, session_id are left as memory_init made them.
 * ERR_CORRUPT names the field and what is wrong; also for a field that a body does not have, a
 * missing one, and a value that memory_from_json would refuse.
 */
int memory_read_body(struct str body, struct memory *ret, struct err *err) MUST_CHECK;

/* The memory that a change of kind memory says, whole. ERR_CORRUPT, as of its body. */
struct change;
int memory_of_change(const struct change *change, struct memory *ret, struct err *err) MUST_CHECK;

/* Same to a reader: everything equal but version, created_us and updated_us. Used so that
 * re-imports change nothing. */
bool memory_same(const struct memory *a, const struct memory *b);
bool memory_same_tags(const struct memory *a, const struct memory *b); /* in the same order */

/*
 * Checks that doors share, each with the message a user reads. project ids: 1..200 bytes of UTF-8
 * without control characters; types by name.
 */
int memory_type_parse(struct str name, enum memory_type *ret, struct err *err) MUST_CHECK;
int project_id_check(struct str id, struct err *err) MUST_CHECK;
int memory_content_check(struct str content, struct err *err) MUST_CHECK;

#endif
