/* value - PackStream, reading: scalars, texts and containers. */
#include "bolt/bytes.h"

#include <math.h>

static void integers_are_read_in_every_width(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int64_t value;
    } CASES[] = {
        {"00", 0},
        {"01", 1},
        {"7F", 127},
        {"F0", -16},
        {"FF", -1},
        {"C8 80", -128},
        {"C8 EF", -17},
        {"C8 00", 0},
        {"C8 7F", 127},
        {"C9 80 00", INT16_MIN},
        {"C9 00 01", 1},
        {"C9 7F FF", INT16_MAX},
        {"CA 80 00 00 00", INT32_MIN},
        {"CA FF FF FF FF", -1},
        {"CA 7F FF FF FF", INT32_MAX},
        {"CB 80 00 00 00 00 00 00 00", INT64_MIN},
        {"CB 00 00 00 00 00 00 00 2A", 42},
        {"CB 7F FF FF FF FF FF FF FF", INT64_MAX},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(bytes_done) struct bytes bytes = bytes_of(CASES[i].hex);
        struct bolt_value value = value_of(&bytes);
        assert_int_equal(value.type, BOLT_INTEGER);
        assert_true(value.as.integer == CASES[i].value);
    }
}

static void floats_keep_every_bit(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        uint64_t bits;
    } CASES[] = {
        {"C1 00 00 00 00 00 00 00 00", 0},
        {"C1 80 00 00 00 00 00 00 00", 0x8000000000000000}, /* -0.0 */
        {"C1 3F F1 99 99 99 99 99 9A", 0x3FF199999999999A}, /* 1.1 */
        {"C1 7F F0 00 00 00 00 00 00", 0x7FF0000000000000}, /* infinity */
        {"C1 FF F0 00 00 00 00 00 00", 0xFFF0000000000000},
        {"C1 7F F8 00 00 00 00 00 01", 0x7FF8000000000001}, /* a NaN with a payload */
        {"C1 00 00 00 00 00 00 00 01", 1},                  /* the smallest subnormal */
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(bytes_done) struct bytes bytes = bytes_of(CASES[i].hex);
        struct bolt_value value = value_of(&bytes);
        uint64_t bits;
        memcpy(&bits, &value.as.real, sizeof(bits));
        assert_int_equal(value.type, BOLT_FLOAT);
        assert_true(bits == CASES[i].bits);
    }
}

static void null_and_booleans_are_read(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes bytes = bytes_of("93 C0 C2 C3");
    struct bolt_value list = value_of(&bytes);
    struct bolt_iter iter = bolt_iter_of(&list);
    struct bolt_value value;

    assert_true(bolt_iter_next(&iter, &value));
    assert_int_equal(value.type, BOLT_NULL);
    assert_true(bolt_iter_next(&iter, &value));
    assert_true(value.type == BOLT_BOOLEAN && !value.as.boolean);
    assert_true(bolt_iter_next(&iter, &value));
    assert_true(value.type == BOLT_BOOLEAN && value.as.boolean);
    assert_false(bolt_iter_next(&iter, &value));
}

static void texts_are_read_in_every_width(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "86 4B C3 A4 73 65 21",
        "D0 06 4B C3 A4 73 65 21",
        "D1 00 06 4B C3 A4 73 65 21",
        "D2 00 00 00 06 4B C3 A4 73 65 21",
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(bytes_done) struct bytes bytes = bytes_of(CASES[i]);
        struct bolt_value value = value_of(&bytes);
        assert_int_equal(value.type, BOLT_STRING);
        assert_text(bolt_value_string(&value), "Käse!");
    }
}

static void a_text_may_hold_nuls(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes bytes = bytes_of("86 00 C3 A4 00 00 61");
    struct bolt_string text = bolt_value_string(&(struct bolt_value){0});

    assert_null(text.data);
    struct bolt_value value = value_of(&bytes);
    text = bolt_value_string(&value);
    assert_int_equal(text.size, 6);
    assert_memory_equal(text.data, "\0\xC3\xA4\0\0a", 6);
}

static void a_text_must_be_utf8(void **state)
{
    (void)state;

    assert_not_read("81 80", "not UTF-8");
    assert_not_read("82 00 80", "not UTF-8");
    assert_not_read("83 80 00 61", "not UTF-8");
    assert_not_read("82 C0 80", "not UTF-8");
    assert_not_read("83 ED A0 80", "not UTF-8");
    assert_not_read("81 C3", "not UTF-8");
    assert_not_read("A1 81 FF 01", "not UTF-8"); /* a key too */
}

