/*
 * bytes - what the tests of the Bolt client share: bytes written as hex, and assertions that show
 * the error.
 */
#ifndef HOLDFAST_TESTS_BOLT_BYTES_H
#define HOLDFAST_TESTS_BOLT_BYTES_H

#include "support/unit.h"

#include <holdfast/bolt.h>

#include "base/num.h"

/* Bytes on the heap, exactly as many as there are, so that a sanitizer sees a read past the end. */
struct bytes {
    unsigned char *data;
    size_t size;
};

static inline void bytes_done(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){NULL, 0};
}

/* "B1 71 90": spaces are passed over. */
static inline struct bytes bytes_of(const char *hex)
{
    struct bytes bytes = {xmalloc(strlen(hex) / 2 + 1), 0};

    for (const char *p = hex; *p != '\0'; p++) {
        if (*p != ' ') {
            int high = num_hex_digit(p[0]);
            int low = num_hex_digit(p[1]);
            assert_true(high >= 0 && low >= 0);
            bytes.data[bytes.size++] = (unsigned char)(high << 4 | low);
            p++;
        }
    }
    bytes.data = xrealloc(bytes.data, bytes.size);
    return bytes;
}

/* The bytes that a packer holds are those. */
#define assert_packed(packer, hex) bytes_assert_packed((packer), (hex), __FILE__, __LINE__)
static inline void bytes_assert_packed(const struct bolt_packer *packer, const char *hex,
                                       const char *file, int line)
{
    AUTO(bytes_done) struct bytes expected = bytes_of(hex);
    struct bolt_error error;

    if (bolt_packer_check(packer, &error) < 0) {
        print_error("%s\n", error.message);
        _fail(file, line);
    }
    _assert_int_equal(packer->size, expected.size, file, line);
    if (expected.size > 0) {
        _assert_memory_equal(packer->data, expected.data, expected.size, file, line);
    }
}

#define assert_bolt_ok(call, error) bytes_assert_ok((call), (error), #call, __FILE__, __LINE__)
static inline void bytes_assert_ok(int rc, const struct bolt_error *error, const char *call,
                                   const char *file, int line)
{
    if (rc < 0) {
        print_error("%s failed: %s (%s)\n", call, error->message, bolt_error_name(rc));
        _fail(file, line);
    }
}

/* The call fails with this kind, and its message mentions `part`. */
#define assert_bolt_refused(call, error, kind, part)                                               \
    bytes_assert_refused((call), (error), (kind), (part), #call, __FILE__, __LINE__)
static inline void bytes_assert_refused(int rc, const struct bolt_error *error, enum bolt_err kind,
                                        const char *part, const char *call, const char *file,
                                        int line)
{
    if (rc != -(int)kind) {
        print_error("%s gave %s (%s); expected %s\n", call, bolt_error_name(rc),
                    rc < 0 ? error->message : "", bolt_error_name((int)kind));
        _fail(file, line);
    }
    if (error->kind != kind || strstr(error->message, part) == NULL) {
        print_error("%s said \"%s\" (%s), which doesn't mention \"%s\"\n", call, error->message,
                    bolt_error_name((int)error->kind), part);
        _fail(file, line);
    }
}

#define assert_text(string, c_string) bytes_assert_text((string), (c_string), __FILE__, __LINE__)
static inline void bytes_assert_text(struct bolt_string string, const char *c_string,
                                     const char *file, int line)
{
    if (!bolt_string_is(string, c_string)) {
        print_error("\"%.*s\" is not \"%s\"\n", (int)string.size,
                    string.data == NULL ? "" : string.data, c_string);
        _fail(file, line);
    }
}

/* The value that these bytes are; they must all be used. */
static inline struct bolt_value value_of(const struct bytes *bytes)
{
    struct bolt_value value;
    struct bolt_error error;

    assert_bolt_ok(bolt_value_read(bytes->data, bytes->size, &value, NULL, &error), &error);
    return value;
}

/* These bytes are refused; `part` is in the reason. */
#define assert_not_read(hex, part)                                                                 \
    do {                                                                                           \
        AUTO(bytes_done) struct bytes refused = bytes_of(hex);                                     \
        struct bolt_value never;                                                                   \
        struct bolt_error reason;                                                                  \
        assert_bolt_refused(bolt_value_read(refused.data, refused.size, &never, NULL, &reason),    \
                            &reason, BOLT_ERR_PROTOCOL, (part));                                   \
    } while (0)

#endif
