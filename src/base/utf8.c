#include "base/utf8.h"

#define EACH_BYTE(b) (0x0101010101010101ULL * (b))

/* What is wrong with a multi-byte sequence. */
static const char STRAY[] = "a byte that can't start a character";
static const char CUT_OFF[] = "a character that is cut off";
static const char OVERLONG[] = "an overlong form";
static const char SURROGATE[] = "a surrogate (U+D800 to U+DFFF)";
static const char TOO_HIGH[] = "a code point above U+10FFFF";

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Eight bytes that are all ASCII and not NUL. */
static bool is_plain(uint64_t word)
{
    return ((word | (word - EACH_BYTE(1))) & EACH_BYTE(0x80)) == 0;
}

/* The length of the sequence that starts with this byte (>= 0x80), 0 if none does. */
static size_t sequence_len(unsigned char lead)
{
    if (lead < 0xC0 || lead > 0xF7) {
        return 0;
    }
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* RFC 3629 section 4: for these leads the second byte's range is narrower than 80..BF. */
static const char *bad_second(unsigned char lead, unsigned char second)
{
    if (lead < 0xC2 || (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90)) {
        return OVERLONG;
    }
    if (lead == 0xED && second > 0x9F) {
        return SURROGATE;
    }
    if (lead > 0xF4 || (lead == 0xF4 && second > 0x8F)) {
        return TOO_HIGH;
    }
    return NULL;
}

/* One sequence at p, of at most `left` bytes. NULL when it is right, with its length. */
static inline const char *check_sequence(const unsigned char *p, size_t left, size_t *ret_len)
{
    size_t len = sequence_len(p[0]);

    if (len == 0) {
        return STRAY;
    }
    if (left < 2 || !is_continuation(p[1])) {
        return CUT_OFF;
    }
    const char *wrong = bad_second(p[0], p[1]);
    if (wrong != NULL) {
        return wrong;
    }
    for (size_t i = 2; i < len; i++) {
        if (i >= left || !is_continuation(p[i])) {
            return CUT_OFF;
        }
    }
    *ret_len = len;
    return NULL;
}

int utf8_check(struct str s, size_t *ret_code_points, struct err *err)
{
    const unsigned char *bytes = (const unsigned char *)s.ptr;
    size_t count = 0;
    size_t i = 0;

    while (i < s.len) {
        uint64_t word;
        while (s.len - i >= sizeof(word)) {
            memcpy(&word, bytes + i, sizeof(word));
            if (!is_plain(word)) {
                break;
            }
            i += sizeof(word);
            count += sizeof(word);
        }
        if (i == s.len) {
            break;
        }
        size_t len = 1;
        if (bytes[i] == 0) {
            return err_set(err, ERR_INVALID, "byte %zu is a NUL, which a text can't hold", i);
        }
        if (bytes[i] >= 0x80) {
            const char *wrong = check_sequence(bytes + i, s.len - i, &len);
            if (wrong != NULL) {
                return err_set(err, ERR_INVALID, "byte %zu (0x%02X) is not UTF-8: %s", i, bytes[i],
                               wrong);
            }
        }
        i += len;
        count++;
    }
    *ret_code_points = count;
    return 0;
}

size_t utf8_cut(struct str s, size_t max_bytes)
{
    if (s.len <= max_bytes) {
        return s.len;
    }
    size_t end = max_bytes;
    for (int back = 0; back < 3 && end > 0 && is_continuation((unsigned char)s.ptr[end]); back++) {
        end--;
    }
    return is_continuation((unsigned char)s.ptr[end]) ? max_bytes : end;
}

static bool is_control(const unsigned char *p)
{
    return (p[0] < 0x20 && p[0] != '\n') || p[0] == 0x7F || (p[0] == 0xC2 && p[1] < 0xA0);
}

void utf8_make_printable(char *bytes, size_t len)
{
    unsigned char *p = (unsigned char *)bytes;
    size_t i = 0;

    while (i < len) {
        size_t step = 1;
        bool wrong = p[i] >= 0x80 && check_sequence(p + i, len - i, &step) != NULL;
        if (wrong || is_control(p + i)) {
            memset(p + i, '?', step);
        }
        i += step;
    }
}