/* Long enough for what is looked at eight bytes at a time, and what is left over. */
static void a_text_is_checked_to_its_last_byte(void **state)
{
    (void)state;
    unsigned char packed[1 + 15];

    for (size_t at = 1; at < sizeof(packed); at++) {
        struct bolt_value value;
        struct bolt_error error;
        memset(packed, 'a', sizeof(packed));
        packed[0] = 0x80 | 15;
        assert_int_equal(bolt_value_read(packed, sizeof(packed), &value, NULL, &error), 0);
        packed[at] = 0xFF;
        assert_int_equal(bolt_value_read(packed, sizeof(packed), &value, NULL, &error),
                         -BOLT_ERR_PROTOCOL);
    }
}

static void bytes_are_read_in_every_width(void **state)
{
    (void)state;
    static const char *const CASES[] = {"CC 02 00 FF", "CD 00 02 00 FF", "CE 00 00 00 02 00 FF"};

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        AUTO(bytes_done) struct bytes bytes = bytes_of(CASES[i]);
        struct bolt_value value = value_of(&bytes);
        assert_int_equal(value.type, BOLT_BYTES);
        assert_int_equal(value.count, 2);
        assert_memory_equal(value.as.bytes, "\x00\xFF", 2);
    }
    AUTO(bytes_done) struct bytes empty = bytes_of("CC 00");
    struct bolt_value value = value_of(&empty);
    assert_int_equal(value.count, 0);
}

static void lists_and_maps_are_read_in_every_width(void **state)
{
    (void)state;
    static const char *const LISTS[] = {"92 01 02", "D4 02 01 02", "D5 00 02 01 02",
                                        "D6 00 00 00 02 01 02"};
    static const char *const MAPS[] = {"A1 81 61 02", "D8 01 81 61 02", "D9 00 01 81 61 02",
                                       "DA 00 00 00 01 81 61 02"};

    for (size_t i = 0; i < 4; i++) {
        AUTO(bytes_done) struct bytes list_bytes = bytes_of(LISTS[i]);
        AUTO(bytes_done) struct bytes map_bytes = bytes_of(MAPS[i]);
        struct bolt_value list = value_of(&list_bytes);
        struct bolt_value map = value_of(&map_bytes);
        int64_t numbers[2];
        struct bolt_value value;
        assert_true(bolt_list_integers(&list, numbers, 2));
        assert_true(numbers[0] == 1 && numbers[1] == 2);
        assert_true(bolt_map_get(&map, "a", &value));
        assert_int_equal(value.as.integer, 2);
        assert_false(bolt_map_get(&map, "b", &value));
        assert_false(bolt_map_get(&list, "a", &value));
    }
}

static void a_walk_passes_over_what_is_nested(void **state)
{
    (void)state;
    /* [[1, [2, {a: 3}]], {b: [4]}, "c"] */
    AUTO(bytes_done)
    struct bytes bytes = bytes_of("93 92 01 92 02 A1 81 61 03 A1 81 62 91 04 81 63");
    struct bolt_value list = value_of(&bytes);
    struct bolt_iter iter = bolt_iter_of(&list);
    struct bolt_value value;

    assert_true(bolt_iter_next(&iter, &value));
    assert_int_equal(value.type, BOLT_LIST);
    assert_true(bolt_iter_next(&iter, &value));
    assert_int_equal(value.type, BOLT_MAP);
    struct bolt_iter entries = bolt_iter_of(&value);
    struct bolt_string key;
    struct bolt_value inner;
    assert_true(bolt_iter_entry(&entries, &key, &inner));
    assert_text(key, "b");
    assert_int_equal(inner.type, BOLT_LIST);
    assert_false(bolt_iter_entry(&entries, &key, &inner));
    assert_true(bolt_iter_next(&iter, &value));
    assert_text(bolt_value_string(&value), "c");
    assert_false(bolt_iter_next(&iter, &value));
    assert_false(bolt_iter_entry(&iter, &key, &value));
}

static void of_keys_that_are_there_twice_the_last_wins(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes bytes = bytes_of("A3 81 61 01 81 62 02 81 61 03");
    struct bolt_value map = value_of(&bytes);
    struct bolt_iter iter = bolt_iter_of(&map);
    struct bolt_value value;

    assert_true(bolt_map_get(&map, "a", &value));
    assert_int_equal(value.as.integer, 3);
    assert_true(bolt_iter_next(&iter, &value)); /* of a map: the values */
    assert_int_equal(value.as.integer, 1);
}

