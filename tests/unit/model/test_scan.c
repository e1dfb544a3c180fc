/* scan, emit - the pieces of canonical JSON, read and written without a tree. */
#include <math.h>

#include "model/emit.h"
#include "model/samples.h"
#include "model/scan.h"

/* text as a heap block of its exact size, so that a sanitizer sees a read past it. */
static struct scan scan_of(const char *text, char **ret_block)
{
    struct scan scan;
    size_t len = strlen(text);

    *ret_block = xmalloc(len);
    memcpy(*ret_block, text, len);
    OK(scan_begin((struct str){*ret_block, len}, &scan, &err));
    return scan;
}

static void control_characters_are_found_at_every_place(void **state)
{
    (void)state;
    struct scan scan;

    for (size_t len = 1; len <= 24; len++) {
        for (size_t at = 0; at < len; at++) {
            AUTO(free_ptr) char *text = sample_repeat("\xc3", len);
            AUTO(free_ptr) char *message = xprintf("byte %zu: a control character", at);
            OK(scan_begin(str_of(text), &scan, &err));
            text[at] = 0x20;
            OK(scan_begin(str_of(text), &scan, &err));
            text[at] = 0x1f;
            REFUSED(scan_begin(str_of(text), &scan, &err), ERR_CORRUPT, message);
        }
    }
}

static void a_string_ends_at_its_first_quote_that_is_not_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {{"\"\"x", 0},      {"\"a\"\"", 1},       {"\"\\\"\"", 2},
                 {"\"\\\\\"\"", 2}, {"\"\\\\\\\"\",", 4}, {"\"a\\\"b\\\\\",\"c\"", 6}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO(free_ptr) char *block = NULL;
        struct scan scan = scan_of(cases[i].text, &block);
        struct str escaped;
        OK(scan_string(&scan, &escaped, &err));
        assert_int_equal(escaped.len, cases[i].len);
        assert_ptr_equal(scan.at, block + cases[i].len + 2);
    }
}

static void a_string_without_an_end_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"\"", "\"a", "\"\\\"", "\"\\\\\\\"", "a\"", ""};

    for (size_t i = 0; i < COUNT(texts); i++) {
        AUTO(free_ptr) char *block = NULL;
        struct scan scan = scan_of(texts[i], &block);
        struct str escaped;
        REFUSED(scan_string(&scan, &escaped, &err), ERR_CORRUPT, "byte ");
    }
}

static void every_code_point_that_needs_an_escape_comes_back(void **state)
{
    (void)state;

    for (int c = 1; c < 0x80; c++) {
        char original[] = {'a', (char)c, (char)c, 'z'};
        char back[64];
        size_t len = 0;
        struct str escaped;
        struct scan scan;
        AUTO(buf_done) struct buf text = BUF_INIT(64);
        OK(json_canonical_string((struct str){original, sizeof(original)}, &text, &err));
        OK(scan_begin(buf_str(&text), &scan, &err));
        OK(scan_string(&scan, &escaped, &err));
        OK(scan_unescape(&scan, escaped, back, &len, &err));
        assert_int_equal(len, sizeof(original));
        assert_memory_equal(back, original, sizeof(original));
        assert_int_equal(back[len], '\0');
    }
}

static void escapes_of_any_other_form_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\\/",     "\\u0041", "\\u00e9", "\\u0008", "\\u0009", "\\u000a", "\\u000c", "\\u000d",
        "\\u0022", "\\u005c", "\\u0000", "\\u001F", "\\u002",  "\\u",     "\\x01",   "\\B",
        "\\",      "\\u007f", "\\ud83c", "\\u00",   "\\u000g", "\\u0020"};

    for (size_t i = 0; i < COUNT(texts); i++) {
        AUTO(free_ptr) char *block = NULL;
        struct scan scan = scan_of(texts[i], &block);
        struct str all = {block, strlen(texts[i])};
        char out[64];
        size_t len = 0;
        REFUSED(scan_unescape(&scan, all, out, &len, &err), ERR_CORRUPT,
                "byte 0: an escape that canonical JSON does not use");
    }
}

