#include "base/base64.h"

#define BAD 0xFF

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of a digit, BAD for any other character. */
static uint32_t value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0') + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : BAD;
}

/* One to three bytes become four characters. */
static void encode_group(const uint8_t *bytes, size_t len, char out[4])
{
    uint32_t bits = (uint32_t)bytes[0] << 16;

    bits |= len > 1 ? (uint32_t)bytes[1] << 8 : 0;
    bits |= len > 2 ? bytes[2] : 0;
    out[0] = ALPHABET[bits >> 18];
    out[1] = ALPHABET[bits >> 12 & 0x3F];
    out[2] = ALPHABET[bits >> 6 & 0x3F];
    out[3] = ALPHABET[bits & 0x3F];
    if (len < 3) {
        out[3] = '=';
    }
    if (len < 2) {
        out[2] = '=';
    }
}

int base64_add(struct buf *buf, const void *bytes, size_t len, struct err *err)
{
    const uint8_t *in = bytes;
    size_t groups = len / 3 + (len % 3 != 0);
    int rc = buf_reserve(buf, groups > SIZE_MAX / 4 ? SIZE_MAX : groups * 4, err);

    if (rc < 0) {
        return rc;
    }
    for (size_t done = 0; done < len; done += 3) {
        encode_group(in + done, len - done < 3 ? len - done : 3, buf->data + buf->len);
        buf->len += 4;
    }
    buf->data[buf->len] = '\0';
    return 0;
}

/* Four characters become `len` bytes (1 to 3). False when one is no digit, or bits are left over.
 */
static bool decode_group(const char *in, size_t len, uint8_t *out)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i <= len ? value_of(in[i]) : 0;
        if (value == BAD) {
            return false;
        }
        bits = bits << 6 | value;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(bits >> (16 - 8 * i));
    }
    return (bits & (0xFFFFFFU >> (8 * len))) == 0;
}

/* How many '=' end s: 0, 1 or 2. */
static size_t padding_of(struct str s)
{
    size_t count = 0;

    while (count < 2 && count < s.len && s.ptr[s.len - 1 - count] == '=') {
        count++;
    }
    return count;
}

int base64_parse(struct str s, struct buf *buf, struct err *err)
{
    size_t start = buf->len;

    if (s.len % 4 != 0) {
        return err_set(err, ERR_INVALID, "base64 of %zu characters; expected a multiple of 4",
                       s.len);
    }
    size_t len = s.len / 4 * 3 - padding_of(s);
    int rc = buf_reserve(buf, len, err);
    if (rc < 0) {
        return rc;
    }
    for (size_t at = 0; at < s.len; at += 4) {
        size_t left = start + len - buf->len;
        size_t group = left < 3 ? left : 3;
        if (!decode_group(s.ptr + at, group, (uint8_t *)buf->data + buf->len)) {
            buf->len = start;
            rc = err_set(err, ERR_INVALID, "not base64 in the four characters from %zu on", at);
            break;
        }
        buf->len += group;
    }
    buf->data[buf->len] = '\0';
    return rc;
}