/* Five bytes must not make anybody reserve two gigabytes, whichever width says it. */
static void a_length_beyond_the_bytes_is_refused(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "81",
        "8F 61",
        "CC 01",
        "CD FF FF 00",
        "CE 7F FF FF FF",
        "CE FF FF FF FF",
        "D0 01",
        "D1 FF FF 61",
        "D2 7F FF FF FF",
        "91",
        "D4 FF 01",
        "D5 FF FF 01",
        "D6 7F FF FF FF",
        "D6 FF FF FF FF 01",
        "A1 01",
        "A1 81",
        "D8 02 81 61 01",
        "D9 FF FF 81",
        "DA 7F FF FF FF",
        "DA FF FF FF FF 81 61 01",
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_not_read(CASES[i], "PackStream byte");
    }
}

static void every_beginning_of_a_value_is_refused(void **state)
{
    (void)state;
    AUTO(bytes_done)
    struct bytes whole = bytes_of(
        "A3 81 61 94 CB 00 00 00 00 00 00 00 01 C1 3F F0 00 00 00 00 00 00 CC 02 01 02 D1 00 01 78"
        "81 62 B4 4E 01 91 81 4C A1 81 70 C0 82 65 31 81 63 D8 01 81 64 B3 49 CA 00 00 00 01 02 "
        "03");
    struct bolt_value value = value_of(&whole);
    struct bolt_error error;

    assert_int_equal(value.count, 3);
    for (size_t size = 0; size < whole.size; size++) {
        unsigned char *part = xmalloc(size == 0 ? 1 : size);
        memcpy(part, whole.data, size);
        assert_bolt_refused(bolt_value_read(part, size, &value, NULL, &error), &error,
                            BOLT_ERR_PROTOCOL, "PackStream byte");
        free(part);
    }
}

static void what_follows_a_value_is_refused_or_left(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes bytes = bytes_of("01 02");
    struct bolt_value value;
    struct bolt_error error;
    size_t used;

    assert_bolt_refused(bolt_value_read(bytes.data, 2, &value, NULL, &error), &error,
                        BOLT_ERR_PROTOCOL, "byte 1: something follows");
    assert_bolt_ok(bolt_value_read(bytes.data, 2, &value, &used, &error), &error);
    assert_int_equal(used, 1);
}

static void markers_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    static const unsigned char NONE[] = {0xC4, 0xC5, 0xC6, 0xC7, 0xCF, 0xD3, 0xD7, 0xDB,
                                         0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0xE1, 0xE8, 0xEF};
    struct bolt_value value;
    struct bolt_error error;

    for (size_t i = 0; i < sizeof(NONE); i++) {
        unsigned char bytes[20] = {NONE[i]};
        assert_bolt_refused(bolt_value_read(bytes, sizeof(bytes), &value, NULL, &error), &error,
                            BOLT_ERR_PROTOCOL, "byte 0: there is no such marker");
    }
}

static void the_key_of_a_map_must_be_a_text(void **state)
{
    (void)state;

    assert_not_read("A1 01 02", "the key of a map is no text");
    assert_not_read("A1 90 02", "the key of a map is no text");
    assert_not_read("A2 81 61 02 C0 02", "byte 4: the key of a map is no text");
}

/* The deepest value that is allowed, and one deeper, made of lists, maps and structures. */
static void nesting_has_an_end(void **state)
{
    (void)state;
    static const struct {
        const char *open;
        const char *close;
    } KINDS[] = {
        {"91", ""},
        {"A1 80", ""},
        {"B3 4E 01 90 A1 80", ""}, /* a node in a node, which counts twice: structure and map */
    };
    struct bolt_value value;
    struct bolt_error error;

    for (size_t kind = 0; kind < 3; kind++) {
        size_t most = kind == 2 ? BOLT_DEPTH_MAX / 2 : BOLT_DEPTH_MAX;
        for (size_t depth = most; depth <= most + 1; depth++) {
            char hex[4096] = "";
            size_t at = 0;
            for (size_t i = 0; i < depth; i++) {
                at += (size_t)snprintf(hex + at, sizeof(hex) - at, "%s", KINDS[kind].open);
            }
            (void)snprintf(hex + at, sizeof(hex) - at, "01");
            AUTO(bytes_done) struct bytes bytes = bytes_of(hex);
            int rc = bolt_value_read(bytes.data, bytes.size, &value, NULL, &error);
            if (depth == most) {
                assert_bolt_ok(rc, &error);
            } else {
                assert_bolt_refused(rc, &error, BOLT_ERR_PROTOCOL, "nested too deep");
            }
        }
    }
}