static void values_are_passed_over_to_their_end(void **state)
{
    (void)state;
    static const char *const values[] = {
        "{}",       "[]",   "\"\"", "7",       "-1.5e+30",
        "null",     "true", "[[]]", "[{},{}]", "{\"a\":{\"b\":[\"]\"]}}",
        "\"a\\\"\""};
    static const char *const behind[] = {"", ",\"x\":1", "}", "]"};

    for (size_t i = 0; i < COUNT(values); i++) {
        for (size_t j = 0; j < COUNT(behind); j++) {
            AUTO(free_ptr) char *text = xprintf("%s%s", values[i], behind[j]);
            AUTO(free_ptr) char *block = NULL;
            struct scan scan = scan_of(text, &block);
            struct str value;
            OK(scan_value(&scan, &value, &err));
            assert_true(str_eq_c(value, values[i]));
        }
    }
}

static void unbalanced_values_are_refused(void **state)
{
    (void)state;
    static const char *const values[] = {"",        "{",     "[", "{]", "[}", "[{]", "{[}",
                                         "{\"a\":", "{\"a}", "}", "]",  ",",  ":"};

    for (size_t i = 0; i < COUNT(values); i++) {
        AUTO(free_ptr) char *block = NULL;
        struct scan scan = scan_of(values[i], &block);
        struct str value;
        REFUSED(scan_value(&scan, &value, &err), ERR_CORRUPT, "byte ");
    }
}

static void assert_emitted(uint64_t number, const char *expected)
{
    AUTO(buf_done) struct buf text = BUF_INIT(64);
    struct err emit_err = ERR_INIT;
    struct emit emit = emit_begin(&text, &emit_err);

    emit_uint(&emit, number);
    assert_int_equal(emit_end(&emit), 0);
    assert_string_equal(text.data, expected);
}

static void whole_numbers_end_at_the_limit_given(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
    } cases[] = {
        {"0", 9, true},
        {"9", 9, true},
        {"10", 9, false},
        {"10", 10, true},
        {"11", 10, false},
        {"18446744073709551615", UINT64_MAX, true},
        {"18446744073709551616", UINT64_MAX, false},
        {"00", 9, false},
        {"01", 9, false},
        {"", 9, false},
        {"-1", 9, false},
        {"+1", 9, false},
        {"x", 9, false},
        {"5", 3, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO(free_ptr) char *block = NULL;
        struct scan scan = scan_of(cases[i].text, &block);
        uint64_t number = 0;
        if (!cases[i].good) {
            REFUSED(scan_uint(&scan, cases[i].max, &number, &err), ERR_CORRUPT, "byte 0: ");
            continue;
        }
        OK(scan_uint(&scan, cases[i].max, &number, &err));
        assert_emitted(number, cases[i].text);
    }
}

static void the_first_error_of_an_emit_sticks(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(8);
    struct err err = ERR_INIT;

    struct emit emit = emit_begin(&buf, &err);
    EMIT(&emit, "12345");
    EMIT(&emit, "too long");
    EMIT(&emit, "6");
    emit_string(&emit, STR("x"));
    emit_number(&emit, 7);
    emit_json(&emit, NULL);
    assert_int_equal(emit_end(&emit), -ERR_LIMIT);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
}

static void a_number_that_json_lacks_is_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(64);
    struct err err = ERR_INIT;

    struct emit emit = emit_begin(&buf, &err);
    emit_number(&emit, (double)NAN);
    assert_int_equal(emit_end(&emit), -ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_found_at_every_place),
        cmocka_unit_test(a_string_ends_at_its_first_quote_that_is_not_escaped),
        cmocka_unit_test(a_string_without_an_end_is_refused),
        cmocka_unit_test(every_code_point_that_needs_an_escape_comes_back),
        cmocka_unit_test(escapes_of_any_other_form_are_refused),
        cmocka_unit_test(values_are_passed_over_to_their_end),
        cmocka_unit_test(unbalanced_values_are_refused),
        cmocka_unit_test(whole_numbers_end_at_the_limit_given),
        cmocka_unit_test(the_first_error_of_an_emit_sticks),
        cmocka_unit_test(a_number_that_json_lacks_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
