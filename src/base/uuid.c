#include "base/uuid.h"

#include "base/hash.h"
#include "base/num.h"
#include "base/utf8.h"

static void set_version(struct uuid *uuid, unsigned version)
{
    uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0F) | (version << 4));
    uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3F) | 0x80); /* the variant of RFC 9562 */
}

struct uuid uuid_new(struct env *env)
{
    struct uuid uuid;
    uint64_t ms = (uint64_t)(env->now_us(env) / 1000);

    be64_put(uuid.bytes, ms << 16);
    env->random(env, uuid.bytes + 6, sizeof(uuid.bytes) - 6);
    set_version(&uuid, 7);
    return uuid;
}

struct uuid uuid_derive(struct str namespace_text, struct str name)
{
    struct sha256 space = sha256_of(namespace_text.ptr, namespace_text.len);
    struct sha256 hash = sha256_of2(space.bytes, sizeof(space.bytes), name.ptr, name.len);
    struct uuid uuid;

    memcpy(uuid.bytes, hash.bytes, sizeof(uuid.bytes));
    set_version(&uuid, 8);
    return uuid;
}

static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

static bool read_uuid(const char *p, struct uuid *ret)
{
    struct uuid uuid;

    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        if (dash_before(i) && *p++ != '-') {
            return false;
        }
        int high = num_hex_digit(p[0]);
        int low = num_hex_digit(p[1]);
        if (high < 0 || low < 0) {
            return false;
        }
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    *ret = uuid;
    return true;
}

int uuid_parse(struct str s, struct uuid *ret, struct err *err)
{
    if (s.len != UUID_TEXT_LEN || !read_uuid(s.ptr, ret)) {
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is not a UUID; expected 8-4-4-4-12 hexadecimal digits",
                       QUOTE_ARG(s));
    }
    return 0;
}

void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_MAX])
{
    static const char DIGITS[] = "0123456789abcdef";
    char *out = ret_text;

    for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
        if (dash_before(i)) {
            *out++ = '-';
        }
        *out++ = DIGITS[uuid->bytes[i] >> 4];
        *out++ = DIGITS[uuid->bytes[i] & 0x0F];
    }
    *out = '\0';
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return uuid_cmp(a, b) == 0;
}

int uuid_cmp(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool uuid_is_nil(const struct uuid *uuid)
{
    static const struct uuid NIL;

    return uuid_eq(uuid, &NIL);
}
