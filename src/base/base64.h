/*
 * base64 - bytes as text, RFC 4648 section 4: the standard alphabet, with padding.
 */
#ifndef HOLDFAST_BASE_BASE64_H
#define HOLDFAST_BASE_BASE64_H

#include "base/buf.h"

/* Append the text of these bytes. ERR_LIMIT from the buffer's cap. */
int base64_add(struct buf *buf, const void *bytes, size_t len, struct err *err) MUST_CHECK;

/*
 * Append the bytes that s stands for. Strict, so that equal bytes have equal texts: no white space,
 * full padding, and zeros in the bits that are left over. ERR_INVALID says where it isn't;
 * ERR_LIMIT. On failure buf is as it was.
 */
int base64_parse(struct str s, struct buf *buf, struct err *err) MUST_CHECK;

#endif
