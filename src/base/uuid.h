/*
 * uuid - RFC 9562 UUIDs: any version is accepted, version 7 is made.
 */
#ifndef HOLDFAST_BASE_UUID_H
#define HOLDFAST_BASE_UUID_H

#include "base/buf.h"
#include "base/env.h"

#define UUID_TEXT_LEN 36
#define UUID_TEXT_MAX 37 /* with NUL */

struct uuid {
    uint8_t bytes[16];
};

/* Version 7: 48 bits of env's time in milliseconds, then random bits. */
struct uuid uuid_new(struct env *env);

/*
 * In the style of version 5: the same texts give the same UUID. SHA-1 is not used: it is SHA-256 of
 * the SHA-256 of the namespace and the name, cut to 16 bytes, as version 8.
 */
struct uuid uuid_derive(struct str namespace_text, struct str name);

/* 8-4-4-4-12 hex digits, either case. ERR_INVALID otherwise. */
int uuid_parse(struct str s, struct uuid *ret, struct err *err) MUST_CHECK;
void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_MAX]); /* lower case */
bool uuid_eq(const struct uuid *a, const struct uuid *b);
int uuid_cmp(const struct uuid *a, const struct uuid *b); /* by bytes, as memcmp */
bool uuid_is_nil(const struct uuid *uuid);

#endif
