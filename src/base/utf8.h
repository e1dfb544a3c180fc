/*
 * utf8 - strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef HOLDFAST_BASE_UTF8_H
#define HOLDFAST_BASE_UTF8_H

#include "base/buf.h"

/* For messages: `err_set(err, ERR_INVALID, "\"" STR_FMT "\" is not a time", QUOTE_ARG(s))`. s is
 * used twice. */
#define QUOTE_MAX_BYTES 64 /* enough to recognise what was refused */
#define QUOTE_ARG(s) (int)utf8_cut((s), QUOTE_MAX_BYTES), (s).ptr

/*
 * Count the code points of s. ERR_INVALID names the byte offset (from 0) and what is wrong there; a
 * NUL is refused too, because SQLite and C would cut the text at it.
 */
int utf8_check(struct str s, size_t *ret_code_points, struct err *err) MUST_CHECK;

/*
 * The length in bytes of the longest prefix of s with at most max_bytes that ends between two code
 * points. What is not UTF-8 may be cut anywhere; so this also serves for showing the beginning of a
 * refused text.
 */
size_t utf8_cut(struct str s, size_t max_bytes);

/*
 * Put '?' for every byte that is not UTF-8 or belongs to a control character (U+0000..1F but
 * newline, U+007F..9F), in place: then the text can neither break JSON nor steer a terminal.
 */
void utf8_make_printable(char *bytes, size_t len);

#endif
