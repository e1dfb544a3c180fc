/* base64 - strict, so that equal bytes have equal texts. */
#include "support/unit.h"

#include "base/base64.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* RFC 4648 section 10, and the ends of the alphabet */
static const struct {
    struct str bytes;
    const char *text;
} PAIRS[] = {
    {STR(""), ""},
    {STR("f"), "Zg=="},
    {STR("fo"), "Zm8="},
    {STR("foo"), "Zm9v"},
    {STR("foob"), "Zm9vYg=="},
    {STR("fooba"), "Zm9vYmE="},
    {STR("foobar"), "Zm9vYmFy"},
    {STR("\0\0\0\0"), "AAAAAA=="},
    {STR("\xFF\xFF\xFF\xFB\xEF"), "////++8="},
};

static void bytes_are_written_as_the_rfc_says(void **state)
{
    (void)state;
    struct err err;

    for (size_t i = 0; i < COUNT(PAIRS); i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        assert_ok(base64_add(&buf, PAIRS[i].bytes.ptr, PAIRS[i].bytes.len, &err), &err);
        assert_string_equal(buf.data, PAIRS[i].text);
    }
}

static void texts_are_read_as_the_rfc_says(void **state)
{
    (void)state;
    struct err err;

    for (size_t i = 0; i < COUNT(PAIRS); i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        assert_ok(base64_parse(str_of(PAIRS[i].text), &buf, &err), &err);
        assert_true(str_eq(buf_str(&buf), PAIRS[i].bytes));
    }
}

static void every_byte_is_read_back(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct err err;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1000);
        AUTO(buf_done) struct buf back = BUF_INIT(1000);
        assert_ok(base64_add(&text, bytes, len, &err), &err);
        assert_ok(base64_parse(buf_str(&text), &back, &err), &err);
        assert_true(str_eq(buf_str(&back), (struct str){(const char *)bytes, len}));
    }
}

static void other_texts_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "Z",    "Zg",       "Zg=",      "Zm9vY",   "Zh==",     "Zm9=",     "====", "=g==",
        "Z===", "Zg==Zg==", "Zm9v\nZg", "Zm 9vYm", "Zm9-Zm9_", "Zm9vZg=Z", "Zm=v",
    };
    struct err err;

    for (size_t i = 0; i < COUNT(CASES); i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        assert_ok(buf_add_c(&buf, "#", &err), &err);
        assert_refused(base64_parse(str_of(CASES[i]), &buf, &err), &err, ERR_INVALID, "base64");
        assert_string_equal(buf.data, "#");
    }
}

static void the_cap_of_the_buffer_holds(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(4);
    struct err err;

    assert_refused(base64_add(&buf, "foob", 4, &err), &err, ERR_LIMIT, "limit of 4 bytes");
    assert_refused(base64_parse(STR("Zm9vYmE="), &buf, &err), &err, ERR_LIMIT, "limit of 4 bytes");
    assert_int_equal(buf.len, 0);
    assert_ok(base64_add(&buf, "foo", 3, &err), &err);
    assert_string_equal(buf.data, "Zm9v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_written_as_the_rfc_says),
        cmocka_unit_test(texts_are_read_as_the_rfc_says),
        cmocka_unit_test(every_byte_is_read_back),
        cmocka_unit_test(other_texts_are_refused_and_change_nothing),
        cmocka_unit_test(the_cap_of_the_buffer_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