static void floats_are_read_in_bulk(void **state)
{
    (void)state;
    /* [1.5, -2, 0.25] */
    AUTO(bytes_done)
    struct bytes bytes = bytes_of("93 C1 3F F8 00 00 00 00 00 00 FE C1 3F D0 00 00 00 00 00 00");
    struct bolt_value list = value_of(&bytes);
    double doubles[3];
    float floats[3];
    int64_t integers[3];

    assert_true(bolt_list_doubles(&list, doubles, 3));
    assert_true(doubles[0] == 1.5 && doubles[1] == -2.0 && doubles[2] == 0.25);
    assert_true(bolt_list_floats(&list, floats, 3));
    assert_true(floats[0] == 1.5f && floats[1] == -2.0f && floats[2] == 0.25f);
    assert_false(bolt_list_integers(&list, integers, 3));
    assert_false(bolt_list_doubles(&list, doubles, 2));
    assert_false(bolt_list_doubles(&list, doubles, 4));
}

static void an_integer_that_no_double_holds_is_no_double(void **state)
{
    (void)state;
    AUTO(bytes_done) struct bytes most = bytes_of("91 CB 00 20 00 00 00 00 00 00");
    AUTO(bytes_done) struct bytes more = bytes_of("91 CB 00 20 00 00 00 00 00 01");
    AUTO(bytes_done) struct bytes text = bytes_of("91 81 61");
    struct bolt_value value = value_of(&most);
    double number;

    assert_true(bolt_list_doubles(&value, &number, 1));
    assert_true(number == 9007199254740992.0);
    value = value_of(&more);
    assert_false(bolt_list_doubles(&value, &number, 1));
    value = value_of(&text);
    assert_false(bolt_list_doubles(&value, &number, 1));
    value.type = BOLT_NULL;
    assert_false(bolt_list_doubles(&value, &number, 0));
}

static void a_copy_outlives_what_it_was_made_of(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "2A",
        "C1 3F F0 00 00 00 00 00 00",
        "83 61 62 63",
        "80",
        "CC 02 01 02",
        "90",
        "93 01 92 02 03 81 61",
        "A1 81 61 91 02",
        "B3 49 01 02 03",
        "B4 4E 01 90 A0 81 65",
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct bytes bytes = bytes_of(CASES[i]);
        struct bolt_value value = value_of(&bytes);
        AUTO(free_ptr) struct bolt_value *copy = bolt_value_copy(&value);
        memset(bytes.data, 0xFF, bytes.size);
        bytes_done(&bytes);
        struct bolt_packer packer;
        bolt_packer_init(&packer, 0);
        struct bolt_node node;
        if (bolt_value_node(copy, &node)) {
            assert_text(node.element_id, "e");
        } else {
            bolt_pack_value(&packer, copy);
            assert_packed(&packer, CASES[i]);
        }
        bolt_packer_done(&packer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_read_in_every_width),
        cmocka_unit_test(floats_keep_every_bit),
        cmocka_unit_test(null_and_booleans_are_read),
        cmocka_unit_test(texts_are_read_in_every_width),
        cmocka_unit_test(a_text_may_hold_nuls),
        cmocka_unit_test(a_text_must_be_utf8),
        cmocka_unit_test(a_text_is_checked_to_its_last_byte),
        cmocka_unit_test(bytes_are_read_in_every_width),
        cmocka_unit_test(lists_and_maps_are_read_in_every_width),
        cmocka_unit_test(a_walk_passes_over_what_is_nested),
        cmocka_unit_test(of_keys_that_are_there_twice_the_last_wins),
        cmocka_unit_test(a_length_beyond_the_bytes_is_refused),
        cmocka_unit_test(every_beginning_of_a_value_is_refused),
        cmocka_unit_test(what_follows_a_value_is_refused_or_left),
        cmocka_unit_test(markers_that_mean_nothing_are_refused),
        cmocka_unit_test(the_key_of_a_map_must_be_a_text),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(floats_are_read_in_bulk),
        cmocka_unit_test(an_integer_that_no_double_holds_is_no_double),
        cmocka_unit_test(a_copy_outlives_what_it_was_made_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
