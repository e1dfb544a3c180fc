/*
 * memory_field - the fields of a memory that both of its JSON forms hold, checked one by one.
 * Internal to model.
 *
 * Errors are ERR_INVALID or ERR_LIMIT with the field's name first, as in memory_from_json.
 */
#ifndef HOLDFAST_MODEL_MEMORY_FIELD_H
#define HOLDFAST_MODEL_MEMORY_FIELD_H

#include "model/field.h"
#include "model/memory.h"

extern const char *const memory_scope_names[2];

int memory_scope_parse(struct str name, enum memory_scope *ret, struct err *err) MUST_CHECK;

/* Check the tag that was given at index; keep it unless the memory has it already. */
int memory_add_tag(struct memory *memory, struct str tag, size_t index, struct err *err) MUST_CHECK;

/* Each answers a new reference, or NULL for an empty array or object. */
int memory_read_references(const json_t *value, json_t **ret, struct err *err) MUST_CHECK;
int memory_read_task(const json_t *value, json_t **ret, struct err *err) MUST_CHECK;

#endif
