/* json_canonical - RFC 8785, byte by byte. */
#include "support/unit.h"

#include <math.h>

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_canonical(const char *text, const char *expected)
{
    AUTO(json_unref) json_t *value = NULL;
    AUTO(buf_done) struct buf buf = BUF_INIT(100000);
    struct err err;

    assert_ok(json_parse(str_of(text), &value, &err), &err);
    assert_ok(json_canonical(value, &buf, &err), &err);
    assert_string_equal(buf.data, expected);
}

static void the_example_of_section_3_2_2(void **state)
{
    (void)state;

    assert_canonical("{\n"
                     "  \"numbers\": [333333333.33333329, 1E30, 4.50,\n"
                     "              2e-3, 0.000000000000000000000000001],\n"
                     "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
                     "  \"literals\": [null, true, false]\n"
                     "}",
                     "{\"literals\":[null,true,false],"
                     "\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
                     "\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

static void the_example_of_section_3_2_3(void **state)
{
    (void)state;

    assert_canonical("{\"\\u20ac\": \"Euro Sign\", \"\\r\": \"Carriage Return\","
                     "\"\\ufb33\": \"Hebrew Letter Dalet With Dagesh\", \"1\": \"One\","
                     "\"\\ud83d\\ude00\": \"Emoji: Grinning Face\", \"\\u0080\": \"Control\","
                     "\"\\u00f6\": \"Latin Small Letter O With Diaeresis\"}",
                     "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xC2\x80\":\"Control\","
                     "\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\","
                     "\"😀\":\"Emoji: Grinning Face\","
                     "\"\xEF\xAC\xB3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

static void assert_number(double number, const char *expected)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    assert_ok(json_canonical_number(number, &buf, &err), &err);
    assert_string_equal(buf.data, expected);
}

static double double_of_bits(uint64_t bits)
{
    double number;

    memcpy(&number, &bits, sizeof(number));
    return number;
}

static void the_numbers_of_appendix_b(void **state)
{
    (void)state;
    static const struct {
        uint64_t bits;
        const char *text;
    } CASES[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
    };

    for (size_t i = 0; i < COUNT(CASES); i++) {
        assert_number(double_of_bits(CASES[i].bits), CASES[i].text);
    }
}

static void everyday_numbers_are_short(void **state)
{
    (void)state;

    assert_number(0.5, "0.5");
    assert_number(-0.85, "-0.85");
    assert_number(100, "100");
    assert_number(1.1, "1.1");
    assert_number(0.1 + 0.2, "0.30000000000000004");
    assert_number(1e-6, "0.000001");
    assert_number(1e-7, "1e-7");
    assert_number(1.5e-7, "1.5e-7");
    assert_number(123456789012345.6, "123456789012345.6");
    assert_number(999999999999999.9, "999999999999999.9");
    assert_number(9007199254740991, "9007199254740991");
    assert_number(1e20, "100000000000000000000");
    assert_number(0x1p-1022, "2.2250738585072014e-308");
    assert_number(-0x1.fffffffffffffp-1, "-0.9999999999999999");
}

/* Below a power of two the doubles lie closer: the nearest 16 digits don't read back, others do (V8
 * agrees). */
static void powers_of_two_are_as_short_as_can_be(void **state)
{
    (void)state;

    assert_number(0x1p-44, "5.684341886080802e-14");
    assert_number(0x1p-24, "5.960464477539063e-8");
    assert_number(0x1p-1074, "5e-324");
    assert_number(0x1p+1023, "8.98846567431158e+307");
}

static void numbers_read_back_as_the_same_double(void **state)
{
    (void)state;
    uint64_t bits = 88172645463325252ULL;
    struct err err;

    for (int i = 0; i < 20000; i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double number = double_of_bits(bits);
        if (isfinite(number)) {
            assert_ok(json_canonical_number(number, &buf, &err), &err);
            assert_true(strtod(buf.data, NULL) == number);
        }
    }
}

static void infinity_and_nan_are_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    assert_refused(json_canonical_number(NAN, &buf, &err), &err, ERR_INVALID, "NaN");
    assert_refused(json_canonical_number(INFINITY, &buf, &err), &err, ERR_INVALID, "infinity");
    assert_refused(json_canonical_number(-INFINITY, &buf, &err), &err, ERR_INVALID, "infinity");
    assert_int_equal(buf.len, 0);
}

static void integers_up_to_2_to_the_53_are_exact_and_no_more(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    assert_canonical("9007199254740991", "9007199254740991");
    assert_canonical("-9007199254740991", "-9007199254740991");
    assert_refused(json_canonical_integer(9007199254740992, &buf, &err), &err, ERR_INVALID,
                   "9007199254740992 is outside");
    assert_refused(json_canonical_integer(-9007199254740992, &buf, &err), &err, ERR_INVALID,
                   "send it as a string");
    assert_refused(json_canonical_integer(INT64_MIN, &buf, &err), &err, ERR_INVALID, "outside");
    assert_int_equal(buf.len, 0);
}

static int canonical_of(const char *text, struct buf *buf, struct err *err)
{
    AUTO(json_unref) json_t *value = NULL;

    assert_ok(json_parse(str_of(text), &value, err), err);
    return json_canonical(value, buf, err);
}

/* Written without an exponent they would come back as integers that nobody may write. */
static void reals_that_would_come_back_as_large_integers_are_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(100);
    struct err err;

    assert_refused(canonical_of("9007199254740992", &buf, &err), &err, ERR_INVALID, "outside");
    assert_refused(canonical_of("[9007199254740992.0]", &buf, &err), &err, ERR_INVALID,
                   "9007199254740992 is outside");
    assert_refused(canonical_of("-1e20", &buf, &err), &err, ERR_INVALID, "send it as a string");
    assert_int_equal(buf.len, 0);
    assert_canonical("1e21", "1e+21");
    assert_canonical("9007199254740991.0", "9007199254740991");
    assert_canonical("-1.0", "-1");
    assert_canonical("-0.0", "0");
}

static void only_what_must_be_is_escaped(void **state)
{
    (void)state;
    struct err err;

    for (int c = 1; c < 0x80; c++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        AUTO(json_unref) json_t *value = NULL;
        char text[2] = {(char)c, '\0'};
        assert_ok(json_canonical_string(str_of(text), &buf, &err), &err);
        assert_int_equal(buf.len == 3, c >= 0x20 && c != '"' && c != '\\');
        assert_ok(json_parse(buf_str(&buf), &value, &err), &err);
        assert_string_equal(json_string_value(value), text);
    }
    assert_canonical("\"\\u0008\\u0009\\u000A\\u000C\\u000D\\u0022\\u005C\"",
                     "\"\\b\\t\\n\\f\\r\\\"\\\\\"");
    assert_canonical("\"\\u0001\\u000b\\u001F\\u007f\\/\"", "\"\\u0001\\u000b\\u001f\x7F/\"");
}

/* Eight bytes are looked at together: the one to escape may be any of them. */
static void escapes_are_found_at_every_place(void **state)
{
    (void)state;
    struct err err;

    for (size_t at = 0; at < 20; at++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        char text[20];
        memset(text, 'x', sizeof(text));
        text[at] = '"';
        assert_ok(json_canonical_string((struct str){text, sizeof(text)}, &buf, &err), &err);
        assert_int_equal(buf.len, sizeof(text) + 3);
        assert_memory_equal(buf.data + 1 + at, "\\\"", 2);
    }
}

static void empty_things_are_written(void **state)
{
    (void)state;

    assert_canonical("{\"\": \"\", \"a\": [], \"b\": {}}", "{\"\":\"\",\"a\":[],\"b\":{}}");
}

static void a_key_sorts_before_those_it_begins(void **state)
{
    (void)state;

    assert_canonical("{\"ab\":1,\"a\":2,\"aa\":3,\"\":4,\"B\":5}",
                     "{\"\":4,\"B\":5,\"a\":2,\"aa\":3,\"ab\":1}");
}

/* U+10000 is D800 DC00 in UTF-16, and so before U+E000 and U+FFFF, but behind U+D7FF. */
static void keys_sort_by_utf_16(void **state)
{
    (void)state;

    assert_canonical(
        "{\"\\uffff\":1,\"\\ue000\":2,\"\\udbff\\udfff\":3,\"\\ud800\\udc00\":4,"
        "\"\\ud7ff\":5,\"\\ud800\\udc00\\uffff\":6,\"\\ud800\\udc00\\ud83d\\ude00\":7}",
        "{\"\xED\x9F\xBF\":5,\"\xF0\x90\x80\x80\":4,\"\xF0\x90\x80\x80😀\":7,"
        "\"\xF0\x90\x80\x80\xEF\xBF\xBF\":6,\"\xF4\x8F\xBF\xBF\":3,"
        "\"\xEE\x80\x80\":2,\"\xEF\xBF\xBF\":1}");
}

/* Around the number of keys that is sorted without allocating. */
static void objects_of_every_size_are_sorted(void **state)
{
    (void)state;
    struct err err;

    for (int count = 30; count <= 100; count++) {
        AUTO(json_unref) json_t *object = json_object();
        AUTO(buf_done) struct buf expected = BUF_INIT(10000);
        AUTO(buf_done) struct buf buf = BUF_INIT(10000);
        for (int i = 0; i < count; i++) {
            AUTO(free_ptr) char *key = xprintf("k%03d", (i * 101) % count);
            assert_int_equal(json_object_set_new(object, key, json_true()), 0);
            assert_ok(buf_printf(&expected, &err, "%s\"k%03d\":true", i == 0 ? "{" : ",", i), &err);
        }
        assert_ok(buf_add_c(&expected, "}", &err), &err);
        assert_ok(json_canonical(object, &buf, &err), &err);
        assert_string_equal(buf.data, expected.data);
    }
}

static void what_was_written_is_written_the_same_again(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf once = BUF_INIT(1000);
    struct err err;

    assert_ok(
        canonical_of("{\"b\":[1.0,1e-7,{\"z\":\"\\u001f\",\"y\":null}],\"a\":0.10}", &once, &err),
        &err);
    assert_string_equal(once.data, "{\"a\":0.1,\"b\":[1,1e-7,{\"y\":null,\"z\":\"\\u001f\"}]}");
    assert_canonical(once.data, once.data);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    static const char TEXT[] = "{\"a\":[1,2.5,\"x\\ny\",true,false,null],\"b\":{\"c\":\"plain\"}}";
    size_t needed = strlen(TEXT);
    struct err err;

    for (size_t max = 2; max < needed + 2; max++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(max);
        assert_ok(buf_add_c(&buf, "##", &err), &err);
        assert_refused(canonical_of(TEXT, &buf, &err), &err, ERR_LIMIT, "limit of");
        assert_string_equal(buf.data, "##");
        assert_int_equal(buf.len, 2);
    }
    AUTO(buf_done) struct buf enough = BUF_INIT(needed);
    assert_ok(canonical_of(TEXT, &enough, &err), &err);
    assert_string_equal(enough.data, TEXT);
}

static void a_string_that_does_not_fit_leaves_nothing(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf buf = BUF_INIT(8);
    struct err err;

    assert_ok(buf_add_c(&buf, "#", &err), &err);
    assert_refused(json_canonical_string(STR("abc\ndef"), &buf, &err), &err, ERR_LIMIT, "limit of");
    assert_refused(json_canonical_string(STR("abcdef"), &buf, &err), &err, ERR_LIMIT, "limit of");
    assert_string_equal(buf.data, "#");
    assert_ok(json_canonical_string(STR("abcde"), &buf, &err), &err);
    assert_string_equal(buf.data, "#\"abcde\"");
}

static json_t *nested(int levels)
{
    json_t *value = json_array();

    for (int i = 1; i < levels; i++) {
        value = json_pack("[o]", value);
    }
    return value;
}

static void trees_may_be_as_deep_as_texts(void **state)
{
    (void)state;
    AUTO(json_unref) json_t *deepest = nested(JSON_DEPTH_MAX);
    AUTO(json_unref) json_t *deeper = nested(JSON_DEPTH_MAX + 1);
    AUTO(buf_done) struct buf buf = BUF_INIT(1000);
    struct err err;

    assert_refused(json_canonical(deeper, &buf, &err), &err, ERR_LIMIT, "deeper than 64 levels");
    assert_int_equal(buf.len, 0);
    assert_ok(json_canonical(deepest, &buf, &err), &err);
    assert_int_equal(buf.len, 2 * JSON_DEPTH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_section_3_2_2),
        cmocka_unit_test(the_example_of_section_3_2_3),
        cmocka_unit_test(the_numbers_of_appendix_b),
        cmocka_unit_test(everyday_numbers_are_short),
        cmocka_unit_test(powers_of_two_are_as_short_as_can_be),
        cmocka_unit_test(numbers_read_back_as_the_same_double),
        cmocka_unit_test(infinity_and_nan_are_refused),
        cmocka_unit_test(integers_up_to_2_to_the_53_are_exact_and_no_more),
        cmocka_unit_test(reals_that_would_come_back_as_large_integers_are_refused),
        cmocka_unit_test(only_what_must_be_is_escaped),
        cmocka_unit_test(escapes_are_found_at_every_place),
        cmocka_unit_test(empty_things_are_written),
        cmocka_unit_test(a_key_sorts_before_those_it_begins),
        cmocka_unit_test(keys_sort_by_utf_16),
        cmocka_unit_test(objects_of_every_size_are_sorted),
        cmocka_unit_test(what_was_written_is_written_the_same_again),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(a_string_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(trees_may_be_as_deep_as_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
