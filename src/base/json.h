/*
 * json - reading strictly, writing canonically. Trees are jansson's json_t; their references follow jansson's rules.
 */
#ifndef HOLDFAST_BASE_JSON_H
#define HOLDFAST_BASE_JSON_H

#include <jansson.h>

#include "base/buf.h"

#define JSON_DEPTH_MAX 64 /* nesting that anybody needs; deeper input is refused before it can hurt */

/*
 * Parse one JSON text (RFC 8259): strict UTF-8, no NUL, no duplicate keys, no lone surrogates, no NaN, nothing behind it,
 * at most JSON_DEPTH_MAX levels (checked by a scan before parsing, so 1,000,000 levels cost nothing). Any JSON value is
 * accepted at the top. ERR_INVALID says line and column. *ret is a new reference.
 */
int json_parse(struct str text, json_t **ret, struct err *err) MUST_CHECK;

/*
 * Append the canonical form (RFC 8785): keys sorted by UTF-16 code units, ECMAScript's shortest numbers, minimal escapes.
 * ERR_INVALID for an integer outside ±(2^53 - 1), which RFC 8785 can't carry (say: send it as a string); ERR_LIMIT.
 */
int json_canonical(const json_t *value, struct buf *buf, struct err *err) MUST_CHECK;

/* The pieces of the canonical form, for code that writes JSON without a tree. */
int json_canonical_string(struct str s, struct buf *buf, struct err *err) MUST_CHECK; /* with its quotes */
int json_canonical_number(double number, struct buf *buf, struct err *err) MUST_CHECK;

/* For cleanup: `AUTO(json_unref) json_t *root = NULL;` */
void json_unref(json_t **value);

#endif
