/* json_parse - strict, and clear about what it refuses. */
#include "support/unit.h"

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static json_t *parsed(struct str text)
{
    json_t *value = NULL;
    struct err err;

    assert_ok(json_parse(text, &value, &err), &err);
    return value;
}

static void assert_parses_as(struct str text, json_t *expected_take)
{
    AUTO(json_unref) json_t *expected = expected_take;
    AUTO(json_unref) json_t *value = parsed(text);

    if (!json_equal(value, expected)) {
        print_error("%.*s was read as something else\n", (int)text.len, text.ptr);
        fail();
    }
}

static void assert_not_json(struct str text, const char *says)
{
    json_t *value = NULL;
    struct err err;

    assert_refused(json_parse(text, &value, &err), &err, ERR_INVALID, says);
    assert_ptr_equal(value, NULL);
}

static void any_value_may_stand_at_the_top(void **state)
{
    (void)state;

    assert_parses_as(STR("null"), json_null());
    assert_parses_as(STR("true"), json_true());
    assert_parses_as(STR("false"), json_false());
    assert_parses_as(STR("17"), json_integer(17));
    assert_parses_as(STR("\"x\""), json_string("x"));
    assert_parses_as(STR("[]"), json_array());
    assert_parses_as(STR("{}"), json_object());
}

static void white_space_is_allowed_between_all(void **state)
{
    (void)state;

    assert_parses_as(STR(" \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n"),
                     json_pack("{s[ii]s{}}", "a", 1, 2, "b"));
}

static void integers_of_64_bits_are_exact(void **state)
{
    (void)state;

    assert_parses_as(STR("0"), json_integer(0));
    assert_parses_as(STR("-0"), json_integer(0));
    assert_parses_as(STR("-17"), json_integer(-17));
    assert_parses_as(STR("9223372036854775807"), json_integer(INT64_MAX));
    assert_parses_as(STR("-9223372036854775808"), json_integer(INT64_MIN));
}

static void reals_are_the_nearest_doubles(void **state)
{
    (void)state;

    assert_parses_as(STR("0.1"), json_real(0.1));
    assert_parses_as(STR("-0.85"), json_real(-0.85));
    assert_parses_as(STR("1e0"), json_real(1));
    assert_parses_as(STR("1.5E+3"), json_real(1500));
    assert_parses_as(STR("25e-1"), json_real(2.5));
    assert_parses_as(STR("123456789.123456"), json_real(123456789.123456));
    assert_parses_as(STR("0.30000000000000004"), json_real(0.1 + 0.2));
    assert_parses_as(STR("1.7976931348623157e308"), json_real(1.7976931348623157e308));
    assert_parses_as(STR("5e-324"), json_real(0x1p-1074));
    assert_parses_as(STR("1e-400"), json_real(0));
    assert_parses_as(STR("9007199254740993.0"), json_real(9007199254740992.0));
}

static void numbers_too_large_are_refused(void **state)
{
    (void)state;

    assert_not_json(STR("1e400"), "the number 1e400 is too large");
    assert_not_json(STR("[1,-1e400]"), "line 1, column 4: the number -1e400 is too large");
    assert_not_json(STR("9223372036854775808"), "too large; send it as a string");
    assert_not_json(STR("-9223372036854775809"), "too large; send it as a string");
}

static void other_spellings_of_numbers_are_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {"-",    "+1",       "01",  "-01", "1.",   ".5",
                                        "1.e5", "1e",       "1e+", "0x1", "NaN",  "1.-5",
                                        "--1",  "Infinity", "1_0", "-a",  "1e5.", "00"};

    for (size_t i = 0; i < COUNT(CASES); i++) {
        assert_not_json(str_of(CASES[i]), "expected");
    }
}

static void escapes_are_undone(void **state)
{
    (void)state;

    assert_parses_as(STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), json_string("\"\\/\b\f\n\r\t"));
    assert_parses_as(STR("\"a\\nb\\nc\""), json_string("a\nb\nc"));
    assert_parses_as(STR("\"\\u0041\\u00e4\\u00DF\\u20ac\\uFFFF\""),
                     json_string("Aäß€\xEF\xBF\xBF"));
    assert_parses_as(STR("\"\\ud83d\\ude00 \\uDBFF\\uDFFF\""), json_string("😀 \xF4\x8F\xBF\xBF"));
    assert_parses_as(STR("{\"\\u0061\":1}"), json_pack("{si}", "a", 1));
}

