/*
 * json - reading strictly, writing canonically. Trees are jansson's json_t; their references follow
 * jansson's rules.
 */
#ifndef HOLDFAST_BASE_JSON_H
#define HOLDFAST_BASE_JSON_H

#include <jansson.h>

#include "base/buf.h"

#define JSON_DEPTH_MAX                                                                             \
    64 /* nesting that anybody needs; deeper input is refused before it can hurt */

/*
 * Parse one JSON text (RFC 8259): strict UTF-8, no NUL, no duplicate keys, no lone surrogates, no
 * NaN, nothing behind it, at most JSON_DEPTH_MAX levels. Any JSON value is accepted at the top.
 * ERR_INVALID says line and column (in characters). *ret is a new reference. Not jansson's reader,
 * which takes three times as long; the same texts are accepted (tests/fuzz/fuzz_json.c compares
 * them).
 */
int json_parse(struct str text, json_t **ret, struct err *err) MUST_CHECK;

/*
 * Append the canonical form (RFC 8785): keys sorted by UTF-16 code units, ECMAScript's shortest
 * numbers, minimal escapes. ERR_INVALID for an integer outside ±(2^53 - 1), which RFC 8785 can't
 * carry (say: send it as a string), and for a real that would be written as one (up to 1e21), so
 * that json_parse takes all that json_canonical wrote, and the same bytes come out again. ERR_LIMIT
 * for the buffer's cap and for more than JSON_DEPTH_MAX levels. On failure buf is as it was.
 */
int json_canonical(const json_t *value, struct buf *buf, struct err *err) MUST_CHECK;

/* The order of an object's members: < 0, 0 or > 0. */
int json_compare_keys(struct str a, struct str b);

/*
 * The pieces of the canonical form, for code that writes JSON without a tree. Strings come with
 * their quotes, and must be UTF-8 (not checked again). Numbers: ERR_INVALID for infinity and NaN;
 * any other double, as ECMAScript writes it. Integers: ERR_INVALID outside ±(2^53 - 1).
 */
int json_canonical_string(struct str s, struct buf *buf, struct err *err) MUST_CHECK;
int json_canonical_integer(int64_t integer, struct buf *buf, struct err *err) MUST_CHECK;
int json_canonical_number(double number, struct buf *buf, struct err *err) MUST_CHECK;

/* For cleanup: `AUTO(json_unref) json_t *root = NULL;` */
void json_unref(json_t **value);

#endif
