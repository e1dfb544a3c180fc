/*
 * utf8 - strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef HOLDFAST_BASE_UTF8_H
#define HOLDFAST_BASE_UTF8_H

#include "base/buf.h"

/*
 * Count the code points of s. ERR_INVALID names the byte offset (from 0) and what is wrong there; a NUL is refused
 * too, because SQLite and C would cut the text at it.
 */
int utf8_check(struct str s, size_t *ret_code_points, struct err *err) MUST_CHECK;

/*
 * The length in bytes of the longest prefix of s with at most max_bytes that ends between two code points. What is not
 * UTF-8 may be cut anywhere; so this also serves for showing the beginning of a refused text.
 */
size_t utf8_cut(struct str s, size_t max_bytes);

#endif
