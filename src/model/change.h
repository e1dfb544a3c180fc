/*
 * change - one entry of the journal: the unit that is kept, copied, judged and recovered
 * (docs/design.md §3).
 *
 * Its *record* is the canonical JSON (RFC 8785) of
 *   {"at","body","id","kind","op","origin","project_id","seq","session_id","source","version"}
 * with every key present (project_id "" and session_id null when there is none; body is an object;
 * at is the text of timestamp_format; the id of a memory, a session and a guard's decision is a
 * UUID in lower case). Its hash is
 *   SHA-256(prev || record), prev being the 32 bytes of the hash of seq - 1 of the same origin
 *   (zero bytes for seq 1).
 * Its *line* in files is the record with `,"prev":"<64 hex>","hash":"<64 hex>"` put before the
 * closing brace.
 */
#ifndef HOLDFAST_MODEL_CHANGE_H
#define HOLDFAST_MODEL_CHANGE_H

#include "base/hash.h"
#include "base/timestamp.h"
#include "base/uuid.h"
#include "model/limits.h"

enum change_kind {
    KIND_MEMORY,
    KIND_SESSION,
    KIND_PROJECT,
    KIND_TASK,
    KIND_EMBEDDING,
    KIND_GUARD,
    CHANGE_KINDS
};
enum change_op { OP_PUT, OP_DELETE, OP_HOLD, OP_RELEASE, CHANGE_OPS };

const char *change_kind_name(enum change_kind kind);
const char *change_op_name(enum change_op op);

/* What a line has where its record has "}". */
#define CHANGE_LINE_SUFFIX_LEN (sizeof(",\"prev\":\"\",\"hash\":\"\"}") - 1 + 2 * 64)
#define CHANGE_LINE_MAX (CHANGE_RECORD_MAX + CHANGE_LINE_SUFFIX_LEN)

/* A change with its record. Views point into the record, which the holder keeps alive. */
struct change {
    struct uuid origin;
    uint64_t seq; /* 1.. */
    enum change_kind kind;
    enum change_op op;
    char id[CHANGE_ID_MAX_BYTES + 1]; /* a UUID in lower case, or a project's id */
    uint64_t version;                 /* 1.. */
    int64_t at_us;
    char source[SOURCE_MAX_BYTES + 1];
    char project_id[PROJECT_ID_MAX_BYTES + 1]; /* "" for none */
    struct uuid session_id;                    /* nil for none */
    struct str body;                           /* canonical JSON object, within record */
    struct str record;                         /* canonical JSON */
    struct sha256 prev;
    struct sha256 hash;
};

/*
 * Append to buf the record made of change's fields (body is taken from change->body, already
 * canonical). Record, prev and hash of the change are not looked at. What reading would refuse is
 * refused here first, by the field's name: ERR_INVALID, or ERR_LIMIT for a text or a record that is
 * too long; buf is then unchanged.
 */
int change_write_record(const struct change *change, struct buf *buf, struct err *err) MUST_CHECK;

/* SHA-256(prev || record). */
struct sha256 change_hash(const struct sha256 *prev, struct str record);

/*
 * Read a record (borrowed, must outlive *ret). Scans once without building a tree (this is the hot
 * path of recovery: a million a second); prev and hash stay zero. ERR_CORRUPT says what is wrong at
 * which byte: keys missing or out of order, a value out of its limits, an unknown kind. It does not
 * check the body beyond its being one balanced JSON object.
 */
int change_read_record(struct str record, struct change *ret, struct err *err) MUST_CHECK;

/* Append the line of a record, with the final newline. */
int change_write_line(struct str record, const struct sha256 *prev, const struct sha256 *hash,
                      struct buf *buf, struct err *err) MUST_CHECK;

/*
 * Read a line (without its newline). record_buf (reset first) receives the record's bytes, which
 * *ret's views point into. The hash is checked against prev and record: ERR_CORRUPT when it does
 * not match. Whether prev is the right one is the caller's to check.
 */
int change_read_line(struct str line, struct buf *record_buf, struct change *ret, struct err *err)
    MUST_CHECK;

/*
 * The last-writer-wins order of two changes to one thing: version, then updated_at of the body
 * (at_us where a body has none), then origin. <0, 0, >0.
 */
int change_compare(const struct change *a, const struct change *b);

#endif
