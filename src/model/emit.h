/*
 * emit - writing canonical JSON (RFC 8785) straight into a buffer, piece by piece, without a tree.
 *
 * The caller puts keys in their sorted order. The first error sticks and the rest does nothing, so
 * that a writer reads as the format it writes; emit_end answers it. After an error the buffer is as
 * it was.
 */
#ifndef HOLDFAST_MODEL_EMIT_H
#define HOLDFAST_MODEL_EMIT_H

#include "base/json.h"
#include "base/uuid.h"

struct emit {
    struct buf *buf;
    struct err *err;
    size_t start; /* the buffer's length at the beginning */
    int result;
};

struct emit emit_begin(struct buf *buf, struct err *err);
int emit_end(struct emit *emit) MUST_CHECK;

void emit_raw(struct emit *emit, struct str s); /* canonical already: punctuation, keys, a body */
void emit_string(struct emit *emit, struct str s);
void emit_uint(struct emit *emit, uint64_t number);
void emit_number(struct emit *emit, double number);
void emit_time(struct emit *emit, int64_t us);
void emit_uuid(struct emit *emit, const struct uuid *uuid);
void emit_json(struct emit *emit, const json_t *value);

#define EMIT(emit, literal) emit_raw(emit, STR(literal))

#endif
