/*
 * hash - SHA-256 and HMAC-SHA-256 (OpenSSL's), and their hex.
 *
 * Thread: any; a stream belongs to one thread.
 */
#ifndef HOLDFAST_BASE_HASH_H
#define HOLDFAST_BASE_HASH_H

#include "base/buf.h"

#define SHA256_LEN 32
#define SHA256_HEX_MAX 65 /* with NUL */

struct sha256 {
    uint8_t bytes[SHA256_LEN];
};

struct sha256 sha256_of(const void *bytes, size_t len);
struct sha256 sha256_of2(const void *first, size_t first_len, const void *second,
                         size_t second_len); /* of both in a row */
struct sha256 hmac_sha256(struct str key, struct str message);
bool sha256_eq(const struct sha256 *a, const struct sha256 *b); /* constant time */
bool sha256_is_zero(const struct sha256 *hash);
void sha256_hex(const struct sha256 *hash, char ret_text[SHA256_HEX_MAX]);
int sha256_parse_hex(struct str s, struct sha256 *ret, struct err *err)
    MUST_CHECK; /* exactly 64 lower-case digits */

/* Streaming, for files: start, add any number of times, end (which frees). */
struct sha256_stream;
struct sha256_stream *sha256_start(void);
void sha256_add(struct sha256_stream *stream, const void *bytes, size_t len);
struct sha256 sha256_end_take(struct sha256_stream *stream);

#endif