static void other_escapes_are_refused(void **state)
{
    (void)state;

    assert_not_json(STR("\"\\x41\""), "found 'x'; expected one of");
    assert_not_json(STR("\"\\"), "expected one of");
    assert_not_json(STR("\"\\U0041\""), "expected one of");
    assert_not_json(STR("\"\\u12g4\""), "found 'g'; expected four hexadecimal digits");
    assert_not_json(STR("\"\\u12"), "expected four hexadecimal digits");
}

static void half_a_surrogate_pair_is_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "\"\\ud800\"",    "\"\\udc00\"",        "\"\\ud800x\"",      "\"\\ud800\\u0041\"",
        "\"\\ud800\\n\"", "\"\\ud800\\ud800\"", "\"\\udfff\\ud800\""};

    for (size_t i = 0; i < COUNT(CASES); i++) {
        assert_not_json(str_of(CASES[i]), "half of a surrogate pair");
    }
}

static void nul_is_refused_in_every_form(void **state)
{
    (void)state;

    assert_not_json(STR("\"\\u0000\""), "NUL");
    assert_not_json(STR("{\"a\\u0000\":1}"), "NUL");
    assert_not_json(STR("\"a\0b\""), "found byte 0x00");
    assert_not_json(STR("[1]\0"), "found byte 0x00");
    assert_not_json(STR("\0"), "found byte 0x00");
}

static void control_characters_must_be_escaped(void **state)
{
    (void)state;

    assert_not_json(STR("\"a\nb\""), "found byte 0x0A; expected control characters");
    assert_not_json(STR("\"12345678\t12345678\""), "found byte 0x09");
    assert_not_json(STR("\"\x1F\""), "found byte 0x1F");
    assert_parses_as(STR("\"\x7F\""), json_string("\x7F"));
}

static void texts_must_be_utf8(void **state)
{
    (void)state;

    assert_not_json(STR("[\"ab\xFF\"]"),
                    "line 1, column 2: in this text: byte 2 (0xFF) is not UTF-8");
    assert_not_json(STR("{\"\xC0\x80\":1}"), "an overlong form");
    assert_not_json(STR("\"\xED\xA0\x80\""), "a surrogate");
    assert_not_json(STR("\"\\n\xE4\xB8\""), "cut off");
    assert_not_json(STR("\xFF"), "found byte 0xFF; expected a JSON value");
    assert_not_json(STR("\xEF\xBB\xBF{}"), "found byte 0xEF; expected a JSON value");
}

static void a_key_may_not_come_twice(void **state)
{
    (void)state;

    assert_not_json(STR("{\"a\":1,\n \"a\":2}"), "line 2, column 2: the key \"a\" appears twice");
    assert_not_json(STR("{\"a\":1,\"\\u0061\":1}"), "appears twice");
    assert_parses_as(STR("[{\"a\":1},{\"a\":1}]"), json_pack("[{si}{si}]", "a", 1, "a", 1));
}

static void keys_of_every_length_are_kept(void **state)
{
    (void)state;

    for (size_t len = 0; len < 200; len++) {
        char key[200] = {0};
        struct err err;
        AUTO(buf_done) struct buf text = BUF_INIT(1000);
        memset(key, 'k', len);
        assert_ok(buf_printf(&text, &err, "{\"%s\":[\"\\n\",{\"%s\":1}]}", key, key), &err);
        assert_parses_as(buf_str(&text), json_pack("{s[s{si}]}", key, "\n", key, 1));
    }
}

static void what_stands_behind_the_end_is_refused(void **state)
{
    (void)state;

    assert_not_json(STR("{} x"), "line 1, column 4: found 'x'; expected the end of the text");
    assert_not_json(STR("[1]]"), "expected the end of the text");
    assert_not_json(STR("1 2"), "expected the end of the text");
    assert_not_json(STR("nullnull"), "expected the end of the text");
}

static void texts_that_end_too_early_are_refused(void **state)
{
    (void)state;
    struct str whole = STR("{\"a\":[true,null,-1.5e3,\"x\\n\\ud83d\\ude00ö\",{\"b\":{}}]}");

    assert_not_json((struct str){NULL, 0}, "the text ends too early; expected a JSON value");
    assert_not_json(STR("\"x"), "this text has no closing quote");
    for (size_t len = 0; len < whole.len; len++) {
        char *exact = xstrndup(whole.ptr, len); /* so that a sanitizer sees a read behind it */
        assert_not_json((struct str){exact, len}, "line 1, column ");
        free(exact);
    }
    json_decref(parsed(whole));
}

static void wrong_punctuation_is_refused_with_its_place(void **state)
{
    (void)state;

    assert_not_json(STR("[1 2]"), "line 1, column 4: found '2'; expected ',' or ']'");
    assert_not_json(STR("[1,]"), "found ']'; expected a JSON value");
    assert_not_json(STR("[,1]"), "found ','; expected a JSON value");
    assert_not_json(STR("{\"a\" 1}"), "found '1'; expected ':'");
    assert_not_json(STR("{\"a\":1,}"), "found '}'; expected a key");
    assert_not_json(STR("{a:1}"), "found 'a'; expected a key in double quotes");
    assert_not_json(STR("{\"a\":1]"), "found ']'; expected ',' or '}'");
    assert_not_json(STR("tru"), "found 't'; expected a JSON value");
    assert_not_json(STR("'a'"), "found '''; expected a JSON value");
    assert_not_json(STR("[\"ö\",\n\"ö\" x"), "line 2, column 5");
}

/* `[[…]]`, of that many levels. */
static struct str nested(char *text, size_t levels)
{
    memset(text, '[', levels);
    memset(text + levels, ']', levels);
    return (struct str){text, 2 * levels};
}

static void nesting_is_allowed_up_to_its_limit(void **state)
{
    (void)state;
    char text[2 * (JSON_DEPTH_MAX + 1)];

    json_decref(parsed(nested(text, JSON_DEPTH_MAX)));
    assert_not_json(nested(text, JSON_DEPTH_MAX + 1), "column 65: nested deeper than 64 levels");
}

static void a_million_levels_are_refused_as_quickly(void **state)
{
    (void)state;
    static char text[1000000];

    memset(text, '[', sizeof(text));
    assert_not_json((struct str){text, sizeof(text)}, "nested deeper than 64 levels");
    for (size_t i = 0; i + 5 <= sizeof(text); i += 5) {
        memcpy(text + i, "{\"a\":", 5);
    }
    assert_not_json((struct str){text, sizeof(text)}, "nested deeper than 64 levels");
}

static void brackets_in_texts_are_no_levels(void **state)
{
    (void)state;
    char text[202];

    memset(text, '[', sizeof(text));
    text[0] = text[sizeof(text) - 1] = '"';
    json_decref(parsed((struct str){text, sizeof(text)}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_value_may_stand_at_the_top),
        cmocka_unit_test(white_space_is_allowed_between_all),
        cmocka_unit_test(integers_of_64_bits_are_exact),
        cmocka_unit_test(reals_are_the_nearest_doubles),
        cmocka_unit_test(numbers_too_large_are_refused),
        cmocka_unit_test(other_spellings_of_numbers_are_refused),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(other_escapes_are_refused),
        cmocka_unit_test(half_a_surrogate_pair_is_refused),
        cmocka_unit_test(nul_is_refused_in_every_form),
        cmocka_unit_test(control_characters_must_be_escaped),
        cmocka_unit_test(texts_must_be_utf8),
        cmocka_unit_test(a_key_may_not_come_twice),
        cmocka_unit_test(keys_of_every_length_are_kept),
        cmocka_unit_test(what_stands_behind_the_end_is_refused),
        cmocka_unit_test(texts_that_end_too_early_are_refused),
        cmocka_unit_test(wrong_punctuation_is_refused_with_its_place),
        cmocka_unit_test(nesting_is_allowed_up_to_its_limit),
        cmocka_unit_test(a_million_levels_are_refused_as_quickly),
        cmocka_unit_test(brackets_in_texts_are_no_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
